"""Segments: all events of one operation, or one event that happened between operations.

Invariants: a segment is in the chain whole or not at all; `first` is the sequence of its first event, `head` the hash
of its last; `events` are the very bytes that were hashed. The trace rides in the map, outside every hash, because a
replay has other traces and must have the same hashes.

Source: the chain page, "Segments and batches".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from theater_bus.core.chain.events import pack, sha256, unpack
from theater_bus.core.chain.layout import Misshapen
from theater_bus.errors import ChainTampered

__all__ = [
    "CHECKPOINT",
    "EXIT",
    "GENESIS",
    "STATE",
    "Segment",
    "Spilled",
    "Trace",
    "load_events",
    "load_segment",
    "segment_map",
]

STATE = 1
CHECKPOINT = 2
EXIT = 4
GENESIS = 8

Trace = tuple[bytes, bytes]
"""Trace id (16 bytes) and span id (8 bytes) of a sampled operation."""

_KEYS = {"first", "count", "head", "events"}
_SPILLED_KEYS = {"first", "count", "head", "digest", "size"}


@dataclass(slots=True)
class Segment:
    """Events that enter the chain together. Not to be changed once made.

    `objects` are payloads that must lie in the object store before the segment is appended; `marks` says what it
    holds (`STATE`, `CHECKPOINT`, `EXIT`, `GENESIS`); both are the writer's and do not travel. `size_bytes` is that of
    the events.
    """

    first: int
    head: bytes
    events: tuple[bytes, ...]
    size_bytes: int
    trace: Trace | None = None
    objects: tuple[tuple[bytes, bytes], ...] = ()
    marks: int = field(default=0, compare=False)

    @property
    def count(self) -> int:
        """How many events."""
        return len(self.events)

    def spill(self) -> tuple[Spilled, bytes]:
        """The form of a segment that is too long for a message, and the bytes that go to the object store first."""
        data = pack(self.events)
        return Spilled(self.first, len(self.events), self.head, sha256(data), len(data), self.trace), data


@dataclass(frozen=True, slots=True)
class Spilled:
    """A segment whose events lie in the object store: `digest` and `size_bytes` are those of the packed event array."""

    first: int
    count: int
    head: bytes
    digest: bytes
    size_bytes: int
    trace: Trace | None = None

    def unspill(self, data: bytes) -> Segment:
        """The segment, from the bytes that the object store returned. Raises `ChainTampered`."""
        if len(data) != self.size_bytes or sha256(data) != self.digest:
            raise ChainTampered(f"the object {self.digest.hex()} is not what the segment names", seq=self.first)
        try:
            events = load_events(unpack(data))
        except Misshapen as wrong:
            raise ChainTampered(f"spilled segment: {wrong}", seq=self.first) from None
        if len(events) != self.count:
            raise ChainTampered(f"{len(events)} events where the segment names {self.count}", seq=self.first)
        return Segment(self.first, self.head, events, sum(map(len, events)), self.trace)


def segment_map(segment: Segment | Spilled) -> dict[str, object]:
    """The map that travels, its keys in the order of the page; `trace` only when there is one."""
    found: dict[str, object] = {"first": segment.first, "count": segment.count, "head": segment.head}
    if isinstance(segment, Spilled):
        found["digest"], found["size"] = segment.digest, segment.size_bytes
    else:
        found["events"] = segment.events
    if segment.trace is not None:
        found["trace"] = segment.trace
    return found


def load_segment(value: Any) -> Segment | Spilled:
    """The segment that a map stands for. Raises `Misshapen`; hashes are the verifier's business."""
    if type(value) is not dict:
        raise Misshapen("a segment is not a map")
    keys = value.keys() - {"trace"}
    if keys != _KEYS and keys != _SPILLED_KEYS:
        raise Misshapen(f"a segment has the keys {sorted(map(str, value))}")
    first, count, head = value["first"], value["count"], value["head"]
    if not (is_uint(first) and is_uint(count) and count):
        raise Misshapen("first or count of a segment is not a positive integer")
    if not is_bin(head, 32):
        raise Misshapen("head of a segment is not a bin of 32")
    trace = _load_trace(value["trace"]) if "trace" in value else None
    if "digest" in value:
        if not is_bin(value["digest"], 32) or not is_uint(value["size"]):
            raise Misshapen("digest or size of a spilled segment")
        return Spilled(first, count, head, value["digest"], value["size"], trace)
    events = load_events(value["events"])
    if len(events) != count:
        raise Misshapen(f"a segment names {count} events and has {len(events)}")
    return Segment(first, head, events, sum(map(len, events)), trace)


def load_events(value: object) -> tuple[bytes, ...]:
    """An array of bin, not empty. Raises `Misshapen`."""
    if type(value) is not list or not value or any(type(event) is not bytes for event in value):
        raise Misshapen("events are not an array of bin")
    return tuple(value)


def is_uint(value: object) -> bool:
    """Whether a msgpack value is an unsigned integer (a bool is none)."""
    return type(value) is int and value >= 0


def is_bin(value: object, size: int) -> bool:
    """Whether a msgpack value is a bin of `size` bytes."""
    return type(value) is bytes and len(value) == size


def _load_trace(value: Any) -> Trace:
    if type(value) is not list or len(value) != 2 or not is_bin(value[0], 16) or not is_bin(value[1], 8):
        raise Misshapen("trace is not [bin 16, bin 8]")
    return value[0], value[1]
