"""Reading the log files back: pages, verification, recovery. Everything here blocks: call it off the loop.

Invariants: only what the given `View` holds is read; what is damaged raises `ChainTampered` or, in a verification,
becomes the verdict. Nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from theater_bus.core.chain.batch import Batch, Tail, decode_batch
from theater_bus.core.chain.bodies import Exit, Genesis
from theater_bus.core.chain.control import Archived
from theater_bus.core.chain.events import Event, decode_event
from theater_bus.core.chain.restore import RecoveredActor, restore
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import ChainVerifier, Verification
from theater_bus.errors import ChainTampered
from theater_bus.host.chain.frame import NOWHERE, Frame, Place
from theater_bus.host.chain.index import LogIndex, LogReader, View
from theater_bus.host.chain.objects import ObjectDirectory
from theater_bus.host.chain.store import Page

__all__ = ["History", "KeptLog"]


class KeptLog:
    """One actor's log: where it ends, where its records lie, and which of them, from 1, begins its last incarnation."""

    __slots__ = ("begin", "index", "tail")

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.index = LogIndex()
        self.begin = 1


class History:
    """What the log files hold. `directory` is that of the files, `objects` where payloads and spilled segments lie."""

    def __init__(self, directory: Path, objects: ObjectDirectory) -> None:
        self._directory = directory
        self._objects = objects

    def page(self, view: View, from_seq: int, end_seq: int, limit: int, max_bytes: int) -> Page:
        """The segments from the one that holds `from_seq` on; see `ChainStore.read`."""
        found: list[Segment | Spilled] = []
        next_seq = from_seq
        with LogReader(self._directory) as reader:
            for segment in self._segments(view.from_seq(reader, from_seq), reader):
                if segment.first + segment.count <= from_seq:
                    continue
                if isinstance(segment, Spilled) and segment.size_bytes <= max_bytes:
                    segment = self._unspilled(segment)
                max_bytes -= segment.size_bytes if isinstance(segment, Segment) else 0
                if len(found) == limit or (max_bytes < 0 and found):
                    break
                found.append(segment)
                next_seq = segment.first + segment.count
        return Page(tuple(found), next_seq, end_seq, view.firsts[0])

    def verify(self, view: View) -> Verification:
        """Verify a whole log, payloads and spilled segments included."""
        verifier = ChainVerifier(self._objects.get)
        self._feed(verifier, view, 1)
        return verifier.report()

    def recover(self, tail: Tail, view: View) -> RecoveredActor:
        """The actor as its log leaves it, from the last checkpoint on. Raises `ChainTampered`."""
        events: list[Event] = []
        verifier = ChainVerifier(self._objects.get, take=events.append)
        self._feed(verifier, view, tail.checkpoint_seq)
        problem = verifier.report().problem
        if problem is not None:
            raise ChainTampered(f"{tail.actor}: {problem.reason}", seq=problem.seq)
        return restore(tail.actor, tail.incarnation, events, self._objects.get, tail.sent_through)

    def genesis(self, view: View, ordinal: int) -> Genesis:
        """The genesis that the record with this ordinal begins with. Raises `ChainTampered`."""
        with LogReader(self._directory) as reader:
            place = next(view.from_ordinal(reader, ordinal))
            first = _decoded(place, reader.frame(place)).segments[0]
        body = decode_event(first.events[0]).body if isinstance(first, Segment) else None
        if not isinstance(body, Genesis):
            raise ChainTampered(f"{_where(place)} does not begin with a genesis", seq=first.first)
        return body

    def take(self, logs: dict[str, KeptLog], place: Place, record: Frame) -> None:
        """Take a record into the logs, as recovery comes by it. Raises `ChainTampered` when it does not go on there."""
        batch = _decoded(place, record)
        log = logs.get(batch.actor)
        if log is None:
            log = logs[batch.actor] = KeptLog(Tail(batch.actor, batch.incarnation))
        tail, index = log.tail, log.index
        goes_on = batch.first == tail.next_seq and record.first == batch.first
        if not goes_on or batch.prev_stream_seq != index.count or record.previous != index.last:
            raise ChainTampered(
                f"{_where(place)} does not follow the one before it of {batch.actor!r}", seq=batch.first
            )
        if tail.incarnation != batch.incarnation:
            log.begin = index.count + 1
        index.add(batch.first, place)
        tail.incarnation, tail.epoch, tail.sent_through = batch.incarnation, batch.epoch, batch.sent_through
        tail.position, tail.next_seq, tail.head = index.count, batch.next_seq, batch.head
        tail.state_seq = batch.state_seq or index.count
        tail.checkpoint_seq = batch.checkpoint_seq or index.count

    def settle(self, logs: Iterable[KeptLog]) -> None:
        """After the last record: find out which incarnations have ended."""
        with LogReader(self._directory) as reader:
            for log in logs:
                log.tail.exited = self._ended(reader, log.index.last)

    def _ended(self, reader: LogReader, place: Place) -> bool:
        while place != NOWHERE:
            record = reader.frame(place)
            for segment in reversed(_decoded(place, record).segments):
                if isinstance(segment, Spilled):
                    return False
                body = decode_event(segment.events[-1]).body
                if not isinstance(body, Archived):
                    return isinstance(body, Exit)
            place = record.previous
        return False

    def _feed(self, verifier: ChainVerifier, view: View, ordinal: int) -> None:
        try:
            with LogReader(self._directory) as reader:
                for place in view.from_ordinal(reader, ordinal):
                    if not verifier.batch(_decoded(place, reader.frame(place))):
                        return
        except ChainTampered as damaged:
            verifier.fail(damaged)

    def _segments(self, places: Iterator[Place], reader: LogReader) -> Iterator[Segment | Spilled]:
        for place in places:
            yield from _decoded(place, reader.frame(place)).segments

    def _unspilled(self, segment: Spilled) -> Segment | Spilled:
        data = self._objects.get(segment.digest)
        return segment if data is None else segment.unspill(data)


def _decoded(place: Place, record: Frame) -> Batch:
    try:
        return decode_batch(record.payload)
    except ChainTampered as wrong:
        raise ChainTampered(f"{_where(place)}: {wrong.reason}", seq=wrong.seq) from None


def _where(place: Place) -> str:
    return f"log file {place.file}: the record at byte {place.offset}"
