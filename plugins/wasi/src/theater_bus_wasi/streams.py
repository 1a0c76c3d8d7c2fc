"""`wasi:io`: streams, what goes wrong with them, and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_wasi.table import Group, Pollable, named

__all__ = ["ByteSource", "InputStream", "OutputStream", "Streams", "TextSink"]

MOST = 65536
"""Bytes that one call reads or writes."""


class InputStream:
    """Where a guest reads. `read` gives up to that many bytes, none when there are none yet, None at the end."""

    def read(self, most: int) -> bytes | None:
        """What is there."""
        return None

    def pollable(self) -> Pollable:
        """Ready when `read` gives something, or the end."""
        return Pollable.always()


class ByteSource(InputStream):
    """Bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, most: int) -> bytes | None:
        """The next bytes."""
        if self._at >= len(self._data):
            return None
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece


class OutputStream:
    """Where a guest writes. `room` is how many bytes `write` takes now, None when it is closed."""

    def room(self) -> int | None:
        """A closed stream by default: nothing was granted."""
        return None

    def is_open(self) -> bool:
        """Whether what was written arrives; a stream that is full takes no more and is still open."""
        return self.room() is not None

    def write(self, data: bytes) -> None:
        """Take the bytes, no more than `room` said."""

    def flush(self) -> None:
        """Pass on what is held back."""

    def pollable(self) -> Pollable:
        """Ready when there is room, or the stream is closed."""
        return Pollable.always()


class TextSink(OutputStream):
    """Lines for the actor's log; a line that is too long is cut in pieces."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit, self._held = emit, b""

    def room(self) -> int | None:
        """As much as one call writes."""
        return MOST

    def write(self, data: bytes) -> None:
        """Emit each full line."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._emit(line.decode("utf-8", "replace"))
        if len(self._held) >= MOST:
            self.close()

    def close(self) -> None:
        """Emit what has no line end yet."""
        held, self._held = self._held, b""
        if held:
            self._emit(held.decode("utf-8", "replace"))


class StreamFault:
    """`wasi:io/error.error`: what went wrong, for people."""

    def __init__(self, text: str) -> None:
        self.text = text


class Streams(Group):
    """`wasi:io/error`, `wasi:io/poll` and `wasi:io/streams`."""

    @named("wasi:io/error.[method]error.to-debug-string")
    def to_debug_string(self, error: int) -> str:
        return self.table.get(error, StreamFault).text

    # -- poll --------------------------------------------------------------------------------------------------------

    @named("wasi:io/poll.[method]pollable.ready")
    def ready(self, pollable: int) -> bool:
        return self.table.get(pollable, Pollable).ready()

    @named("wasi:io/poll.[method]pollable.block")
    async def block(self, pollable: int) -> None:
        await self.table.get(pollable, Pollable).wait()

    @named("wasi:io/poll.poll")
    async def poll(self, pollables: list[int]) -> list[int]:
        found = [self.table.get(one, Pollable) for one in pollables]
        ready = [index for index, one in enumerate(found) if one.ready()]
        if ready or not found:
            return ready
        waiting = [asyncio.ensure_future(one.wait()) for one in found]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return [index for index, one in enumerate(found) if one.ready()] or [0]

    # -- input -------------------------------------------------------------------------------------------------------

    @named("wasi:io/streams.[method]input-stream.read")
    def read(self, stream: int, most: int) -> bytes:
        data = self._call(self.table.get(stream, InputStream).read, min(most, MOST))
        if data is None:
            raise CapabilityError("closed")
        return bytes(data)

    @named("wasi:io/streams.[method]input-stream.blocking-read")
    async def blocking_read(self, stream: int, most: int) -> bytes:
        await self.table.get(stream, InputStream).pollable().wait()
        return self.read(stream, most)

    @named("wasi:io/streams.[method]input-stream.skip")
    def skip(self, stream: int, most: int) -> int:
        return len(self.read(stream, most))

    @named("wasi:io/streams.[method]input-stream.blocking-skip")
    async def blocking_skip(self, stream: int, most: int) -> int:
        return len(await self.blocking_read(stream, most))

    @named("wasi:io/streams.[method]input-stream.subscribe")
    def subscribe_input(self, stream: int) -> int:
        return self.table.put(self.table.get(stream, InputStream).pollable())

    # -- output ------------------------------------------------------------------------------------------------------

    @named("wasi:io/streams.[method]output-stream.check-write")
    def check_write(self, stream: int) -> int:
        return self._room(self.table.get(stream, OutputStream))

    @named("wasi:io/streams.[method]output-stream.write")
    def write(self, stream: int, contents: bytes) -> None:
        out = self.table.get(stream, OutputStream)
        if len(contents) > self._room(out):
            raise CapabilityError(
                {"last-operation-failed": self.table.put(StreamFault("more than check-write allowed"))}
            )
        self._call(out.write, contents)

    @named("wasi:io/streams.[method]output-stream.blocking-write-and-flush")
    async def blocking_write_and_flush(self, stream: int, contents: bytes) -> None:
        out = self.table.get(stream, OutputStream)
        rest = contents
        while True:
            room = self._room(out)
            self._call(out.write, rest[:room])
            rest = rest[room:]
            if not rest:
                break
            await out.pollable().wait()
        await self.blocking_flush(stream)

    @named("wasi:io/streams.[method]output-stream.flush")
    def flush(self, stream: int) -> None:
        out = self.table.get(stream, OutputStream)
        if not out.is_open():
            raise CapabilityError("closed")
        self._call(out.flush)

    @named("wasi:io/streams.[method]output-stream.blocking-flush")
    async def blocking_flush(self, stream: int) -> None:
        self.flush(stream)
        await self.table.get(stream, OutputStream).pollable().wait()

    @named("wasi:io/streams.[method]output-stream.subscribe")
    def subscribe_output(self, stream: int) -> int:
        return self.table.put(self.table.get(stream, OutputStream).pollable())

    @named("wasi:io/streams.[method]output-stream.write-zeroes")
    def write_zeroes(self, stream: int, count: int) -> None:
        self.write(stream, bytes(min(count, MOST + 1)))

    @named("wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush")
    async def blocking_write_zeroes_and_flush(self, stream: int, count: int) -> None:
        await self.blocking_write_and_flush(stream, bytes(min(count, MOST)))

    @named("wasi:io/streams.[method]output-stream.splice")
    def splice(self, stream: int, source: int, most: int) -> int:
        room = self.check_write(stream)
        data = self.read(source, min(most, room))
        self.write(stream, data)
        return len(data)

    @named("wasi:io/streams.[method]output-stream.blocking-splice")
    async def blocking_splice(self, stream: int, source: int, most: int) -> int:
        data = await self.blocking_read(source, most)
        await self.blocking_write_and_flush(stream, data)
        return len(data)

    def _room(self, out: OutputStream) -> int:
        room = out.room()
        if room is None:
            raise CapabilityError("closed")
        return room

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a stream; what the operating system refuses is the stream's error, also a place that no file has."""
        try:
            return function(*args)
        except (OSError, OverflowError) as error:
            raise CapabilityError({"last-operation-failed": self.table.put(StreamFault(str(error)))}) from error
