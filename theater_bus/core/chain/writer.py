"""The writer of one actor's chain: where it ends, and how it goes on.

Invariants: `write` and a recording's `commit` are the only steps; each advances sequence, head, state and outbox number
together. `mark` and `rewind` undo steps whose append was refused. A bin longer than `inline_max` is never in an event;
its bytes travel in the segment's `objects`, to be stored before the segment is.

The path of an operation is `begin`, `host_call` or `log`…, `result` or `error`, `commit`: about 5 µs for a call and a
result, two SHA-256 included. Source: the chain page, "Events".
"""

from __future__ import annotations

from dataclasses import dataclass

from theater_bus.core.chain.bodies import Checkpoint, Exit, Genesis, ProofWord
from theater_bus.core.chain.control import Control
from theater_bus.core.chain.events import INLINE_MAX, ZERO, decode_event, dump_body, pack, sha256
from theater_bus.core.chain.recording import Limits, Recording
from theater_bus.core.chain.segments import CHECKPOINT, EXIT, GENESIS, STATE, Segment
from theater_bus.errors import ConfigurationError

__all__ = ["INLINE_MIN", "ChainWriter", "Mark"]

INLINE_MIN = 64
"""The least `inline_max`: digests and ids must stay in place."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a writer stood, to rewind to."""

    seq: int
    head: bytes
    state: bytes | None
    next_outbox: int


class ChainWriter:
    """Writes one actor's chain.

    `seq` is the sequence of the next event and `head` the hash of the last one (0 and 32 zero bytes for a new chain);
    `state` the last recorded state's bytes; `next_outbox` the number of the next queued send of a committed operation.
    Raises `ConfigurationError` for an `inline_max` below `INLINE_MIN`.
    """

    __slots__ = ("actor", "head", "incarnation", "inline_max", "limits", "next_outbox", "seq", "state")

    def __init__(
        self,
        actor: str,
        incarnation: bytes,
        seq: int = 0,
        head: bytes = ZERO,
        *,
        state: bytes | None = None,
        next_outbox: int = 1,
        inline_max: int = INLINE_MAX,
        limits: Limits | None = None,
    ) -> None:
        self.actor = actor
        self.incarnation = incarnation
        self.seq = seq
        self.head = head
        self.state = state
        self.next_outbox = next_outbox
        self.inline_max = _checked(inline_max)
        self.limits = limits or Limits()

    def begin(
        self,
        time_ns: int,
        function: str,
        params: bytes,
        identity: str | bytes,
        caller: str = "",
        proof: ProofWord = "none",
        outbox: tuple[bytes, int] | None = None,
    ) -> Recording:
        """Start recording an operation that enters the guest: the fields of `Call`, payloads as bytes."""
        return Recording(self, time_ns, function, params, identity, caller, proof, outbox)

    def write(self, time_ns: int, body: Genesis | Control | Checkpoint | Exit) -> Segment:
        """Write one event that is no operation, as a segment of its own. Payloads that are too long are replaced.

        Raises `ChainTampered`, and writes nothing, for a body that a reader would refuse (an unknown word, a wrong
        type).
        A genesis begins an incarnation: the writer takes over its state and `inline_max`; outbox numbers start again.
        """
        inline_max = _checked(body.inline_max) if isinstance(body, Genesis) else self.inline_max
        objects: list[tuple[bytes, bytes]] = []
        values = _moved_out(dump_body(body), inline_max, objects)
        data = pack((self.seq, self.head, time_ns, body.TYPE, values))
        head = decode_event(data).hash
        marks = EXIT if isinstance(body, Exit) else 0
        if isinstance(body, Genesis | Checkpoint):
            marks = STATE | CHECKPOINT
        if isinstance(body, Genesis):
            marks |= GENESIS
            self.incarnation, self.inline_max, self.next_outbox = body.incarnation, inline_max, 1
            self.state = body.state if isinstance(body.state, bytes) else None
        segment = Segment(self.seq, head, (data,), len(data), None, tuple(objects), marks)
        self.seq += 1
        self.head = head
        return segment

    def mark(self) -> Mark:
        """Where the writer stands now."""
        return Mark(self.seq, self.head, self.state, self.next_outbox)

    def rewind(self, mark: Mark) -> None:
        """Go back to where the writer stood: what was written since is not in the chain."""
        self.seq, self.head, self.state, self.next_outbox = mark.seq, mark.head, mark.state, mark.next_outbox


def _checked(inline_max: int) -> int:
    if inline_max < INLINE_MIN:
        raise ConfigurationError("chain.inline_max", f"{inline_max} is below {INLINE_MIN}", "raise it")
    return inline_max


def _moved_out(value: object, inline_max: int, objects: list[tuple[bytes, bytes]]) -> object:
    if type(value) is bytes and len(value) > inline_max:
        digest = sha256(value)
        objects.append((digest, value))
        return [digest, len(value)]
    if type(value) is list:
        return [_moved_out(item, inline_max, objects) for item in value]
    if type(value) is dict:
        return {key: _moved_out(item, inline_max, objects) for key, item in value.items()}
    return value
