"""Compiled decoders: from validated node tables to plain values, one closure per declared type and form.

Invariants: a decoder checks types while it reads, so that it may be run on any validated buffer; what it gives is
accepted by the encoder of the same type and form, and makes the same value again.
Source: wire protocol, "Plain values".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from theater_bus.core.values.codec_encode import nullable
from theater_bus.core.values.codec_reader import Decoder, Form, array_reader, bytes_to_json, scalar_reader
from theater_bus.core.values.codec_scalar import KINDS
from theater_bus.core.values.codec_shape import (
    flags_checker,
    list_children,
    option_child,
    payload_types,
    record_reader,
    result_payload,
    tuple_reader,
    variant_reader,
)
from theater_bus.core.values.mismatch import Fault, wrong_node
from theater_bus.core.values.model import FORMATS, Kind
from theater_bus.core.values.nodes import U32
from theater_bus.core.values.plain import dynamic_decoder
from theater_bus.core.values.types import (
    Dynamic,
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Type,
    Variant,
)

__all__ = ["compile_decoder"]

_ARRAY = int(Kind.ARRAY)


@lru_cache(maxsize=4096)
def compile_decoder(type_: Type, form: Form) -> Decoder:
    """The decoder of a declared type into one of the plain forms."""
    return _Compiler(form).compile(type_)


class _Compiler:
    """Compiles one type; remembers the decoder that `self` stands for while inside a record or variant."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.self_decoder: Decoder | None = None

    def compile(self, type_: Type) -> Decoder:
        """The closure for `type_`."""
        match type_:
            case Scalar():
                return _checked(KINDS[type_], scalar_reader(KINDS[type_], self.form))
            case ListOf(element):
                return self._list(element)
            case OptionOf(inner):
                return _option(self.compile(inner), nullable(inner))
            case ResultOf(ok, err):
                return _result(self._side(ok), self._side(err))
            case TupleOf(items):
                return _tuple([self.compile(item) for item in items])
            case Record() | Variant():
                return self._named(type_)
            case Flags():
                return _checked(Kind.FLAGS, _flags(type_, self.form))
            case SelfRef():
                if self.self_decoder is None:
                    raise ValueError("`self` outside of a record or variant")
                return self.self_decoder
            case Dynamic():
                return dynamic_decoder(self.form)
        return _unit

    def _side(self, type_: Type | None) -> Decoder:
        return _unit if type_ is None else self.compile(type_)

    def _named(self, type_: Record | Variant) -> Decoder:
        outer, cell = self.self_decoder, list[Decoder]()

        def decode_self(buffer: bytes, offsets: list[int], node: int) -> object:
            return cell[0](buffer, offsets, node)

        self.self_decoder = decode_self
        if isinstance(type_, Record):
            cell.append(_record(type_, [self.compile(field.type) for field in type_.fields]))
        else:
            payloads = [[self.compile(item) for item in payload_types(case.payload)] for case in type_.cases]
            cell.append(_variant(type_, payloads))
        self.self_decoder = outer
        return cell[0]

    def _list(self, element: Type) -> Decoder:
        read_item = self.compile(element)
        if isinstance(element, Scalar) and element is not Scalar.STRING:
            return _array(KINDS[element], read_item, array_reader(KINDS[element], self.form), self.form)
        if isinstance(element, Flags):
            return _array(Kind.FLAGS, read_item, _flags_array(element, self.form), self.form)
        arrays = {int(kind): array_reader(kind, self.form) for kind in FORMATS} if isinstance(element, Dynamic) else {}
        if arrays:
            arrays[Kind.U8] = lambda buffer, offsets, node: list(_raw_bytes(buffer, offsets, node))

        def decode_list(buffer: bytes, offsets: list[int], node: int) -> object:
            at = offsets[node]
            if arrays and buffer[at] == _ARRAY:
                return arrays[buffer[at + 8]](buffer, offsets, node)
            children = list_children(buffer, at, "list")
            items: list[object] = []
            try:
                for child in children:
                    items.append(read_item(buffer, offsets, child))
            except Fault as fault:
                raise fault.under(f"[{len(items)}]") from None
            return items

        return decode_list


def _raw_bytes(buffer: bytes, offsets: list[int], node: int) -> bytes:
    at = offsets[node] + 13
    return buffer[at : at + U32.unpack_from(buffer, at - 4)[0]]


def _checked(kind: Kind, read: Decoder) -> Decoder:
    number, name = int(kind), kind.name.lower()

    def decode(buffer: bytes, offsets: list[int], node: int) -> object:
        if buffer[offsets[node]] != number:
            raise wrong_node(name, buffer, offsets[node])
        return read(buffer, offsets, node)

    return decode


def _array(kind: Kind, read_item: Decoder, read: Decoder, form: Form) -> Decoder:
    number, name = int(kind), kind.name.lower()

    def decode_array(buffer: bytes, offsets: list[int], node: int) -> object:
        at = offsets[node]
        if buffer[at] == _ARRAY:
            if buffer[at + 8] == number:
                return read(buffer, offsets, node)
            if U32.unpack_from(buffer, at + 9)[0]:
                raise Fault(f"list<{name}>", f"list<{Kind(buffer[at + 8]).name.lower()}>")
        items = _each(list_children(buffer, at, f"list<{name}>"), read_item, buffer, offsets)
        if kind is not Kind.U8:
            return items
        raw = bytes([item for item in items if isinstance(item, int)])
        return raw if form is Form.PLAIN else bytes_to_json(raw)

    return decode_array


def _each(children: tuple[int, ...], read_item: Decoder, buffer: bytes, offsets: list[int]) -> list[object]:
    items: list[object] = []
    try:
        for child in children:
            items.append(read_item(buffer, offsets, child))
    except Fault as fault:
        raise fault.under(f"[{len(items)}]") from None
    return items


def _option(read_inner: Decoder, nested: bool) -> Decoder:
    def decode_option(buffer: bytes, offsets: list[int], node: int) -> object:
        child = option_child(buffer, offsets[node], "option")
        if child is None:
            return None
        value = read_inner(buffer, offsets, child)
        return {"some": value} if nested else value

    return decode_option


def _result(read_ok: Decoder, read_err: Decoder) -> Decoder:
    def decode_result(buffer: bytes, offsets: list[int], node: int) -> object:
        is_ok, child = result_payload(buffer, offsets[node], "result")
        side = "ok" if is_ok else "err"
        try:
            return {side: (read_ok if is_ok else read_err)(buffer, offsets, child)}
        except Fault as fault:
            raise fault.under(f".{side}") from None

    return decode_result


def _tuple(decoders: list[Decoder]) -> Decoder:
    children_at = tuple_reader(len(decoders))

    def decode_tuple(buffer: bytes, offsets: list[int], node: int) -> object:
        children = children_at(buffer, offsets[node])
        items: list[object] = []
        try:
            for decode, child in zip(decoders, children, strict=True):
                items.append(decode(buffer, offsets, child))
        except Fault as fault:
            raise fault.under(f"[{len(items)}]") from None
        return items

    return decode_tuple


_no_children = tuple_reader(0)


def _unit(buffer: bytes, offsets: list[int], node: int) -> object:
    _no_children(buffer, offsets[node])
    return None


def _record(type_: Record, decoders: list[Decoder]) -> Decoder:
    children_at = record_reader(type_)
    fields = [(field.name, decode) for field, decode in zip(type_.fields, decoders, strict=True)]

    def decode_record(buffer: bytes, offsets: list[int], node: int) -> object:
        children = children_at(buffer, offsets[node])
        found: dict[str, object] = {}
        name = ""
        try:
            for (name, decode), child in zip(fields, children, strict=True):
                found[name] = decode(buffer, offsets, child)
        except Fault as fault:
            raise fault.under(f".{name}") from None
        return found

    return decode_record


def _variant(type_: Variant, payloads: list[list[Decoder]]) -> Decoder:
    parts = variant_reader(type_)
    cases = [(case.name, decoders) for case, decoders in zip(type_.cases, payloads, strict=True)]

    def decode_variant(buffer: bytes, offsets: list[int], node: int) -> object:
        tag, children = parts(buffer, offsets, node)
        name, decoders = cases[tag]
        if not decoders:
            return name
        items: list[object] = []
        try:
            for decode, child in zip(decoders, children, strict=True):
                items.append(decode(buffer, offsets, child))
        except Fault as fault:
            if len(decoders) > 1:
                fault.under(f"[{len(items)}]")
            raise fault.under(f".{name}") from None
        return {name: items if len(items) > 1 else items[0]}

    return decode_variant


def _mask_reader(type_: Flags, form: Form) -> Callable[[int], object]:
    names, check = list(enumerate(type_.names)), flags_checker(type_)

    def read(mask: int) -> object:
        check(mask)
        return [name for bit, name in names if mask >> bit & 1]

    if names:
        return read
    return str if form is Form.JSON_TEXT else int


def _flags(type_: Flags, form: Form) -> Decoder:
    read_mask = _mask_reader(type_, form)

    def decode_flags(buffer: bytes, offsets: list[int], node: int) -> object:
        at = offsets[node] + 8
        return read_mask(int.from_bytes(buffer[at : at + 8], "little"))

    return decode_flags


def _flags_array(type_: Flags, form: Form) -> Decoder:
    read_masks, read_mask = array_reader(Kind.FLAGS, Form.PLAIN), _mask_reader(type_, form)

    def decode_flags(buffer: bytes, offsets: list[int], node: int) -> object:
        masks = read_masks(buffer, offsets, node)
        items: list[object] = []
        assert isinstance(masks, list)
        try:
            for mask in masks:
                items.append(read_mask(mask))
        except Fault as fault:
            raise fault.under(f"[{len(items)}]") from None
        return items

    return decode_flags
