"""Reading and writing what may make others wait, without waiting; and text that cannot control a terminal."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import Callable

__all__ = ["Harmless", "Reader", "write_all"]

CHUNK_BYTES = 1024
HELD_BYTES = 4096
"""What is read ahead of the actor, as a terminal itself holds."""


class Harmless:
    """Bytes as UTF-8 text without characters that control a terminal, except tabs and ends of lines.

    One is kept for each stream, since a character may come in two pieces.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, data: bytes) -> bytes:
        """The data with `\N{REPLACEMENT CHARACTER}` in the place of whatever is no plain text."""
        text = self._decoder.decode(data)
        return "".join(one if _is_plain(one) else "\N{REPLACEMENT CHARACTER}" for one in text).encode()


def _is_plain(one: str) -> bool:
    return one in "\t\n\r" or (one >= " " and not "\x7f" <= one <= "\x9f")


async def write_all(fd: int, data: bytes) -> None:
    """Write all of it to a descriptor that does not wait. Raises `OSError`."""
    view, loop = memoryview(data), asyncio.get_running_loop()
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            room = asyncio.Event()
            loop.add_writer(fd, room.set)
            try:
                await room.wait()
            finally:
                loop.remove_writer(fd)


class Reader:
    """Reads a descriptor as it has data, a little ahead of whoever takes it. `on_data` is called when there is some.

    `take` gives what there is; `is_over` says that nothing more comes.
    """

    def __init__(self, fd: int, on_data: Callable[[bytes], None]) -> None:
        self._fd = fd
        self._on_data = on_data
        self._held = bytearray()
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self.is_over = False
        self._go_on()

    def take(self) -> bytes:
        """Up to `CHUNK_BYTES` of what was read."""
        taken = bytes(self._held[:CHUNK_BYTES])
        del self._held[:CHUNK_BYTES]
        self._go_on()
        return taken

    def close(self) -> None:
        """Read no more."""
        self._stop()
        self.is_over = True
        os.close(self._fd)

    def _go_on(self) -> None:
        if not self._is_reading and not self.is_over and len(self._held) < HELD_BYTES:
            self._loop.add_reader(self._fd, self._readable)
            self._is_reading = True

    def _stop(self) -> None:
        if self._is_reading:
            self._loop.remove_reader(self._fd)
            self._is_reading = False

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the terminal hung up
            data = b""
        if not data:
            self._stop()
            self.is_over = True
        self._held += data
        if len(self._held) >= HELD_BYTES:
            self._stop()
        self._on_data(data)
