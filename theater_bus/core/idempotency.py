"""The idempotency window: which keyed operations run or were committed, so that a repeat is not a second operation.

Invariants: at most one operation runs under a (caller, key); a key is answered from the window only for the same
digest of function and parameters; a committed key stays until 4,096 newer ones were committed *and* two minutes have
passed, as long as the window fits its bytes; to make room, the oldest answers first become references to the chain,
and only then are the oldest keys forgotten; a running key is never forgotten.

Callers without proof share the scope "". `commit` is for operations whose segment is decided: with acknowledgements
outstanding an operation still counts as running, so that a repeat joins it. Times are monotonic float seconds.
Source: wire protocol, "Keys"; chain, "Guarantees" 2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from math import inf
from typing import Final, Generic, Literal, TypeAlias, TypeVar, cast

from theater_bus.errors import KeyReused

__all__ = ["RUN", "Admission", "Join", "KeyRecord", "Replay", "Window", "WindowBounds"]

T = TypeVar("T")


class _Run(Enum):
    RUN = "run"


RUN: Final = _Run.RUN
"""The verdict for a key that is not in the window: run the operation."""


@dataclass(frozen=True, slots=True)
class Join(Generic[T]):
    """The same operation runs: wait for it and send the same answer. `token` is what its `admit` was given."""

    token: T


@dataclass(frozen=True, slots=True)
class Replay:
    """The same operation was committed: send its answer again.

    `answer` is None when only a reference is kept: then the answer is in the chain's event `sequence`, and its
    SHA-256 is `answer_digest`. `is_error` tells a `guest-error` from a value.
    """

    answer: bytes | None
    answer_digest: bytes
    sequence: int
    is_error: bool


Admission: TypeAlias = Literal[_Run.RUN] | Join[T] | Replay


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One committed key as a checkpoint keeps it: the answer by reference."""

    caller: str
    key: str
    digest: bytes
    answer_digest: bytes
    sequence: int
    is_error: bool


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """How long keys are kept, and in how many bytes; an answer longer than `answer_bytes` is kept by reference."""

    keys: int = 4096
    seconds: float = 120.0
    bytes: int = 8 * 1024 * 1024
    answer_bytes: int = 64 * 1024


RECORD_BYTES: Final = 400
"""What a key costs beside its caller, key and answer (measured on CPython 3.11 to 3.13: 350 to 410)."""


class _Record(Generic[T]):
    # A record with `committed_at` = infinity runs, and has its token until it is committed.
    __slots__ = ("answer", "answer_digest", "committed_at", "digest", "is_error", "scope", "sequence", "token")

    def __init__(self, scope: tuple[str, str], digest: bytes, token: T | None) -> None:
        self.scope = scope
        self.digest = digest
        self.token = token
        self.committed_at = inf
        self.answer: bytes | None = None
        self.answer_digest: bytes | None = None
        self.sequence = 0
        self.is_error = False


class Window(Generic[T]):
    """The keys of one actor. `T` is the host's running operation, which repeats join."""

    __slots__ = ("_bounds", "_bytes", "_inline", "_order", "_records")

    def __init__(self, bounds: WindowBounds | None = None) -> None:
        self._bounds = bounds or WindowBounds()
        self._records: dict[tuple[str, str], _Record[T]] = {}
        # Committed records, oldest first; those that still hold their answer, oldest first.
        self._order: deque[_Record[T]] = deque()
        self._inline: deque[_Record[T]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Keys in the window, running ones included."""
        return len(self._records)

    @property
    def size_bytes(self) -> int:
        """What the committed keys and their answers occupy, by the window's own accounting."""
        return self._bytes

    def admit(self, caller: str, key: str, digest: bytes, token: T) -> Admission[T]:
        """Decide what a keyed request is: `RUN` (now recorded as running, under `token`), `Join` or `Replay`. HOT.

        `digest` is that of function and parameters, the same for all encodings. Raises `KeyReused` when the key
        stands for another operation.
        """
        scope = (caller, key)
        record = self._records.get(scope)
        if record is None:
            self._records[scope] = _Record(scope, digest, token)
            return RUN
        if record.digest != digest:
            raise KeyReused(
                f"the key {key!r} was used before with another function or other parameters. "
                "Fix: use a new key for every operation",
                key=key,
            )
        return self._known(record)

    def look(self, caller: str, key: str) -> Join[T] | Replay | None:
        """What the window knows of a key, without changing anything; None: not recorded."""
        record = self._records.get((caller, key))
        return None if record is None else self._known(record)

    def commit(
        self, caller: str, key: str, answer: bytes, sequence: int, now: float, *, is_error: bool = False
    ) -> None:
        """Record the answer of a running operation: a value or a `guest-error`, in the chain's event `sequence`. HOT.

        Raises `ValueError` for a key that does not run: admit first, commit once.
        """
        record = self._running(caller, key)
        record.token = None
        record.committed_at = now
        record.sequence = sequence
        record.is_error = is_error
        self._order.append(record)
        size = len(answer)
        held = self._bytes + RECORD_BYTES + len(caller) + len(key)
        if size <= self._bounds.answer_bytes:
            record.answer = answer
            self._inline.append(record)
            held += size
        else:
            record.answer_digest = sha256(answer).digest()
        self._bytes = held
        if held > self._bounds.bytes:
            self._make_room()
        if len(self._order) > self._bounds.keys:
            self._forget_old(now)

    def abandon(self, caller: str, key: str) -> T:
        """Forget a running operation that ended without a commit: the same key then runs again. Returns its token.

        Raises `ValueError` for a key that does not run.
        """
        record = self._running(caller, key)
        del self._records[record.scope]
        return cast("T", record.token)

    def snapshot(self) -> list[KeyRecord]:
        """The committed keys, oldest first, as a checkpoint records them. Hashes each answer once."""
        return [
            KeyRecord(*record.scope, record.digest, _answer_digest(record), record.sequence, record.is_error)
            for record in self._order
        ]

    def restore(self, records: Iterable[KeyRecord], now: float) -> None:
        """Take up the keys of a checkpoint, oldest first, as if they had been committed at `now`.

        Only for a window that is still empty (`ValueError`): recovery comes before the first request.
        """
        if self._records:
            raise ValueError("only an empty window can be restored")
        for kept in records:
            record: _Record[T] = _Record((kept.caller, kept.key), kept.digest, None)
            record.committed_at = now
            record.answer_digest = kept.answer_digest
            record.sequence = kept.sequence
            record.is_error = kept.is_error
            self._records[record.scope] = record
            self._order.append(record)
            self._bytes += _cost(record)
        self._make_room()

    def _known(self, record: _Record[T]) -> Join[T] | Replay:
        if record.committed_at == inf:
            return Join(cast("T", record.token))
        return Replay(record.answer, _answer_digest(record), record.sequence, record.is_error)

    def _running(self, caller: str, key: str) -> _Record[T]:
        record = self._records.get((caller, key))
        if record is None or record.committed_at != inf:
            raise ValueError(f"no operation runs under the key {key!r} of caller {caller!r}")
        return record

    def _make_room(self) -> None:
        limit = self._bounds.bytes
        while self._bytes > limit and self._inline:
            record = self._inline.popleft()
            _answer_digest(record)
            self._bytes -= len(record.answer or b"")
            record.answer = None
        while self._bytes > limit and self._order:
            self._forget_oldest()

    def _forget_old(self, now: float) -> None:
        before = now - self._bounds.seconds
        order = self._order
        while len(order) > self._bounds.keys and order[0].committed_at <= before:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        record = self._order.popleft()
        self._bytes -= _cost(record)
        del self._records[record.scope]
        if self._inline and self._inline[0] is record:
            self._inline.popleft()


def _cost(record: _Record[T]) -> int:
    return RECORD_BYTES + len(record.scope[0]) + len(record.scope[1]) + len(record.answer or b"")


def _answer_digest(record: _Record[T]) -> bytes:
    digest = record.answer_digest
    if digest is None:
        digest = record.answer_digest = sha256(record.answer or b"").digest()
    return digest
