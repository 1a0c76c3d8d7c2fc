"""Where two declared types first differ, as far as values can tell.

Invariants: names of types never count; field names count without case, `_` and `-`, and in any order; cases count by
position, since their position is their tag, which structural hashes do not see. What has one hash by convention is one
type here too: `_` in a result and what guests write for it, `self` and `value`, unit and the empty tuple, any flags.
"""

from __future__ import annotations

from dataclasses import dataclass

from theater_bus.core.values.model import fold_name
from theater_bus.core.values.pact_format import format_type
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
    Unit,
    Variant,
)

__all__ = ["Difference", "first_difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two declarations part (`param 0.items[].name`), and what each says there."""

    path: str
    left: str
    right: str


def first_difference(a: Type, b: Type, path: str = "") -> Difference | None:
    """The first place where two types differ, or None if values of one are values of the other.

    `path` is what the place is called from; below it, `.name` is a field or case, `.ok` and `.err` are the sides of a
    result, `.0` a tuple's item, `[]` a list's element and `?` an option's content.
    """
    if a is b:
        return None
    a, b = _canonical(a), _canonical(b)
    if isinstance(a, ListOf) and isinstance(b, ListOf):
        return first_difference(a.element, b.element, f"{path}[]")
    if isinstance(a, OptionOf) and isinstance(b, OptionOf):
        return first_difference(a.inner, b.inner, f"{path}?")
    if isinstance(a, ResultOf) and isinstance(b, ResultOf):
        ok = first_difference(a.ok or Scalar.BOOL, b.ok or Scalar.BOOL, f"{path}.ok")
        return ok or first_difference(a.err or Scalar.STRING, b.err or Scalar.STRING, f"{path}.err")
    if isinstance(a, TupleOf) and isinstance(b, TupleOf):
        return _tuples(a, b, path)
    if isinstance(a, Record) and isinstance(b, Record):
        return _records(a, b, path)
    if isinstance(a, Variant) and isinstance(b, Variant):
        return _variants(a, b, path)
    if a == b or (isinstance(a, Flags) and isinstance(b, Flags)):
        return None
    return Difference(path or "type", describe(a), describe(b))


def describe(type: Type) -> str:
    """A type in a few words: `record point`, `list<u8>`."""
    if isinstance(type, Record):
        return f"record {format_type(type)}"
    if isinstance(type, Variant):
        return f"variant {format_type(type)}"
    return format_type(type)


def _canonical(type: Type) -> Type:
    if isinstance(type, Unit):
        return TupleOf(())
    return Dynamic() if isinstance(type, SelfRef) else type


def _tuples(a: TupleOf, b: TupleOf, path: str) -> Difference | None:
    for number, (left, right) in enumerate(zip(a.items, b.items, strict=False)):
        found = first_difference(left, right, f"{path}.{number}")
        if found is not None:
            return found
    if len(a.items) != len(b.items):
        return Difference(path or "type", describe(a), describe(b))
    return None


def _records(a: Record, b: Record, path: str) -> Difference | None:
    theirs = {fold_name(field.name): field for field in b.fields}
    for field in a.fields:
        other = theirs.pop(fold_name(field.name), None)
        if other is None:
            return Difference(f"{path}.{field.name}", f"field {field.name}", "no such field")
        found = first_difference(field.type, other.type, f"{path}.{field.name}")
        if found is not None:
            return found
    for field in theirs.values():
        return Difference(f"{path}.{field.name}", "no such field", f"field {field.name}")
    if len(a.fields) != len(b.fields):
        return Difference(path or "type", f"{len(a.fields)} fields", f"{len(b.fields)} fields")
    return None


def _variants(a: Variant, b: Variant, path: str) -> Difference | None:
    for tag, (left, right) in enumerate(zip(a.cases, b.cases, strict=False)):
        if fold_name(left.name) != fold_name(right.name):
            return Difference(f"{path} case {tag}".lstrip(), f"case {left.name}", f"case {right.name}")
        if left.payload is None or right.payload is None:
            if left.payload is not right.payload:
                shown = [f"{c.name}({describe(c.payload)})" if c.payload else c.name for c in (left, right)]
                return Difference(f"{path}.{left.name}", *shown)
            continue
        found = first_difference(left.payload, right.payload, f"{path}.{left.name}")
        if found is not None:
            return found
    if len(a.cases) != len(b.cases):
        return Difference(path or "type", f"{len(a.cases)} cases", f"{len(b.cases)} cases")
    return None
