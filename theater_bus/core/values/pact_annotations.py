"""The checks on `@name: type = literal`.

Invariants: a literal fits its declared type; an annotation that theater_bus gives a meaning has the type that this
needs, and names only functions that exist, since a misspelt `@external` would silently drop a guarantee.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from theater_bus.core.values.pact_format import format_type
from theater_bus.core.values.pact_lexer import Source
from theater_bus.core.values.pact_resolver import suggest
from theater_bus.core.values.pact_syntax import AnnotationDecl, LiteralValue
from theater_bus.core.values.types import (
    Dynamic,
    ListOf,
    OptionOf,
    Record,
    Scalar,
    Type,
)

__all__ = ["check_annotation", "check_effects", "literal_fits"]

_EFFECTS = ("external", "queued")
_KNOWN: Mapping[str, Type] = {
    "package": Scalar.STRING,
    "external": ListOf(Scalar.STRING),
    "queued": ListOf(Scalar.STRING),
    "calls": ListOf(Scalar.STRING),
}
_INTEGER_BITS = {Scalar.U8: 8, Scalar.U16: 16, Scalar.U32: 32, Scalar.U64: 64}
_SIGNED_BITS = {Scalar.S8: 8, Scalar.S16: 16, Scalar.S32: 32, Scalar.S64: 64}


def check_annotation(source: Source, annotation: AnnotationDecl, declared: Type) -> None:
    """Refuse a literal that does not fit, and a known annotation of another type than its own."""
    wanted = _KNOWN.get(annotation.name)
    if wanted is not None and wanted != declared:
        problem = f"`@{annotation.name}` has the type {format_type(declared)}, it must be {format_type(wanted)}"
        raise source.error(annotation.at, problem)
    if not literal_fits(annotation.value, declared):
        raise source.error(annotation.at, f"the value of `@{annotation.name}` is not a {format_type(declared)}")


def check_effects(source: Source, annotations: Sequence[AnnotationDecl], functions: set[str]) -> None:
    """Refuse `@external` and `@queued` that name a function which is not exported, or the same one."""
    taken: dict[str, str] = {}
    for annotation in annotations:
        if annotation.name not in _EFFECTS or not isinstance(annotation.value, Sequence):
            continue
        for function in map(str, annotation.value):
            if function not in functions:
                hint = suggest(function, sorted(functions))
                problem = f"`@{annotation.name}` names `{function}`, which is not exported{hint}"
                raise source.error(annotation.at, problem)
            other = taken.setdefault(function, annotation.name)
            if other != annotation.name:
                raise source.error(annotation.at, f"`{function}` is both `@{other}` and `@{annotation.name}`")


def literal_fits(value: LiteralValue, declared: Type) -> bool:
    """Whether a literal is a value of a declared type. Variants and flags have no literals; `value` takes anything."""
    if isinstance(declared, Scalar):
        return _scalar_fits(value, declared)
    if isinstance(declared, Dynamic):
        return True
    if isinstance(declared, OptionOf):
        return literal_fits(value, declared.inner)
    if isinstance(declared, ListOf):
        return isinstance(value, list) and all(literal_fits(one, declared.element) for one in value)
    if isinstance(declared, Record) and isinstance(value, Mapping):
        fields = {field.name: field.type for field in declared.fields}
        return fields.keys() == value.keys() and all(literal_fits(value[name], fields[name]) for name in fields)
    return False


def _scalar_fits(value: LiteralValue, declared: Scalar) -> bool:
    if declared is Scalar.BOOL:
        return isinstance(value, bool)
    if declared is Scalar.STRING:
        return isinstance(value, str)
    if declared is Scalar.CHAR:
        return isinstance(value, str) and len(value) == 1
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if declared in (Scalar.F32, Scalar.F64):
        return math.isfinite(value)
    if declared in _INTEGER_BITS:
        return isinstance(value, int) and 0 <= value < 1 << _INTEGER_BITS[declared]
    half = 1 << (_SIGNED_BITS[declared] - 1)
    return isinstance(value, int) and -half <= value < half
