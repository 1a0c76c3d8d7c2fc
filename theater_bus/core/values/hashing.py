"""Structural hashes of types, functions and interfaces: equal hash, equal structure.

Invariants: type names, parameter names, comments and the order of fields, cases and functions never change a hash;
field, case and function names, interface names and the order of parameters always do. Aliases are gone before hashing;
`map` is a list of pairs and `set` a list. Results are cached by content.
Equal hashes do not promise equal case order of variants, which is their tag: `contract.first_difference` sees that.
Source: the Pack ABI, "Hash algorithm" (SHA-256 over a tag byte, u32 little-endian counts, names and child hashes).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import sha256

from theater_bus.core.values.types import (
    Flags,
    Function,
    Interface,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Unit,
    Variant,
)

__all__ = ["function_hash", "interface_hash", "subset_hash", "type_hash"]

_U32 = struct.Struct("<I").pack
_OPEN = b"\xff\xff" + bytes(30)  # `value`, `self` and generic parameters
_ORDER = (
    "bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string", "flags",
)  # fmt: skip
_CONSTANTS = {name: bytes([0, number]) + bytes(30) for number, name in enumerate(_ORDER, 1)}
_SCALARS = {scalar: _CONSTANTS[scalar.value] for scalar in Scalar}


@lru_cache(maxsize=4096)
def type_hash(type: Type) -> bytes:
    """The 32-byte hash of a type."""
    return _type(type)


@lru_cache(maxsize=4096)
def function_hash(function: Function) -> bytes:
    """The 32-byte hash of a signature: parameter types in order and the result; the name is not part of it."""
    results = () if function.result is None else (function.result,)
    params = b"".join(_type(param.type) for param in function.params)
    return _digest(
        b"\x16", _U32(len(function.params)), params, _U32(len(results)), b"".join(_type(one) for one in results)
    )


@lru_cache(maxsize=1024)
def interface_hash(interface: Interface) -> bytes:
    """The 32-byte hash of an interface: its full name and its functions by name."""
    functions = sorted(interface.functions, key=lambda function: function.name)
    parts = b"".join(_text(function.name) + function_hash(function) for function in functions)
    # The 0 counts type bindings, which no generation of guests emits.
    return _digest(b"\x17", _text(interface.name), _U32(0), _U32(len(functions)), parts)


def subset_hash(interface: Interface, names: Collection[str]) -> bytes:
    """The hash that an interface has for who uses only the functions `names` of it.

    Raises KeyError for a name that the interface lacks.
    """
    wanted = frozenset(names)
    missing = wanted - {function.name for function in interface.functions}
    if missing:
        raise KeyError(min(missing))
    return interface_hash(
        Interface(interface.name, tuple(function for function in interface.functions if function.name in wanted))
    )


def _type(type: Type) -> bytes:
    if isinstance(type, Scalar):
        return _SCALARS[type]
    if isinstance(type, ListOf):
        return _digest(b"\x10", _type(type.element))
    if isinstance(type, OptionOf):
        return _digest(b"\x11", _type(type.inner))
    if isinstance(type, ResultOf):
        # A side that is `_` counts as bool (ok) or string (err): the convention of both ends of the ABI.
        ok = _SCALARS[Scalar.BOOL] if type.ok is None else _type(type.ok)
        err = _SCALARS[Scalar.STRING] if type.err is None else _type(type.err)
        return _digest(b"\x12", ok, err)
    if isinstance(type, TupleOf):
        return _tuple(type.items)
    if isinstance(type, Record):
        return _named(b"\x14", ((field.name, _type(field.type)) for field in type.fields))
    if isinstance(type, Variant):
        return _named(b"\x15", ((case.name, _payload(case.payload)) for case in type.cases))
    if isinstance(type, Flags):
        return _CONSTANTS["flags"]
    return _tuple(()) if isinstance(type, Unit) else _OPEN


def _tuple(items: tuple[Type, ...]) -> bytes:
    return _digest(b"\x13", _U32(len(items)), b"".join(map(_type, items)))


def _named(tag: bytes, members: Iterable[tuple[str, bytes]]) -> bytes:
    # Code point order is UTF-8 byte order.
    ordered = sorted(members, key=lambda member: member[0])
    return _digest(tag, _U32(len(ordered)), b"".join(_text(name) + content for name, content in ordered))


def _payload(payload: Type | None) -> bytes:
    return b"\x00" if payload is None else b"\x01" + _type(payload)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _U32(len(encoded)) + encoded


def _digest(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()
