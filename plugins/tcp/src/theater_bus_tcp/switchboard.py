"""What the actors of one host share: who may be handed a connection, ids, TLS contexts, how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING

from theater_bus.capability import CapabilityError, HostScoped
from theater_bus_tcp.certificate import Contexts, HostSettings

if TYPE_CHECKING:
    from theater_bus.capability import Context
    from theater_bus_tcp.holding import Holding

__all__ = ["Switchboard", "switchboard_of"]


class Switchboard:
    """One per host. `holdings` are those of its actors, by id."""

    def __init__(self, settings: HostSettings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.contexts = Contexts(settings)
        self.holdings: dict[str, Holding] = {}
        self.used = 0
        self.changed = asyncio.Event()
        self._run = token_hex(4)
        self._count = 0
        self._waits: dict[str, str] = {}

    def next_id(self) -> str:
        """An id that no connection of this or an earlier run has: an actor that comes back may hold an old one."""
        self._count += 1
        return f"{self._run}-{self._count}"

    def pulse(self) -> None:
        """Let everybody look who waits for a change."""
        self.changed.set()
        self.changed.clear()

    @contextmanager
    def waiting(self, actor: str, target: str) -> Iterator[None]:
        """`actor` waits for `target` meanwhile. Raises `CapabilityError` where that would wait for `actor`."""
        at: str | None = target
        while at is not None and at != actor:
            at = self._waits.get(at)
        if at == actor:
            raise CapabilityError(
                f"call-cycle: {target!r} waits for this actor to take a connection. Fix: use transfer-async"
            )
        self._waits[actor] = target
        try:
            yield
        finally:
            del self._waits[actor]


# A list of at most one: a host that was started again in this process has another loop, and may be set otherwise.
_SWITCHBOARDS: HostScoped[list[Switchboard]] = HostScoped(lambda _: [])


def switchboard_of(context: Context) -> Switchboard:
    """The switchboard of the host that the actor of this context runs on."""
    found = _SWITCHBOARDS.of(f"{context.actor.namespace}/{context.actor.host}")
    settings = context.configuration.own or HostSettings()
    if not found or found[0].loop is not asyncio.get_running_loop() or found[0].settings != settings:
        found[:] = [Switchboard(settings)]
    return found[0]
