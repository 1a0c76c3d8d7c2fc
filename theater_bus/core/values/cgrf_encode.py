"""Writing dynamic values as CGRF.

Invariants: the output is canonical (pack-abi §1.4): post-order, one node per value, fixed-width lists as arrays, zero
flags; nothing is written that the decoder would refuse, depth and ranges included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
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
from theater_bus.core.values.nodes import MAX_DEPTH, NODE, U32, Fixes, Out, assemble, indices
from theater_bus.core.values.subtree import Subtree
from theater_bus.errors import SerializationError

__all__ = ["append_value", "encode", "encode_subtree", "encode_tag", "text_bytes"]


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
    """Append the nodes of `value`, whose root lies at nesting level `depth` (1 = outermost).

    Not recursive, so that the depth of the caller's own stack does not matter: branches are taken apart from the root
    on, last child first, and written the other way round, which is post-order.
    """
    pending, parts = [(value, depth)], list[tuple[bytes, int]]()
    while pending:
        current, level = pending.pop()
        if level > MAX_DEPTH:
            raise SerializationError(f"value is nested more than {MAX_DEPTH} levels deep")
        head, children = _TAKE_APART[type(current)](current)
        parts.append((head, len(children)))
        pending.extend([(child, level + 1) for child in children])
    finished: list[int] = []
    for head, count in reversed(parts):
        if count:
            roots = finished[-count:]
            del finished[-count:]
            fix.append((len(out), len(head), count))
            head += indices(count).pack(*roots)
        finished.append(len(out))
        out.append(head)


def encode_tag(tag: Tag) -> bytes:
    """A type tag as it lies in payloads (pack-abi §1.3). Raises `SerializationError` when nested too deep."""
    return _tag_bytes(tag, 1)


def _tag_bytes(tag: Tag, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise SerializationError(f"type tag is nested more than {MAX_DEPTH} levels deep")
    if tag.kind is Kind.ARRAY:
        raise SerializationError("array is no type tag: it is the list of a fixed-width type")
    parts = [bytes((tag.kind,))]
    if tag.kind is Kind.RECORD or tag.kind is Kind.VARIANT:
        parts.append(text_bytes(tag.name))
    elif tag.kind is Kind.TUPLE:
        parts.append(U32.pack(len(tag.args)))
    for arg in tag.args:
        parts.append(_tag_bytes(arg, depth + 1))
    return b"".join(parts)


def text_bytes(text: str) -> bytes:
    """A string as length and UTF-8. Raises `SerializationError` for lone surrogates."""
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise SerializationError(f"string holds a lone surrogate at index {error.start}") from None
    return U32.pack(len(raw)) + raw


_Parts = tuple[bytes, tuple[Value, ...]]
"""A node without its child indices, and the children."""


def _branch(kind: Kind, head: bytes, children: tuple[Value, ...]) -> _Parts:
    return NODE.pack(kind, len(head) + 4 * len(children)) + head, children


def _scalar(value: ScalarValue) -> _Parts:
    kind, plain = value.kind, value.value
    if kind is Kind.STRING and isinstance(plain, str):
        return _branch(kind, text_bytes(plain), ())
    if kind is Kind.CHAR and isinstance(plain, str) and len(plain) == 1 and not 0xD800 <= ord(plain) < 0xE000:
        return _branch(kind, U32.pack(ord(plain)), ())
    if kind not in _SCALARS or type(plain) is not (bool if kind is Kind.BOOL else int):
        raise SerializationError(f"{plain!r} is no {kind.name.lower()}")
    try:
        return _branch(kind, struct.pack("<" + FORMATS[kind], plain), ())
    except struct.error:
        raise SerializationError(f"{plain!r} is no {kind.name.lower()}") from None


_SCALARS = FORMATS.keys() - {Kind.CHAR, Kind.F32, Kind.F64}


def _float(value: FloatValue) -> _Parts:
    try:
        return _branch(value.kind, value.bits.to_bytes(WIDTHS[value.kind], "little"), ())
    except OverflowError:
        raise SerializationError(f"bits {value.bits:#x} are no {value.kind.name.lower()}") from None


def _array(value: ArrayValue) -> _Parts:
    name, data = value.elem.name.lower(), value.data
    if len(data) % WIDTHS[value.elem]:
        raise SerializationError(f"{len(data)} bytes are no whole number of {name} items")
    if (value.elem is Kind.BOOL and data.strip(b"\0\1")) or (value.elem is Kind.CHAR and not _are_chars(data)):
        raise SerializationError(f"{data[:16].hex()} are no valid {name} items")
    return _branch(Kind.ARRAY, bytes((value.elem,)) + U32.pack(len(value)) + data, ())


def _are_chars(data: bytes) -> bool:
    try:
        data.decode("utf-32-le")
    except UnicodeDecodeError:
        return False
    return True


def _list(value: ListValue) -> _Parts:
    if value.elem.kind in FORMATS:
        raise SerializationError(f"a list of {value.elem.kind.name.lower()} is an array: build it with list_of()")
    return _branch(Kind.LIST, encode_tag(value.elem) + U32.pack(len(value.items)), value.items)


def _option(value: OptionValue) -> _Parts:
    children = () if value.value is None else (value.value,)
    return _branch(Kind.OPTION, encode_tag(value.inner) + bytes((len(children),)), children)


def _result(value: ResultValue) -> _Parts:
    tags = encode_tag(value.ok) + encode_tag(value.err)
    return _branch(Kind.RESULT, tags + (b"\0\0\0\0\1" if value.is_ok else b"\1\0\0\0\1"), (value.value,))


def _record(value: RecordValue) -> _Parts:
    names = b"".join([text_bytes(name) for name, _ in value.fields])
    head = text_bytes(value.name) + U32.pack(len(value.fields)) + names
    return _branch(Kind.RECORD, head, tuple([child for _, child in value.fields]))


def _variant(value: VariantValue) -> _Parts:
    if not 0 <= value.tag <= 0xFFFFFFFF:
        raise SerializationError(f"variant tag {value.tag} is no u32")
    numbers = U32.pack(value.tag) + U32.pack(len(value.payload))
    return _branch(Kind.VARIANT, text_bytes(value.name) + text_bytes(value.case) + numbers, value.payload)


def _tuple(value: TupleValue) -> _Parts:
    return _branch(Kind.TUPLE, U32.pack(len(value.items)), value.items)


_TAKE_APART: dict[type[Value], Callable[[Any], _Parts]] = {
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
