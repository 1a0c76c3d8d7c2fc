"""What a host asks of the place where chains are kept: the seam between `memory`, `file` and later stores.

A store keeps one log per actor. Segments are appended in order and decided in order; each append ends with one call of
its `on_done`, with None when it is in the log, or with the error when it is not. After an error everything that was
appended behind it has failed too: the host rewinds its writer to the last segment that was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from theater_bus.core.chain.batch import Batch, Tail
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import Verification
from theater_bus.errors import ActorError

__all__ = ["ChainStore", "Done", "Page", "Watcher"]

Done: TypeAlias = Callable[[ActorError | None], None]
"""Called once when an append is decided, on the loop; it must not raise."""

Watcher: TypeAlias = Callable[[Batch], None]
"""Called on the loop with every batch that entered one actor's log; it must not raise."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a chain: whole segments, the first of which may begin before the sequence that was asked for.

    `next_seq` is where the next page begins; `end_seq` the sequence after the last event in the log (the page reaches
    it when they are equal); `first_seq` the oldest event that the log still has.
    """

    segments: tuple[Segment | Spilled, ...]
    next_seq: int
    end_seq: int
    first_seq: int


class ChainStore(Protocol):
    """Logs of actors, by id. All methods are for the host's loop; sequences count events, positions batches."""

    @property
    def refusing(self) -> bool:
        """Whether appends are refused for good; new operations are answered `unavailable` until this is False."""
        ...

    def open(self, actor: str, incarnation: bytes, epoch: int = 0) -> Tail:
        """Begin or go on with the log of `actor`, as this incarnation; returns where it ends.

        That is a live view; `sent_through` is the caller's to set, the rest is only to be read.
        """
        ...

    def append(self, actor: str, segments: Sequence[Segment], on_done: Done) -> None:
        """Append segments that go on where the log (with what is under way) ends. Raises `ChainTampered` otherwise."""
        ...

    async def read(self, actor: str, from_seq: int = 0, limit: int = 256, max_bytes: int = 1 << 20) -> Page:
        """Segments from the one that holds `from_seq` on: at most `limit`, at most `max_bytes` of events, at least one.

        Only what is kept is seen. Raises `ActorNotFound`, and `ChainTampered` when the log is damaged there.
        """
        ...

    async def payload(self, digest: bytes) -> bytes | None:
        """The bytes of a payload or spilled segment by their SHA-256, verified; None when they are missing."""
        ...

    async def verify(self, actor: str) -> Verification:
        """Verify what the log of an actor holds, stored payloads included. Raises `ActorNotFound`."""
        ...

    def watch(self, actor: str, watcher: Watcher | None) -> None:
        """Tell `watcher` every batch from here on; None ends it."""
        ...

    def tails(self) -> Sequence[Tail]:
        """Where every log ends."""
        ...

    async def close(self) -> None:
        """Decide what is under way, then let go of everything."""
        ...
