"""A listener: accepts as many connections as its actor has room for, and leaves the others to the system.

Invariants: at most `backlog` of its connections are in a handshake, announced, or waiting to be accepted; one that
nobody took ends with the listener; a handshake holds up no other one, and nothing at all for longer than its bound.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from functools import partial
from socket import SO_KEEPALIVE, SOL_SOCKET, socket

from theater_bus import ActorError
from theater_bus.capability import CapabilityError
from theater_bus_tcp.connection import CLIENT, Connection
from theater_bus_tcp.endpoint import Endpoint
from theater_bus_tcp.holding import Holding
from theater_bus_tcp.wire import LINGER_S, Wire, reason_of

__all__ = ["HANDLE_CONNECTION", "Listener"]

log = logging.getLogger("theater_bus_tcp")

HANDLE_CONNECTION = f"{CLIENT}.handle-connection"
AGAIN_S = 1.0
"""How long to wait when the system accepts nothing, as without file descriptors."""


class Listener:
    """One listening socket of an actor; with a `certificate` its connections begin with a TLS handshake."""

    def __init__(self, holding: Holding, id: str, endpoint: Endpoint, sock: socket, certificate: str | None) -> None:
        self.id = id
        self.endpoint = endpoint
        self._holding = holding
        self._socket = sock
        self._certificate = certificate
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Connection] = deque()
        self._arriving: set[asyncio.Task[None]] = set()
        self._announced = 0
        self._accepting = 0
        self._is_announcing = holding.context.has_export(HANDLE_CONNECTION)
        self.is_closed = False
        self._task = asyncio.create_task(self._run(), name=f"tcp listener {id}")
        self._task.add_done_callback(self._ended)

    @property
    def address(self) -> str:
        """ADDRESS:PORT where it listens."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def accept(self) -> Connection:
        """The next connection. Raises `CapabilityError` when the listener is closed."""
        self._accepting += 1
        try:
            while not self._ready:
                if self.is_closed:
                    raise CapabilityError(f"the listener {self.id!r} was closed")
                await self._holding.switchboard.changed.wait()
            return self._ready.popleft()
        finally:
            self._accepting -= 1
            self._look()

    def close(self) -> list[asyncio.Task[None]]:
        """Listen no more, and end what nobody has taken. Gives the tasks that end meanwhile."""
        self.is_closed = True
        tasks = [self._task, *self._arriving]
        for task in tasks:
            task.cancel()
        while self._ready:
            self._holding.drop(self._ready.popleft())
        self._holding.switchboard.pulse()
        return tasks

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._socket.close()
        if not task.cancelled() and task.exception() is not None:
            self._holding.context.report_failure(f"the listener {self.id} has ended: {task.exception()!r}")

    # -- accepting -----------------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        mine = len(self._ready) + len(self._arriving) + self._announced
        return mine < self._holding.settings.backlog and self._holding.has_place()

    async def _run(self) -> None:
        while True:
            while not self._has_room():
                await self._holding.switchboard.changed.wait()
            try:
                sock, _ = await self._loop.sock_accept(self._socket)
            except OSError as error:
                self._holding.context.report_failure(f"the listener {self.id} accepts nothing: {reason_of(error)}")
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                self._holding.take_place()
            except CapabilityError:  # others of the host took the last one meanwhile
                sock.close()
                continue
            task = asyncio.create_task(self._arrive(sock), name=f"tcp handshake of {self.id}")
            self._arriving.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        self._holding.switchboard.pulse()
        if not task.cancelled() and task.exception() is not None:
            self._holding.context.report_failure(f"a connection of {self.id} failed: {task.exception()!r}")

    async def _arrive(self, sock: socket) -> None:
        """From an accepted socket to a connection that waits to be taken."""
        wire = Wire(self._holding.settings.chunk_bytes)
        try:
            await self._connect(wire, sock)
        except (OSError, ssl.SSLError, CapabilityError) as error:
            self._holding.free_place()
            log.info("handshake failed: listener=%s actor=%s %s", self.id, self._holding.context.actor.id, error)
        except BaseException:
            self._holding.free_place()
            raise
        else:
            self._ready.append(self._holding.hold(wire, "", is_pending=True))
            self._look()

    async def _connect(self, wire: Wire, sock: socket) -> None:
        try:
            sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
            if self._certificate is None:
                await self._loop.connect_accepted_socket(lambda: wire, sock)
                return
            context = await self._holding.switchboard.contexts.server(self._certificate)
            wire.is_tls = True
            await self._loop.connect_accepted_socket(
                lambda: wire,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._holding.settings.handshake_ms / 1000,
                ssl_shutdown_timeout=LINGER_S,
            )
        except BaseException:
            sock.close()
            raise

    # -- announcing ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Give what is ready to those who wait, else to the actor's handle-connection, else keep it."""
        while self._ready and self._is_announcing and not self._accepting and not self.is_closed:
            connection = self._ready.popleft()
            self._announced += 1
            self._holding.calls.put(HANDLE_CONNECTION, [connection.id], partial(self._handled, connection))
        self._holding.switchboard.pulse()

    def _handled(self, connection: Connection, error: ActorError | None) -> None:
        self._announced -= 1
        self._holding.switchboard.pulse()
        if error is not None:
            # What the actor did with the connection is undone, so nobody knows of it any more.
            self._holding.context.report_failure(f"handle-connection of {connection.id} failed: {error}")
            self._holding.drop(connection)
