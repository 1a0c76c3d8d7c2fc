"""Batches: what leaves in one append, and where an actor's log ends.

Invariants: a batch holds whole segments of one incarnation that follow one another (a genesis begins a batch); its
`head` is that of the last; `prev_stream_seq`, `state_seq` and `checkpoint_seq` are positions of earlier batches of the
same actor (0: none, or this batch), so that the last batch of an actor leads to all that recovery must read. Positions
are stream sequences, or for a log in memory or in a file the batch's ordinal, from 1.

Source: the chain page, "Segments and batches".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from theater_bus.core.chain.events import ZERO, pack, unpack
from theater_bus.core.chain.layout import Misshapen
from theater_bus.core.chain.segments import (
    CHECKPOINT,
    EXIT,
    GENESIS,
    STATE,
    Segment,
    Spilled,
    is_bin,
    is_uint,
    load_segment,
    segment_map,
)
from theater_bus.errors import ChainTampered

__all__ = ["SEGMENT_MAX", "VERSION", "Batch", "Tail", "decode_batch", "encode_batch", "segment_max"]

VERSION = 1
SEGMENT_MAX = 512 * 1024 - 4096

_KEYS = (
    "v",
    "actor",
    "incarnation",
    "epoch",
    "segments",
    "head",
    "prev_stream_seq",
    "state_seq",
    "checkpoint_seq",
    "sent_through",
)
_UINTS = ("epoch", "prev_stream_seq", "state_seq", "checkpoint_seq", "sent_through")


def segment_max(max_payload: int) -> int:
    """How long a segment may be to travel whole, given the server's `max_payload`; beyond it, it is spilled."""
    return min(max_payload, 512 * 1024) - 4096


@dataclass(frozen=True, slots=True)
class Batch:
    """The segments of one append; the fields are the keys of the map that travels."""

    actor: str
    incarnation: bytes
    epoch: int
    segments: tuple[Segment | Spilled, ...]
    head: bytes
    prev_stream_seq: int = 0
    state_seq: int = 0
    checkpoint_seq: int = 0
    sent_through: int = 0

    @property
    def first(self) -> int:
        """The sequence of the first event."""
        return self.segments[0].first

    @property
    def next_seq(self) -> int:
        """The sequence after the last event."""
        last = self.segments[-1]
        return last.first + last.count


@dataclass(slots=True)
class Tail:
    """Where one actor's log ends: what its next batch must say and continue.

    `position` is that of the last batch, 0 for none; `state_seq` and `checkpoint_seq` those of the last batches with a
    state and a checkpoint; `exited` says that the last incarnation ended.
    """

    actor: str
    incarnation: bytes
    epoch: int = 0
    next_seq: int = 0
    head: bytes = ZERO
    position: int = 0
    state_seq: int = 0
    checkpoint_seq: int = 0
    sent_through: int = 0
    exited: bool = False

    def batch(self, segments: Sequence[Segment | Spilled], marks: int) -> Batch:
        """The batch that carries `segments` next; `marks` are those of all of them together."""
        return Batch(
            self.actor,
            self.incarnation,
            self.epoch,
            tuple(segments),
            segments[-1].head,
            self.position,
            0 if marks & STATE else self.state_seq,
            0 if marks & CHECKPOINT else self.checkpoint_seq,
            self.sent_through,
        )

    def advance(self, position: int, next_seq: int, head: bytes, marks: int) -> None:
        """Take in that a batch is in the log, at `position`."""
        self.position = position
        self.next_seq = next_seq
        self.head = head
        if marks:
            if marks & STATE:
                self.state_seq = position
            if marks & CHECKPOINT:
                self.checkpoint_seq = position
            if marks & GENESIS:
                self.exited = False
            if marks & EXIT:
                self.exited = True


def encode_batch(batch: Batch) -> bytes:
    """The bytes of a batch, keys in the order of the page."""
    return pack(
        {
            "v": VERSION,
            "actor": batch.actor,
            "incarnation": batch.incarnation,
            "epoch": batch.epoch,
            "segments": [segment_map(segment) for segment in batch.segments],
            "head": batch.head,
            "prev_stream_seq": batch.prev_stream_seq,
            "state_seq": batch.state_seq,
            "checkpoint_seq": batch.checkpoint_seq,
            "sent_through": batch.sent_through,
        }
    )


def decode_batch(data: bytes) -> Batch:
    """The batch in `data`. Raises `ChainTampered` for anything that is not one; hashes are the verifier's business."""
    try:
        value = unpack(data)
        if type(value) is not dict or value.keys() != set(_KEYS):
            raise Misshapen("a batch has other keys than it must")
        if value["v"] != VERSION or type(value["v"]) is not int:
            raise Misshapen(f"batch version {value['v']!r:.20} is not {VERSION}")
        if type(value["actor"]) is not str or not is_bin(value["incarnation"], 16) or not is_bin(value["head"], 32):
            raise Misshapen("actor, incarnation or head of a batch")
        for key in _UINTS:
            if not is_uint(value[key]):
                raise Misshapen(f"{key} of a batch is not an unsigned integer")
        if type(value["segments"]) is not list or not value["segments"]:
            raise Misshapen("a batch without segments")
        segments = tuple(map(load_segment, value["segments"]))
    except Misshapen as wrong:
        raise ChainTampered(str(wrong)) from None
    return Batch(
        value["actor"],
        value["incarnation"],
        value["epoch"],
        segments,
        value["head"],
        value["prev_stream_seq"],
        value["state_seq"],
        value["checkpoint_seq"],
        value["sent_through"],
    )
