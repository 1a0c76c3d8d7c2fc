"""Values that pass a bridge: spans for `list<u8>`, and the cargo that they point into (see `bridge`)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from theater_bus.core.values.types import ListOf, Scalar
from theater_bus.engine import ffi
from theater_bus.engine.component.passage import Passage
from theater_bus.engine.component.shape import Shape
from theater_bus.engine.component.wit_type import BYTES
from theater_bus.engine.ffi_component import VALUE_BYTES

__all__ = ["arrive", "base_of", "lift_answer", "lower_answer", "lower_cargo", "span_shape"]

_U32, _STRING, _TUPLE = 6, 12, 15
_PAIR: Final = Struct("<QQ").unpack_from
_ADDRESS: Final = Struct("<8xI28xI20x").unpack_from
_SPAN: Final = Struct("<B7xI20xB7xI20x").pack
_SIZED: Final = Struct("<B7xQQ8x").pack


def span_shape() -> Shape:
    """The shape of `list<u8>`: an address and a length."""
    return Shape(ListOf(Scalar.U8), BYTES, _lift, _lower)


def _lift(memory: Any, at: int, passage: Passage) -> object:
    address, size = _ADDRESS(_both(memory, at))
    passage.measure(size)
    return passage.unload(address, size) if size else b""


def _lower(value: bytes, passage: Passage) -> bytes:
    span = _SPAN(_U32, passage.load(value), _U32, len(value))
    return _SIZED(_TUPLE, 2, passage.keep(span))


def lower_cargo(passage: Passage) -> bytes:
    """The cargo as a value, once all is loaded."""
    digits = passage.loaded()
    return _SIZED(_STRING, len(digits), passage.keep(digits))


def lower_answer(value: bytes, passage: Passage) -> bytes:
    """An answer with its cargo in front, once all is loaded."""
    return _SIZED(_TUPLE, 2, passage.keep(lower_cargo(passage) + value))


def arrive(memory: Any, at: int, passage: Passage) -> None:
    """Take the cargo that is the value at this place."""
    size, pointer = _PAIR(memory, at + 8)
    if size:
        passage.arrived(ffi.memory_at(pointer, size))


def lift_answer(memory: Any, shape: Shape, passage: Passage) -> object:
    """An answer that has its cargo in front."""
    both = _both(memory, 0)
    arrive(both, 0, passage)
    return shape.lift(both, VALUE_BYTES, passage)


def base_of(memory: Any, at: int) -> int:
    """The address, given as the value at this place, that the answer's cargo will have."""
    found: Sequence[int] = _PAIR(memory, at + 8)
    return found[0]


def _both(memory: Any, at: int) -> memoryview:
    return ffi.memory_at(_PAIR(memory, at + 8)[1], 2 * VALUE_BYTES)
