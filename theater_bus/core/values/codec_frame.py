"""The learned frame: the fast way to read an output that looks like the one before.

Invariants: a frame accepts only what the general reader accepts, with the same outcome; everything else it leaves to
it. It is learned from an output that the general reader accepted: of state and value only the bytes of two single nodes
can then differ, and they are checked one by one; header, tuple node and result node must be the same bytes.
Source of the idea: measured, four times cheaper than the general reader.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from theater_bus.core.values.codec_outcome import Outcome
from theater_bus.core.values.codec_scalar import KINDS
from theater_bus.core.values.codec_value import ValueCodec, value_codec
from theater_bus.core.values.model import WIDTHS, Kind
from theater_bus.core.values.nodes import NODE, Limits
from theater_bus.core.values.scan import ITEM_CHECKS, SCALAR_CHECKS, Layout, text_end
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.values.types import ListOf, ResultOf, Scalar, TupleOf, Type

__all__ = ["Frame", "frame_learner"]

Frame: TypeAlias = Callable[[bytes], Outcome | None]
"""The outcome of an output that has the learned frame, else None."""

_Matcher: TypeAlias = Callable[[bytes, int, int], int]
"""The end of the single node at a position if it is of the type and ends by a limit, else -1: (data, at, limit)."""

_ARRAY = struct.Struct("<IIBI")


def frame_learner(declared: Type | None, limits: Limits) -> Callable[[bytes, Layout, Outcome], Frame | None] | None:
    """Makes frames of outputs with a single-node state and a single-node value; None where no such type is declared."""
    if not isinstance(declared, ResultOf) or not isinstance(declared.ok, TupleOf) or len(declared.ok.items) != 2:
        return None
    state, value = declared.ok.items
    match_state, match_value, codec = _matcher(state), _matcher(value), value_codec(value)
    if match_state is None or match_value is None:
        return None
    fixed_state = isinstance(state, Scalar) and state is not Scalar.STRING and KINDS[state] not in SCALAR_CHECKS

    def learn(output: bytes, layout: Layout, outcome: Outcome) -> Frame | None:
        # The canonical order leaves one way to lay out four nodes of which an ok pair is the root's payload, so that
        # the last two must be the pair and the result around it, whatever tags they carry.
        offsets, size = layout.offsets, len(output)
        if not outcome.ok or layout.data is not output or len(offsets) != 4:
            return None
        if match_state(output, offsets[0], size) != offsets[1] or match_value(output, offsets[1], size) != offsets[2]:
            return None
        tail = output[offsets[2] :]
        if fixed_state:
            return _fixed_frame(output[: offsets[0] + 8], offsets[1], tail, match_value, codec, limits.max_bytes)
        return _frame(output[: offsets[0]], tail, match_state, match_value, codec, limits.max_bytes)

    return learn


def _fixed_frame(
    head: bytes, middle: int, tail: bytes, match_value: _Matcher, codec: ValueCodec, max_bytes: int
) -> Frame:
    """The frame of a state of which every bit pattern is valid: its node lies between `head` and `middle`."""
    first, tail_size, fewest = len(head) - 8, len(tail), middle + len(tail)

    def read(output: bytes) -> Outcome | None:
        size = len(output)
        if not fewest <= size <= max_bytes or not output.endswith(tail) or not output.startswith(head):
            return None
        end = size - tail_size
        if match_value(output, middle, end) != end:
            return None
        return Outcome(True, Subtree(output[first:middle], 1), Subtree(output[middle:end], 1), codec)

    return read


def _frame(
    head: bytes, tail: bytes, match_state: _Matcher, match_value: _Matcher, codec: ValueCodec, max_bytes: int
) -> Frame:
    first, tail_size = len(head), len(tail)

    def read(output: bytes) -> Outcome | None:
        size = len(output)
        if size > max_bytes or not output.endswith(tail) or not output.startswith(head):
            return None
        end = size - tail_size
        middle = match_state(output, first, end)
        if middle < 0 or match_value(output, middle, end) != end:
            return None
        return Outcome(True, Subtree(output[first:middle], 1), Subtree(output[middle:end], 1), codec)

    return read


def _matcher(type_: Type) -> _Matcher | None:
    if isinstance(type_, Scalar):
        return _match_string if type_ is Scalar.STRING else _fixed_matcher(KINDS[type_])
    if isinstance(type_, ListOf) and isinstance(type_.element, Scalar) and type_.element is not Scalar.STRING:
        return _array_matcher(KINDS[type_.element])
    return None


def _fixed_matcher(kind: Kind) -> _Matcher:
    head, width, check = NODE.pack(kind, WIDTHS[kind]), WIDTHS[kind], SCALAR_CHECKS.get(kind)

    def match(data: bytes, at: int, limit: int) -> int:
        payload = at + 8
        end = payload + width
        if end > limit or data[at:payload] != head or (check is not None and not check(data, payload, end)):
            return -1
        return end

    return match


def _match_string(data: bytes, at: int, limit: int) -> int:
    if at + 12 > limit:
        return -1
    kind, length = NODE.unpack_from(data, at)
    end: int = at + 8 + length
    return end if kind == Kind.STRING and end <= limit and text_end(data, at + 8, end) == end else -1


def _array_matcher(kind: Kind) -> _Matcher:
    wanted, width, check = int(kind), WIDTHS[kind], ITEM_CHECKS.get(kind)

    def match(data: bytes, at: int, limit: int) -> int:
        items = at + 13
        if items > limit:
            return -1
        node, length, elem, count = _ARRAY.unpack_from(data, at)
        end: int = at + 8 + length
        if node != 0x15 or elem != wanted or end > limit or end - items != count * width:
            return -1
        return -1 if check is not None and not check(data, items, end) else end

    return match
