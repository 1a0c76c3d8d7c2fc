"""Names in a pact source resolved to declared types.

Invariants: what comes out is closed (no names left, only `SelfRef` for direct recursion) and bounded: at most
`MAX_DEPTH` deep, at most `MAX_TYPE_NODES` nodes a type and `MAX_FILE_NODES` a file when written out, so that whoever
walks the result (hash, metadata, codec) takes bounded time although a few lines can name exponentially large types.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from theater_bus.core.values.pact_lexer import Source
from theater_bus.core.values.pact_syntax import InterfaceDecl, Member, TypeDecl, TypeExpression, UseDecl
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
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
from theater_bus.errors import PactSyntaxError

__all__ = ["BUILT_IN", "MAX_DEPTH", "MAX_FILE_NODES", "MAX_TYPE_NODES", "Resolver", "Scope", "build_scopes", "suggest"]

MAX_DEPTH = 48  # metadata nests five values a level, and decoders stop at 256
MAX_TYPE_NODES = 4096
MAX_FILE_NODES = 200_000

_SCALARS: Mapping[str, Type] = {scalar.value: scalar for scalar in Scalar}
_ARITY = {"list": 1, "option": 1, "set": 1, "map": 2, "result": 2}
BUILT_IN = frozenset({*_SCALARS, *_ARITY, "tuple", "value", "self", "_"})


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A type with its size and depth written out; `open` if a `SelfRef` in it belongs to a type outside."""

    type: Type
    nodes: int = 1
    depth: int = 1
    open: bool = False


Scope = dict[str, "tuple[TypeDecl, Scope]"]
_Arguments = Mapping[str, _Resolved]
_NO_ARGUMENTS: _Arguments = {}


def suggest(name: str, known: Iterable[str]) -> str:
    """`". Did you mean `x`?"` for the closest of some known names, or nothing."""
    if len(name) > 64:
        return ""
    candidates = [one for one in known if len(one) <= 64][:500]
    close = difflib.get_close_matches(name, candidates, n=1)
    return f". Did you mean `{close[0]}`?" if close else ""


def build_scopes(source: Source, root: InterfaceDecl, declared: list[InterfaceDecl]) -> dict[str, Scope]:
    """The type names that each interface sees: its own, those it uses, and those that stand outside of any."""
    scopes: dict[str, Scope] = {}
    outer: Scope = {}
    for interface in [root, *(one for one in declared if one is not root)]:
        if interface.name in scopes:
            raise source.error(interface.at, f"interface `{interface.name}` is declared twice")
        scope: Scope = dict(outer)
        own: set[str] = set()
        for declaration in interface.types:
            _check_declarable(source, declaration, own)
            own.add(declaration.name)
            scope[declaration.name] = (declaration, scope)
        scopes[interface.name] = scope
        if interface is root:
            outer = scope
    for interface in declared:
        for use in interface.uses:
            _apply_use(source, use, interface, declared, scopes)
    return scopes


def _check_declarable(source: Source, declaration: TypeDecl, own: set[str]) -> None:
    if declaration.name in BUILT_IN:
        raise source.error(declaration.at, f"`{declaration.name}` is a built-in type and cannot be declared")
    if declaration.name in own:
        raise source.error(declaration.at, f"type `{declaration.name}` is declared twice")


def _apply_use(
    source: Source, use: UseDecl, user: InterfaceDecl, declared: list[InterfaceDecl], scopes: dict[str, Scope]
) -> None:
    used = next((one for one in declared if one.name == use.interface), None)
    if used is None or used is user:
        hint = suggest(use.interface, (one.name for one in declared if one is not user))
        problem = f"interface `{use.interface}` is not in this file{hint or '. Fix: declare its types in this file'}"
        raise source.error(use.at, problem)
    offered = {declaration.name: declaration for declaration in used.types}
    names = use.names or tuple((name, use.at) for name in offered)
    for name, at in names:
        if name not in offered:
            raise source.error(at, f"interface `{use.interface}` declares no type `{name}`{suggest(name, offered)}")
        mine = scopes[user.name]
        if name in mine and mine[name][0] is not offered[name]:
            raise source.error(at, f"type `{name}` of interface `{use.interface}` collides with another `{name}`")
        mine[name] = (offered[name], scopes[used.name])


class Resolver:
    """Turns type expressions into types; one per source, since sizes are counted for the whole of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spent = 0
        self._known: dict[tuple[int, tuple[Type, ...]], _Resolved] = {}
        self._open_declarations: list[tuple[TypeDecl, tuple[Type, ...]]] = []
        self._owners: list[TypeDecl] = []
        self._built_in: dict[str, Callable[[list[_Resolved]], Type]] = {
            "list": lambda a: ListOf(a[0].type),
            "set": lambda a: ListOf(a[0].type),
            "option": lambda a: OptionOf(a[0].type),
            "map": lambda a: ListOf(TupleOf((a[0].type, a[1].type))),
            "tuple": lambda a: TupleOf(tuple(one.type for one in a)),
        }

    def type(self, expression: TypeExpression, scope: Scope) -> Type:
        """The type that an expression stands for in a scope. Raises `PactSyntaxError`."""
        return self._resolve(expression, scope, _NO_ARGUMENTS).type

    def declared(self, declaration: TypeDecl, scope: Scope) -> Type:
        """The type that a declaration without parameters stands for. Raises `PactSyntaxError`."""
        return self._instance(declaration, scope, (), declaration.at).type

    def _resolve(self, expression: TypeExpression, scope: Scope, bound: _Arguments) -> _Resolved:
        name, at = expression.name, expression.at
        if name in bound:
            if expression.arguments:
                raise self._source.error(at, f"type parameter `{name}` takes no arguments")
            return self._spend(bound[name], at)
        if name == "result":
            return self._result(expression, scope, bound)
        if name in BUILT_IN:
            arguments = [self._resolve(one, scope, bound) for one in expression.arguments]
            return self._spend(self._composed(expression, arguments), at)
        if name not in scope:
            hint = suggest(name, [*bound, *scope, *sorted(BUILT_IN)])
            raise self._source.error(at, f"unknown type `{name}`{hint}")
        declaration, home = scope[name]
        arguments = [self._resolve(one, scope, bound) for one in expression.arguments]
        return self._spend(self._instance(declaration, home, tuple(arguments), at), at)

    def _composed(self, expression: TypeExpression, arguments: list[_Resolved]) -> _Resolved:
        name = expression.name
        build = self._built_in.get(name)
        if build is None:
            self._check_arity(expression, 0, len(arguments))
            if name == "self":
                if not self._owners:
                    raise self._source.error(expression.at, "`self` stands outside of a record or variant")
                return _Resolved(SelfRef(), open=True)
            return _Resolved(Dynamic() if name == "value" else Unit() if name == "_" else _SCALARS[name])
        if name != "tuple":
            self._check_arity(expression, _ARITY[name], len(arguments))
        return self._sized(build(arguments), arguments, expression.at)

    def _result(self, expression: TypeExpression, scope: Scope, bound: _Arguments) -> _Resolved:
        self._check_arity(expression, 2, len(expression.arguments))
        sides = [None if one.name == "_" else self._resolve(one, scope, bound) for one in expression.arguments]
        ok, err = (None if side is None else side.type for side in sides)
        present = [side for side in sides if side is not None]
        return self._spend(self._sized(ResultOf(ok, err), present, expression.at), expression.at)

    def _check_arity(self, expression: TypeExpression, wanted: int, found: int) -> None:
        if wanted != found:
            takes = f"{wanted} type argument{'' if wanted == 1 else 's'}" if wanted else "no type arguments"
            raise self._source.error(expression.at, f"`{expression.name}` takes {takes}, {found} given")

    def _instance(self, declaration: TypeDecl, home: Scope, arguments: tuple[_Resolved, ...], at: int) -> _Resolved:
        if len(arguments) != len(declaration.parameters):
            self._check_arity(TypeExpression(declaration.name, (), at), len(declaration.parameters), len(arguments))
        types = tuple(one.type for one in arguments)
        key = (id(declaration), types)
        known = self._known.get(key)
        if known is not None:
            return known
        if any(opened is declaration for opened, _ in self._open_declarations):
            return self._recursive(declaration, types, at)
        self._open_declarations.append((declaration, types))
        try:
            resolved = self._expand(declaration, home, dict(zip(declaration.parameters, arguments, strict=True)), at)
        finally:
            self._open_declarations.pop()
        if not resolved.open:
            self._known[key] = resolved
        return resolved

    def _recursive(self, declaration: TypeDecl, types: tuple[Type, ...], at: int) -> _Resolved:
        name = declaration.name
        if declaration.kind == "alias":
            raise self._source.error(at, f"type `{name}` stands for itself. Fix: recurse through a record or variant")
        if declaration is not self._owners[-1]:
            inner = self._owners[-1].name
            raise self._source.error(
                at,
                f"`{name}` contains itself through `{inner}`, and only direct recursion has a type. Fix: use `value`",
            )
        if (declaration, types) not in self._open_declarations:
            raise self._source.error(
                at, f"`{name}` contains itself with other type arguments, which has no finite type"
            )
        return _Resolved(SelfRef(), open=True)

    def _expand(self, declaration: TypeDecl, home: Scope, bound: _Arguments, at: int) -> _Resolved:
        kind, name = declaration.kind, declaration.name
        if kind == "parameter":
            return _Resolved(Dynamic())
        if kind == "alias":
            body = declaration.members[0].type
            assert body is not None
            return self._resolve(body, home, bound)
        self._check_members(declaration)
        if kind == "flags":
            return _Resolved(Flags(name, tuple(member.name for member in declaration.members)))
        if any(one.open for one in bound.values()):
            raise self._source.error(at, f"`self` cannot be an argument of `{name}`, which has a `self` of its own")
        self._owners.append(declaration)
        try:
            inner = [self._member(member, home, bound) for member in declaration.members]
        finally:
            self._owners.pop()
        types = [None if one is None else one.type for one in inner]
        built: Type
        if kind == "record":
            pairs = zip(declaration.members, types, strict=True)
            built = Record(name, tuple(Field(member.name, of) for member, of in pairs if of is not None))
        else:
            built = Variant(name, tuple(Case(m.name, of) for m, of in zip(declaration.members, types, strict=True)))
        sized = self._sized(built, [one for one in inner if one is not None], declaration.at, len(inner))
        return _Resolved(sized.type, sized.nodes, sized.depth)

    def _member(self, member: Member, home: Scope, bound: _Arguments) -> _Resolved | None:
        return None if member.type is None else self._resolve(member.type, home, bound)

    def _check_members(self, declaration: TypeDecl) -> None:
        seen: dict[str, str] = {}
        for member in declaration.members:
            key = member.name
            if declaration.kind == "record":
                key = key.replace("-", "").replace("_", "").casefold()
            if key in seen:
                other = seen[key]
                how = "twice" if other == member.name else f"beside `{other}`, which counts as the same name"
                raise self._source.error(member.at, f"`{declaration.name}` declares `{member.name}` {how}")
            seen[key] = member.name
        if declaration.kind == "flags" and len(declaration.members) > 64:
            raise self._source.error(declaration.at, f"flags `{declaration.name}` has more than 64 names")

    def _sized(self, of: Type, parts: list[_Resolved], at: int, extra: int = 0) -> _Resolved:
        nodes = 1 + extra + sum(part.nodes for part in parts)
        depth = 1 + max((part.depth for part in parts), default=0)
        if depth > MAX_DEPTH:
            raise self._source.error(at, f"the type nests deeper than {MAX_DEPTH} when written out. Fix: use `value`")
        if nodes > MAX_TYPE_NODES:
            raise self._source.error(at, f"the type has more than {MAX_TYPE_NODES} parts when written out")
        return _Resolved(of, nodes, depth, any(part.open for part in parts))

    def _spend(self, resolved: _Resolved, at: int) -> _Resolved:
        self._spent += resolved.nodes
        if self._spent > MAX_FILE_NODES:
            raise self._too_large(at)
        return resolved

    def _too_large(self, at: int) -> PactSyntaxError:
        return self._source.error(at, f"the types of this file have more than {MAX_FILE_NODES} parts when written out")
