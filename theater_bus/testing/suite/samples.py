"""Plain values of declared types: an ordinary one for an example, and hostile ones that a guest might pass."""

from __future__ import annotations

import json
from itertools import islice, zip_longest
from typing import Any, Final

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import (
    Dynamic,
    Flags,
    Function,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Variant,
)

__all__ = ["hostile_calls", "in_wit", "ordinary"]

CALLS_MOST: Final = 32
"""How many hostile calls of one function; every parameter gets its turn."""

_TEXTS: Final = ("", "\0", "../../etc/passwd", "*.>", "a\r\nb: c", "x" * 100_000, "http://127.0.0.1:1/", "💥" * 100)
_BYTES: Final = (b"", b"\0" * 100_000, b"\xff\xfe")
_BITS: Final = {
    Scalar.U8: (0, 8),
    Scalar.U16: (0, 16),
    Scalar.U32: (0, 32),
    Scalar.U64: (0, 64),
    Scalar.S8: (1, 8),
    Scalar.S16: (1, 16),
    Scalar.S32: (1, 32),
    Scalar.S64: (1, 64),
}


def ordinary(declared: Type) -> Any:
    """A small value of the type."""
    match declared:
        case Scalar.BOOL:
            return True
        case Scalar.STRING:
            return "a"
        case Scalar.CHAR:
            return "a"
        case Scalar.F32 | Scalar.F64:
            return 1.0
        case Scalar():
            return 1
        case ListOf(Scalar.U8):
            return b"a"
        case ListOf():
            return []
        case TupleOf(items):
            return [ordinary(item) for item in items]
        case Record(_, fields):
            return {one.name: ordinary(one.type) for one in fields}
        case Variant(_, cases):
            return _case(cases[0].name, cases[0].payload)
        case Flags(_, names):
            return list(names[:1]) if names else 0
        case ResultOf(ok, _):
            return {"ok": None if ok is None else ordinary(ok)}
        case OptionOf(_):
            return None
        case Dynamic():
            return "a"
    return None


def in_wit(function: Function, args: list[Any]) -> list[Any]:
    """The arguments as a component passes them on: JSON text where the function takes any value."""
    types = [param.type for param in function.params]
    return [_in_wit(*one) for one in zip(types, args, strict=True)] if len(types) == len(args) else args


def _in_wit(declared: Type, value: Any) -> Any:
    if isinstance(declared, OptionOf):
        return None if value is None else _in_wit(declared.inner, value)
    if not isinstance(declared, Dynamic):
        return value
    codec = value_codec(declared)
    return json.dumps(codec.decode_json(codec.encode(value)))


def hostile_calls(function: Function) -> list[list[Any]]:
    """Arguments of the right types that nobody sends by accident: one parameter hostile, the others ordinary."""
    usual = [ordinary(param.type) for param in function.params]
    columns = [
        [[*usual[:place], value, *usual[place + 1 :]] for value in _hostile(param.type)]
        for place, param in enumerate(function.params)
    ]
    calls = (call for row in zip_longest(*columns) for call in row if call is not None)
    return list(islice(calls, CALLS_MOST)) if function.params else [[]]


def _hostile(declared: Type) -> list[Any]:
    match declared:
        case Scalar.STRING:
            return list(_TEXTS)
        case Scalar.CHAR:
            return ["\0", "\U0010ffff"]
        case Scalar.BOOL:
            return [False]
        case Scalar.F32 | Scalar.F64:
            return [float("nan"), float("inf"), -0.0]
        case Scalar():
            signed, bits = _BITS[declared]
            return [-(1 << (bits - 1)) if signed else 0, (1 << (bits - signed)) - 1]
        case ListOf(Scalar.U8):
            return list(_BYTES)
        case ListOf(element):
            return [[], [ordinary(element)] * 1_000, *([value] for value in _hostile(element)[:4])]
        case TupleOf(items):
            return [
                [value if n == place else ordinary(other) for n, other in enumerate(items)]
                for place, item in enumerate(items)
                for value in _hostile(item)[:3]
            ]
        case Record(_, fields):
            usual = {one.name: ordinary(one.type) for one in fields}
            return [{**usual, one.name: value} for one in fields for value in _hostile(one.type)[:3]]
        case Variant(_, cases):
            return [_case(one.name, one.payload) for one in cases]
        case OptionOf(inner):
            return [None, *_hostile(inner)]
        case Flags(_, names):
            return [[], list(names)] if names else [0]
        case ResultOf(_, err):
            return [{"err": None if err is None else ordinary(err)}]
        case Dynamic():
            return [None, "", 1 << 60, {}]
    return []


def _case(name: str, payload: Type | None) -> Any:
    return name if payload is None else {name: ordinary(payload)}
