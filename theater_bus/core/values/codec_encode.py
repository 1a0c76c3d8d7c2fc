"""Compiled encoders: from plain values to node tables, one closure per declared type.

Invariants: the output is canonical CGRF of exactly the declared type, with the tags that a guest of the current
generation would write; the closure is the contract check; a fault leaves nothing behind that anybody uses.
Source: wire protocol, "Plain values"; pack-abi §1.4, §2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from theater_bus.core.values.cgrf_encode import encode_tag, text_bytes
from theater_bus.core.values.codec_scalar import KINDS, Encoder, append_array, array_encoder, decimal, scalar_encoder
from theater_bus.core.values.codec_shape import payload_types, unambiguous_names
from theater_bus.core.values.mismatch import Fault, shown, too_deep
from theater_bus.core.values.model import Kind, Tag, fold_name
from theater_bus.core.values.nodes import MAX_DEPTH, NODE, U32, BoundedOut, Fixes, Out, indices, tuple_node
from theater_bus.core.values.plain import Err, Ok, dynamic_encoder
from theater_bus.core.values.types import (
    Case,
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
    Unit,
    Variant,
)

__all__ = ["aligner", "compile_encoder", "nullable", "static_tag"]

_UNIT_NODE = tuple_node(())
_UNIT_TAG = Tag(Kind.TUPLE)
_EMPTY: tuple[object, ...] = (None, [], ())


@lru_cache(maxsize=4096)
def compile_encoder(type_: Type, json: bool) -> Encoder:
    """The encoder of a declared type, from msgpack-like values or from what JSON gives."""
    return _Compiler(json).compile(type_)


def static_tag(type_: Type, name: str = "", kind: Kind = Kind.RECORD) -> Tag:
    """The type tag of a declared type; `name` and `kind` are those of the enclosing record or variant, for `self`."""
    match type_:
        case Scalar():
            return Tag(KINDS[type_])
        case ListOf(element):
            return Tag(Kind.LIST, (static_tag(element, name, kind),))
        case OptionOf(inner):
            return Tag(Kind.OPTION, (static_tag(inner, name, kind),))
        case ResultOf(ok, err):
            sides = [_UNIT_TAG if side is None else static_tag(side, name, kind) for side in (ok, err)]
            return Tag(Kind.RESULT, tuple(sides))
        case TupleOf(items):
            return Tag(Kind.TUPLE, tuple([static_tag(item, name, kind) for item in items]))
        case Record():
            return Tag(Kind.RECORD, name=type_.name)
        case Variant():
            return Tag(Kind.VARIANT, name=type_.name)
        case SelfRef():
            return Tag(kind, name=name)
        case Flags():
            return Tag(Kind.FLAGS)
        case Dynamic():
            return Tag(Kind.STRING)
    return _UNIT_TAG


def nullable(type_: Type) -> bool:
    """Whether nil is a plain form of this type, so that `option` of it must say `{"some": …}`."""
    return isinstance(type_, OptionOf | Unit | Dynamic)


class _Compiler:
    """Compiles one type; remembers the record or variant that `self` stands for while inside it."""

    def __init__(self, json: bool) -> None:
        self.json = json
        self.self_encoder: Encoder | None = None
        self.self_name, self.self_kind = "", Kind.RECORD

    def compile(self, type_: Type) -> Encoder:
        """The closure for `type_`."""
        match type_:
            case Scalar():
                return scalar_encoder(KINDS[type_], self.json)
            case ListOf(element):
                return self._list(element)
            case OptionOf(inner):
                return self._option(inner)
            case ResultOf(ok, err):
                return self._result(type_, ok, err)
            case TupleOf(items):
                return _tuple_encoder([self.compile(item) for item in items])
            case Record() | Variant():
                return self._named(type_)
            case Flags():
                return _flags_encoder(type_, self.json)
            case SelfRef():
                if self.self_encoder is None:
                    raise ValueError("`self` outside of a record or variant")
                return self.self_encoder
            case Dynamic():
                return dynamic_encoder(self.json)
        return _encode_unit

    def _tag(self, type_: Type | None) -> bytes:
        return encode_tag(_UNIT_TAG if type_ is None else static_tag(type_, self.self_name, self.self_kind))

    def _named(self, type_: Record | Variant) -> Encoder:
        outer = self.self_encoder, self.self_name, self.self_kind
        cell: list[Encoder] = []

        def encode_self(value: object, out: Out, fix: Fixes, depth: int) -> None:
            cell[0](value, out, fix, depth)

        self.self_encoder, self.self_name = encode_self, type_.name
        self.self_kind = Kind.RECORD if isinstance(type_, Record) else Kind.VARIANT
        cell.append(self._record(type_) if isinstance(type_, Record) else self._variant(type_))
        self.self_encoder, self.self_name, self.self_kind = outer
        return cell[0]

    def _list(self, element: Type) -> Encoder:
        if isinstance(element, Scalar) and element is not Scalar.STRING:
            return array_encoder(KINDS[element], self.json)
        if isinstance(element, Flags):
            return _flags_array_encoder(element, self.json)
        encode_item, tag = self.compile(element), self._tag(element)
        at = 8 + len(tag) + 4

        def encode_list(value: object, out: Out, fix: Fixes, depth: int) -> None:
            if type(value) is not list and not isinstance(value, tuple):
                raise Fault("list", shown(value))
            if value and depth >= MAX_DEPTH:
                raise too_deep()
            if type(out) is BoundedOut:
                out.room(len(value))
            roots: list[int] = []
            try:
                for item in value:
                    encode_item(item, out, fix, depth + 1)
                    roots.append(len(out) - 1)
            except Fault as fault:
                raise fault.under(f"[{len(roots)}]") from None
            count = len(roots)
            fix.append((len(out), at, count))
            head = NODE.pack(0x07, at - 8 + 4 * count) + tag + U32.pack(count)
            out.append(head + indices(count).pack(*roots))

        return encode_list

    def _option(self, inner: Type) -> Encoder:
        encode_inner, tag, nested = self.compile(inner), self._tag(inner), nullable(inner)
        none = NODE.pack(Kind.OPTION, len(tag) + 1) + tag + b"\0"
        some, at = NODE.pack(Kind.OPTION, len(tag) + 5) + tag + b"\1", 8 + len(tag) + 1

        def encode_option(value: object, out: Out, fix: Fixes, depth: int) -> None:
            if value is None:
                out.append(none)
                return
            if nested:
                if type(value) is not dict or len(value) != 1 or "some" not in value:
                    raise Fault('option (nil or {"some": …})', shown(value))
                value = value["some"]
            if depth >= MAX_DEPTH:
                raise too_deep()
            encode_inner(value, out, fix, depth + 1)
            fix.append((len(out), at, 1))
            out.append(some + U32.pack(len(out) - 1))

        return encode_option

    def _result(self, type_: ResultOf, ok: Type | None, err: Type | None) -> Encoder:
        encode_ok = _encode_unit if ok is None else self.compile(ok)
        encode_err = _encode_unit if err is None else self.compile(err)
        tags = self._tag(ok) + self._tag(err)
        head, at = NODE.pack(Kind.RESULT, len(tags) + 9) + tags, 8 + len(tags) + 5
        ok_head, err_head = head + b"\0\0\0\0\1", head + b"\1\0\0\0\1"

        def encode_result(value: object, out: Out, fix: Fixes, depth: int) -> None:
            is_ok, payload = _side_of(value)
            if depth >= MAX_DEPTH:
                raise too_deep()
            try:
                (encode_ok if is_ok else encode_err)(payload, out, fix, depth + 1)
            except Fault as fault:
                raise fault.under(".ok" if is_ok else ".err") from None
            fix.append((len(out), at, 1))
            out.append((ok_head if is_ok else err_head) + U32.pack(len(out) - 1))

        return encode_result

    def _record(self, type_: Record) -> Encoder:
        count = len(type_.fields)
        prefix = text_bytes(type_.name) + U32.pack(count) + b"".join([text_bytes(f.name) for f in type_.fields])
        head, at = NODE.pack(Kind.RECORD, len(prefix) + 4 * count) + prefix, 8 + len(prefix)
        fields = [(field.name, self.compile(field.type)) for field in type_.fields]
        aligned, pack = aligner([field.name for field in type_.fields], f"record {type_.name}"), indices(count).pack
        names = frozenset(name for name, _ in fields)

        def encode_record(value: object, out: Out, fix: Fixes, depth: int) -> None:
            if type(value) is not dict:
                raise Fault(f"record {type_.name} (a map)", shown(value))
            if value.keys() != names:
                value = aligned(value)
            if count and depth >= MAX_DEPTH:
                raise too_deep()
            roots: list[int] = []
            name = ""
            try:
                for name, encode_field in fields:
                    encode_field(value[name], out, fix, depth + 1)
                    roots.append(len(out) - 1)
            except Fault as fault:
                raise fault.under(f".{name}") from None
            fix.append((len(out), at, count))
            out.append(head + pack(*roots))

        return encode_record

    def _variant(self, type_: Variant) -> Encoder:
        cases = {case.name: self._case(type_.name, case, tag) for tag, case in enumerate(type_.cases)}
        folded = unambiguous_names([case.name for case in type_.cases])
        expected = f"variant {type_.name} ({' | '.join(cases)})"

        def encode_variant(value: object, out: Out, fix: Fixes, depth: int) -> None:
            name, payload = value, _NO_PAYLOAD
            if type(value) is dict and len(value) == 1:
                ((name, payload),) = value.items()
            if type(name) is not str:
                raise Fault(expected, shown(value))
            case = cases.get(name) or cases.get(folded.get(fold_name(name), name))
            if case is None:
                raise Fault(expected, shown(name))
            encoders, head = case
            values = _payload_values(payload, len(encoders), name)
            if encoders and depth >= MAX_DEPTH:
                raise too_deep()
            roots: list[int] = []
            try:
                for encode, item in zip(encoders, values, strict=True):
                    encode(item, out, fix, depth + 1)
                    roots.append(len(out) - 1)
            except Fault as fault:
                if len(encoders) > 1:
                    fault.under(f"[{len(roots)}]")
                raise fault.under(f".{name}") from None
            if roots:
                fix.append((len(out), len(head), len(roots)))
                out.append(head + indices(len(roots)).pack(*roots))
            else:
                out.append(head)

        return encode_variant

    def _case(self, variant: str, case: Case, tag: int) -> tuple[list[Encoder], bytes]:
        encoders = [self.compile(item) for item in payload_types(case.payload)]
        count = len(encoders)
        prefix = text_bytes(variant) + text_bytes(case.name) + U32.pack(tag) + U32.pack(count)
        return encoders, NODE.pack(Kind.VARIANT, len(prefix) + 4 * count) + prefix


_NO_PAYLOAD = object()


def _payload_values(payload: object, count: int, case: str) -> tuple[object, ...] | list[object]:
    """The payload values to write: a tuple payload is spread, as guests do."""
    if not count:
        if payload is _NO_PAYLOAD or payload is None:
            return ()
        raise Fault("no payload", shown(payload)).under(f".{case}")
    if payload is _NO_PAYLOAD:
        raise Fault("a payload", "only the case name").under(f".{case}")
    if count == 1:
        return (payload,)
    if (type(payload) is not list and not isinstance(payload, tuple)) or len(payload) != count:
        raise Fault(f"tuple of {count}", shown(payload)).under(f".{case}")
    return payload


def _tuple_encoder(encoders: list[Encoder]) -> Encoder:
    count = len(encoders)

    def encode_tuple(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if (type(value) is not list and not isinstance(value, tuple)) or len(value) != count:
            raise Fault(f"tuple of {count}", shown(value))
        if count and depth >= MAX_DEPTH:
            raise too_deep()
        roots: list[int] = []
        try:
            for encode, item in zip(encoders, value, strict=True):
                encode(item, out, fix, depth + 1)
                roots.append(len(out) - 1)
        except Fault as fault:
            raise fault.under(f"[{len(roots)}]") from None
        fix.append((len(out), 12, count))
        out.append(tuple_node(tuple(roots)))

    return encode_tuple


def _encode_unit(value: object, out: Out, fix: Fixes, depth: int) -> None:
    if value not in _EMPTY:
        raise Fault("nil", shown(value))
    out.append(_UNIT_NODE)


def _side_of(value: object) -> tuple[bool, object]:
    if type(value) is dict and len(value) == 1:
        ((side, payload),) = value.items()
        if side == "ok" or side == "err":
            return side == "ok", payload
    if isinstance(value, Ok | Err):
        return isinstance(value, Ok), value.value
    raise Fault('result ({"ok": …} or {"err": …})', shown(value))


def aligner(names: list[str], what: str) -> Callable[[dict[object, object]], dict[object, object]]:
    """Renames the keys of a map to the declared field names, modulo case, `_` and `-`; refuses missing and surplus."""
    folded, declared = unambiguous_names(names), frozenset(names)

    def aligned(value: dict[object, object]) -> dict[object, object]:
        found: dict[object, object] = {}
        for key, item in value.items():
            name = key if key in declared else folded.get(fold_name(key)) if type(key) is str else None
            if name is None:
                fields = f"with the fields {', '.join(names)}" if names else "without fields"
                raise Fault(f"{what} {fields}", f"the unknown field {shown(key)}")
            if name in found:
                raise Fault(what, f"the field {name} twice")
            found[name] = item
        missing = [name for name in names if name not in found]
        if missing:
            raise Fault(what, f"no field {', '.join(missing)}")
        return found

    return aligned


def _flags_mask(type_: Flags, json: bool) -> Callable[[object], int]:
    bits = {name: 1 << bit for bit, name in enumerate(type_.names)}
    every = (1 << len(bits)) - 1 if bits else 0xFFFF_FFFF_FFFF_FFFF
    expected = f"flags {type_.name} (names out of {', '.join(bits)})" if bits else "flags (an integer mask)"

    def mask(value: object) -> int:
        if type(value) is int and not value & ~every:
            return value
        if json and not bits and type(value) is str:
            return mask(decimal(value, expected))
        if (type(value) is not list and not isinstance(value, tuple)) or not bits:
            raise Fault(expected, shown(value))
        found = 0
        for name in value:
            bit = bits.get(name) if type(name) is str else None
            if bit is None:
                raise Fault(expected, shown(name))
            found |= bit
        return found

    return mask


def _flags_encoder(type_: Flags, json: bool) -> Encoder:
    mask = _flags_mask(type_, json)

    def encode_flags(value: object, out: Out, fix: Fixes, depth: int) -> None:
        out.append(NODE.pack(Kind.FLAGS, 8) + mask(value).to_bytes(8, "little"))

    return encode_flags


def _flags_array_encoder(type_: Flags, json: bool) -> Encoder:
    mask = _flags_mask(type_, json)

    def encode_flags(value: object, out: Out, fix: Fixes, depth: int) -> None:
        if type(value) is not list and not isinstance(value, tuple):
            raise Fault("list<flags>", shown(value))
        masks: list[bytes] = []
        try:
            for item in value:
                masks.append(mask(item).to_bytes(8, "little"))
        except Fault as fault:
            raise fault.under(f"[{len(masks)}]") from None
        append_array(Kind.FLAGS, len(masks), b"".join(masks), out)

    return encode_flags
