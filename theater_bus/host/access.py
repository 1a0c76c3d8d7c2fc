"""Who may call what: the verdict of all authorisers, remembered for as long as they allow.

Invariants: one refusal refuses; an authoriser that raises or is late refuses; when none has an opinion the setting
`authorize_default` holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from theater_bus.capability import Authorizer, Request
from theater_bus.errors import ActorError, PermissionDenied

__all__ = ["Access"]

log = logging.getLogger("theater_bus.host")

LATE_S = 0.25
MAX_REMEMBERED = 10_000

Verdict = ActorError | bool


class Access:
    """The authorisers of a host as one. A verdict is True, or the error that the caller gets."""

    def __init__(self, authorizers: Sequence[Authorizer], default: Literal["allow", "deny"]) -> None:
        self._authorizers = list(authorizers)
        self._default = default
        self._loop = asyncio.get_running_loop()
        self._ttl_s = min((a.cache_ttl_ms for a in authorizers), default=0) / 1000
        self._remembered: dict[Request, tuple[float, Verdict]] = {}
        self._asking: dict[Request, list[Callable[[Verdict], None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def remembered(self, request: Request) -> Verdict | None:
        """The verdict, if one is known and still counts."""
        kept = self._remembered.get(request)
        if kept is None:
            return None
        until, verdict = kept
        if until < self._loop.time():
            del self._remembered[request]
            return None
        return verdict

    def ask(self, request: Request, then: Callable[[Verdict], None]) -> None:
        """Have `then` called with the verdict; the same question is asked once at a time."""
        waiting = self._asking.get(request)
        if waiting is not None:
            waiting.append(then)
            return
        self._asking[request] = [then]
        task = self._loop.create_task(self._judge(request), name="theater-bus authorise")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge(self, request: Request) -> None:
        verdict = await self._verdict(request)
        if self._ttl_s > 0:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[request] = (self._loop.time() + self._ttl_s, verdict)
        for then in self._asking.pop(request):
            then(verdict)

    async def _verdict(self, request: Request) -> Verdict:
        decided = False
        for authorizer in self._authorizers:
            name = authorizer.name or "an authoriser"
            try:
                async with asyncio.timeout(LATE_S):
                    decision = await authorizer.decide(request)
            except TimeoutError:
                return _refusal(request, f"{name} did not decide within {LATE_S * 1000:.0f} ms")
            except Exception:
                log.exception("authoriser failed: %s", name)
                return _refusal(request, f"{name} failed")
            if decision is not None and not decision.allowed:
                return _refusal(request, decision.reason or f"{name} refused")
            decided = decided or decision is not None
        if decided or self._default == "allow":
            return True
        return _refusal(request, "nobody allows it and authorize_default is deny")


def _refusal(request: Request, why: str) -> PermissionDenied:
    caller = request.caller or "an unnamed caller"
    return PermissionDenied(f"{caller} (proof: {request.proof}) may not call {request.function}: {why}", reason=why)
