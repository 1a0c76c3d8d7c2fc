"""Records of the log files: how one batch is framed, and how a damaged stretch is told from a torn end.

    record  magic 4 | CRC-32 4 | length 4 | previous file 4 | previous offset 8 | settled 8 | first 8 | payload

All numbers are little-endian. The CRC covers everything behind it. *previous* is where the same actor's record before
this one lies (file 0: none); *settled* the offset in this file before which nothing could be torn any more when the
record was written; *first* the sequence of the batch's first event. A payload is one batch; an empty one is a probe and
belongs to nobody.

Invariants: what a crash can tear lies behind all that was settled: with the policies `always` and `never` the write
that was under way and that nobody was told about, with `interval` what was written since the last sync. So a bad record
is a *torn end* exactly when no valid record behind it says that it was settled. Anything else is damage, and is never
cut away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from theater_bus.errors import ChainTampered

__all__ = [
    "FILE_HEADER_BYTES",
    "HEADER_BYTES",
    "NOWHERE",
    "Frame",
    "Place",
    "Scan",
    "file_header",
    "frame",
    "parse",
    "parse_file_header",
    "read_header",
    "scan",
]

MAGIC = b"TBR1"
_HEADER = Struct("<4sIIIQQQ")
_BEHIND_CRC = Struct("<IIQQQ")
HEADER_BYTES = _HEADER.size
LENGTH_MAX = 64 * 1024 * 1024

FILE_MAGIC = b"theater-log-1\0\0\0"
_FILE_HEADER = Struct("<16sIQQ")
FILE_HEADER_BYTES = _FILE_HEADER.size


class Place(NamedTuple):
    """Where a record lies; `file` counts from 1, and `NOWHERE` is none."""

    file: int
    offset: int


NOWHERE = Place(0, 0)


class Frame(NamedTuple):
    """A valid record: its offset and end, what its header says, and its payload."""

    offset: int
    end: int
    previous: Place
    settled: int
    first: int
    payload: bytes


def frame(payload: bytes, previous: Place, settled: int, first: int) -> bytes:
    """The bytes of a record."""
    header = _BEHIND_CRC.pack(len(payload), previous.file, previous.offset, settled, first)
    return MAGIC + crc32(payload, crc32(header)).to_bytes(4, "little") + header + payload


def parse(data: bytes | memoryview, at: int = 0) -> Frame | None:
    """The record that begins at `at`, or None when there is no valid one."""
    if len(data) - at < HEADER_BYTES:
        return None
    magic, crc, length, file, offset, settled, first = _HEADER.unpack_from(data, at)
    end = at + HEADER_BYTES + length
    if magic != MAGIC or length > LENGTH_MAX or end > len(data):
        return None
    view = memoryview(data)
    if crc32(view[at + 8 : end]) != crc:
        return None
    return Frame(at, end, Place(file, offset), settled, first, bytes(view[at + HEADER_BYTES : end]))


def read_header(data: bytes) -> tuple[int, Place, int]:
    """Payload length, previous place and first sequence from a record's header, unchecked. Raises `ValueError`."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise ValueError("no record")
    _, _, length, file, offset, _, first = _HEADER.unpack_from(data)
    return length, Place(file, offset), first


def file_header(number: int, previous_end: int) -> bytes:
    """The bytes a log file begins with: its number, and where the file before it ends."""
    behind = _FILE_HEADER.pack(FILE_MAGIC, 0, number, previous_end)[20:]
    return _FILE_HEADER.pack(FILE_MAGIC, crc32(behind), number, previous_end)


def parse_file_header(data: bytes) -> tuple[int, int] | None:
    """Number and previous end from a file's header, or None when it is not whole."""
    if len(data) < FILE_HEADER_BYTES:
        return None
    magic, crc, number, previous_end = _FILE_HEADER.unpack_from(data)
    whole = magic == FILE_MAGIC and crc32(data[20:FILE_HEADER_BYTES]) == crc
    return (number, previous_end) if whole else None


@dataclass(slots=True)
class Scan:
    """What a pass over one file found: where its valid part ends, and what made it end there."""

    end: int
    size: int

    @property
    def torn_bytes(self) -> int:
        """How many bytes lie behind the valid part, a write that nobody was told about."""
        return self.size - self.end


def scan(data: bytes, name: str, found: Scan) -> Iterator[Frame]:
    """The records of a file, in order; `found.end` is kept at the end of the last one.

    Raises `ChainTampered`, naming file and offset, for damage that is no torn end.
    """
    while found.end < len(data):
        record = parse(data, found.end)
        if record is None:
            later = _settled_by(data, found.end)
            if later is not None:
                raise ChainTampered(
                    f"{name}: the record at byte {found.end} is damaged (a later one at byte {later} is whole). "
                    "Fix: restore the file from a copy"
                )
            return
        if record.settled > record.offset:
            raise ChainTampered(f"{name}: the record at byte {found.end} was moved here")
        found.end = record.end
        yield record


def _settled_by(data: bytes, bad: int) -> int | None:
    """The offset of a valid record behind `bad` that was written when `bad` was settled."""
    at = data.find(MAGIC, bad + 1)
    while at >= 0:
        record = parse(data, at)
        if record is not None and bad < record.settled <= at:
            return at
        at = data.find(MAGIC, at + 1 if record is None else record.end)
    return None
