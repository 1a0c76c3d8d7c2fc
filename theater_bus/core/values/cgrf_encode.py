"""Writing dynamic values as CGRF.

Invariants: the output is canonical (pack-abi §1.4): post-order, one node per value, fixed-width lists as arrays, zero
flags; nothing is written that the decoder would refuse, depth and ranges included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from theater_bus.core.values.model import (
    FORMATS,
    WIDTHS,
    ArrayValue,
    FloatValue,
    Kind,
    ListValue,
    OptionValue,
    RecordValue,
    ResultValue,
    ScalarValue,
    Tag,
    TupleValue,
    Value,
    VariantValue,
)
from theater_bus.core.values.nodes import MAX_DEPTH, NODE, U32, Fixes, Out, assemble, indices, tuple_node
from theater_bus.core.values.subtree import Subtree
from theater_bus.errors import SerializationError

__all__ = ["append_value", "array_node", "encode", "encode_subtree", "encode_tag", "text_bytes"]


def encode(value: Value) -> bytes:
    """`value` as a complete CGRF buffer. Raises `SerializationError` for a value that has no encoding."""
    return encode_subtree(value).standalone()


def encode_subtree(value: Value) -> Subtree:
    """`value` as a subtree, ready to be spliced. Raises `SerializationError` as `encode` does."""
    out: Out = []
    fix: Fixes = []
    append_value(value, out, fix, 1)
    return assemble(out, fix)


def append_value(value: Value, out: Out, fix: Fixes, depth: int) -> None:
    """Append the nodes of `value`, whose root will lie at nesting level `depth` (1 = outermost)."""
    if depth > MAX_DEPTH:
        raise SerializationError(f"value is nested more than {MAX_DEPTH} levels deep")
    _APPENDERS[type(value)](value, out, fix, depth)


@lru_cache(maxsize=1024)
def encode_tag(tag: Tag) -> bytes:
    """A type tag as it lies in payloads (pack-abi §1.3). Raises `SerializationError` when nested too deep."""
    return _tag_bytes(tag, 1)


def _tag_bytes(tag: Tag, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise SerializationError(f"type tag is nested more than {MAX_DEPTH} levels deep")
    head = bytes((tag.kind,))
    if tag.kind is Kind.RECORD or tag.kind is Kind.VARIANT:
        return head + text_bytes(tag.name)
    if tag.kind is Kind.TUPLE:
        head += U32.pack(len(tag.args))
    return head + b"".join([_tag_bytes(arg, depth + 1) for arg in tag.args])


def text_bytes(text: str) -> bytes:
    """A string as length and UTF-8. Raises `SerializationError` for lone surrogates."""
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise SerializationError(f"string holds a lone surrogate at index {error.start}") from None
    return U32.pack(len(raw)) + raw


def array_node(elem: int, count: int, data: bytes) -> bytes:
    """An array node over the raw bytes of `count` fixed-width items."""
    return b"".join((NODE.pack(Kind.ARRAY, 5 + len(data)), bytes((elem,)), U32.pack(count), data))


def _scalar(value: ScalarValue, out: Out, fix: Fixes, depth: int) -> None:
    kind, plain = value.kind, value.value
    if kind is Kind.STRING and isinstance(plain, str):
        raw = text_bytes(plain)
        out.append(NODE.pack(Kind.STRING, len(raw)) + raw)
        return
    if kind is Kind.CHAR and isinstance(plain, str) and len(plain) == 1 and not 0xD800 <= ord(plain) < 0xE000:
        plain = ord(plain)
    elif type(plain) is not (bool if kind is Kind.BOOL else int) or kind in (Kind.CHAR, Kind.F32, Kind.F64):
        raise SerializationError(f"{plain!r} is no {kind.name.lower()}")
    try:
        payload = struct.pack("<" + FORMATS[kind], plain)
    except (struct.error, KeyError):
        raise SerializationError(f"{plain!r} is no {kind.name.lower()}") from None
    out.append(NODE.pack(kind, len(payload)) + payload)


def _float(value: FloatValue, out: Out, fix: Fixes, depth: int) -> None:
    width = WIDTHS[value.kind]
    out.append(NODE.pack(value.kind, width) + value.bits.to_bytes(width, "little"))


def _array(value: ArrayValue, out: Out, fix: Fixes, depth: int) -> None:
    width = WIDTHS[value.elem]
    if len(value.data) % width:
        raise SerializationError(f"{len(value.data)} bytes are no whole number of {value.elem.name.lower()} items")
    out.append(array_node(value.elem, len(value.data) // width, value.data))


def _children(values: tuple[Value, ...], out: Out, fix: Fixes, depth: int) -> tuple[int, ...]:
    roots = []
    for value in values:
        append_value(value, out, fix, depth + 1)
        roots.append(len(out) - 1)
    return tuple(roots)


def _branch(kind: Kind, head: bytes, roots: tuple[int, ...], out: Out, fix: Fixes) -> None:
    count = len(roots)
    fix.append((len(out), 8 + len(head), count))
    out.append(b"".join((NODE.pack(kind, len(head) + 4 * count), head, indices(count).pack(*roots))))


def _list(value: ListValue, out: Out, fix: Fixes, depth: int) -> None:
    if value.elem.kind in FORMATS:
        raise SerializationError(f"a list of {value.elem.kind.name.lower()} is an array: build it with list_of()")
    roots = _children(value.items, out, fix, depth)
    _branch(Kind.LIST, encode_tag(value.elem) + U32.pack(len(roots)), roots, out, fix)


def _option(value: OptionValue, out: Out, fix: Fixes, depth: int) -> None:
    roots = () if value.value is None else _children((value.value,), out, fix, depth)
    _branch(Kind.OPTION, encode_tag(value.inner) + bytes((len(roots),)), roots, out, fix)


def _result(value: ResultValue, out: Out, fix: Fixes, depth: int) -> None:
    roots = _children((value.value,), out, fix, depth)
    tags = encode_tag(value.ok) + encode_tag(value.err)
    _branch(Kind.RESULT, tags + (b"\0\0\0\0\1" if value.is_ok else b"\1\0\0\0\1"), roots, out, fix)


def _record(value: RecordValue, out: Out, fix: Fixes, depth: int) -> None:
    roots = _children(tuple(child for _, child in value.fields), out, fix, depth)
    names = b"".join([text_bytes(name) for name, _ in value.fields])
    _branch(Kind.RECORD, text_bytes(value.name) + U32.pack(len(roots)) + names, roots, out, fix)


def _variant(value: VariantValue, out: Out, fix: Fixes, depth: int) -> None:
    if not 0 <= value.tag <= 0xFFFFFFFF:
        raise SerializationError(f"variant tag {value.tag} is no u32")
    roots = _children(value.payload, out, fix, depth)
    names = text_bytes(value.name) + text_bytes(value.case)
    _branch(Kind.VARIANT, names + U32.pack(value.tag) + U32.pack(len(roots)), roots, out, fix)


def _tuple(value: TupleValue, out: Out, fix: Fixes, depth: int) -> None:
    roots = _children(value.items, out, fix, depth)
    if roots:
        fix.append((len(out), 12, len(roots)))
    out.append(tuple_node(roots))


_APPENDERS: dict[type[Value], Callable[[Any, Out, Fixes, int], None]] = {
    ScalarValue: _scalar,
    FloatValue: _float,
    ArrayValue: _array,
    ListValue: _list,
    OptionValue: _option,
    ResultValue: _result,
    RecordValue: _record,
    VariantValue: _variant,
    TupleValue: _tuple,
}
