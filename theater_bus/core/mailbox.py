"""The bounded queue in front of one actor: first in, first out, one at a time.

Invariants: entries leave in the order in which they came, whoever sent them; the entries of callers never exceed
`operations` and `bytes`, those of capabilities never exceed `enqueues` and `enqueue_bytes`, and neither can take
the other's room; an entry leaves exactly once (popped, cancelled, expired or drained); after `close` nothing enters.

Deadlines are monotonic float seconds (`math.inf` for none). The queue does not look for expired entries on its hot
paths: it keeps a lower bound of all deadlines, so that `expire` costs one comparison until that moment and one pass
over the queue after it.
Source: architecture, "Actor life"; wire protocol, "Limits"; plugins, "Background work of a capability".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Generic, Protocol, TypeVar

from theater_bus.core.setting import Whole, setting
from theater_bus.errors import Overloaded, ShuttingDown, TooLarge

__all__ = ["Bounds", "Entry", "Mailbox"]


class Entry(Protocol):
    """What the mailbox needs to know of a queued operation. The three values must not change while it is queued."""

    @property
    def size_bytes(self) -> int:
        """What it occupies: its parameters and its envelope."""

    @property
    def deadline(self) -> float:
        """When its caller stops waiting, in monotonic seconds; `math.inf` for never."""

    @property
    def key(self) -> Hashable | None:
        """What `cancel` finds it by, usually (caller, idempotency key); None when it has none."""


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`[mailbox]` of a manifest: how much waits at most, for callers and, beside it, for the actor's capabilities."""

    operations: int = field(
        default=1024,
        metadata=setting(Whole(1, 1_000_000), "operations of callers that may wait; one more is `overloaded`"),
    )
    bytes: int = field(
        default=8 * 1024 * 1024,
        metadata=setting(Whole(1024, 1 << 32), "bytes that the waiting operations of callers may occupy"),
    )
    enqueues: int = field(
        default=64,
        metadata=setting(Whole(1, 100_000), "what capabilities (timers, listeners) may have waiting, beside callers"),
    )
    enqueue_bytes: int = field(
        default=8 * 1024 * 1024,
        metadata=setting(Whole(1024, 1 << 32), "bytes that the waiting entries of capabilities may occupy"),
    )


class Mailbox(Generic[E]):
    """A bounded queue of entries; every method takes constant time unless it says otherwise.

    `peak_depth` and `peak_bytes` are the most that ever waited, both kinds of entries together.
    """

    __slots__ = (
        "_bounds",
        "_by_key",
        "_bytes",
        "_closed",
        "_earliest",
        "_enqueued",
        "_enqueued_bytes",
        "_queue",
        "peak_bytes",
        "peak_depth",
    )

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._queue: OrderedDict[int, E] = OrderedDict()
        self._by_key: dict[Hashable, E] = {}
        self._enqueued: set[int] = set()
        self._bytes = 0
        self._enqueued_bytes = 0
        self._earliest = inf
        self._closed = False
        self.peak_depth = 0
        self.peak_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[E]:
        """The entries that wait, oldest first; the mailbox must not change meanwhile."""
        return iter(self._queue.values())

    @property
    def size_bytes(self) -> int:
        """The bytes that wait, both kinds of entries together."""
        return self._bytes + self._enqueued_bytes

    @property
    def enqueues(self) -> int:
        """How many of the waiting entries come from capabilities."""
        return len(self._enqueued)

    @property
    def next_deadline(self) -> float:
        """No waiting entry expires before this moment (`math.inf`: none does)."""
        return self._earliest

    def push(self, entry: E) -> None:
        """Queue a caller's entry. HOT.

        Raises `Overloaded` naming the bound, `TooLarge` for an entry that could not fit into an empty mailbox,
        `ShuttingDown` after `close`, and `ValueError` for a key that is queued already (the idempotency window
        joins repeats before they come here).
        """
        size = entry.size_bytes
        held = self._bytes + size
        bounds = self._bounds
        queue = self._queue
        depth = len(queue) + 1
        if self._closed or held > bounds.bytes or depth - len(self._enqueued) > bounds.operations:
            raise self._refusal(size, depth - len(self._enqueued), held, capability=False)
        self._admit(entry)
        self._bytes = held
        if depth > self.peak_depth:
            self.peak_depth = depth
        held += self._enqueued_bytes
        if held > self.peak_bytes:
            self.peak_bytes = held

    def push_enqueue(self, entry: E) -> None:
        """Queue what a capability sends to its own actor, within the bounds of capabilities. Raises as `push`."""
        size = entry.size_bytes
        held = self._enqueued_bytes + size
        count = len(self._enqueued) + 1
        if self._closed or held > self._bounds.enqueue_bytes or count > self._bounds.enqueues:
            raise self._refusal(size, count, held, capability=True)
        self._admit(entry)
        self._enqueued.add(id(entry))
        self._enqueued_bytes = held
        self.peak_depth = max(self.peak_depth, len(self._queue))
        self.peak_bytes = max(self.peak_bytes, self.size_bytes)

    def pop(self) -> E | None:
        """Take the oldest entry, or None when nothing waits. HOT. Its deadline may have passed: the caller looks."""
        queue = self._queue
        if not queue:
            return None
        identity, entry = queue.popitem(last=False)
        self._release(identity, entry)
        return entry

    def find(self, key: Hashable) -> E | None:
        """The waiting entry with this key, or None."""
        return self._by_key.get(key)

    def cancel(self, key: Hashable) -> E | None:
        """Take out the waiting entry with this key, to be answered `cancelled, ran: never`; None when none waits."""
        entry = self._by_key.get(key)
        if entry is not None:
            self.remove(entry)
        return entry

    def remove(self, entry: E) -> bool:
        """Take out this very entry; False when it does not wait (any more)."""
        identity = id(entry)
        if self._queue.pop(identity, None) is None:
            return False
        self._release(identity, entry)
        return True

    def expire(self, now: float) -> list[E]:
        """Take out the entries whose deadline is `now` or earlier, oldest first; linear only when one may be due."""
        if now < self._earliest:
            return []
        expired = [entry for entry in self._queue.values() if entry.deadline <= now]
        for entry in expired:
            self.remove(entry)
        self._earliest = min((entry.deadline for entry in self._queue.values()), default=inf)
        return expired

    def close(self) -> list[E]:
        """Refuse whatever comes from now on, and give back what waits, oldest first, to be answered
        `shutting-down, ran: never`.
        """
        self._closed = True
        drained = list(self._queue.values())
        for entry in drained:
            self.remove(entry)
        return drained

    def _admit(self, entry: E) -> None:
        key = entry.key
        if key is not None:
            if key in self._by_key:
                raise ValueError(f"an entry with the key {key!r} waits already")
            self._by_key[key] = entry
        deadline = entry.deadline
        if deadline < self._earliest:
            self._earliest = deadline
        self._queue[id(entry)] = entry

    def _release(self, identity: int, entry: E) -> None:
        if self._enqueued and identity in self._enqueued:
            self._enqueued.discard(identity)
            self._enqueued_bytes -= entry.size_bytes
        else:
            self._bytes -= entry.size_bytes
        key = entry.key
        if key is not None:
            del self._by_key[key]
        if not self._queue:
            self._earliest = inf

    def _refusal(self, size: int, count: int, held: int, *, capability: bool) -> Exception:
        if self._closed:
            return ShuttingDown("the actor is stopping and takes no more operations")
        bounds = self._bounds
        settings = ("enqueues", "enqueue_bytes") if capability else ("operations", "bytes")
        most = (bounds.enqueues, bounds.enqueue_bytes) if capability else (bounds.operations, bounds.bytes)
        if size > most[1]:
            return TooLarge(
                f"a request of {size:,} bytes never fits into a mailbox of {most[1]:,} bytes. "
                f"Fix: raise mailbox.{settings[1]} in the manifest, or send less",
                size_bytes=size,
                limit_bytes=most[1],
            )
        at = 0 if count > most[0] else 1
        unit = ("entries", "bytes")[at]
        return Overloaded(
            f"the mailbox is full: {(count - 1, held - size)[at]:,} of {most[at]:,} {unit} wait. "
            f"Fix: try again later, or raise mailbox.{settings[at]} in the manifest",
            bound=f"mailbox.{settings[at]}",
            limit=most[at],
        )
