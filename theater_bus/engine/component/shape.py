"""How values of one WIT type cross: from `wasmtime_component_val_t` to plain values (lift) and back (lower).

The plain values are those of the codecs (wire protocol, "Plain values"), so that a codec of the same type turns them
into CGRF. A handle on a host resource is the resource's number, a `u32`.

Invariants: a lifter reads within the value it was given and counts against the passage before it makes objects; a
lowerer gets what a decoder of the same type made, and therefore checks nothing; both are shared by all instances.
Source: `wasmtime/component/val.h` of the wasmtime C API; the layouts are checked by `ffi_component.check_symbols`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, TypeAlias

from theater_bus.core.values.types import (
    Case,
    Field,
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Variant,
)
from theater_bus.engine import ffi, ffi_component
from theater_bus.engine.component.passage import Passage
from theater_bus.engine.component.wit_type import BYTES, WitType
from theater_bus.engine.ffi_component import VALUE_BYTES

__all__ = [
    "Shape",
    "enum_shape",
    "flags_shape",
    "handle_shape",
    "list_shape",
    "option_shape",
    "record_shape",
    "result_shape",
    "scalar_shape",
    "tuple_shape",
    "variant_shape",
]

Lift: TypeAlias = Callable[[Any, int, Passage], object]
"""(memory, place of the value in it, passage) → plain value. Raises `TooMuch`."""

Lower: TypeAlias = Callable[[Any, Passage], bytes]
"""(plain value, passage) → the 32 bytes of the value."""

_CODES: Final = {
    Scalar.BOOL: (0, "?"),
    Scalar.S8: (1, "b"),
    Scalar.U8: (2, "B"),
    Scalar.S16: (3, "h"),
    Scalar.U16: (4, "H"),
    Scalar.S32: (5, "i"),
    Scalar.U32: (6, "I"),
    Scalar.S64: (7, "q"),
    Scalar.U64: (8, "Q"),
    Scalar.F32: (9, "f"),
    Scalar.F64: (10, "d"),
    Scalar.CHAR: (11, "I"),
}
_WIDTHS: Final = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}
_STRING, _LIST, _RECORD, _TUPLE, _VARIANT, _ENUM, _OPTION, _RESULT, _FLAGS, _RESOURCE = range(12, 22)
_PAIR: Final = Struct("<QQ").unpack_from
_WORD: Final = Struct("<Q").unpack_from
_SIZED: Final = Struct("<B7xQQ8x").pack
_POINTER: Final = Struct("<B7xQ16x").pack
_RESULT_VALUE: Final = Struct("<B7x?7xQ8x").pack
_VARIANT_VALUE: Final = Struct("<B7xQQQ").pack
_NAME: Final = Struct("<QQ").pack
_ENTRY_BYTES: Final = 48
_NAME_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """A WIT type: what it is in our type model, and how its values cross.

    `wit` is the type itself; `code` is the struct code of a fixed-width scalar, empty for the others.
    """

    type: Type
    wit: WitType
    lift: Lift
    lower: Lower
    code: str = ""


def _view(pointer: int, size: int) -> memoryview:
    return ffi.memory_at(pointer, size)


def _text(pointer: int, size: int) -> str:
    return str(ffi.memory_at(pointer, size), "utf-8") if size else ""


# -- scalars and text --------------------------------------------------------------------------------------------------


def scalar_shape(scalar: Scalar) -> Shape:
    """The shape of a scalar, or of `string`."""
    if scalar is Scalar.STRING:
        return Shape(scalar, WitType("string"), _lift_string, _lower_string)
    kind, code = _CODES[scalar]
    wit = WitType(scalar.value)
    unpack = Struct(f"<{code}").unpack_from
    pack = Struct(f"<B7x{code}{24 - _WIDTHS[code]}x").pack
    if scalar is Scalar.CHAR:
        return Shape(
            scalar, wit, lambda m, at, _p: chr(unpack(m, at + 8)[0]), lambda value, _p: pack(kind, ord(value)), code
        )
    return Shape(scalar, wit, lambda m, at, _p: unpack(m, at + 8)[0], lambda value, _p: pack(kind, value), code)


def _lift_string(memory: Any, at: int, passage: Passage) -> object:
    size, pointer = _PAIR(memory, at + 8)
    passage.measure(size)
    return _text(pointer, size)


def _lower_string(value: str, passage: Passage) -> bytes:
    raw = value.encode()
    return _SIZED(_STRING, len(raw), passage.keep(raw))


# -- lists -------------------------------------------------------------------------------------------------------------


def list_shape(element: Shape) -> Shape:
    """The shape of `list<element>`; those of fixed-width scalars cross without a Python object for each item."""
    code = element.code
    if code == "B":
        return Shape(ListOf(element.type), BYTES, _lift_bytes, _lower_bytes)
    wit = WitType("list", parts=(element.wit,))
    if code and element.type is not Scalar.CHAR:
        return Shape(ListOf(element.type), wit, _number_lifter(code), _number_lowerer(element, code))
    lift_item, lower_item = element.lift, element.lower

    def lift(memory: Any, at: int, passage: Passage) -> object:
        size, pointer = _PAIR(memory, at + 8)
        passage.count(size)
        if not size:
            return []
        items = _view(pointer, size * VALUE_BYTES)
        return [lift_item(items, place, passage) for place in range(0, size * VALUE_BYTES, VALUE_BYTES)]

    def lower(value: Sequence[object], passage: Passage) -> bytes:
        items = b"".join([lower_item(item, passage) for item in value])
        return _SIZED(_LIST, len(value), passage.keep(items))

    return Shape(ListOf(element.type), wit, lift, lower)


def _lift_bytes(memory: Any, at: int, passage: Passage) -> object:
    size, pointer = _PAIR(memory, at + 8)
    passage.measure(size)
    return _view(pointer, size * VALUE_BYTES)[8::VALUE_BYTES].tobytes() if size else b""


def _lower_bytes(value: bytes, passage: Passage) -> bytes:
    size = len(value)
    if size < 64:
        return _SIZED(_LIST, size, passage.keep(b"".join([_BYTE_VALUES[byte] for byte in value])))
    items = bytearray(size * VALUE_BYTES)
    items[::VALUE_BYTES] = b"\2" * size
    items[8::VALUE_BYTES] = value
    return _SIZED(_LIST, size, passage.keep_large(items))


_BYTE_VALUES: Final = [Struct("<B7xB23x").pack(2, byte) for byte in range(256)]


def _number_lifter(code: str) -> Lift:
    width = _WIDTHS[code]
    stride = VALUE_BYTES // width

    def lift(memory: Any, at: int, passage: Passage) -> object:
        size, pointer = _PAIR(memory, at + 8)
        passage.measure(size * width)
        if not size:
            return []
        items: Any = _view(pointer, size * VALUE_BYTES)
        return items.cast(code)[8 // width :: stride].tolist()

    return lift


def _number_lowerer(element: Shape, code: str) -> Lower:
    kind, width = _CODES[element.type][0], _WIDTHS[code]  # type: ignore[index]  # only scalars have a code
    stride = VALUE_BYTES // width

    def lower(value: Sequence[Any], passage: Passage) -> bytes:
        size = len(value)
        items = bytearray(size * VALUE_BYTES)
        items[::VALUE_BYTES] = bytes([kind]) * size
        packed: Any = memoryview(Struct(f"<{size}{code}").pack(*value))
        view: Any = memoryview(items)
        view.cast(code)[8 // width :: stride] = packed.cast(code)
        return _SIZED(_LIST, size, passage.keep_large(items) if size else 0)

    return lower


# -- products ----------------------------------------------------------------------------------------------------------


def tuple_shape(items: Sequence[Shape]) -> Shape:
    """The shape of `tuple<…>`."""
    lifts, lowers, size = [item.lift for item in items], [item.lower for item in items], len(items) * VALUE_BYTES

    def lift(memory: Any, at: int, passage: Passage) -> object:
        found = _view(_PAIR(memory, at + 8)[1], size)
        return [lift_item(found, place * VALUE_BYTES, passage) for place, lift_item in enumerate(lifts)]

    def lower(value: Sequence[object], passage: Passage) -> bytes:
        parts = b"".join([lower_item(item, passage) for lower_item, item in zip(lowers, value, strict=True)])
        return _SIZED(_TUPLE, len(lowers), passage.keep(parts))

    wit = WitType("tuple", parts=tuple(item.wit for item in items))
    return Shape(TupleOf(tuple(item.type for item in items)), wit, lift, lower)


def record_shape(name: str, fields: Sequence[tuple[str, Shape]]) -> Shape:
    """The shape of a record."""
    lifts = [(field, shape.lift) for field, shape in fields]
    names = [field.encode() for field, _ in fields]
    lowers = [
        (field, _NAME(len(raw), ffi.address_of(raw)), shape.lower)
        for (field, shape), raw in zip(fields, names, strict=True)
    ]
    size = len(fields) * _ENTRY_BYTES

    def lift(memory: Any, at: int, passage: Passage) -> object:
        found = _view(_PAIR(memory, at + 8)[1], size)
        return {
            field: lift_field(found, place * _ENTRY_BYTES + _NAME_BYTES, passage)
            for place, (field, lift_field) in enumerate(lifts)
        }

    # `names` is a default, so that the texts that `lowers` points to live as long as the function.
    def lower(value: dict[str, object], passage: Passage, _names: Sequence[bytes] = names) -> bytes:
        entries = b"".join([head + lower_field(value[field], passage) for field, head, lower_field in lowers])
        return _SIZED(_RECORD, len(lowers), passage.keep(entries))

    wit = WitType("record", tuple(field for field, _ in fields), tuple(shape.wit for _, shape in fields))
    return Shape(Record(name, tuple(Field(field, shape.type) for field, shape in fields)), wit, lift, lower)


def flags_shape(name: str, names: Sequence[str]) -> Shape:
    """The shape of flags."""
    raws = {one: one.encode() for one in names}
    heads = {one: _NAME(len(raw), ffi.address_of(raw)) for one, raw in raws.items()}

    def lift(memory: Any, at: int, _passage: Passage) -> object:
        size, pointer = _PAIR(memory, at + 8)
        if not size:
            return []
        entries = _view(pointer, size * _NAME_BYTES)
        found = set()
        for place in range(size):
            length, text = _PAIR(entries, place * _NAME_BYTES)
            found.add(_text(text, length))
        return [one for one in raws if one in found]

    def lower(value: Sequence[str], passage: Passage, _raws: object = raws) -> bytes:
        return _SIZED(_FLAGS, len(value), passage.keep(b"".join([heads[one] for one in value])))

    return Shape(Flags(name, tuple(names)), WitType("flags", tuple(names)), lift, lower)


# -- sums --------------------------------------------------------------------------------------------------------------


def option_shape(inner: Shape) -> Shape:
    """The shape of `option<inner>`; an option in an option says `{"some": …}`."""
    nested = isinstance(inner.type, OptionOf)
    lift_inner, lower_inner = inner.lift, inner.lower
    none = _POINTER(_OPTION, 0)

    def lift(memory: Any, at: int, passage: Passage) -> object:
        pointer = _WORD(memory, at + 8)[0]
        if not pointer:
            return None
        value = lift_inner(_view(pointer, VALUE_BYTES), 0, passage)
        return {"some": value} if nested else value

    def lower(value: Any, passage: Passage) -> bytes:
        if value is None:
            return none
        return _POINTER(_OPTION, passage.keep(lower_inner(value["some"] if nested else value, passage)))

    return Shape(OptionOf(inner.type), WitType("option", parts=(inner.wit,)), lift, lower)


def result_shape(ok: Shape | None, err: Shape | None) -> Shape:
    """The shape of `result<ok, err>`."""

    def lift(memory: Any, at: int, passage: Passage) -> object:
        is_ok, pointer = _PAIR(memory, at + 8)
        side = ok if is_ok & 0xFF else err
        value = None if side is None else side.lift(_view(pointer, VALUE_BYTES), 0, passage)
        return {"ok" if is_ok & 0xFF else "err": value}

    def lower(value: dict[str, object], passage: Passage) -> bytes:
        is_ok = "ok" in value
        side = ok if is_ok else err
        pointer = 0 if side is None else passage.keep(side.lower(value["ok" if is_ok else "err"], passage))
        return _RESULT_VALUE(_RESULT, is_ok, pointer)

    type_ = ResultOf(None if ok is None else ok.type, None if err is None else err.type)
    wit = WitType("result", parts=(None if ok is None else ok.wit, None if err is None else err.wit))
    return Shape(type_, wit, lift, lower)


def variant_shape(name: str, cases: Sequence[tuple[str, Shape | None]]) -> Shape:
    """The shape of a variant."""
    shapes = dict(cases)
    raws = {case: case.encode() for case in shapes}

    def lift(memory: Any, at: int, passage: Passage) -> object:
        length, text = _PAIR(memory, at + 8)
        case = _text(text, length)
        shape = shapes[case]
        if shape is None:
            return case
        return {case: shape.lift(_view(_WORD(memory, at + 24)[0], VALUE_BYTES), 0, passage)}

    def lower(value: Any, passage: Passage) -> bytes:
        case, payload = (value, None) if type(value) is str else next(iter(value.items()))
        shape, raw = shapes[case], raws[case]
        pointer = 0 if shape is None else passage.keep(shape.lower(payload, passage))
        return _VARIANT_VALUE(_VARIANT, len(raw), ffi.address_of(raw), pointer)

    type_ = Variant(name, tuple(Case(case, None if shape is None else shape.type) for case, shape in cases))
    parts = tuple(None if shape is None else shape.wit for _, shape in cases)
    return Shape(type_, WitType("variant", tuple(shapes), parts), lift, lower)


def enum_shape(name: str, names: Sequence[str]) -> Shape:
    """The shape of an enum: a variant without payloads."""
    raws = {one: one.encode() for one in names}

    def lift(memory: Any, at: int, _passage: Passage) -> object:
        length, text = _PAIR(memory, at + 8)
        return _text(text, length)

    def lower(value: str, _passage: Passage) -> bytes:
        raw = raws[value]
        return _SIZED(_ENUM, len(raw), ffi.address_of(raw))

    wit = WitType("enum", tuple(names), (None,) * len(names))
    return Shape(Variant(name, tuple(Case(one, None) for one in names)), wit, lift, lower)


def handle_shape(type_number: int, kind: str) -> Shape:
    """The shape of a handle (`own` or `borrow`) on a host resource; what is lowered is owned by the guest from then on.

    In its WIT type the resource is named by its number.
    """

    def lift(memory: Any, at: int, passage: Passage) -> object:
        return ffi_component.resource_number(passage.context, _WORD(memory, at + 8)[0])

    def lower(value: int, passage: Passage) -> bytes:
        return _POINTER(_RESOURCE, passage.handle(type_number, value))

    return Shape(Scalar.U32, WitType(kind, (f"r{type_number}",)), lift, lower)
