"""Readers of single nodes: scalars, strings and fixed-width arrays of validated canonical buffers.

Invariants: a reader believes that the node has the kind it was made for and that `scan` accepted the buffer; it never
looks beyond its node. Which form is wanted is decided when the reader is made, not when it runs.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from enum import Enum
from math import isfinite, isnan
from typing import TypeAlias

from theater_bus.core.values.model import FORMATS, Kind
from theater_bus.core.values.nodes import U32

__all__ = ["Decoder", "Form", "array_reader", "bytes_to_json", "read_string", "scalar_reader", "text_at"]

Decoder: TypeAlias = Callable[[bytes, list[int], int], object]
"""Reads a node of a validated canonical buffer as a plain value: (buffer, offsets of all nodes, node)."""


class Form(Enum):
    """What plain values are for: msgpack and Python, JSON, or JSON with 64-bit integers as strings."""

    PLAIN = "plain"
    JSON = "json"
    JSON_TEXT = "json-text"


_WIDE = {Kind.U64, Kind.S64, Kind.FLAGS}
_FLOATS = {Kind.F32, Kind.F64}


def text_at(buffer: bytes, at: int) -> tuple[str, int]:
    """The length-prefixed string at `at`, and the position after it."""
    end = at + 4 + U32.unpack_from(buffer, at)[0]
    return buffer[at + 4 : end].decode(), end


def read_string(buffer: bytes, offsets: list[int], node: int) -> object:
    """The text of a string node."""
    at = offsets[node] + 12
    return buffer[at : at + U32.unpack_from(buffer, at - 4)[0]].decode()


def _read_char(buffer: bytes, offsets: list[int], node: int) -> object:
    return chr(U32.unpack_from(buffer, offsets[node] + 8)[0])


def scalar_reader(kind: Kind, form: Form) -> Decoder:
    """The reader of a scalar or string kind; flags come as their mask."""
    if kind is Kind.STRING:
        return read_string
    if kind is Kind.CHAR:
        return _read_char
    unpack, convert = struct.Struct("<" + FORMATS[kind]).unpack_from, _converter(kind, form)
    if convert is None:
        return lambda buffer, offsets, node: unpack(buffer, offsets[node] + 8)[0]
    return lambda buffer, offsets, node: convert(unpack(buffer, offsets[node] + 8)[0])


def array_reader(kind: Kind, form: Form) -> Decoder:
    """The reader of an array of that kind: `bytes` for u8 (base64 in JSON), else a list."""
    if kind is Kind.U8:
        return _read_bytes if form is Form.PLAIN else _read_json_bytes
    if kind is Kind.CHAR:
        return _read_chars
    code, convert = FORMATS[kind], _converter(kind, form)

    def read_numbers(buffer: bytes, offsets: list[int], node: int) -> object:
        at = offsets[node] + 13
        (count,) = U32.unpack_from(buffer, at - 4)
        items = list(struct.unpack_from(f"<{count}{code}", buffer, at))
        return items if convert is None else [convert(item) for item in items]

    return read_numbers


def bytes_to_json(raw: bytes) -> dict[str, str]:
    """`{"$bytes": base64}`."""
    return {"$bytes": b64encode(raw).decode()}


def _read_bytes(buffer: bytes, offsets: list[int], node: int) -> bytes:
    at = offsets[node] + 13
    return buffer[at : at + U32.unpack_from(buffer, at - 4)[0]]


def _read_json_bytes(buffer: bytes, offsets: list[int], node: int) -> object:
    return bytes_to_json(_read_bytes(buffer, offsets, node))


def _read_chars(buffer: bytes, offsets: list[int], node: int) -> object:
    at = offsets[node] + 13
    return list(buffer[at : at + 4 * U32.unpack_from(buffer, at - 4)[0]].decode("utf-32-le"))


def _converter(kind: Kind, form: Form) -> Callable[[object], object] | None:
    if form is Form.JSON_TEXT and kind in _WIDE:
        return str
    return _float_to_json if form is not Form.PLAIN and kind in _FLOATS else None


def _float_to_json(number: object) -> object:
    assert isinstance(number, float)
    if isfinite(number):
        return number
    return {"$float": "nan" if isnan(number) else "inf" if number > 0 else "-inf"}
