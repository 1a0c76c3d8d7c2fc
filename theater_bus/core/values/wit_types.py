"""Types of pact as WIT writes them, with the declarations that they need.

Invariants: a name stands for one type within one `WitTypes`, inner types are declared before those that contain them;
what WIT has no type for becomes `json`, JSON text of the plain form (`value`, and a type that contains itself), or is
refused (the empty tuple, empty records, more than 32 flags).

Source: the Component Model, "WIT types"; the limits are those of its binary format.
"""

from __future__ import annotations

from collections.abc import Iterable

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
from theater_bus.core.values.wit_names import NotInWit, respelled, written

__all__ = ["WitTypes", "contains_itself"]

MAX_FLAGS = 32

Named = Record | Variant | Flags
_NOTHING = (Unit(), TupleOf(()))


class WitTypes:
    """The types of one scope, by the names that they have there. `names` are in the order of their declarations.

    `functions` are the names of functions in that scope, which WIT gives to no type as well.
    """

    def __init__(self, functions: Iterable[str] = ()) -> None:
        self._functions = frozenset(functions)
        self._by_type: dict[Named | Dynamic, str] = {}
        self._declared: dict[str, list[str]] = {}

    def text(self, type: Type, used: set[str]) -> str:
        """A type as a signature writes it; `used` gets the names of this scope in it. Raises `NotInWit`."""
        if isinstance(type, Scalar):
            return type.value
        if isinstance(type, ListOf):
            return f"list<{self.text(type.element, used)}>"
        if isinstance(type, OptionOf):
            return f"option<{self.text(type.inner, used)}>"
        if isinstance(type, ResultOf):
            return self._result(type, used)
        if isinstance(type, TupleOf) and type.items:
            return f"tuple<{', '.join(self.text(item, used) for item in type.items)}>"
        if isinstance(type, Unit | TupleOf):
            raise NotInWit("WIT has no empty tuple, except as a side of a result. Fix: use `bool`, or leave it out")
        name = self._name(type)
        used.add(name)
        return written(name)

    def declarations(self) -> list[list[str]]:
        """The lines of each declaration, in order."""
        return list(self._declared.values())

    @property
    def names(self) -> list[str]:
        """The names that are declared, in order."""
        return list(self._declared)

    def _result(self, type: ResultOf, used: set[str]) -> str:
        ok, err = (None if side is None or side in _NOTHING else self.text(side, used) for side in (type.ok, type.err))
        if err is None:
            return "result" if ok is None else f"result<{ok}>"
        return f"result<{ok or '_'}, {err}>"

    def _name(self, type: Named | Dynamic | SelfRef) -> str:
        if isinstance(type, Dynamic | SelfRef) or contains_itself(type):
            return self._json()
        if type not in self._by_type:
            # Inner types come first, and a name is free until its own declaration is complete.
            keyword, body = self._declaration(type)
            name = self._free(respelled(type.name) if type.name else keyword)
            self._by_type[type] = name
            self._declared[name] = [f"{keyword} {written(name)} {{", *(f"    {line}," for line in body), "}"]
        return self._by_type[type]

    def _json(self) -> str:
        if Dynamic() not in self._by_type:
            name = self._by_type[Dynamic()] = self._free("json")
            self._declared[name] = ["/// Any value, as JSON text.", f"type {name} = string;"]
        return self._by_type[Dynamic()]

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._declared or name in self._functions:
            name, number = f"{wanted}{number}", number + 1
        return name

    def _declaration(self, type: Named) -> tuple[str, list[str]]:
        if isinstance(type, Record):
            names = _members("record", type.name, [field.name for field in type.fields])
            fields = zip(names, type.fields, strict=True)
            return "record", [f"{name}: {self.text(field.type, set())}" for name, field in fields]
        if isinstance(type, Flags):
            if len(type.names) > MAX_FLAGS:
                raise NotInWit(f"flags {type.name!r} have {len(type.names)} names, WIT allows {MAX_FLAGS}")
            return "flags", _members("flags", type.name, type.names)
        names = _members("variant", type.name, [case.name for case in type.cases])
        payloads = [case.payload for case in type.cases]
        texts = ["" if one is None else f"({self.text(one, set())})" for one in payloads]
        keyword = "variant" if any(texts) else "enum"
        return keyword, [f"{name}{text}" for name, text in zip(names, texts, strict=True)]


def contains_itself(type: Type | None) -> bool:
    """Whether a record or variant has `self` in it, which no WIT type can."""
    if isinstance(type, Record):
        return any(_has_self(field.type) for field in type.fields)
    return isinstance(type, Variant) and any(_has_self(case.payload) for case in type.cases)


def _has_self(type: Type | None) -> bool:
    """Whether the innermost record or variant around this part is meant by a `self` in it."""
    if isinstance(type, ListOf):
        return _has_self(type.element)
    if isinstance(type, OptionOf):
        return _has_self(type.inner)
    if isinstance(type, ResultOf):
        return _has_self(type.ok) or _has_self(type.err)
    if isinstance(type, TupleOf):
        return any(map(_has_self, type.items))
    return isinstance(type, SelfRef)


def _members(kind: str, owner: str, members: Iterable[str]) -> list[str]:
    """The names of members as WIT writes them. Raises `NotInWit` for none, and for two of one name."""
    found: dict[str, None] = {}
    for name in members:
        spelled = written(respelled(name))
        if spelled in found:
            raise NotInWit(f"{kind} {owner!r} has two members that WIT writes as {spelled!r}. Fix: rename one")
        found[spelled] = None
    if not found:
        raise NotInWit(f"{kind} {owner!r} is empty, which WIT does not allow. Fix: give it a member, or use `bool`")
    return list(found)
