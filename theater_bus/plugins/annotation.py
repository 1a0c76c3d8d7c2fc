"""Whether the annotations of a host function can hold the plain values that its pact declares.

A parameter must take every plain form of its type, a result may name any of them. What arrives: `bool`, `int`, `float`,
`str` (also for `char`), `bytes` for `list<u8>`, `list` (also for tuples and flags), `dict` for records and results,
`str` and `dict` for variants without and with payload, and None for nothing. What may come back is more: tuples for
lists, `bytearray` and `memoryview` for bytes, `Ok` and `Err`. Annotations that say nothing (`Any`, `object`, type
variables, none at all) always agree.
Source: wire protocol, "Plain values".
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NewType, NoReturn

from theater_bus.core.values.codec import Err, Ok
from theater_bus.core.values.model import fold_name
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

__all__ = ["arrives_as", "gives", "shown", "takes"]

_SCALARS: dict[Scalar, type] = {
    Scalar.BOOL: bool,
    Scalar.F32: float,
    Scalar.F64: float,
    Scalar.CHAR: str,
    Scalar.STRING: str,
}
_EXACT = frozenset({bool, int, float, str, dict})
"""Types whose subclasses the codecs do not take for them: True is no number, an enum no text."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way in which a declared type shows itself: what arrives as, what may be returned, and what is inside."""

    arrives: type
    returned: tuple[type, ...]
    element: Type | None = None
    items: tuple[Type, ...] | None = None
    members: Mapping[str, Type] | None = None
    names: frozenset[str] | None = None


def takes(hint: Any, declared: Type) -> bool:
    """Whether a parameter with this annotation can hold every value of the declared type."""
    forms, members = _forms(declared), _members(hint)
    return forms is None or members is None or all(any(_takes(one, form) for one in members) for form in forms)


def gives(hint: Any, declared: Type) -> bool:
    """Whether everything that a result with this annotation names is a plain form of the declared type."""
    forms, members = _forms(declared), _members(hint)
    return forms is None or members is None or all(any(_gives(one, form) for form in forms) for one in members)


def arrives_as(declared: Type) -> str:
    """The annotation to write for a declared type: `bytes | None` for `option<list<u8>>`."""
    forms = _forms(declared)
    if forms is None:
        return "Any"
    written = dict.fromkeys(_written(form) for form in forms)
    return " | ".join(sorted(written, key="None".__eq__))


def shown(hint: Any) -> str:
    """An annotation as people write it."""
    if hint is None or hint is types.NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _forms(declared: Type) -> list[_Form] | None:
    """The forms of a declared type; None where it can be anything."""
    match declared:
        case Scalar():
            kind = _SCALARS.get(declared, int)
            return [_Form(kind, (kind, int) if kind is float else (kind,))]
        case ListOf(Scalar.U8):
            return [_Form(bytes, (bytes, bytearray, memoryview, list, tuple), element=Scalar.U8)]
        case ListOf(element):
            return [_Form(list, (list, tuple), element=element)]
        case TupleOf(items):
            return [_Form(list, (list, tuple), items=items)]
        case OptionOf(inner):
            return _option_forms(inner)
        case ResultOf(ok, err):
            sides = {"ok": ok or Unit(), "err": err or Unit()}
            return [_Form(dict, (dict, Ok, Err), members=sides, names=frozenset(sides))]
        case Record(_, fields):
            return [_Form(dict, (dict,), members={field.name: field.type for field in fields})]
        case Variant():
            return _variant_forms(declared)
        case Flags(_, names):
            kind = list if names else int
            return [_Form(kind, (list, tuple, int) if names else (int,), element=Scalar.STRING if names else None)]
        case Dynamic() | SelfRef():
            return None
    return [_Form(types.NoneType, (types.NoneType,))]


def _option_forms(inner: Type) -> list[_Form] | None:
    nothing = _Form(types.NoneType, (types.NoneType,))
    if isinstance(inner, OptionOf | Unit | Dynamic):
        return [nothing, _Form(dict, (dict,), members={"some": inner})]
    forms = _forms(inner)
    return None if forms is None else [nothing, *forms]


def _variant_forms(declared: Variant) -> list[_Form]:
    bare = frozenset(case.name for case in declared.cases if case.payload is None)
    loaded = {case.name: case.payload for case in declared.cases if case.payload is not None}
    forms = [_Form(str, (str,), names=bare)] if bare else []
    return [*forms, _Form(dict, (dict,), members=loaded, names=frozenset(loaded))] if loaded else forms


def _members(hint: Any) -> list[Any] | None:
    """The alternatives of an annotation; None where it says nothing."""
    hint = _plain_hint(hint)
    if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
        return None
    if hint is NoReturn or hint is typing.Never:
        return []
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        nested = [_members(one) for one in typing.get_args(hint)]
        return None if None in nested else [one for part in nested if part is not None for one in part]
    return [types.NoneType if hint is None else hint]


def _plain_hint(hint: Any) -> Any:
    """An annotation without `NewType`, `type` aliases and `Annotated` around it."""
    while True:
        if isinstance(hint, NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif typing.get_origin(hint) is typing.Annotated:
            hint = typing.get_args(hint)[0]
        else:
            return hint


def _takes(hint: Any, form: _Form) -> bool:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return form.arrives is str and form.names is not None and form.names <= frozenset(args)
    if typing.is_typeddict(origin):
        return form.arrives is dict and form.names is None and _agree_by_name(origin, form, takes)
    if not _is_subclass(form.arrives, origin):
        return False
    inner = _inner(form)
    if inner is None or not args:
        return True
    if form.arrives is dict:
        return takes(args[0], Scalar.STRING) and all(takes(args[-1], one) for one in inner)
    return all(takes(args[0], one) for one in inner)


def _gives(hint: Any, form: _Form) -> bool:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return all(type(one) in form.returned and (form.names is None or one in form.names) for one in args)
    if typing.is_typeddict(origin):
        return dict in form.returned and _agree_by_name(origin, form, gives)
    if not any(_may_be(origin, kind) for kind in form.returned):
        return False
    return not args or _inside_given(origin, args, form)


def _may_be(origin: Any, kind: type) -> bool:
    """Whether what is annotated as `origin` is, or may be, a `kind`: `Sequence` may be a list."""
    if origin in _EXACT:
        return bool(origin is kind)
    return (kind not in _EXACT and _is_subclass(origin, kind)) or _is_subclass(kind, origin)


def _inside_given(origin: Any, args: tuple[Any, ...], form: _Form) -> bool:
    inner = _inner(form)
    if inner is None:
        return True
    if form.arrives is dict:
        return all(any(gives(one, declared) for declared in inner) for one in _members(args[-1]) or ())
    if origin is tuple and Ellipsis not in args and form.items is not None:
        return len(args) == len(inner) and all(map(gives, args, inner))
    given = [one for one in args if one is not Ellipsis]
    return all(any(gives(one, declared) for declared in inner) for arg in given for one in _members(arg) or ())


def _inner(form: _Form) -> tuple[Type, ...] | None:
    if form.members is not None:
        return tuple(form.members.values())
    if form.items is not None:
        return form.items
    return None if form.element is None or form.arrives is bytes else (form.element,)


def _agree_by_name(hint: Any, form: _Form, agrees: typing.Callable[[Any, Type], bool]) -> bool:
    """Whether a TypedDict has the fields of a record, or one case of a variant or result."""
    hints = typing.get_type_hints(hint)
    declared = {fold_name(name): type_ for name, type_ in (form.members or {}).items()}
    found = {fold_name(name): one for name, one in hints.items()}
    if form.names is None and found.keys() != declared.keys():
        return False
    return found.keys() <= declared.keys() and all(agrees(one, declared[name]) for name, one in found.items())


def _written(form: _Form) -> str:
    if form.arrives is types.NoneType:
        return "None"
    if form.arrives is dict:
        return "dict[str, Any]"
    if form.arrives is not list:
        return form.arrives.__name__
    inner: Iterable[str] = dict.fromkeys(arrives_as(one) for one in _inner(form) or ())
    return f"list[{' | '.join(inner) or 'Any'}]"


def _is_subclass(kind: Any, origin: Any) -> bool:
    try:
        return issubclass(kind, origin)
    except TypeError:
        return True
