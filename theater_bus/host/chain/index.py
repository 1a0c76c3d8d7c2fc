"""Where the records of each actor lie: every 64th is remembered, the others are found by their links.

Invariants: an index holds only records that are acknowledged, in the order of the chain; batch ordinals count from 1;
memory is one remembered place per 64 batches. A `View` is a consistent picture that another thread may read while the
index grows.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from theater_bus.errors import ChainTampered
from theater_bus.host.chain.frame import HEADER_BYTES, NOWHERE, Frame, Place, parse, read_header
from theater_bus.host.chain.log_files import log_name

__all__ = ["LogIndex", "LogReader", "View"]

STEP = 64
_READ_AHEAD = 4096


class LogReader:
    """Reads records by place, with files of its own: a context manager, for one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def frame(self, place: Place) -> Frame:
        """The record at a place. Raises `ChainTampered` when it is damaged or gone."""
        data = self._read(place, _READ_AHEAD)
        try:
            wanted = HEADER_BYTES + read_header(data)[0]
        except ValueError:
            raise _damaged(place) from None
        if len(data) < wanted:
            data = self._read(place, wanted)
        found = parse(data)
        if found is None:
            raise _damaged(place)
        return found

    def link(self, place: Place) -> tuple[Place, int]:
        """Where the same actor's record before this one lies, and this one's first sequence; reads only the header."""
        try:
            return read_header(self._read(place, HEADER_BYTES))[1:]
        except ValueError:
            raise _damaged(place) from None

    def _read(self, place: Place, size: int) -> bytes:
        fd = self._files.get(place.file)
        if fd is None:
            try:
                fd = os.open(self._directory / log_name(place.file), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise _damaged(place) from None
            self._files[place.file] = fd
        return os.pread(fd, size, place.offset)


@dataclass(frozen=True, slots=True)
class View:
    """An index as it was: `points` remembered places count, and `last` is the newest record."""

    firsts: list[int]
    places: list[Place]
    points: int
    last: Place

    def from_seq(self, reader: LogReader, seq: int) -> Iterator[Place]:
        """The records from the one that holds `seq` on, oldest first."""
        block = max(0, bisect_right(self.firsts, seq, 0, self.points) - 1)
        for number in range(block, self.points):
            links = self._block(reader, number)
            skip = max(0, bisect_right(links, seq, key=_first_of) - 1) if number == block else 0
            for _, place in links[skip:]:
                yield place

    def from_ordinal(self, reader: LogReader, ordinal: int) -> Iterator[Place]:
        """The records from the batch with this ordinal on, oldest first."""
        begin, skip = divmod(ordinal - 1, STEP)
        for number in range(begin, self.points):
            for _, place in self._block(reader, number)[skip:]:
                yield place
            skip = 0

    def _block(self, reader: LogReader, number: int) -> list[tuple[int, Place]]:
        """First sequence and place of the records of one block, oldest first."""
        begin = self.places[number]
        at = self.last if number + 1 == self.points else reader.link(self.places[number + 1])[0]
        found: list[tuple[int, Place]] = []
        while len(found) < STEP:
            before, first = reader.link(at)
            found.append((first, at))
            if at == begin:
                return found[::-1]
            at = before
        raise ChainTampered(f"{log_name(begin.file)}: the record at byte {begin.offset} is linked from nowhere")


class LogIndex:
    """The places of one actor's records; `count` is the ordinal of the last one."""

    __slots__ = ("_firsts", "_places", "count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last = NOWHERE
        self._firsts: list[int] = []
        self._places: list[Place] = []

    def add(self, first: int, place: Place) -> None:
        """Take in the next record."""
        if self.count % STEP == 0:
            self._firsts.append(first)
            self._places.append(place)
        self.count += 1
        self.last = place

    def view(self) -> View:
        """A picture that does not change any more."""
        return View(self._firsts, self._places, len(self._places), self.last)


def _first_of(link: tuple[int, Place]) -> int:
    return link[0]


def _damaged(place: Place) -> ChainTampered:
    return ChainTampered(f"{log_name(place.file)}: the record at byte {place.offset} is damaged")
