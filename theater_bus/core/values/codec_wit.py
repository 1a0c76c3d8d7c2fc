"""What pact declares, as a component sees it: WIT types in place of those that WIT lacks, and JSON where it has none.

A component is built against the WIT that is written from a pact (`wit`). There `value` and types that contain
themselves are `json`, a string with the JSON text of the plain form, and a side of a result that holds nothing is `_`.

Invariants: a component's declaration agrees with a pact if it agrees with the pact's WIT form; methods of capabilities
get and give the same plain values whoever calls them; parameters travel as one tuple, also a single one.
Source: wire protocol, "Plain values"; the chain, "The bytes".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from theater_bus.core.values.codec_import import ImportCodec
from theater_bus.core.values.codec_value import MAX_PLAIN_NODES, value_codec
from theater_bus.core.values.exact import Loose, plain_value
from theater_bus.core.values.types import (
    Dynamic,
    Function,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Unit,
    Variant,
)
from theater_bus.core.values.wit_types import contains_itself
from theater_bus.core.wire.strict import DEFAULT_DEPTH, check_nesting, read_json
from theater_bus.errors import SerializationError, TooLarge, TypeMismatch

__all__ = ["LooseCodec", "WitImportCodec", "loose_codec", "wit_function", "wit_import_codec", "wit_type"]

MAX_JSON_BYTES = 1 << 20
"""How much JSON text of one value is read: reading holds up everybody, and a guest has room for much more."""

_Adapter: TypeAlias = Callable[[Any], Any]
_NOTHING = (Unit(), TupleOf(()))


def wit_function(function: Function) -> Function:
    """The declaration that a component has of a function of pact."""
    params = tuple(Param(one.name, wit_type(one.type)) for one in function.params)
    return Function(function.name, params, None if function.result is None else wit_type(function.result))


def wit_type(type_: Type) -> Type:
    """The WIT form of a type of pact; what WIT has unchanged is the same."""
    match type_:
        case ListOf(element):
            return ListOf(wit_type(element))
        case OptionOf(inner):
            return OptionOf(wit_type(inner))
        case TupleOf(items):
            return TupleOf(tuple(wit_type(item) for item in items))
        case ResultOf(ok, err):
            return ResultOf(*(None if side is None or side in _NOTHING else wit_type(side) for side in (ok, err)))
        case _ if _is_json(type_):
            return Scalar.STRING
        case Record():
            return replace(type_, fields=tuple(replace(one, type=wit_type(one.type)) for one in type_.fields))
        case Variant():
            cases = (replace(one, payload=one.payload and wit_type(one.payload)) for one in type_.cases)
            return replace(type_, cases=tuple(cases))
    return type_


class WitImportCodec(ImportCodec):
    """As `ImportCodec`, for a host function that components call. Get one from `wit_import_codec`."""

    __slots__ = ("_give", "_take")

    def __init__(self, function: Function) -> None:
        super().__init__(wit_function(function), tupled=True)
        self._take = [_adapter(param.type, _from_json) for param in function.params]
        self._give = None if function.result is None else _adapter(function.result, _to_json)

    def decode_args(self, data: bytes, max_nodes: int = MAX_PLAIN_NODES) -> list[object]:
        """The arguments as plain values of the pact's types. Raises as `ImportCodec.decode_args`."""
        found = super().decode_args(data, max_nodes)
        try:
            return [value if take is None else take(value) for take, value in zip(self._take, found, strict=True)]
        except SerializationError as error:
            raise TypeMismatch(
                f"{self.function.name}: params must hold JSON where the pact says `value`: {error.message}",
                path="params",
                expected="JSON text",
                found=error.message,
            ) from None

    def encode_result(self, plain: object) -> bytes:
        """The answer for the guest, from a plain value of the pact's type. Raises as `ImportCodec.encode_result`."""
        return super().encode_result(plain if self._give is None else self._give(plain))


class LooseCodec(WitImportCodec):
    """The same for functions that pass values on as they are (`ExactCodec`): JSON has no exact ones to pass on.

    A parameter declared `value` is a `Loose`; such a result comes as the bytes of one.
    """

    __slots__ = ("_loose", "_opens")

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self._loose = [isinstance(param.type, Dynamic) for param in function.params]
        self._opens = isinstance(function.result, Dynamic)

    def decode_args(self, data: bytes, max_nodes: int = MAX_PLAIN_NODES) -> list[object]:
        """The arguments, those declared `value` as what their JSON says. Raises as `WitImportCodec.decode_args`."""
        found = super().decode_args(data, max_nodes)
        return [Loose(value) if loose else value for loose, value in zip(self._loose, found, strict=True)]

    def encode_result(self, plain: object) -> bytes:
        """The answer for the guest, from the bytes of a value where that is declared."""
        return super().encode_result(plain_value(plain) if self._opens and isinstance(plain, bytes) else plain)


@lru_cache(maxsize=1024)
def loose_codec(function: Function) -> LooseCodec:
    """The codec of a host function for components that passes values on, compiled once per signature."""
    return LooseCodec(function)


@lru_cache(maxsize=4096)
def wit_import_codec(function: Function) -> WitImportCodec:
    """The codec of a host function for components, compiled once per signature."""
    return WitImportCodec(function)


def _is_json(type_: Type) -> bool:
    return isinstance(type_, Dynamic) or contains_itself(type_)


def _from_json(type_: Type) -> _Adapter:
    codec = value_codec(type_)

    def adapt(text: str) -> object:
        return codec.decode(codec.encode_json(_read(text)))

    return adapt


def _read(text: str) -> object:
    """What JSON text of a guest says. Raises `SerializationError`, and `TooLarge` for what would take long to read."""
    data = text.encode()
    if len(data) > MAX_JSON_BYTES:
        raise TooLarge(
            f"the JSON text of a `value` has {len(data):,} bytes, {MAX_JSON_BYTES:,} are read. Fix: pass less",
            size_bytes=len(data),
            limit_bytes=MAX_JSON_BYTES,
        )
    plain = read_json(data, MAX_PLAIN_NODES)
    check_nesting(plain, DEFAULT_DEPTH, MAX_PLAIN_NODES)
    return plain


def _to_json(type_: Type) -> _Adapter:
    codec = value_codec(type_)
    return lambda plain: json.dumps(codec.decode_json(codec.encode(plain)), ensure_ascii=False, separators=(",", ":"))


def _adapter(type_: Type, convert: Callable[[Type], _Adapter]) -> _Adapter | None:
    """What converts the JSON texts within a plain value of this type; None where there are none."""
    match type_:
        case _ if _is_json(type_):
            return convert(type_)
        case ListOf(element):
            inner = _adapter(element, convert)
            return None if inner is None else lambda items: [inner(item) for item in items]
        case OptionOf(element):
            return _option(_adapter(element, convert), element, convert)
        case TupleOf(items):
            return _tuple([_adapter(item, convert) for item in items])
        case ResultOf(ok, err):
            sides = {"ok": ok, "err": err}
            return _mapping({k: None if side is None else _adapter(side, convert) for k, side in sides.items()})
        case Record():
            return _mapping({field.name: _adapter(field.type, convert) for field in type_.fields})
        case Variant():
            payloads = {case.name: case.payload for case in type_.cases}
            return _mapping({k: None if one is None else _adapter(one, convert) for k, one in payloads.items()})
    return None


def _option(inner: _Adapter | None, element: Type, convert: Callable[[Type], _Adapter]) -> _Adapter | None:
    """An option of `value` says `{"some": …}`, that of a string does not."""
    if inner is None:
        return None
    is_dynamic, nested = isinstance(element, Dynamic), isinstance(element, OptionOf)
    wrapped = nested or (is_dynamic and convert is _to_json)
    wraps = nested or (is_dynamic and convert is _from_json)

    def adapt(value: Any) -> Any:
        if value is None:
            return None
        found = inner(value["some"] if wrapped else value)
        return {"some": found} if wraps else found

    return adapt


def _tuple(inner: list[_Adapter | None]) -> _Adapter | None:
    if not any(inner):
        return None
    return lambda items: [item if one is None else one(item) for one, item in zip(inner, items, strict=True)]


def _mapping(inner: dict[str, _Adapter | None]) -> _Adapter | None:
    """For records, and for results and variants, which are maps of one entry or a bare case name."""
    if not any(inner.values()):
        return None

    def adapt(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item if (one := inner.get(key)) is None else one(item) for key, item in value.items()}

    return adapt
