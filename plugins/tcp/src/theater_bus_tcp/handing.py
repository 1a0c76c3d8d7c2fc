"""Connections handed over from one actor of a host to another.

Invariants: the target has the connection before it hears of it, and the giver never has it at the same time; nobody
waits for an actor that waits for it, nor for one that has ended.
"""

from __future__ import annotations

import asyncio
from functools import partial

from theater_bus import ActorError
from theater_bus.capability import CapabilityError
from theater_bus_tcp.connection import CLIENT, Connection
from theater_bus_tcp.holding import Holding

__all__ = ["Handing"]

HANDLE_TRANSFER = f"{CLIENT}.handle-connection-transfer"


class Handing:
    """Hands over what one actor holds."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._board = holding.switchboard

    async def wait(self, connection: Connection, actor: str) -> None:
        """Hand it over and wait until the target has dealt with it. Raises `CapabilityError` where that fails.

        Then it is back, unless the target closed it or its place was taken meanwhile. One that is cancelled takes it
        back unless the target has begun with it.
        """
        target = self._target(connection, actor)
        heard: asyncio.Future[ActorError | None] = asyncio.get_running_loop().create_future()
        with self._board.waiting(self._holding.context.actor.id, actor):
            self._holding.give(connection, target)
            call = target.calls.put(HANDLE_TRANSFER, [connection.id], partial(_settle, heard))
            ended = asyncio.ensure_future(self._ended(target))
            try:
                await asyncio.wait((heard, ended), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if call.take_back():
                    self._return(connection, target)
                raise
            finally:
                ended.cancel()
        if not heard.done():
            raise CapabilityError(f"{actor} ended before it had dealt with the connection, which is closed")
        error = heard.result()
        if error is not None:
            self._return(connection, target)
            raise CapabilityError(f"{actor} did not take the connection, which is back: {error}")

    def go_on(self, connection: Connection, actor: str) -> None:
        """Hand it over; it is closed where the target fails at it. Raises `CapabilityError` for one that may not be."""
        target = self._target(connection, actor)
        self._holding.give(connection, target)

        def heard(error: ActorError | None) -> None:
            if error is not None:
                target.context.report_failure(f"connection {connection.id} is closed, since it was not taken: {error}")
                target.drop(connection)

        target.calls.put(HANDLE_TRANSFER, [connection.id], heard)

    async def _ended(self, target: Holding) -> None:
        while self._board.holdings.get(target.context.actor.id) is target:
            await self._board.changed.wait()

    def _return(self, connection: Connection, target: Holding) -> None:
        if connection.holder is not target:
            return
        try:
            target.give(connection, self._holding)
        except CapabilityError:
            target.drop(connection)

    def _target(self, connection: Connection, actor: str) -> Holding:
        """What the target holds. Raises `CapabilityError` for one that may not be handed this connection."""
        target = self._board.holdings.get(actor)
        if target is None:
            raise CapabilityError(f"no actor {actor!r:.80} with the capability tcp runs on this host")
        if target is self._holding:
            raise CapabilityError(f"connection {connection.id} is this actor's already. Fix: activate it")
        if not target.settings.transfers:
            raise CapabilityError(
                f"{actor} takes no connections from others. Fix: `transfers = true` under [capabilities.tcp] in its "
                "manifest"
            )
        if not target.context.has_export(HANDLE_TRANSFER):
            raise CapabilityError(
                f"{actor} has no {HANDLE_TRANSFER}. Fix: export `{HANDLE_TRANSFER}: func(state: S, connection-id: "
                "string) -> result<tuple<S>, string>`"
            )
        if connection.is_ending:
            raise CapabilityError(f"connection {connection.id} has ended: its on-close is on its way")
        return target


def _settle(heard: asyncio.Future[ActorError | None], error: ActorError | None) -> None:
    if not heard.done():
        heard.set_result(error)
