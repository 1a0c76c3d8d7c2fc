"""Pact: the language in which interfaces are declared, for capabilities and for guests.

Invariants: what `parse` gives is complete: full interface names, types without names left to resolve, annotations that
fit their declared types. Annotations, comments, parameter names and type names are never part of a structural hash.
Language: `docs/reference/pact.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from theater_bus.core.values.pact_annotations import check_annotation, check_effects
from theater_bus.core.values.pact_format import format_interface, format_type
from theater_bus.core.values.pact_lexer import Source
from theater_bus.core.values.pact_parser import parse_tree
from theater_bus.core.values.pact_resolver import Resolver, Scope, build_scopes
from theater_bus.core.values.pact_syntax import FunctionDecl, ImportDecl, InterfaceDecl, LiteralValue, Member
from theater_bus.core.values.types import Function, Interface, Param, Type, Unit

__all__ = [
    "Effect",
    "Import",
    "PactFile",
    "PactInterface",
    "format_interface",
    "format_type",
    "parse",
]

Effect = Literal["none", "queued", "external"]

_PACKAGE = re.compile(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Import:
    """What an `imports` block asks for.

    `functions` names what is wanted, empty for everything. `declared` holds the signatures where the block spells them
    out; otherwise they are those of whoever provides the interface.
    """

    interface: str
    functions: tuple[str, ...] = ()
    declared: Interface | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class PactInterface:
    """One interface of a file, with what stands around its functions.

    `interface` has the full name and the functions of the `exports` block; `groups` are functions exported under other
    interfaces' names (`theater:simple/actor.init: func(…)`); `types` are the declared types without type parameters;
    `docs` and `lines` go by function name (`interface.function` for those of groups).
    """

    interface: Interface
    anonymous: bool
    groups: tuple[Interface, ...]
    imports: tuple[Import, ...]
    types: Mapping[str, Type]
    annotations: Mapping[str, LiteralValue]
    doc: str
    docs: Mapping[str, str]
    lines: Mapping[str, int]

    def effect(self, function: str) -> Effect:
        """What calling the function does outside: `none`, `queued` (outbox) or `external` (output commit)."""
        for effect in ("queued", "external"):
            names = self.annotations.get(effect, ())
            if isinstance(names, Sequence) and function in names:
                return "queued" if effect == "queued" else "external"
        return "none"


@dataclass(frozen=True, slots=True)
class PactFile:
    """A parsed source: its interfaces in order."""

    source: str
    declared: tuple[PactInterface, ...]

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """What a capability with this pact provides; functions outside of any `interface` go by the file's name."""
        return tuple(
            i for one in self.declared for i in (one.interface, *one.groups) if i.functions or not one.anonymous
        )

    @property
    def exports(self) -> tuple[Interface, ...]:
        """What a guest with this pact exports; functions outside of any `interface` keep their bare names."""
        return tuple(
            Interface("", i.functions) if one.anonymous and i is one.interface else i
            for one in self.declared
            for i in (one.interface, *one.groups)
            if i.functions
        )

    @property
    def imports(self) -> tuple[Import, ...]:
        """What the `imports` blocks of all interfaces ask for, in order."""
        return tuple(one for declared in self.declared for one in declared.imports)

    def interface(self, name: str) -> PactInterface | None:
        """The interface of that full name, or None."""
        return next((one for one in self.declared if one.interface.name == name), None)

    def annotation_list(self, name: str) -> list[str]:
        """The strings of the annotation `@name: list<string>` in all interfaces, each once, in order."""
        found: dict[str, None] = {}
        for declared in self.declared:
            value = declared.annotations.get(name, ())
            if isinstance(value, Sequence) and not isinstance(value, str):
                found.update(dict.fromkeys(one for one in value if isinstance(one, str)))
        return list(found)


def parse(text: str, source: str = "x.pact") -> PactFile:
    """Parse pact source; `source` is the file name, for messages and for what stands outside of any interface.

    Raises `PactSyntaxError` with line and column for whatever is not a complete, finite declaration.
    """
    return _Builder(Source(text, source)).file()


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.resolver = Resolver(source)
        self.tree = parse_tree(source)
        first = self.tree[0]
        self.root = first if not first.name else InterfaceDecl("", 0, "")
        self.scopes = build_scopes(source, self.root, self.tree)

    def file(self) -> PactFile:
        outer = self.annotations(self.root)
        functions = {function.name for one in self.tree for function in one.exports}
        check_effects(self.source, self.root.annotations, functions)
        has_content = bool(self.root.exports or self.root.imports or len(self.tree) == 1)
        chosen = [one for one in self.tree if one is not self.root or has_content]
        return PactFile(self.source.name, tuple(self.interface(one, outer) for one in chosen))

    def interface(self, declared: InterfaceDecl, outer: Mapping[str, LiteralValue]) -> PactInterface:
        scope = self.scopes[declared.name]
        annotations = {**outer}
        if declared is not self.root:
            annotations |= self.annotations(declared)
            check_effects(self.source, declared.annotations, {function.name for function in declared.exports})
        bare = declared.name or PurePath(self.source.name).stem
        name = f"{annotations['package']}/{bare}" if "package" in annotations else bare
        interface, groups = self.exports(name, declared.exports, scope)
        shown = {self.shown(one): one for one in declared.exports}
        return PactInterface(
            interface=interface,
            anonymous=declared is self.root,
            groups=groups,
            imports=tuple(self.imported(one, scope) for one in declared.imports),
            types={one.name: self.resolver.declared(one, scope) for one in declared.types if not one.parameters},
            annotations=annotations,
            doc=declared.doc,
            docs={key: one.doc for key, one in shown.items() if one.doc},
            lines={key: self.source.line(one.at) for key, one in shown.items()},
        )

    @staticmethod
    def shown(function: FunctionDecl) -> str:
        return f"{function.path}.{function.name}" if function.path else function.name

    def exports(
        self, name: str, functions: list[FunctionDecl], scope: Scope
    ) -> tuple[Interface, tuple[Interface, ...]]:
        by_path: dict[str, dict[str, Function]] = {"": {}}
        for one in functions:
            path = "" if one.path == name else one.path
            group = by_path.setdefault(path, {})
            if one.name in group:
                raise self.source.error(one.at, f"function `{self.shown(one)}` is declared twice")
            group[one.name] = self.function(one, scope)
        interface = Interface(name, tuple(by_path.pop("").values()))
        return interface, tuple(Interface(path, tuple(group.values())) for path, group in by_path.items())

    def function(self, declared: FunctionDecl, scope: Scope) -> Function:
        seen: set[str] = set()
        for member in declared.parameters:
            if member.name in seen:
                raise self.source.error(member.at, f"parameter `{member.name}` is declared twice")
            seen.add(member.name)
        params = tuple(Param(member.name, self.parameter(member, scope)) for member in declared.parameters)
        result = None if declared.result is None else self.resolver.type(declared.result, scope)
        # Guests compile `-> _` to a function without result, and their hash is the one that must match.
        return Function(declared.name, params, None if isinstance(result, Unit) else result)

    def parameter(self, member: Member, scope: Scope) -> Type:
        assert member.type is not None
        return self.resolver.type(member.type, scope)

    def imported(self, declared: ImportDecl, scope: Scope) -> Import:
        interface = None
        if declared.functions is not None:
            interface, _ = self.exports(declared.interface, list(declared.functions), scope)
        return Import(declared.interface, declared.names, interface, self.source.line(declared.at))

    def annotations(self, declared: InterfaceDecl) -> dict[str, LiteralValue]:
        found: dict[str, LiteralValue] = {}
        for one in declared.annotations:
            if one.name in found:
                raise self.source.error(one.at, f"annotation `@{one.name}` is given twice")
            check_annotation(self.source, one, self.resolver.type(one.type, self.scopes[declared.name]))
            if one.name == "package" and not _PACKAGE.fullmatch(str(one.value)):
                raise self.source.error(one.at, '`@package` is not a package name. Fix: write it like "theater:simple"')
            found[one.name] = one.value
        return found
