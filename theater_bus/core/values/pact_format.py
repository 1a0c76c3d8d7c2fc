"""Declared types and interfaces as pact text, for documentation, messages and `inspect`.

Invariants: the text of an interface parses again to one with the same structural hash, as long as its names are pact
identifiers; other names (metadata is foreign data) are made harmless, never printed as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Flags,
    Function,
    Interface,
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

__all__ = ["format_function", "format_interface", "format_type"]

_BAD_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_RESERVED = frozenset(
    {*(s.value for s in Scalar), "list", "option", "set", "map", "result", "tuple", "value", "self", "_"}
)
_INDENT = "    "
Named = Record | Variant | Flags


def format_type(type: Type, names: dict[Named, str] | None = None) -> str:
    """A type as pact writes it; records, variants and flags by name (`names` may rename them)."""
    if isinstance(type, Scalar):
        return type.value
    if isinstance(type, ListOf):
        return f"list<{format_type(type.element, names)}>"
    if isinstance(type, OptionOf):
        return f"option<{format_type(type.inner, names)}>"
    if isinstance(type, ResultOf):
        return f"result<{_side(type.ok, names)}, {_side(type.err, names)}>"
    if isinstance(type, TupleOf):
        return f"tuple<{', '.join(format_type(item, names) for item in type.items)}>"
    if isinstance(type, Record | Variant | Flags):
        return names[type] if names and type in names else _identifier(type.name) or _keyword(type)
    return {Dynamic: "value", Unit: "_", SelfRef: "self"}[type.__class__]


def format_function(function: Function, names: dict[Named, str] | None = None) -> str:
    """A signature without its name: `func(a: u32) -> string`."""
    params = ", ".join(f"{_identifier(p.name) or '_'}: {format_type(p.type, names)}" for p in function.params)
    if function.result is None:
        return f"func({params})"
    # `-> _` declares no result at all, an empty tuple is a result without content.
    shown = "tuple<>" if isinstance(function.result, Unit) else format_type(function.result, names)
    return f"func({params}) -> {shown}"


def format_interface(interface: Interface) -> str:
    """The pact source of an interface, with a declaration for every record, variant and flags type that it uses."""
    package, _, name = interface.name.rpartition("/")
    named = _named_types(interface)
    names = _unique_names(named)
    lines = [f'@package: string = "{_package(package)}"'] if package else []
    for type in named:
        lines += _declaration(type, names)
    lines.append("exports {")
    for function in interface.functions:
        lines.append(f"{_INDENT}{_identifier(function.name) or '_'}: {format_function(function, names)}")
    lines.append("}")
    if interface.name:
        lines = [f"interface {_identifier(name) or '_'} {{", *(_INDENT + line for line in lines), "}"]
    return "\n".join(lines) + "\n"


def _side(type: Type | None, names: dict[Named, str] | None) -> str:
    if type is None:
        return "_"
    return "tuple<>" if isinstance(type, Unit) else format_type(type, names)


def _keyword(type: Named) -> str:
    return type.__class__.__name__.lower()


def _identifier(name: str) -> str:
    cleaned = _BAD_CHARACTER.sub("_", name)
    return cleaned if not cleaned or cleaned[0].isalpha() or cleaned[0] == "_" else f"_{cleaned}"


def _package(package: str) -> str:
    return ":".join(_BAD_CHARACTER.sub("_", part) or "_" for part in package.split(":"))


def _named_types(interface: Interface) -> list[Named]:
    """Every nominal type of an interface once, inner ones before those that contain them."""
    found: dict[Named, None] = {}

    def visit(type: Type | None) -> None:
        for part in _parts(type):
            visit(part)
        if isinstance(type, Record | Variant | Flags):
            found.setdefault(type)

    for function in interface.functions:
        for param in function.params:
            visit(param.type)
        visit(function.result)
    return list(found)


def _parts(type: Type | None) -> Iterable[Type | None]:
    if isinstance(type, ListOf):
        return (type.element,)
    if isinstance(type, OptionOf):
        return (type.inner,)
    if isinstance(type, ResultOf):
        return (type.ok, type.err)
    if isinstance(type, TupleOf):
        return type.items
    if isinstance(type, Record):
        return (field.type for field in type.fields)
    if isinstance(type, Variant):
        return (case.payload for case in type.cases)
    return ()


def _unique_names(named: list[Named]) -> dict[Named, str]:
    taken = set(_RESERVED)
    names: dict[Named, str] = {}
    for type in named:
        wanted = base = _identifier(type.name) or _keyword(type)
        number = 2
        while wanted in taken:
            wanted = f"{base}-{number}"
            number += 1
        taken.add(wanted)
        names[type] = wanted
    return names


def _declaration(type: Named, names: dict[Named, str]) -> list[str]:
    if isinstance(type, Record):
        body = [_field(field, names) for field in type.fields]
        keyword = "record"
    elif isinstance(type, Variant):
        body = [_case(case, names) for case in type.cases]
        keyword = "variant"
    else:
        body = [f"{_identifier(name) or '_'}," for name in type.names]
        keyword = "flags"
    return [f"{keyword} {names[type]} {{", *(_INDENT + line for line in body), "}"]


def _field(field: Field, names: dict[Named, str]) -> str:
    return f"{_identifier(field.name) or '_'}: {format_type(field.type, names)},"


def _case(case: Case, names: dict[Named, str]) -> str:
    payload = "" if case.payload is None else f"({format_type(case.payload, names)})"
    return f"{_identifier(case.name) or '_'}{payload},"
