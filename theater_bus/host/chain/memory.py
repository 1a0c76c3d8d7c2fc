"""`memory` durability: a bounded ring of segments per actor, gone with the process.

Invariants: an append is decided at once, before `append` returns; a ring holds at most `max_events` events and
`max_bytes` of events and payloads, but always the last segment; what it drops, it drops from the oldest end, and
`Page.first_seq` says so. What is left still verifies, since its first event carries the hash of the one before.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter

from theater_bus.core.chain.batch import Tail
from theater_bus.core.chain.segments import Segment
from theater_bus.core.chain.verify import Verification, verify
from theater_bus.errors import ActorNotFound, ChainTampered
from theater_bus.host.chain.store import Done, Page, Watcher

__all__ = ["MemoryStore"]

_first = attrgetter("first")


class _Ring:
    """One actor's segments."""

    __slots__ = ("events", "max_bytes", "max_events", "segments", "size_bytes", "tail", "watcher")

    def __init__(self, tail: Tail, max_events: int, max_bytes: int) -> None:
        self.tail = tail
        self.max_events, self.max_bytes = max_events, max_bytes
        self.events = 0
        self.segments: deque[Segment] = deque()
        self.size_bytes = 0
        self.watcher: Watcher | None = None


class _Held:
    """A payload, and how many kept segments name it."""

    __slots__ = ("data", "times")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.times = 0


class MemoryStore:
    """A `ChainStore` in this process's memory: per actor the last segments, bounded by count and bytes."""

    refusing = False
    """Memory never refuses."""

    def __init__(self, *, max_events: int = 100_000, max_bytes: int = 16 * 1024 * 1024) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._rings: dict[str, _Ring] = {}
        self._payloads: dict[bytes, _Held] = {}

    def open(self, actor: str, incarnation: bytes, epoch: int = 0) -> Tail:
        """Begin or go on with the log of `actor`, as this incarnation; returns where it ends (a live view)."""
        ring = self._rings.get(actor)
        if ring is None:
            ring = self._rings[actor] = _Ring(Tail(actor, incarnation, epoch), self.max_events, self.max_bytes)
        ring.tail.incarnation, ring.tail.epoch = incarnation, epoch
        return ring.tail

    def bound(self, actor: str, max_events: int, max_bytes: int) -> None:
        """How much of the log of `actor` is kept; the store's own bounds otherwise."""
        ring = self._ring(actor)
        ring.max_events, ring.max_bytes = max_events, max_bytes

    def append_now(self, actor: str, segment: Segment) -> None:
        """`append` of one segment, without telling: in memory it is decided when this returns. HOT."""
        ring = self._rings[actor]
        tail = ring.tail
        if segment.first != tail.next_seq:
            raise ChainTampered(f"{actor}: appended out of order, expected event {tail.next_seq}", seq=segment.first)
        if ring.watcher is not None or segment.objects:
            self.append(actor, (segment,), _ignore)
            return
        count = len(segment.events)
        ring.segments.append(segment)
        ring.size_bytes += segment.size_bytes
        ring.events += count
        tail.advance(tail.position + 1, segment.first + count, segment.head, segment.marks)
        if ring.events > ring.max_events or ring.size_bytes > ring.max_bytes:
            self._trim(ring)

    def append(self, actor: str, segments: Sequence[Segment], on_done: Done) -> None:
        """Append segments that go on where the log ends; `on_done(None)` is called before this returns.

        Raises `ChainTampered` for segments that do not, and `ActorNotFound` for a log that was not opened.
        """
        ring = self._ring(actor)
        tail = ring.tail
        marks = size = 0
        named = False
        expected = tail.next_seq
        for segment in segments:
            if segment.first != expected:
                raise ChainTampered(f"{actor}: appended out of order, expected event {expected}", seq=segment.first)
            expected += len(segment.events)
            marks |= segment.marks
            size += segment.size_bytes
            named = named or bool(segment.objects)
        if named:
            size += sum(map(self._keep, segments))
        watcher = ring.watcher
        batch = None if watcher is None else tail.batch(segments, marks)
        ring.segments.extend(segments)
        ring.size_bytes += size
        ring.events += expected - tail.next_seq
        tail.advance(tail.position + 1, expected, segments[-1].head, marks)
        if ring.events > ring.max_events or ring.size_bytes > ring.max_bytes:
            self._trim(ring)
        on_done(None)
        if watcher is not None and batch is not None:
            watcher(batch)

    async def read(self, actor: str, from_seq: int = 0, limit: int = 256, max_bytes: int = 1 << 20) -> Page:
        """Segments from the one that holds `from_seq` on; see `ChainStore.read`."""
        ring = self._ring(actor)
        kept, end = ring.segments, ring.tail.next_seq
        first = kept[0].first if kept else end
        begin = max(0, bisect_right(kept, from_seq, key=_first) - 1) if from_seq < end else len(kept)
        found: list[Segment] = []
        for segment in islice(kept, begin, begin + limit):
            max_bytes -= segment.size_bytes
            if max_bytes < 0 and found:
                break
            found.append(segment)
        return Page(tuple(found), found[-1].first + found[-1].count if found else end, end, first)

    async def payload(self, digest: bytes) -> bytes | None:
        """The bytes of a payload by their SHA-256, while a segment that names them is kept."""
        held = self._payloads.get(digest)
        return None if held is None else held.data

    async def verify(self, actor: str) -> Verification:
        """Verify what is kept of an actor's chain, off the loop. Raises `ActorNotFound`."""
        segments, held = list(self._ring(actor).segments), dict(self._payloads)

        def lookup(digest: bytes) -> bytes | None:
            return held[digest].data if digest in held else None

        return await asyncio.to_thread(verify, segments, lookup)

    def watch(self, actor: str, watcher: Watcher | None) -> None:
        """Tell `watcher` every batch from here on; None ends it. Raises `ActorNotFound`."""
        self._ring(actor).watcher = watcher

    def tails(self) -> Sequence[Tail]:
        """Where every log ends."""
        return [ring.tail for ring in self._rings.values()]

    def forget(self, actor: str) -> None:
        """Drop the log of `actor`: its id is free again. Nothing happens when there is none."""
        ring = self._rings.pop(actor, None)
        for segment in ring.segments if ring is not None else ():
            self._release(segment)

    async def close(self) -> None:
        """Drop everything."""
        self._rings.clear()
        self._payloads.clear()

    def _ring(self, actor: str) -> _Ring:
        ring = self._rings.get(actor)
        if ring is None:
            raise ActorNotFound(f"no chain of {actor!r} is kept here")
        return ring

    def _trim(self, ring: _Ring) -> None:
        kept = ring.segments
        while len(kept) > 1 and (ring.events > ring.max_events or ring.size_bytes > ring.max_bytes):
            segment = kept.popleft()
            ring.events -= len(segment.events)
            ring.size_bytes -= segment.size_bytes
            if segment.objects:
                ring.size_bytes -= self._release(segment)

    def _keep(self, segment: Segment) -> int:
        for digest, data in segment.objects:
            held = self._payloads.get(digest)
            if held is None:
                held = self._payloads[digest] = _Held(data)
            held.times += 1
        return sum(len(data) for _, data in segment.objects)

    def _release(self, segment: Segment) -> int:
        for digest, _ in segment.objects:
            held = self._payloads[digest]
            held.times -= 1
            if not held.times:
                del self._payloads[digest]
        return sum(len(data) for _, data in segment.objects)


def _ignore(_error: object) -> None:
    """Nobody waits: memory never refuses."""
