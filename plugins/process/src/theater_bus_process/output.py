"""How the output of a program is cut into the parts that an actor gets.

Invariants: the parts together are the output, in order: the last, incomplete one included (`json` leaves out lines that
are no JSON, and counts them); no part is longer than its bound; what is kept is at most one part.
"""

from __future__ import annotations

import json
from typing import Final, Literal, Protocol

__all__ = ["Cutter", "Mode", "cutter"]

Mode = Literal["raw", "line-by-line", "json", "chunked"]
_BREAK: Final = b"\n"


class Cutter(Protocol):
    """Takes what was read, gives parts. `skipped` counts lines that were left out."""

    skipped: int

    def feed(self, data: bytes) -> list[bytes]:
        """The parts that are complete with this."""

    def end(self) -> list[bytes]:
        """What is left."""


def cutter(mode: Mode, part_bytes: int, chunk_bytes: int) -> Cutter:
    """The cutter of a mode. Parts have at most `part_bytes`, those of `chunked` exactly `chunk_bytes` but the last."""
    if mode == "raw":
        return _Raw(part_bytes)
    if mode == "chunked":
        return _Chunks(chunk_bytes)
    return _Lines(part_bytes) if mode == "line-by-line" else _Json(part_bytes)


class _Raw:
    skipped = 0

    def __init__(self, most: int) -> None:
        self._most = most

    def feed(self, data: bytes) -> list[bytes]:
        return [data[at : at + self._most] for at in range(0, len(data), self._most)]

    def end(self) -> list[bytes]:
        return []


class _Chunks:
    skipped = 0

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = b""

    def feed(self, data: bytes) -> list[bytes]:
        data = self._kept + data
        whole = len(data) // self._size * self._size
        self._kept = data[whole:]
        return [data[at : at + self._size] for at in range(0, whole, self._size)]

    def end(self) -> list[bytes]:
        left, self._kept = self._kept, b""
        return [left] if left else []


class _Lines:
    """Lines without their breaks; one that is too long comes in several parts."""

    def __init__(self, most: int) -> None:
        self.skipped = 0
        self._most = most
        self._kept = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._kept = (self._kept + data).split(_BREAK)
        parts = [part for line in lines for part in self._bounded(line)]
        while len(self._kept) > self._most:
            parts += [self._kept[: self._most]]
            self._kept = self._kept[self._most :]
        return parts

    def end(self) -> list[bytes]:
        left, self._kept = self._kept, b""
        return self._bounded(left) if left else []

    def _bounded(self, line: bytes) -> list[bytes]:
        return [line[at : at + self._most] for at in range(0, len(line), self._most)] or [line]


class _Json:
    """Lines that are JSON, without the space around them; empty ones are left out and not counted."""

    def __init__(self, most: int) -> None:
        self.skipped = 0
        self._most = most
        self._kept = b""
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._kept = (self._kept + data).split(_BREAK)
        parts = [line for line in map(self._checked, lines) if line]
        if len(self._kept) > self._most:
            # The rest of this line is left out too.
            self._too_long, self._kept = True, b""
        return parts

    def end(self) -> list[bytes]:
        left, self._kept = self._checked(self._kept), b""
        return [left] if left else []

    def _checked(self, line: bytes) -> bytes:
        line, too_long = line.strip(), self._too_long
        self._too_long = False
        if not line and not too_long:
            return b""
        try:
            if not too_long and len(line) <= self._most:
                json.loads(line)
                return line
        except (ValueError, RecursionError):
            pass
        self.skipped += 1
        return b""
