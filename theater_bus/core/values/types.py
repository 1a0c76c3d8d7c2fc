"""Declared types: what pact says a parameter, a result or a state looks like.

Invariants: types are immutable and hashable, so that a codec compiled for a type can be cached by it; names of
records, variants and flags are kept for messages and for the plain form, and never take part in equality of
structure (that is what `hashing` is for).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

__all__ = [
    "Case",
    "Dynamic",
    "Field",
    "Flags",
    "Function",
    "Interface",
    "ListOf",
    "OptionOf",
    "Param",
    "Record",
    "ResultOf",
    "Scalar",
    "SelfRef",
    "TupleOf",
    "Type",
    "Unit",
    "Variant",
]


class Scalar(Enum):
    """The scalar types; the value is the pact keyword."""

    BOOL = "bool"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    S8 = "s8"
    S16 = "s16"
    S32 = "s32"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    CHAR = "char"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """`value`: anything."""


@dataclass(frozen=True, slots=True)
class Unit:
    """`_` outside a result, or no value: on the wire of the guest, the empty tuple."""


@dataclass(frozen=True, slots=True)
class SelfRef:
    """`self`: the innermost named record or variant that this occurs in."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list<element>`; `map<K,V>` is `list<tuple<K,V>>` and `set<T>` is `list<T>`."""

    element: Type


@dataclass(frozen=True, slots=True)
class OptionOf:
    """`option<inner>`."""

    inner: Type


@dataclass(frozen=True, slots=True)
class ResultOf:
    """`result<ok, err>`; None stands for `_` on that side."""

    ok: Type | None
    err: Type | None


@dataclass(frozen=True, slots=True)
class TupleOf:
    """`tuple<…>`."""

    items: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Record:
    """`record name { … }`, fields in declared order."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a variant; its tag is its position."""

    name: str
    payload: Type | None


@dataclass(frozen=True, slots=True)
class Variant:
    """`variant` or `enum` (a variant without payloads)."""

    name: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """`flags name { … }`; bit i is the i-th name. Metadata of Pack guests drops the names: then `names` is empty."""

    name: str
    names: tuple[str, ...]


Type: TypeAlias = Scalar | Dynamic | Unit | SelfRef | ListOf | OptionOf | ResultOf | TupleOf | Record | Variant | Flags


@dataclass(frozen=True, slots=True)
class Param:
    """A named parameter."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Function:
    """A function signature. `result` is None where nothing is declared."""

    name: str
    params: tuple[Param, ...]
    result: Type | None


@dataclass(frozen=True, slots=True)
class Interface:
    """A named set of functions (`theater:simple/runtime`); the anonymous interface has the name ''."""

    name: str
    functions: tuple[Function, ...]

    def function(self, name: str) -> Function | None:
        """The function of that name, or None."""
        return next((f for f in self.functions if f.name == name), None)
