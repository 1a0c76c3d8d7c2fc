"""Plain values where the type is `value`: what msgpack and JSON can say, and how it is read as CGRF.

Inference, where nothing is declared (`infer`):

    nil                 unit, the empty tuple
    bool                bool
    integer             s64, or u64 beyond it; larger ones are refused
    float               f64 (in JSON also {"$float": "nan" | "inf" | "-inf"})
    string              string
    bytes               list<u8> (in JSON {"$bytes": base64})
    array of integers   list<s64>, or list<u64> when one needs it and none is negative
    array of one type   list of that type, if it nests at most four levels
    any other array     list of `value` (tagged `string`, as current guests do), each item by this table
    map                 record without a name, fields in order; keys must be strings
    {"$cgrf": base64}   exactly the value in these bytes (plain bytes are accepted too)

The other way (`plain_of`): numbers, strings, chars, booleans and flags (the mask) as they are; list<u8> as bytes; lists
and tuples as arrays, unit as nil; option as nil or the value, `{"some": …}` around an option or unit; result as
`{"ok": …}` or `{"err": …}`; variant as `"case"`, or `{"case": payload}` with an array for several payload values;
record as map. A record that no map can hold, or that would be read as a special form, is `{"$cgrf": base64}`.
Source: wire protocol, "Plain values".
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from theater_bus.core.values.cgrf_decode import decode
from theater_bus.core.values.cgrf_encode import append_value, encode_subtree
from theater_bus.core.values.codec_reader import Decoder, Form, array_reader, scalar_reader, text_at
from theater_bus.core.values.codec_scalar import (
    Encoder,
    base64_bytes,
    bytes_from_json,
    encode_bool,
    encode_string,
    float_from_json,
)
from theater_bus.core.values.mismatch import Fault, shown, too_deep
from theater_bus.core.values.model import (
    FORMATS,
    UNIT,
    ArrayValue,
    FloatValue,
    Kind,
    ListValue,
    RecordValue,
    ScalarValue,
    Tag,
    Value,
    list_of,
    tag_of,
)
from theater_bus.core.values.nodes import MAX_DEPTH, BoundedOut, Fixes, Out
from theater_bus.core.values.scan import children_of, extract, field_names, first_node, offsets_of, result_side
from theater_bus.errors import SerializationError

__all__ = ["Err", "Ok", "dynamic_decoder", "dynamic_encoder", "infer", "plain_of"]


@dataclass(frozen=True, slots=True)
class Ok:
    """The ok side of a `result`, for those who prefer it to `{"ok": …}`."""

    value: object = None


@dataclass(frozen=True, slots=True)
class Err:
    """The err side of a `result`, for those who prefer it to `{"err": …}`."""

    value: object = None


_S64 = range(-(2**63), 2**63)
_U64 = range(2**64)
_MIXED = Tag(Kind.STRING)
_TAG_LEVELS = 4
_INTEGERS = ((Kind.S64, _S64), (Kind.U64, _U64))


def infer(plain: object, json: bool = False) -> Value:
    """The value that an undeclared plain value stands for, by the table above.

    Raises `TypeMismatch` for what no value can hold: other Python types, integers beyond 64 bits, lone surrogates.
    """
    try:
        return _infer(plain, json, 1)
    except Fault as fault:
        raise fault.mismatch("value") from None


def plain_of(value: Value, form: Form = Form.PLAIN) -> object:
    """The plain form of a value whose type nobody declared."""
    subtree = encode_subtree(value)
    return dynamic_decoder(form)(subtree.nodes, offsets_of(subtree), subtree.count - 1)


def _infer(plain: object, json: bool, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise too_deep()
    if type(plain) is int:
        return _integer(plain)
    if type(plain) is str:
        return ScalarValue(Kind.STRING, _checked_text(plain))
    if plain is None:
        return UNIT
    if type(plain) is bool:
        return ScalarValue(Kind.BOOL, plain)
    if type(plain) is float:
        if json and not isfinite(plain):
            raise Fault('a JSON number or {"$float": "nan"}', shown(plain))
        return FloatValue.of(Kind.F64, plain)
    if type(plain) is dict:
        return _map(plain, json, depth)
    if type(plain) is list or isinstance(plain, tuple):
        return _list(plain, json, depth)
    if isinstance(plain, bytes | bytearray | memoryview):
        return ArrayValue(Kind.U8, bytes(plain))
    raise Fault("a plain value", shown(plain))


def _integer(number: int) -> Value:
    if number in _S64:
        return ScalarValue(Kind.S64, number)
    if number in _U64:
        return ScalarValue(Kind.U64, number)
    raise Fault("an integer of at most 64 bits", shown(number))


def _checked_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Fault("string", f"a lone surrogate at index {error.start}") from None
    return text


def _list(plain: list[object] | tuple[object, ...], json: bool, depth: int) -> Value:
    found = _number_kind(plain, json) if depth < MAX_DEPTH else None
    if found is not None:
        return ArrayValue(found, struct.pack(f"<{len(plain)}{FORMATS[found]}", *plain))
    items: list[Value] = []
    try:
        for item in plain:
            items.append(_infer(item, json, depth + 1))
    except Fault as fault:
        raise fault.under(f"[{len(items)}]") from None
    tags = {_item_tag(item) for item in items}
    if len(tags) == 1:
        return list_of(tags.pop(), items)
    return ListValue(_MIXED, tuple(items))


def _number_kind(plain: list[Any] | tuple[Any, ...], json: bool) -> Kind | None:
    """The kind of a list of numbers that fit into one, which is quick to encode however long it is; None for others."""
    types = set(map(type, plain))
    if types == {int}:
        least, most = min(plain), max(plain)
        return next((kind for kind, every in _INTEGERS if least in every and most in every), None)
    if types == {float}:
        return Kind.F64 if not json or all(map(isfinite, plain)) else None
    return Kind.BOOL if types == {bool} else None


def _item_tag(item: Value) -> Tag:
    """The tag of a list's item. A deep one is not worth its bytes, which every list around it would repeat."""
    tag = tag_of(item)
    return tag if _is_shallow(tag, _TAG_LEVELS) else _MIXED


def _is_shallow(tag: Tag, levels: int) -> bool:
    return levels > 0 and all(_is_shallow(arg, levels - 1) for arg in tag.args)


def _map(plain: dict[object, object], json: bool, depth: int) -> Value:
    if len(plain) == 1:
        special = _special(plain, json)
        if special is not None:
            return special
    fields: list[tuple[str, Value]] = []
    name: object = None
    try:
        for name, item in plain.items():
            if type(name) is not str:
                raise Fault("a map with string keys", f"the key {shown(name)}")
            fields.append((_checked_text(name), _infer(item, json, depth + 1)))
    except Fault as fault:
        raise fault.under(f".{name}") from None
    return RecordValue("", tuple(fields))


def _special(plain: dict[object, object], json: bool) -> Value | None:
    if "$cgrf" in plain:
        raw = plain["$cgrf"]
        try:
            return decode(raw if type(raw) is bytes else base64_bytes(raw))
        except SerializationError as error:
            raise Fault("valid CGRF in $cgrf", error.message) from None
    if json:
        raw = bytes_from_json(plain)
        if raw is not None:
            return ArrayValue(Kind.U8, raw)
        number = float_from_json(plain)
        if number is not None:
            return FloatValue.of(Kind.F64, number)
        if "$float" in plain:
            raise Fault('"nan", "inf" or "-inf" in $float', shown(plain["$float"]))
    return None


def dynamic_encoder(json: bool) -> Encoder:
    """The encoder of the type `value`."""

    def encode_dynamic(value: object, out: Out, fix: Fixes, depth: int) -> None:
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            leaf(value, out, fix, depth)
            return
        if type(out) is BoundedOut:
            _find_room(value, json, out)
        try:
            append_value(_infer(value, json, depth), out, fix, depth)
        except SerializationError:
            raise too_deep() from None

    return encode_dynamic


def _find_room(plain: object, json: bool, out: BoundedOut) -> None:
    """Ask for as many nodes as the values in `plain` have; a list of numbers is one."""
    count, pending = 0, [plain]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            items: Collection[object] = value.values()
        elif type(value) is list and _number_kind(value, json) is None:
            items = value
        else:
            continue
        count += len(items)
        out.room(count)
        pending.extend(items)


_LEAVES: dict[type, Encoder] = {str: encode_string, bool: encode_bool}


@cache
def dynamic_decoder(form: Form) -> Decoder:
    """The decoder of the type `value`: it believes nodes, never tags.

    Children lie before their parents, so that one pass over the nodes makes every value of its children's values.
    """
    leaves: dict[int, Decoder] = {int(kind): scalar_reader(kind, form) for kind in (*FORMATS, Kind.STRING)}
    leaves[Kind.ARRAY] = _any_array_reader(form)
    special = {"$cgrf"} if form is Form.PLAIN else {"$cgrf", "$bytes", "$float"}

    def read(buffer: bytes, offsets: list[int], node: int) -> object:
        leaf = leaves.get(buffer[offsets[node]])
        if leaf is not None:
            return leaf(buffer, offsets, node)
        first = first_node(buffer, offsets, node)
        found: list[object] = []
        for place in range(first, node + 1):
            at = offsets[place]
            leaf = leaves.get(buffer[at])
            if leaf is not None:
                found.append(leaf(buffer, offsets, place))
                continue
            children = children_of(buffer, at)
            below = [found[child - first] for child in children]
            if buffer[at] == Kind.RECORD:
                found.append(read_record(buffer, offsets, place, below))
            elif buffer[at] == Kind.OPTION:
                found.append(_read_option(below, bool(children) and buffer[offsets[children[0]]] == Kind.OPTION))
            else:
                found.append(_MAKERS[buffer[at]](buffer, at, below))
        return found[-1]

    def read_record(buffer: bytes, offsets: list[int], node: int, below: list[object]) -> object:
        found = dict(zip(field_names(buffer, offsets[node]), below, strict=True))
        if len(found) < len(below) or (len(found) == 1 and not special.isdisjoint(found)):
            return {"$cgrf": b64encode(extract(buffer, offsets, node).standalone()).decode()}
        return found

    return read


def _any_array_reader(form: Form) -> Decoder:
    arrays = {int(kind): array_reader(kind, form) for kind in FORMATS}
    return lambda buffer, offsets, node: arrays[buffer[offsets[node] + 8]](buffer, offsets, node)


def _read_option(below: list[object], nested: bool) -> object:
    if not below:
        return None
    return {"some": below[0]} if nested or below[0] is None else below[0]


def _read_list(buffer: bytes, at: int, below: list[object]) -> object:
    return below


def _read_tuple(buffer: bytes, at: int, below: list[object]) -> object:
    return below or None


def _read_result(buffer: bytes, at: int, below: list[object]) -> object:
    return {"ok" if result_side(buffer, at)[0] else "err": below[0]}


def _read_variant(buffer: bytes, at: int, below: list[object]) -> object:
    _, at = text_at(buffer, at + 8)
    case, _ = text_at(buffer, at)
    return {case: below[0] if len(below) == 1 else below} if below else case


_MAKERS: dict[int, Callable[[bytes, int, list[object]], object]] = {
    Kind.LIST: _read_list,
    Kind.TUPLE: _read_tuple,
    Kind.RESULT: _read_result,
    Kind.VARIANT: _read_variant,
}
