"""Outgoing TCP connections by grant: who may be reached, and the two streams of a connection.

Invariants: a guest reaches an address only if the grant holds it, or holds a name that led to it a moment ago and it is
public; nothing is read ahead of the guest but one piece, so that a peer that sends without end is held back by TCP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from theater_bus.capability import ENDPOINTS, HOSTS, is_public, plain_address, resolve
from theater_bus_wasi.streams import MOST, InputStream, OutputStream
from theater_bus_wasi.table import Pollable

__all__ = ["Connection", "Reach", "SocketInput", "SocketOutput"]

_HIGH: Final = 4 * MOST


class Reach:
    """How far a guest reaches: the grant, and the addresses to which granted names led."""

    def __init__(self, granted: Iterable[str]) -> None:
        patterns = list(granted)
        self._bound = ENDPOINTS.read(patterns)
        self._hosts = HOSTS.read([one.rpartition(":")[0].strip("[]") for one in patterns])
        self._names: dict[str, set[str]] = {}

    async def addresses(self, name: str) -> list[str] | None:
        """Where a name leads, None for one that is not granted. Raises `OSError` for one that leads nowhere."""
        if not self._hosts.allows(name.lower().removesuffix(".")):
            return None
        found = await resolve(name, 0)
        for address in found:
            self._names.setdefault(address, set()).add(name.lower().removesuffix("."))
        return found

    def allows(self, address: str, port: int) -> bool:
        """Whether the guest may connect there."""
        plain = plain_address(address)
        if plain is None:
            return False
        if self._bound.allows(_at(plain, port)):
            return True
        return is_public(plain) and any(self._bound.allows(_at(name, port)) for name in self._names.get(plain, ()))


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    """A socket that connects, or is connected; both of its streams hold on to it."""

    def __init__(self, address: str, port: int) -> None:
        self.remote = (address, port)
        self._opening = asyncio.ensure_future(asyncio.open_connection(address, port, limit=MOST))
        self._holders = 1

    @property
    def is_open(self) -> bool:
        """Whether connecting has ended, one way or the other."""
        return self._opening.done()

    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both directions, once `is_open`. Raises `OSError` where connecting failed."""
        return self._opening.result()

    def pollable(self) -> Pollable:
        """Ready when connecting has ended."""
        return Pollable(self._opening.done, lambda: asyncio.wait([self._opening]))

    def hold(self) -> Connection:
        """One more holder."""
        self._holders += 1
        return self

    def close(self) -> None:
        """Let go; the connection ends when nobody holds it."""
        self._holders -= 1
        if self._holders:
            return
        if not self._opening.done():
            self._opening.cancel()
        elif not self._opening.cancelled() and self._opening.exception() is None:
            self._opening.result()[1].close()


class SocketInput(InputStream):
    """What the peer sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.hold()
        self._reader = connection.streams()[0]
        self._piece = b""
        self._is_over = False
        self._reading: asyncio.Future[bytes] | None = None

    def read(self, most: int) -> bytes | None:
        """What has come; a peer that ended gives None."""
        self._collect()
        if not self._piece:
            return None if self._is_over else b""
        found, self._piece = self._piece[:most], self._piece[most:]
        return found

    def pollable(self) -> Pollable:
        """Ready when something has come, or the peer has ended."""

        async def wait() -> None:
            self._begin()
            if self._reading is not None:
                await asyncio.wait([self._reading])

        return Pollable(self._is_ready, wait)

    def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
        self._connection.close()

    def _is_ready(self) -> bool:
        self._begin()
        return bool(self._piece) or self._is_over or (self._reading is not None and self._reading.done())

    def _begin(self) -> None:
        if not self._piece and not self._is_over and self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(MOST))
            # A guest that never looks does not want to know that its peer is gone.
            self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())

    def _collect(self) -> None:
        self._begin()
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            self._piece = reading.result()
            self._is_over = not self._piece


class SocketOutput(OutputStream):
    """What the guest sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.hold()
        self._writer = connection.streams()[1]

    def room(self) -> int | None:
        """As much as TCP has not to wait for."""
        transport = self._writer.transport
        if transport.is_closing():
            return None
        return min(MOST, max(0, _HIGH - transport.get_write_buffer_size()))

    def write(self, data: bytes) -> None:
        """Send it."""
        self._writer.write(data)

    def pollable(self) -> Pollable:
        """Ready when there is room."""
        return Pollable(lambda: self.room() != 0, self._writer.drain)

    def shut(self) -> None:
        """Send nothing more."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        """Send nothing more, and let go."""
        self._connection.close()
