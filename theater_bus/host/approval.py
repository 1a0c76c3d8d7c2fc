"""Host calls that wait for a person: listed in the actor's status, decided by `control.<id>.approve`.

Invariants: a call goes on only when it was granted; one whose operation ends meanwhile is listed no more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from theater_bus.capability import ActorIdentity, CapabilityError

if TYPE_CHECKING:
    from theater_bus.telemetry import Telemetry

__all__ = ["Approvals"]

ID_CHARACTERS: Final = 12
WHAT_CHARACTERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    function: str
    capability: str
    what: str
    decided: asyncio.Future[str | None]
    """None when it is granted, else the note of the refusal."""
    since_ns: int = field(default_factory=monotonic_ns)


class Approvals:
    """What waits for a person at one actor, by id."""

    __slots__ = ("_identity", "_telemetry", "_waiting")

    def __init__(self, telemetry: Telemetry, identity: ActorIdentity) -> None:
        self._telemetry = telemetry
        self._identity = identity
        self._waiting: dict[str, _Waiting] = {}

    async def wait(self, effect_key: str, function: str, capability: str, what: str) -> None:
        """Return when the call is granted. Raises `CapabilityError` when it is refused."""
        decided: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        one = _Waiting(function, capability, what[:WHAT_CHARACTERS], decided)
        name = effect_key[:ID_CHARACTERS]
        while name in self._waiting:
            name += "x"
        self._waiting[name] = one
        self._event("approval.wanted", one, reason=f"{name}: {one.what}")
        try:
            refusal = await decided
        finally:
            del self._waiting[name]
        if refusal is not None:
            raise CapabilityError(f"an operator refused {function}" + (f": {refusal}" if refusal else ""))

    def decide(self, name: str, granted: bool, note: str) -> bool:
        """Let the call go on, or refuse it. Whether one waits under this id."""
        one = self._waiting.get(name)
        if one is None or one.decided.done():
            return False
        one.decided.set_result(None if granted else note)
        self._event("approval.decided", one, code="granted" if granted else "refused", reason=f"{name}: {note}")
        return True

    def listed(self) -> list[dict[str, Any]]:
        """What waits, the oldest first, as `info.<id>.status` shows it."""
        now = monotonic_ns()
        return [
            {"id": name, "function": one.function, "what": one.what, "since_ms": (now - one.since_ns) // 1_000_000}
            for name, one in self._waiting.items()
            if not one.decided.done()
        ]

    def _event(self, name: str, one: _Waiting, **fields: object) -> None:
        identity = self._identity
        self._telemetry.event(
            name,
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            capability=one.capability,
            function=one.function,
            **fields,
        )
