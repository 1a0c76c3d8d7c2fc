"""Keeping one connection alive: what nats-py repairs itself, and what it gives up on.

nats-py reconnects after a broken socket, but closes for good after any error from the server other than a permission
violation (a message over the limit, too many subscriptions, expired credentials), sometimes without telling. Here
a closed client is replaced by a new one, without limit to the attempts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from nats.aio.client import Client

from theater_bus.bus.dialing import Callbacks, close_quietly, dial
from theater_bus.bus.settings import BusSettings
from theater_bus.core.instrumentation import Instrumentation
from theater_bus.errors import LocalError

__all__ = ["ConnectionEvent", "Lifeline", "Passenger"]

log = logging.getLogger("theater_bus.bus")

_LOOK_S = 0.5
_CALM_S = 5.0
_MAX_WAIT_S = 5.0


class ConnectionEvent(Enum):
    """What happens to a connection, as observers are told."""

    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"
    """Connected again, with all subscriptions."""
    LAME_DUCK = "lame-duck"
    """The server asks its clients to leave; a reconnect to another one follows."""
    CLOSED = "closed"
    """By ourselves; nothing follows."""


@dataclass(frozen=True, slots=True)
class Passenger:
    """How whoever uses the client is told what becomes of it."""

    lost: Callable[[], None]
    """Nothing that was sent can be relied on."""
    back: Callable[[Client, bool], Awaitable[None]]
    """Connected again. True: by a new client, which knows no subscriptions."""
    server_error: Callable[[Exception], None]
    """The server or nats-py reports something that is not fatal."""
    told: Callable[[ConnectionEvent], None]
    """For observers."""


class Lifeline:
    """Owns the client: opens it, watches it, replaces it, closes it."""

    def __init__(self, settings: BusSettings, instrumentation: Instrumentation, passenger: Passenger) -> None:
        self.client: Client
        self._settings = settings
        self._instrumentation = instrumentation
        self._passenger = passenger
        self._loop = asyncio.get_running_loop()
        self._up = False
        self._closing = False
        self._rebuilding: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None
        self._rebuilt_at = -_CALM_S
        self._haste = 0

    async def open(self) -> Client:
        """The first client; raises ConnectionLost."""
        self.client = await self._dial()
        self._up = True
        self._look = self._loop.call_later(_LOOK_S, self._watch)
        self._event("bus.connected")
        return self.client

    async def close(self) -> None:
        """Close for good. Closing twice is fine."""
        if self._closing:
            return
        self._closing = True
        if self._look is not None:
            self._look.cancel()
        if self._rebuilding is not None:
            self._rebuilding.cancel()
            await asyncio.wait({self._rebuilding})
        self._down()
        await close_quietly(self.client)
        self._passenger.told(ConnectionEvent.CLOSED)

    async def _dial(self) -> Client:
        return await dial(
            self._settings,
            Callbacks(
                error=self._current(self._on_error),
                disconnected=lambda client: self._from(client, self._down),
                reconnected=lambda client: self._from(client, self._reconnected),
                closed=lambda client: self._from(client, self._lost_for_good),
                lame_duck=lambda client: self._from(client, self._lame_duck),
            ),
        )

    def _current(self, report: Callable[[Exception], None]) -> Callable[[Client, Exception], None]:
        return lambda client, error: report(error) if client is self.client else None

    def _from(self, client: Client, act: Callable[[], None]) -> None:
        """Clients that have been replaced have nothing to say any more."""
        if client is self.client and not self._closing:
            act()

    def _on_error(self, error: Exception) -> None:
        self._passenger.server_error(error)

    def _down(self) -> None:
        if self._up:
            self._up = False
            self._passenger.lost()
            self._passenger.told(ConnectionEvent.DISCONNECTED)
            if not self._closing:
                self._event("bus.disconnected", error=str(self.client.last_error or "the socket was closed"))

    def _reconnected(self) -> None:
        # The socket can break and heal without nats-py having said so.
        self._down()
        self._rebuilding = self._loop.create_task(self._announce(self.client, rebuilt=False))

    def _lame_duck(self) -> None:
        self._passenger.told(ConnectionEvent.LAME_DUCK)

    def _watch(self) -> None:
        """Catch what nats-py does not report: a close cut short by its own error, a reconnect that died."""
        self._look = self._loop.call_later(_LOOK_S, self._watch)
        if self._rebuilding is not None and not self._rebuilding.done():
            return
        client = self.client
        if client.is_closed:
            self._lost_for_good()
        elif not client.is_connected:
            self._down()
            attempt = client._reconnection_task
            if client.is_reconnecting and attempt is not None and attempt.done():
                self._lost_for_good()

    def _lost_for_good(self) -> None:
        if self._rebuilding is not None and not self._rebuilding.done():
            return
        self._down()
        reason = self.client.last_error
        self._rebuilding = self._loop.create_task(self._rebuild(str(reason or "closed without a reason")))

    async def _rebuild(self, reason: str) -> None:
        # An error that comes back at once (too many subscriptions, say) must not become a storm of connects.
        self._haste = self._haste + 1 if monotonic() - self._rebuilt_at < _CALM_S else 0
        await self._pause(self._haste)
        old = self.client
        await close_quietly(old)
        tries = 0
        while True:
            try:
                client = await self._dial()
                break
            except LocalError as error:
                log.info("%s; trying again", error)
                tries += 1
                await self._pause(tries)
        self.client = client
        self._rebuilt_at = monotonic()
        await self._announce(client, rebuilt=True)
        self._instrumentation.count("theater.bus.rebuilds")
        self._event("bus.rebuilt", reason=reason)

    async def _pause(self, tries: int) -> None:
        if tries:
            wait_s = min(_MAX_WAIT_S, self._settings.reconnect_wait_s * 2 ** min(tries - 1, 10))
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))

    async def _announce(self, client: Client, rebuilt: bool) -> None:
        self._up = True
        await self._passenger.back(client, rebuilt)
        if not self._up:
            return  # lost again meanwhile; whoever noticed goes on from there
        self._instrumentation.count("theater.bus.reconnects")
        self._event("bus.reconnected")
        self._passenger.told(ConnectionEvent.RECONNECTED)

    def _event(self, name: str, **fields: object) -> None:
        self._instrumentation.event(name, server=self._settings.servers_text, **fields)
