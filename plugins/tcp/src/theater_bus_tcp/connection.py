"""A connection as an actor knows it, and how what happens on it becomes calls of the actor.

Invariants: a connection has at most one call in the mailbox, and its socket is read only when that is over, so that an
actor that is behind holds up its peers and nobody else; data is told in order, and the end after all data. A chunk that
the actor failed at is the last one, since nobody could say what it did with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from theater_bus import ActorError
from theater_bus.capability import CallQueue, QueuedCall
from theater_bus_tcp.wire import Wire

if TYPE_CHECKING:
    from theater_bus_tcp.holding import Holding

__all__ = ["ON_CLOSE", "ON_DATA", "Connection", "Delivery", "Mode", "Teller"]

CLIENT = "theater:simple/tcp-client"
ON_DATA = f"{CLIENT}.on-data"
ON_CLOSE = f"{CLIENT}.on-close"

Mode = Literal["passive", "active", "once"]


@dataclass(slots=True, eq=False)
class Delivery:
    """Data on its way to the actor; `call` is None for a moment while it is made."""

    data: bytes
    call: QueuedCall | None = None


@dataclass(slots=True, eq=False)
class Connection:
    """One connection. `holder` is what the actor that has it holds; `host` is the name or address of the other side."""

    id: str
    wire: Wire
    holder: Holding | None
    peer: str
    host: str
    is_pending: bool
    mode: Mode = "passive"
    delivery: Delivery | None = None
    is_ending: bool = False

    def rest(self) -> None:
        """Make it passive: read no further, and take back what the actor has not seen."""
        self.mode = "passive"
        self.wire.unwatch()
        delivery, self.delivery = self.delivery, None
        if delivery is not None and delivery.call is not None and delivery.call.take_back():
            self.wire.put_back(delivery.data)


class Teller:
    """Tells one actor of the data and the end of its connections that are not passive."""

    def __init__(self, holding: Holding, calls: CallQueue) -> None:
        self._holding = holding
        self._calls = calls

    def look(self, connection: Connection) -> None:
        """Tell what there is, or wait for it."""
        wire = connection.wire
        if connection.holder is not self._holding or connection.mode == "passive" or connection.delivery is not None:
            return
        data = wire.take(self._holding.settings.chunk_bytes)
        if data:
            wire.unwatch()
            if connection.mode == "once":
                connection.mode = "passive"
            self._tell(connection, data)
        elif wire.has_ended:
            self.end(connection, wire.why_lost or "eof")
        else:
            wire.watch(partial(self.look, connection))

    def _tell(self, connection: Connection, data: bytes) -> None:
        delivery = connection.delivery = Delivery(data)
        delivery.call = self._calls.put(ON_DATA, [connection.id, data], partial(self._told, connection, delivery))

    def _told(self, connection: Connection, delivery: Delivery, error: ActorError | None) -> None:
        if connection.delivery is delivery:
            connection.delivery = None
        if connection.holder is not self._holding:
            return
        if error is None:
            self.look(connection)
        else:
            self._holding.context.report_failure(f"connection {connection.id} is closed, since on-data failed: {error}")
            self.end(connection, f"on-data failed: {error}")

    def end(self, connection: Connection, reason: str) -> None:
        """Tell the end, and close the connection when that was heard, so that a last answer can still be sent."""
        connection.mode = "passive"
        connection.is_ending = True
        connection.wire.unwatch()
        if not self._holding.context.has_export(ON_CLOSE):
            self._holding.drop(connection)
            return
        self._calls.put(ON_CLOSE, [connection.id, reason], partial(self._heard, connection))

    def _heard(self, connection: Connection, error: ActorError | None) -> None:
        if error is not None:
            self._holding.context.report_failure(f"on-close of connection {connection.id} failed: {error}")
        self._holding.drop(connection)
