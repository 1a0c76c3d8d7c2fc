"""What one actor holds: its connections, its listeners, and how many of each it may have.

Invariants: a connection has one holder, and only that one ends it; a place is taken before a socket is opened, and free
again when it is closed; whatever the actor holds at its end is closed, and nothing of anybody else's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from theater_bus.capability import CallQueue, CapabilityError, Context
from theater_bus_tcp.connection import Connection, Teller
from theater_bus_tcp.switchboard import switchboard_of
from theater_bus_tcp.wire import Wire

if TYPE_CHECKING:
    from theater_bus_tcp.listener import Listener

__all__ = ["Holding"]

STOP_S = 2.0
"""How long the end of an actor waits for what was sent to be gone."""


class Holding:
    """The connections and listeners of one actor; `calls` are its calls that wait, `teller` tells it of data."""

    def __init__(self, context: Context, settings: Any) -> None:
        self.context = context
        self.settings = settings
        self.switchboard = switchboard_of(context)
        self.calls = CallQueue(context, settings.waiting)
        self.teller = Teller(self, self.calls)
        self.connections: dict[str, Connection] = {}
        self.listeners: dict[str, Listener] = {}
        self.used = 0
        self._closing: set[Wire] = set()

    # -- places --------------------------------------------------------------------------------------------------------

    def has_place(self) -> bool:
        """Whether one more connection may be."""
        board = self.switchboard
        return self.used < self.settings.connections and board.used < board.settings.connections

    def take_place(self) -> None:
        """Take the place of one connection. Raises `CapabilityError` where there is none."""
        if self.used >= self.settings.connections:
            raise CapabilityError(
                f"the grant tcp.connections = {self.settings.connections} is used up. Fix: close one, or "
                f"`connections = {self.settings.connections + 1}` in [capabilities.tcp]"
            )
        if not self.has_place():
            raise CapabilityError(
                f"the actors of this host have {self.switchboard.used} connections, as many as its operator allows. "
                "Fix: raise `connections` in [capabilities.tcp] of the host's configuration"
            )
        self.used += 1
        self.switchboard.used += 1

    def free_place(self) -> None:
        """Give a place back."""
        self.used -= 1
        self.switchboard.used -= 1
        self.switchboard.pulse()

    # -- connections ---------------------------------------------------------------------------------------------------

    def hold(self, wire: Wire, host: str, is_pending: bool) -> Connection:
        """Hold a connected wire, whose place is taken."""
        peer = wire.address("peername")
        one = Connection(self.switchboard.next_id(), wire, self, peer, host or peer.rpartition(":")[0], is_pending)
        self.connections[one.id] = one
        return one

    def find(self, id: str) -> Connection:
        """The actor's connection of this id. Raises `CapabilityError`."""
        found = self.connections.get(id)
        if found is None:
            raise CapabilityError(
                f"this actor has no connection {id!r:.80}; it was closed, handed over, or never there"
            )
        return found

    def drop(self, connection: Connection) -> None:
        """Close a connection behind what was sent, unless somebody else holds it."""
        if connection.holder is not self:
            return
        connection.rest()
        connection.holder = None
        del self.connections[connection.id]
        self.let_go(connection.wire)

    def let_go(self, wire: Wire) -> None:
        """Close a wire; its place is free when it is closed."""
        if wire.is_lost:
            self.free_place()
            return
        self._closing.add(wire)
        wire.on_lost = self._gone
        wire.close()

    def _gone(self, wire: Wire) -> None:
        self._closing.discard(wire)
        self.free_place()

    def give(self, connection: Connection, other: Holding) -> None:
        """Hand a connection to another actor, open and passive. Raises `CapabilityError` where that has no place."""
        if other.used >= other.settings.connections:
            raise CapabilityError(f"{other.context.actor.id} has no place for one more connection")
        connection.rest()
        del self.connections[connection.id]
        self.used -= 1
        other.used += 1
        connection.holder, connection.is_pending = other, False
        other.connections[connection.id] = connection
        self.switchboard.pulse()

    # -- its life ------------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Be there to be handed connections."""
        self.switchboard.holdings[self.context.actor.id] = self

    async def end(self) -> None:
        """Close everything; returns when it is closed, with a bound."""
        self.calls.close()
        if self.switchboard.holdings.get(self.context.actor.id) is self:
            del self.switchboard.holdings[self.context.actor.id]
            self.switchboard.pulse()
        ending = [task for listener in self.listeners.values() for task in listener.close()]
        self.listeners.clear()
        for connection in list(self.connections.values()):
            self.drop(connection)
        try:
            async with asyncio.timeout(STOP_S):
                if ending:
                    await asyncio.wait(ending)
                while self.used:
                    await self.switchboard.changed.wait()
        except TimeoutError:
            for wire in list(self._closing):
                wire.abort()
