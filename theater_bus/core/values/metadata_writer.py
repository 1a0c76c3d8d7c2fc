"""Metadata as guest macros embed it, byte for byte.

Invariants: the same declarations give the same bytes; functions keep their order, hash lists are sorted by interface.
Source: the Pack ABI, "Embedded metadata and interface hashes".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from theater_bus.core.values.cgrf import encode
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.metadata_types import ANY_RECORD, write_type
from theater_bus.core.values.model import Kind, ListValue, RecordValue, ScalarValue, Tag, TupleValue, Value
from theater_bus.core.values.types import Function, Interface

__all__ = ["emit_metadata"]

_ANY_VARIANT = Tag(Kind.VARIANT)


def emit_metadata(imports: Iterable[Interface], exports: Iterable[Interface]) -> bytes:
    """The metadata blob of a package that imports and exports these interfaces; '' is the one without a name."""
    imports, exports = _merged(imports), _merged(exports)
    return encode(
        RecordValue(
            "package-metadata",
            (
                ("imports", _functions(imports)),
                ("exports", _functions(exports)),
                ("import-hashes", _hashes(imports)),
                ("export-hashes", _hashes(exports)),
            ),
        )
    )


def _merged(interfaces: Iterable[Interface]) -> tuple[Interface, ...]:
    """One interface per name; those without functions are not mentioned in metadata at all."""
    found: dict[str, tuple[Function, ...]] = {}
    for one in interfaces:
        found[one.name] = found.get(one.name, ()) + one.functions
    return tuple(Interface(name, functions) for name, functions in found.items() if functions)


def _functions(interfaces: tuple[Interface, ...]) -> Value:
    return ListValue(
        ANY_RECORD,
        tuple(_signature(interface.name, function) for interface in interfaces for function in interface.functions),
    )


def _signature(interface: str, function: Function) -> Value:
    params = tuple(
        RecordValue("param-sig", (("name", _text(one.name)), ("type", write_type(one.type)))) for one in function.params
    )
    results = () if function.result is None else (write_type(function.result),)
    return RecordValue(
        "function-sig",
        (
            ("interface", _text(interface)),
            ("name", _text(function.name)),
            ("params", ListValue(ANY_RECORD, params)),
            ("results", ListValue(_ANY_VARIANT, results)),
        ),
    )


def _hashes(interfaces: tuple[Interface, ...]) -> Value:
    return ListValue(ANY_RECORD, tuple(_hash(one) for one in sorted(interfaces, key=lambda one: one.name)))


def _hash(interface: Interface) -> Value:
    words = struct.unpack("<4Q", interface_hash(interface))
    hashed = TupleValue(tuple(ScalarValue(Kind.U64, word) for word in words))
    return RecordValue("interface-hash", (("name", _text(interface.name)), ("hash", hashed)))


def _text(text: str) -> Value:
    return ScalarValue(Kind.STRING, text)
