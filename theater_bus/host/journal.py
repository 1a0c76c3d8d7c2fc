"""One actor's chain as the actor sees it: record, link, append, and learn what was kept.

Invariants: what was linked is appended at once and in order; `settled` always describes a prefix of the chain that the
store has acknowledged (sequence, head, state); when an append is refused, everything linked behind it falls together
and the writer goes back to `settled`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from theater_bus.core.chain.bodies import Checkpoint, Exit, Genesis
from theater_bus.core.chain.control import Control
from theater_bus.core.chain.recording import Recording
from theater_bus.core.chain.segments import Segment, Trace
from theater_bus.core.chain.writer import ChainWriter, Mark
from theater_bus.core.values.subtree import Subtree
from theater_bus.errors import ActorError, Unavailable
from theater_bus.host.chain import ChainStore, MemoryStore

__all__ = ["Decided", "Journal", "Kept", "Settled"]

Decided: TypeAlias = Callable[[ActorError | None], None]
"""Called once when the append of a segment is decided: None when it is kept. It must not raise."""


class Kept(Protocol):
    """What a host's chains took in since it started."""

    segments: int
    segment_bytes: int


@dataclass(slots=True)
class Settled:
    """The acknowledged end of the chain: what `info` answers from. `mark` is where the writer goes back to."""

    seq: int
    head: bytes
    state: Subtree | None
    mark: Mark


class _Pending:
    """A segment that waits for its acknowledgement; `done` is what the store calls."""

    __slots__ = ("decided", "journal", "mark", "size_bytes", "state")

    def __init__(
        self, journal: Journal, mark: Mark, state: Subtree | None, size_bytes: int, decided: Decided | None
    ) -> None:
        self.journal: Journal | None = journal
        self.mark, self.state, self.size_bytes, self.decided = mark, state, size_bytes, decided

    def done(self, error: ActorError | None) -> None:
        journal = self.journal
        if journal is not None:
            journal._decide(self, error)


class Journal:
    """The chain of one actor. `ahead` is how many segments wait for their acknowledgement.

    `kept` counts what was acknowledged, and `on_quiet`, when it is set, is called whenever nothing waits any more.
    """

    __slots__ = (
        "_actor",
        "_failed",
        "_memory",
        "_pending",
        "_quiet",
        "_store",
        "kept",
        "on_quiet",
        "settled",
        "writer",
    )

    def __init__(
        self,
        actor: str,
        writer: ChainWriter,
        store: ChainStore,
        state: Subtree | None,
        failed: Callable[[ActorError], None],
        kept: Kept,
    ) -> None:
        self._actor = actor
        self.writer = writer
        self._store = store
        self._memory = store if isinstance(store, MemoryStore) else None
        self._pending: deque[_Pending] = deque()
        self._failed = failed
        self.kept = kept
        self.on_quiet: Callable[[], None] | None = None
        self._quiet: asyncio.Future[None] | None = None
        self.settled = Settled(writer.seq, writer.head, state, writer.mark())

    @property
    def ahead(self) -> int:
        """How many segments wait for their acknowledgement."""
        return len(self._pending)

    @property
    def refusing(self) -> bool:
        """Whether the store refuses for good, until an append succeeds."""
        return self._store.refusing

    def refusal(self) -> Unavailable:
        """The error for an operation that is not begun because the store refuses."""
        return Unavailable("the chain cannot be written just now. Fix: see the host's log; ask again later")

    async def quiet(self) -> None:
        """Return when nothing waits for its acknowledgement any more: all is kept, or has fallen."""
        while self._pending:
            if self._quiet is None:
                self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._quiet)

    def commit(self, recording: Recording, trace: Trace | None, state: Subtree | None, decided: Decided) -> Segment:
        """Link a recorded operation and append it; returns its segment.

        `state` is the state after it. `decided` is called when the append is, for `memory` before this returns.
        """
        segment = recording.commit(trace)
        self._append(segment, state, decided)
        return segment

    def write(
        self,
        time_ns: int,
        body: Genesis | Control | Checkpoint | Exit,
        state: Subtree | None,
        decided: Decided | None = None,
    ) -> None:
        """Link one event that is no operation, and append it. `state` is the state after it."""
        self._append(self.writer.write(time_ns, body), state, decided)

    def _append(self, segment: Segment, state: Subtree | None, decided: Decided | None) -> None:
        memory = self._memory
        if memory is not None:
            memory.append_now(self._actor, segment)
            settled, writer, kept = self.settled, self.writer, self.kept
            kept.segments += 1
            kept.segment_bytes += segment.size_bytes
            settled.seq, settled.head, settled.state = writer.seq, writer.head, state
            if decided is not None:
                decided(None)
            return
        pending = _Pending(self, self.writer.mark(), state, segment.size_bytes, decided)
        self._pending.append(pending)
        self._store.append(self._actor, (segment,), pending.done)

    def _decide(self, pending: _Pending, error: ActorError | None) -> None:
        pending.journal = None
        if error is not None:
            self._fall(error)
            return
        self._pending.popleft()
        settled = self.settled
        settled.mark, settled.state = pending.mark, pending.state
        settled.seq, settled.head = pending.mark.seq, pending.mark.head
        self.kept.segments += 1
        self.kept.segment_bytes += pending.size_bytes
        if pending.decided is not None:
            pending.decided(None)
        self._is_quiet()

    def _fall(self, error: ActorError) -> None:
        """The first refusal takes all that was linked behind it; the store's later refusals find nobody."""
        fallen, self._pending = self._pending, deque()
        self.writer.rewind(self.settled.mark)
        for pending in fallen:
            pending.journal = None
        self._failed(error)
        for pending in fallen:
            if pending.decided is not None:
                pending.decided(error)
        self._is_quiet()

    def _is_quiet(self) -> None:
        """Tell those who wait, if nothing is pending."""
        if self._pending:
            return
        quiet, self._quiet = self._quiet, None
        if quiet is not None:
            quiet.set_result(None)
        if self.on_quiet is not None:
            self.on_quiet()
