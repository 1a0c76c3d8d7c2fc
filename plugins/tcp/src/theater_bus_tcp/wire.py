"""One socket: read when asked and no further, written with back-pressure, upgraded to TLS in place.

Invariants: the socket is read only while somebody waits for its data, so that what nobody takes stays with the peer; at
most one chunk is held here, and what is held was sent before any handshake that follows. A write that was cut leaves a
broken connection, never a gap.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from socket import gaierror
from ssl import SSLContext, SSLError
from typing import cast

from theater_bus.capability import Secret, SecretMask

__all__ = ["HOLD_S", "LINGER_S", "HandshakeFailed", "Lost", "Wire", "reason_of"]

WRITE_BYTES = 65_536
"""What one write hands to the event loop, and what may wait there before `write` waits."""
HOLD_S = 0.25
"""How long a read waits for the rest of what may be a secret that comes back."""
LINGER_S = 5.0
"""How long a closed connection may take to get rid of what was sent."""

Event = Callable[[], None]


class Lost(Exception):
    """The connection is broken, or was closed; the text says how."""


class HandshakeFailed(Exception):
    """TLS did not come about, and the connection is closed; the text says why."""


class Wire(asyncio.BufferedProtocol):
    """The host's side of one connection. `on_lost`, where it is set, is called once when its socket is closed.

    Between `watch` and `unwatch`, `on_readable` is called when there is something to `take` or the end was reached.
    `is_verified` says that the other side is a server that has proved its name. Secrets that went out are hidden in
    what comes back, also across two reads: what may be the beginning of one is held back for `HOLD_S` of reading.
    """

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._space = bytearray()
        self._held = bytearray()
        self._wanted = chunk_bytes
        self._upgrading = False
        self._closing = False
        self._can_write: asyncio.Event = asyncio.Event()
        self._changed: Event | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.is_tls = False
        self.is_verified = False
        self.has_ended = False
        self.is_lost = False
        self.why_lost = ""
        self.on_lost: Callable[[Wire], None] | None = None
        self._mask: SecretMask | None = None
        self._patience: asyncio.TimerHandle | None = None

    # -- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, and for TLS the handshake is done."""
        # A cast, since uvloop's TLS transports are no subclass.
        self._use(cast("asyncio.Transport", transport))

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go."""
        wanted = self._wanted if self._mask is None else self._chunk_bytes
        self._space = bytearray(min(wanted, self._chunk_bytes))
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        if not self._closing:
            data = memoryview(self._space)[:nbytes]
            self._held += data if self._mask is None else self._mask.feed(bytes(data))
            if self._held:
                self._pause()
                self._tell()
            else:
                self._wait_for_more()
        self._space = bytearray()

    def eof_received(self) -> bool:
        """The other side sends no more. It may still read, except with TLS, which ends both ways."""
        self.has_ended = True
        self._show_all()
        self._tell()
        return not self.is_tls

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """It was sent."""
        self._can_write.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        if self.is_lost:
            return
        self.is_lost = self.has_ended = True
        if exc is not None:
            self.why_lost = reason_of(exc)
        if self._linger is not None:
            self._linger.cancel()
        self._can_write.set()
        self._show_all()
        self._tell()
        if self.on_lost is not None:
            self.on_lost(self)

    # -- addresses -----------------------------------------------------------------------------------------------------

    def address(self, which: str) -> str:
        """`peername` or `sockname` as ADDRESS:PORT; empty where the socket no longer knows."""
        found = None if self._transport is None else self._transport.get_extra_info(which)
        if not found:
            return ""
        host, port = found[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """The bytes that have come and were not taken."""
        return len(self._held) + (0 if self._mask is None else self._mask.held)

    async def read(self, most: int) -> bytes:
        """Up to so many bytes as soon as there are any; none at the end. Raises `Lost` for a broken connection.

        A read that is cancelled takes nothing.
        """
        self._wanted = most
        try:
            while not self._held and not self.has_ended:
                await self._readable()
        finally:
            self.unwatch()
            self._wanted = self._chunk_bytes
        if not self._held and self.why_lost:
            raise Lost(self.why_lost)
        return self.take(most)

    async def _readable(self) -> None:
        waiter = self._loop.create_future()
        self.watch(lambda: None if waiter.done() else waiter.set_result(None))
        await waiter

    def take(self, most: int | None = None) -> bytes:
        """What is held, up to so many bytes."""
        taken = bytes(self._held[:most])
        del self._held[: len(taken)]
        return taken

    def put_back(self, data: bytes) -> None:
        """Hold again what was taken last."""
        self._held[:0] = data

    def watch(self, on_readable: Event) -> None:
        """Read a chunk, and say when it is there; at once where something is held or the end was reached."""
        self._changed = on_readable
        if self._held or self.has_ended:
            self._loop.call_soon(self._tell)
        elif self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()
            self._wait_for_more()

    def unwatch(self) -> None:
        """Read no further."""
        self._changed = None
        self._pause()

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Hide the values of these in what comes from now on, in chunks as large as may be."""
        if self._mask is None:
            self._mask = SecretMask()
        self._mask.add(secrets)

    def _wait_for_more(self) -> None:
        """Bound the time for which the socket is read and what came is still held back."""
        if self._mask is not None and self._mask.held and self._patience is None:
            self._patience = self._loop.call_later(HOLD_S, self._lose_patience)

    def _lose_patience(self) -> None:
        self._show_all()
        self._pause()
        self._tell()

    def _show_all(self) -> None:
        """No more comes, or not in time: what was held back is no value of a secret."""
        self._stop_waiting()
        if self._mask is not None:
            self._held += self._mask.flush()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _pause(self) -> None:
        self._stop_waiting()
        # During a handshake the transport belongs to TLS, which reads it.
        transport = self._transport
        if transport is not None and not self._upgrading and not transport.is_closing() and transport.is_reading():
            transport.pause_reading()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()

    # -- writing -------------------------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send all of it; returns when no more than `WRITE_BYTES` wait. Raises `Lost` for a broken connection.

        One that is cancelled when a part was sent breaks the connection: nobody could tell how much arrived.
        """
        view = memoryview(data)
        try:
            for at in range(0, len(view), WRITE_BYTES):
                await self._can_write.wait()
                self._writable().write(view[at : at + WRITE_BYTES])
            await self._can_write.wait()
        except asyncio.CancelledError:
            self.abort("a send was cut off in the middle")
            raise
        self._writable()

    def _writable(self) -> asyncio.Transport:
        if self._transport is None or self.is_lost or self._transport.is_closing():
            raise Lost(self.why_lost or "the connection is closed")
        return self._transport

    # -- TLS -----------------------------------------------------------------------------------------------------------

    async def start_tls(self, context: SSLContext, server_name: str | None, timeout_s: float) -> None:
        """Go on with TLS: as the client of `server_name`, or as the server where that is None.

        Raises `HandshakeFailed`; whatever it raises, the connection is closed unless it is encrypted.
        """
        transport = self._writable()
        self._upgrading = True
        try:
            found = await self._loop.start_tls(
                transport,
                self,
                context,
                server_side=server_name is None,
                server_hostname=server_name,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=LINGER_S,
            )
        except BaseException as error:
            self._fail_handshake()
            if isinstance(error, OSError | SSLError | TimeoutError):
                raise HandshakeFailed(reason_of(error)) from error
            raise
        finally:
            self._upgrading = False
        if found is None:
            self._fail_handshake()
            raise HandshakeFailed("the other side closed the connection")
        self.is_tls = True
        self.is_verified = server_name is not None
        self._use(found)

    def _fail_handshake(self) -> None:
        # The socket's protocol is TLS by now, so nobody else tells that it is lost.
        self.abort("the TLS handshake failed")
        self.connection_lost(None)

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._can_write.set()
        self._pause()

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close behind what was sent, and in any case within `LINGER_S`."""
        self._changed = None
        if self._transport is None or self.is_lost:
            return
        self._closing = True
        if not self._transport.is_closing():
            if self.is_tls:
                # What the other side has said meanwhile is read and dropped: TLS ends behind it.
                self._transport.resume_reading()
            self._transport.close()
        if self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self.abort)

    def abort(self, why: str = "") -> None:
        """Close at once."""
        self.why_lost = self.why_lost or why
        if self._transport is not None and not self.is_lost:
            self._transport.abort()


def reason_of(error: BaseException) -> str:
    """What went wrong, for the guest: the system's words, without the host's paths and line numbers."""
    verify = getattr(error, "verify_message", "")
    if verify:
        return f"the certificate was refused: {verify}"
    if isinstance(error, SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, gaierror):
        return str(error.strerror).lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
