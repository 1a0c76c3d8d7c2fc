"""Dynamic values: what a CGRF buffer says, with nothing lost.

Invariants: values are immutable and compare by content; everything that the bytes hold beyond the value itself (kinds
of scalars, type tags, type and case names, NaN bits) is kept, so that encoding a decoded value gives the canonical
bytes again; a list of fixed-width items is always an `ArrayValue`, whose `data` for `list<u8>` is simply the bytes.
Type tags are advisory (pack-abi §1.3): they are kept and written back, and nothing here believes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

__all__ = [
    "FORMATS",
    "UNIT",
    "WIDTHS",
    "ArrayValue",
    "FloatValue",
    "Kind",
    "ListValue",
    "OptionValue",
    "RecordValue",
    "ResultValue",
    "ScalarValue",
    "Tag",
    "TupleValue",
    "Value",
    "VariantValue",
    "fold_name",
    "list_of",
    "tag_of",
]


class Kind(IntEnum):
    """The node kinds of CGRF, which are also the first byte of a type tag (pack-abi §1.2)."""

    BOOL = 0x01
    S32 = 0x02
    S64 = 0x03
    F32 = 0x04
    F64 = 0x05
    STRING = 0x06
    LIST = 0x07
    VARIANT = 0x08
    RECORD = 0x09
    OPTION = 0x0A
    TUPLE = 0x0B
    U8 = 0x0C
    U16 = 0x0D
    U32 = 0x0E
    U64 = 0x0F
    S8 = 0x10
    S16 = 0x11
    CHAR = 0x12
    FLAGS = 0x13
    RESULT = 0x14
    ARRAY = 0x15


FORMATS: dict[Kind, str] = {
    Kind.BOOL: "?",
    Kind.S32: "i",
    Kind.S64: "q",
    Kind.F32: "f",
    Kind.F64: "d",
    Kind.U8: "B",
    Kind.U16: "H",
    Kind.U32: "I",
    Kind.U64: "Q",
    Kind.S8: "b",
    Kind.S16: "h",
    Kind.CHAR: "I",
    Kind.FLAGS: "Q",
}
"""The `struct` code of every fixed-width kind; the kinds in here are those that arrays can hold."""

WIDTHS: dict[Kind, int] = {kind: struct.calcsize("<" + code) for kind, code in FORMATS.items()}
"""Bytes per item of every fixed-width kind."""

_INTEGER_OF = {Kind.F32: "I", Kind.F64: "Q"}


@dataclass(frozen=True, slots=True)
class Tag:
    """A type tag: a kind, the tags in its angle brackets, and for records and variants a name."""

    kind: Kind
    args: tuple[Tag, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class ScalarValue:
    """A bool, an integer, a char or string (as `str`), or flags (as an integer mask)."""

    kind: Kind
    value: bool | int | str


@dataclass(frozen=True, slots=True)
class FloatValue:
    """An f32 or f64, held as its IEEE bits: NaN payloads survive, and -0.0 differs from 0.0."""

    kind: Kind
    bits: int

    @classmethod
    def of(cls, kind: Kind, number: float) -> FloatValue:
        """The value for `number`. Raises `OverflowError` where an f32 cannot hold it."""
        (bits,) = struct.unpack("<" + _INTEGER_OF[kind], struct.pack("<" + FORMATS[kind], number))
        return cls(kind, bits)

    @property
    def number(self) -> float:
        """The number as a Python float."""
        (number,) = struct.unpack("<" + FORMATS[self.kind], struct.pack("<" + _INTEGER_OF[self.kind], self.bits))
        return float(number)


@dataclass(frozen=True, slots=True)
class ArrayValue:
    """A list of fixed-width items as their little-endian bytes, exactly as they travel."""

    elem: Kind
    data: bytes

    def __len__(self) -> int:
        return len(self.data) // WIDTHS[self.elem]

    def items(self) -> tuple[Value, ...]:
        """The items one by one, as scalar and float values."""
        if self.elem in _INTEGER_OF:
            bits = struct.unpack(f"<{len(self)}{_INTEGER_OF[self.elem]}", self.data)
            return tuple(FloatValue(self.elem, b) for b in bits)
        if self.elem is Kind.CHAR:
            return tuple(ScalarValue(Kind.CHAR, c) for c in self.data.decode("utf-32-le"))
        values = struct.unpack(f"<{len(self)}{FORMATS[self.elem]}", self.data)
        return tuple(ScalarValue(self.elem, v) for v in values)


@dataclass(frozen=True, slots=True)
class ListValue:
    """A list whose items are nodes of their own. Use `list_of` where the item type may be fixed-width."""

    elem: Tag
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class OptionValue:
    """Some value, or None for none."""

    inner: Tag
    value: Value | None


@dataclass(frozen=True, slots=True)
class ResultValue:
    """The payload of an ok (`is_ok`) or an err."""

    ok: Tag
    err: Tag
    is_ok: bool
    value: Value


@dataclass(frozen=True, slots=True)
class RecordValue:
    """Named fields in order. A name may occur twice: guests accept that, so it is kept."""

    name: str
    fields: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class VariantValue:
    """A case by number, with its names as written and any number of payload values."""

    name: str
    case: str
    tag: int
    payload: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class TupleValue:
    """A tuple; the empty one is unit."""

    items: tuple[Value, ...]


Value: TypeAlias = (
    ScalarValue
    | FloatValue
    | ArrayValue
    | ListValue
    | OptionValue
    | ResultValue
    | RecordValue
    | VariantValue
    | TupleValue
)

UNIT = TupleValue(())


def list_of(elem: Tag, items: Iterable[Value]) -> ListValue | ArrayValue:
    """The list of `items`: an array when `elem` is fixed-width (pack-abi §1.4).

    Raises `ValueError` when a fixed-width list holds an item of another kind.
    """
    code = FORMATS.get(elem.kind)
    if code is None:
        return ListValue(elem, tuple(items))
    raw: list[int] = []
    for item in items:
        if not isinstance(item, ScalarValue | FloatValue) or item.kind is not elem.kind:
            raise ValueError(f"a list of {elem.kind.name.lower()} cannot hold {item!r}")
        number = item.bits if isinstance(item, FloatValue) else item.value
        raw.append(ord(number) if isinstance(number, str) else number)
    return ArrayValue(elem.kind, struct.pack(f"<{len(raw)}{_INTEGER_OF.get(elem.kind, code)}", *raw))


def tag_of(value: Value) -> Tag:
    """The type tag that describes `value`, as a guest of the current generation would write it."""
    match value:
        case ScalarValue(kind) | FloatValue(kind):
            return Tag(kind)
        case ArrayValue(elem):
            return Tag(Kind.LIST, (Tag(elem),))
        case ListValue(tag):
            return Tag(Kind.LIST, (tag,))
        case OptionValue(inner):
            return Tag(Kind.OPTION, (inner,))
        case ResultValue(ok, err):
            return Tag(Kind.RESULT, (ok, err))
        case RecordValue(name):
            return Tag(Kind.RECORD, name=name)
        case VariantValue(name):
            return Tag(Kind.VARIANT, name=name)
    return Tag(Kind.TUPLE, tuple([tag_of(item) for item in value.items]))


def fold_name(name: str) -> str:
    """`name` without case, `_` and `-`: `read-only`, `read_only` and `ReadOnly` are one field (pack-abi §2.2)."""
    return name.replace("_", "").replace("-", "").lower()
