"""Verification: does this chain hang together, and is all of it there?

Invariants:

* The first thing that is wrong ends the verification with the verdict `corrupt`, naming the event; nothing behind it
  counts. Missing objects alone give `incomplete`.
* Nothing is trusted: links, sequences, segment and batch heads, the order of events in an operation, genesis and exit
  of incarnations, digests and lengths of stored payloads. What is unhashed (trace, epoch, positions) is only read.
* A chain whose beginning is gone verifies from its first event on, since that names its parent; `anchored` says
  whether the beginning, or a head that was known before, was reached.

A hash chain does not show a missing tail: compare `head` with one that was kept elsewhere.
Source: the chain page, "Events" and "Segments and batches".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from theater_bus.core.chain.batch import Batch
from theater_bus.core.chain.bodies import Call, Checkpoint, Exit, Failure, Genesis, HostCall, LogRun, Result
from theater_bus.core.chain.control import Archived, Control
from theater_bus.core.chain.events import ZERO, Body, Event, decode_event, sha256
from theater_bus.core.chain.layout import Record, Stored, positions
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.errors import ChainTampered

__all__ = ["ChainVerifier", "Lookup", "Problem", "Verdict", "Verification", "payloads", "verify"]

Lookup: TypeAlias = Callable[[bytes], bytes | None]
"""The bytes of an object by their SHA-256, or None when it is missing."""


T = TypeVar("T")


class Verdict(Enum):
    """What a verification ends with; the value is what machines read."""

    INTACT = "intact"
    CORRUPT = "corrupt"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is wrong: the event it was seen at (None: not known), and how."""

    seq: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The report. Events are counted as verified up to the problem, spilled segments that are missing not at all."""

    verdict: Verdict
    events: int
    segments: int
    first_seq: int | None
    next_seq: int | None
    head: bytes | None
    anchored: bool
    incarnations: tuple[bytes, ...]
    problem: Problem | None
    missing: tuple[bytes, ...]

    def as_plain(self) -> dict[str, object]:
        """The report with plain values, digests in hex."""
        return {
            "verdict": self.verdict.value,
            "events": self.events,
            "segments": self.segments,
            "first_seq": self.first_seq,
            "next_seq": self.next_seq,
            "head": None if self.head is None else self.head.hex(),
            "anchored": self.anchored,
            "incarnations": [incarnation.hex() for incarnation in self.incarnations],
            "first_problem": None if self.problem is None else {"seq": self.problem.seq, "reason": self.problem.reason},
            "missing": [digest.hex() for digest in self.missing],
        }


class ChainVerifier:
    """Verifies a chain that is fed to it in order, as batches, segments or single events.

    `lookup` finds stored payloads and spilled segments; without it payloads are not looked for, and a spilled segment
    counts as missing. `after` is (sequence, hash) of an event that is already trusted: the next one must follow it.
    `take` is given every event once it is verified.
    """

    def __init__(
        self,
        lookup: Lookup | None = None,
        after: tuple[int, bytes] | None = None,
        take: Callable[[Event], None] | None = None,
    ) -> None:
        self._lookup = lookup
        self._take = take
        self._next: int | None = None if after is None else after[0] + 1
        self._head: bytes | None = None if after is None else after[1]
        self._anchored = after is not None
        self._first: int | None = None
        self._events = 0
        self._segments = 0
        self._actor: str | None = None
        self._incarnation: bytes | None = None
        self._incarnations: list[bytes] = []
        self._inline_max: int | None = None
        self._exited = False
        self._running: str | None = None
        self._known = False
        self._missing: dict[bytes, None] = {}
        self._problem: Problem | None = None

    def batch(self, batch: Batch) -> bool:
        """Take the next batch. Returns whether all is well so far; after a problem nothing more is looked at."""
        return self._step(self._batch, batch)

    def segment(self, segment: Segment | Spilled) -> bool:
        """Take the next segment; see `batch`."""
        return self._step(self._segment, segment)

    def event(self, event: bytes) -> bool:
        """Take the next event; see `batch`."""
        return self._step(self._event, event)

    def fail(self, problem: ChainTampered) -> bool:
        """Take it that the bytes to come cannot be read; see `batch`."""
        self._problem = self._problem or Problem(problem.seq, problem.reason)
        return False

    def report(self) -> Verification:
        """What was found so far."""
        verdict = Verdict.INCOMPLETE if self._missing else Verdict.INTACT
        return Verification(
            Verdict.CORRUPT if self._problem else verdict,
            self._events,
            self._segments,
            self._first,
            self._next,
            self._head,
            self._anchored,
            tuple(self._incarnations),
            self._problem,
            tuple(self._missing),
        )

    def _step(self, take: Callable[[T], object], item: T) -> bool:
        if self._problem is not None:
            return False
        try:
            take(item)
        except ChainTampered as wrong:
            return self.fail(wrong)
        return True

    def _batch(self, batch: Batch) -> None:
        if self._actor is None:
            self._actor = batch.actor
        if batch.actor != self._actor:
            raise ChainTampered(f"a batch of {batch.actor!r} in the chain of {self._actor!r}", seq=batch.first)
        for segment in batch.segments:
            self._segment(segment)
        if self._incarnation is None:
            self._enter(batch.incarnation)
        if batch.incarnation != self._incarnation:
            raise ChainTampered("the batch names another incarnation than its events", seq=batch.first)
        if batch.head != batch.segments[-1].head:
            raise ChainTampered("the head of the batch is not that of its last segment", seq=batch.next_seq - 1)

    def _segment(self, segment: Segment | Spilled) -> None:
        if self._running is not None:
            raise ChainTampered("a segment begins inside an operation", seq=segment.first)
        if isinstance(segment, Spilled):
            data = None if self._lookup is None else self._lookup(segment.digest)
            if data is None:
                self._skip(segment)
            else:
                self._whole(segment.unspill(data))
        else:
            self._whole(segment)

    def _whole(self, found: Segment) -> None:
        operations = 0
        for index, data in enumerate(found.events):
            event = self._event(data)
            if event.seq != found.first + index:
                raise ChainTampered(f"the segment names {found.first + index} here", seq=event.seq)
            operations += isinstance(event.body, Call)
        last = found.first + len(found.events) - 1
        if self._running is not None:
            raise ChainTampered("the segment ends inside an operation", seq=last)
        if operations != 1 and len(found.events) != 1:
            raise ChainTampered("the segment holds more than one operation or event", seq=last)
        if found.head != self._head:
            raise ChainTampered("the head of the segment is not the hash of its last event", seq=last)
        self._segments += 1

    def _skip(self, segment: Spilled) -> None:
        """Go on behind a spilled segment that is missing: its last event can only be what it says."""
        if self._next is not None and segment.first != self._next:
            raise ChainTampered(f"the sequence goes on with {segment.first} after {self._next - 1}", seq=segment.first)
        self._missing[segment.digest] = None
        self._first = segment.first if self._first is None else self._first
        self._next, self._head = segment.first + segment.count, segment.head
        self._known = False

    def _event(self, data: bytes) -> Event:
        event = decode_event(data)
        seq = event.seq
        if self._next is None:
            self._anchored = seq == 0
            self._first = seq
        elif seq != self._next:
            raise ChainTampered(f"the sequence goes on with {seq} after {self._next - 1}", seq=seq)
        elif event.parent != self._head:
            raise ChainTampered("parent is not the hash of the event before it", seq=seq)
        if self._first is None:
            self._first = seq
        if seq == 0 and (event.parent != ZERO or not isinstance(event.body, Genesis)):
            raise ChainTampered("a chain begins with a genesis that has no parent", seq=0)
        try:
            self._follow(event.body)
        except _OutOfOrder as wrong:
            raise ChainTampered(str(wrong), seq=seq) from None
        self._payloads(event)
        self._next, self._head, self._known = seq + 1, event.hash, True
        self._events += 1
        if self._take is not None:
            self._take(event)
        return event

    def _follow(self, body: Body) -> None:
        if self._exited and not isinstance(body, Genesis | Archived):
            raise _OutOfOrder(f"{body.TYPE} after the exit of the incarnation")
        if isinstance(body, Result | Failure):
            if self._running != body.function:
                raise _OutOfOrder(f"{body.TYPE} of {body.function!r}, which does not run")
            self._running = None
        elif isinstance(body, HostCall | LogRun):
            if self._running is None:
                raise _OutOfOrder("a host call outside an operation")
        elif self._running is not None and not isinstance(body, Control):
            raise _OutOfOrder(f"{body.TYPE} inside an operation")
        elif isinstance(body, Call):
            self._running = body.function
        elif isinstance(body, Genesis):
            self._begin(body)
        elif isinstance(body, Checkpoint):
            self._bound(body.inline_max)
        elif isinstance(body, Exit):
            self._exited = True

    def _begin(self, genesis: Genesis) -> None:
        if self._known and not self._exited:
            raise _OutOfOrder("a genesis before the exit of the incarnation")
        if self._actor is None:
            self._actor = genesis.actor
        if genesis.actor != self._actor:
            raise _OutOfOrder(f"a genesis of {genesis.actor!r} in the chain of {self._actor!r}")
        self._enter(genesis.incarnation)
        self._inline_max = genesis.inline_max
        self._exited = False

    def _enter(self, incarnation: bytes) -> None:
        self._incarnation = incarnation
        self._incarnations.append(incarnation)

    def _bound(self, inline_max: int) -> None:
        if self._inline_max is None:
            self._inline_max = inline_max
        if self._inline_max != inline_max:
            raise _OutOfOrder(f"inline_max {inline_max} where the incarnation began with {self._inline_max}")

    def _payloads(self, event: Event) -> None:
        limit = self._inline_max
        for payload in payloads(event.body):
            if isinstance(payload, bytes):
                if limit is not None and len(payload) > limit:
                    raise ChainTampered(f"a bin of {len(payload)} where inline_max is {limit}", seq=event.seq)
                continue
            if limit is not None and payload.size_bytes <= limit:
                raise ChainTampered(f"{payload.size_bytes} bytes are stored where inline_max is {limit}", seq=event.seq)
            if self._lookup is not None:
                self._stored(payload, self._lookup(payload.digest), event.seq)

    def _stored(self, stored: Stored, data: bytes | None, seq: int) -> None:
        if data is None:
            self._missing[stored.digest] = None
        elif len(data) != stored.size_bytes or sha256(data) != stored.digest:
            raise ChainTampered(f"the object {stored.digest.hex()} is not what the event names", seq=seq)


def payloads(value: object) -> Iterator[bytes | Stored]:
    """Every bin and every stored payload in a body, digests and ids included."""
    if isinstance(value, bytes | Stored):
        yield value
    elif isinstance(value, Record):
        for name, _, _ in positions(type(value)):
            yield from payloads(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from payloads(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from payloads(item)


def verify(
    chain: Iterable[Batch | Segment | Spilled | bytes],
    lookup: Lookup | None = None,
    after: tuple[int, bytes] | None = None,
) -> Verification:
    """Verify a chain given in order as batches, segments and events, in any mixture; see `ChainVerifier`."""
    verifier = ChainVerifier(lookup, after)
    for item in chain:
        if isinstance(item, Batch):
            verifier.batch(item)
        elif isinstance(item, bytes):
            verifier.event(item)
        else:
            verifier.segment(item)
    return verifier.report()


class _OutOfOrder(Exception):
    """An event that cannot stand where it stands; becomes `ChainTampered` with its sequence."""
