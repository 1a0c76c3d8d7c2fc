"""Compiled encoders of scalars and fixed-width lists: one node each.

Invariants: an encoder appends exactly one node or raises `Fault`; integers are never wrapped, a bool is no integer, a
lone surrogate is no character, NaN and infinities enter from JSON only as `{"$float": …}`.
Source: wire protocol, "Plain values".
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import TypeAlias

from theater_bus.core.values.mismatch import Fault, shown
from theater_bus.core.values.model import FORMATS, WIDTHS, Kind
from theater_bus.core.values.nodes import NODE, Fixes, Out
from theater_bus.core.values.types import Scalar

__all__ = [
    "KINDS",
    "Encoder",
    "append_array",
    "array_encoder",
    "base64_bytes",
    "bytes_from_json",
    "decimal",
    "encode_bool",
    "encode_char",
    "encode_string",
    "float_from_json",
    "scalar_encoder",
]

Encoder: TypeAlias = Callable[[object, Out, Fixes, int], None]
"""Appends the nodes of a plain value: (value, nodes so far, child index places so far, nesting level)."""

KINDS: dict[Scalar, Kind] = {scalar: Kind[scalar.name] for scalar in Scalar}
"""The node kind of every declared scalar type."""

_INTEGERS = {Kind.U8, Kind.U16, Kind.U32, Kind.U64, Kind.S8, Kind.S16, Kind.S32, Kind.S64}
_WIDE = {Kind.U64, Kind.S64}
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,19})", re.ASCII)
_SPECIAL_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
_TRUE, _FALSE = NODE.pack(Kind.BOOL, 1) + b"\1", NODE.pack(Kind.BOOL, 1) + b"\0"
_CHAR = struct.Struct("<III")
_STRING = struct.Struct("<III")
_ARRAY = struct.Struct("<IIBI")


def scalar_encoder(kind: Kind, json: bool) -> Encoder:
    """The encoder of a scalar kind, from msgpack-like or from JSON values."""
    if kind in _INTEGERS:
        return _integer_encoder(kind, json and kind in _WIDE)
    if kind is Kind.F32 or kind is Kind.F64:
        return _float_encoder(kind, json)
    return {Kind.BOOL: encode_bool, Kind.CHAR: encode_char, Kind.STRING: encode_string}[kind]


def array_encoder(kind: Kind, json: bool) -> Encoder:
    """The encoder of a list of a fixed-width kind: all items in one go."""
    if kind is Kind.U8:
        return _bytes_encoder(json)
    if kind is Kind.CHAR:
        return _chars_encoder()
    return _numbers_encoder(kind, json)


def encode_bool(value: object, out: Out, fix: Fixes, depth: int) -> None:
    """Append a bool."""
    if value is True:
        out.append(_TRUE)
    elif value is False:
        out.append(_FALSE)
    else:
        raise Fault("bool", shown(value))


def encode_string(value: object, out: Out, fix: Fixes, depth: int) -> None:
    """Append a string."""
    if type(value) is not str:
        raise Fault("string", shown(value))
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:
        raise Fault("string", f"a lone surrogate at index {error.start}") from None
    size = len(raw)
    out.append(_STRING.pack(6, size + 4, size) + raw)


def encode_char(value: object, out: Out, fix: Fixes, depth: int) -> None:
    """Append a char, which is a one-character string outside."""
    out.append(_CHAR.pack(Kind.CHAR, 4, _code_point(value)))


def _code_point(value: object) -> int:
    if type(value) is not str or len(value) != 1:
        raise Fault("char (a one-character string)", shown(value))
    code = ord(value)
    if 0xD800 <= code < 0xE000:
        raise Fault("char", f"the lone surrogate {code:#x}")
    return code


def _integer_encoder(kind: Kind, from_text: bool) -> Encoder:
    pack, width, name = struct.Struct("<II" + FORMATS[kind]).pack, WIDTHS[kind], kind.name.lower()
    number = int(kind)

    def encode_integer(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if type(value) is not int:
            if not from_text:
                raise Fault(name, shown(value))
            value = decimal(value, name)
        try:
            out.append(pack(number, width, value))
        except struct.error:
            raise Fault(name, f"{shown(value)}, out of range") from None

    return encode_integer


def decimal(value: object, name: str) -> int:
    """The integer that a decimal string says. Raises `Fault` for anything else."""
    if type(value) is not str or not _DECIMAL.fullmatch(value):
        raise Fault(name, shown(value))
    return int(value)


def _float_encoder(kind: Kind, json: bool) -> Encoder:
    pack, width, name = struct.Struct("<II" + FORMATS[kind]).pack, WIDTHS[kind], kind.name.lower()
    number, convert = int(kind), _float_reader(name, json)

    def encode_float(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if json or type(value) is not float:
            value = convert(value)
        try:
            out.append(pack(number, width, value))
        except OverflowError:
            raise Fault(name, f"{shown(value)}, out of range") from None

    return encode_float


def _float_reader(name: str, json: bool) -> Callable[[object], float]:
    def read_float(value: object) -> float:
        if type(value) is float:
            if json and not isfinite(value):
                raise Fault(f'{name} (in JSON {{"$float": "nan"}})', shown(value))
            return value
        if type(value) is int:
            return _exact_float(value, name)
        special = float_from_json(value) if json else None
        if special is None:
            raise Fault(name, shown(value))
        return special

    return read_float


def _exact_float(value: int, name: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = 0.0
    if number != value:
        raise Fault(name, f"{shown(value)}, which no float holds exactly")
    return number


def float_from_json(value: object) -> float | None:
    """The number in `{"$float": "nan" | "inf" | "-inf"}`, None for everything else."""
    if type(value) is dict and len(value) == 1:
        special = value.get("$float")
        if type(special) is str:
            return _SPECIAL_FLOATS.get(special)
    return None


def bytes_from_json(value: object) -> bytes | None:
    """The bytes in `{"$bytes": base64}`, None for everything else. Raises `Fault` for bad base64."""
    if type(value) is dict and len(value) == 1 and "$bytes" in value:
        return base64_bytes(value["$bytes"])
    return None


def base64_bytes(text: object) -> bytes:
    """Strict standard base64 with padding. Raises `Fault` for anything else."""
    if type(text) is str:
        try:
            return b64decode(text, validate=True)
        except (Base64Error, ValueError):
            pass
    raise Fault("base64", shown(text))


def append_array(kind: int, count: int, data: bytes, out: Out) -> None:
    """Append an array node of `count` items of `kind`."""
    out.append(_ARRAY.pack(0x15, len(data) + 5, kind, count) + data)


def _bytes_encoder(json: bool) -> Encoder:
    pack = _ARRAY.pack
    one = scalar_encoder(Kind.U8, json)
    expected = 'list<u8> (in JSON {"$bytes": base64})' if json else "list<u8> (bytes)"

    def encode_bytes(value: object, out: Out, fix: Fixes, depth: int) -> None:
        raw = value if type(value) is bytes else read_bytes(value)
        size = len(raw)
        out.append(pack(0x15, size + 5, 0x0C, size) + raw)

    def read_bytes(value: object) -> bytes:
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        if isinstance(value, list | tuple):
            if _all_of(int, value) and (not value or (min(value) >= 0 and max(value) <= 255)):
                return bytes(value)
            raise _item_fault(value, one)
        found = bytes_from_json(value) if json else None
        if found is None:
            raise Fault(expected, shown(value))
        return found

    return encode_bytes


def _chars_encoder() -> Encoder:
    def encode_chars(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if type(value) is not list and not isinstance(value, tuple):
            raise Fault("list<char>", shown(value))
        try:
            data = struct.pack(f"<{len(value)}I", *map(_code_point, value))
        except Fault:
            raise _item_fault(value, encode_char) from None
        append_array(Kind.CHAR, len(value), data, out)

    return encode_chars


def _numbers_encoder(kind: Kind, json: bool) -> Encoder:
    code, name, one = FORMATS[kind], kind.name.lower(), scalar_encoder(kind, json)
    accepted = {Kind.BOOL: bool, Kind.F32: float, Kind.F64: float}.get(kind, int)
    read_float = _float_reader(name, json)

    def read_items(items: list[object] | tuple[object, ...]) -> Sequence[object]:
        if accepted is float:
            return items if not json and _all_of(float, items) else [read_float(item) for item in items]
        if _all_of(accepted, items):
            return items
        if json and kind in _WIDE:
            return [item if type(item) is int else decimal(item, name) for item in items]
        raise Fault(name, "an item of another type")

    def encode_numbers(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if type(value) is not list and not isinstance(value, tuple):
            raise Fault(f"list<{name}>", shown(value))
        try:
            data = struct.pack(f"<{len(value)}{code}", *read_items(value))
        except (Fault, struct.error, OverflowError):
            raise _item_fault(value, one) from None
        append_array(kind, len(value), data, out)

    return encode_numbers


def _all_of(wanted: type, items: Iterable[object]) -> bool:
    return set(map(type, items)) <= {wanted}


def _item_fault(items: Iterable[object], encode: Encoder) -> Fault:
    """The fault of the first item that `encode` refuses, which there is."""
    out: Out = []
    rest = iter(items)
    while True:
        try:
            encode(next(rest), out, [], 1)
        except Fault as fault:
            return fault.under(f"[{len(out)}]")
