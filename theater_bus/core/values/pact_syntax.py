"""The syntax tree of a pact source, names not yet resolved.

Invariants: nodes hold what was written and where (`at` is a character offset); nothing here is checked beyond grammar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "AnnotationDecl",
    "FunctionDecl",
    "ImportDecl",
    "InterfaceDecl",
    "LiteralValue",
    "Member",
    "TypeDecl",
    "TypeExpression",
    "UseDecl",
]

LiteralValue: TypeAlias = "str | int | float | bool | Sequence[LiteralValue] | Mapping[str, LiteralValue]"


@dataclass(frozen=True, slots=True)
class TypeExpression:
    """`name` or `name<arguments>`; built-in types, `self` and `_` are names too."""

    name: str
    arguments: tuple[TypeExpression, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """A field, a case, a flag, an enum name or a parameter. `type` is None where none is written."""

    name: str
    type: TypeExpression | None
    at: int


@dataclass(frozen=True, slots=True)
class TypeDecl:
    """A named type; an alias has one member, whose type is what the name stands for; a parameter has none."""

    kind: Literal["alias", "record", "variant", "flags", "parameter"]
    name: str
    parameters: tuple[str, ...]
    members: tuple[Member, ...]
    at: int


@dataclass(frozen=True, slots=True)
class FunctionDecl:
    """`name: func(parameters) -> result`, under the interface that `path` names, else under the enclosing one."""

    path: str
    name: str
    parameters: tuple[Member, ...]
    result: TypeExpression | None
    at: int
    doc: str


@dataclass(frozen=True, slots=True)
class ImportDecl:
    """An interface that is needed: all of it, some functions by `names`, or with its `functions` spelled out."""

    interface: str
    names: tuple[str, ...]
    functions: tuple[FunctionDecl, ...] | None
    at: int


@dataclass(frozen=True, slots=True)
class UseDecl:
    """`use interface` (all its types) or `use interface.{names}`."""

    interface: str
    names: tuple[tuple[str, int], ...]
    at: int


@dataclass(frozen=True, slots=True)
class AnnotationDecl:
    """`@name: type = literal`."""

    name: str
    type: TypeExpression
    value: LiteralValue
    at: int


@dataclass(slots=True)
class InterfaceDecl:
    """One `interface name { … }`, or what stands outside of any (then the name is empty)."""

    name: str
    at: int
    doc: str
    types: list[TypeDecl] = field(default_factory=list)
    uses: list[UseDecl] = field(default_factory=list)
    annotations: list[AnnotationDecl] = field(default_factory=list)
    imports: list[ImportDecl] = field(default_factory=list)
    exports: list[FunctionDecl] = field(default_factory=list)
