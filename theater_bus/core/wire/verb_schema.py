"""The language in which verbs are declared: fields with kinds, bounds and defaults, and answers described in words.

Invariants: `Verb.parse` returns declared fields only, each of its kind and within its bounds, defaults filled in; an
optional field without a default is absent from the result when it was not sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any

from theater_bus.core.wire.identity import is_name
from theater_bus.core.wire.request import MAX_KEY, is_key
from theater_bus.errors import SerializationError

__all__ = ["ABSENT", "Answer", "Field", "Kind", "Verb"]

_SHOWN = 80
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class _Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""Stands for "no default": the field stays absent when it is not sent."""


class Kind(Enum):
    """What a field may hold; the value is what the reference prints."""

    BOOL = "bool"
    INT = "int"
    TEXT = "str"
    NAME = "name"
    NAMES = "array of names"
    KEY = "key"
    CHOICE = "one of"
    DIGEST = "digest"
    DOCUMENT = "str or map"
    PLAIN = "any plain value"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request. `low` and `high` bound an integer, or the length of a text or array."""

    name: str
    kind: Kind
    doc: str
    default: Any = ABSENT
    required: bool = False
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()

    def check(self, verb: str, value: object) -> Any:
        """Return `value` when this field can hold it, else raise `SerializationError` that says what it can hold."""
        if _FITS[self.kind](self, value):
            return value
        shown = ascii(value)[:_SHOWN]
        raise SerializationError(f"{verb}: {self.name!r} is {shown}. Fix: send {self.wants()}", field=self.name)

    def wants(self) -> str:
        """What the field takes, in words."""
        match self.kind:
            case Kind.INT:
                return f"an integer from {self.low} to {self.high}"
            case Kind.TEXT:
                return f"a text of {self.low} to {self.high} characters"
            case Kind.NAMES:
                return f"{self.low} to {self.high} names"
            case Kind.CHOICE:
                return " or ".join(repr(choice) for choice in self.choices)
            case kind:
                return _WORDS[kind]


@dataclass(frozen=True, slots=True)
class Answer:
    """One field of a verb's answer, described: its type in words, and what it says."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True, slots=True)
class Verb:
    """A query or verb of one channel. A reserved one is answered as an unknown one is, until it exists.

    `one_of` lists groups of fields of which exactly one group must be sent, named by its first field.
    """

    name: str
    doc: str
    fields: tuple[Field, ...] = ()
    answer: tuple[Answer, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    not_both: tuple[str, str] | None = None
    reserved: bool = False

    def parse(self, params: Mapping[str, Any] | Sequence[Any] | None) -> dict[str, Any]:
        """The fields in `params`, a map by name or an array in declared order. Raises `SerializationError`."""
        sent = params if isinstance(params, Mapping) else self._by_name(params or ())
        known = {field.name: field for field in self.fields}
        for name in sent:
            if name not in known:
                raise self._unknown(name)
        parsed: dict[str, Any] = {}
        for name, field in known.items():
            if name in sent:
                parsed[name] = field.check(self.name, sent[name])
            elif field.required:
                raise SerializationError(f"{self.name}: {name!r} is missing. Fix: send {field.wants()}", field=name)
            elif field.default is not ABSENT:
                parsed[name] = field.default
        self._check_groups(sent)
        return parsed

    def _by_name(self, params: Sequence[Any]) -> dict[str, Any]:
        if len(params) > len(self.fields):
            raise SerializationError(f"{self.name} takes {len(self.fields)} fields, not {len(params)}")
        return {field.name: value for field, value in zip(self.fields, params, strict=False)}

    def _unknown(self, name: str) -> SerializationError:
        names = [field.name for field in self.fields]
        nearest = get_close_matches(name[:_SHOWN], names, 1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(names) or 'none'}."
        message = f"{self.name}: unknown field {name[:_SHOWN]!r}. {hint}"
        return SerializationError(message, field=name[:_SHOWN], nearest=nearest)

    def _check_groups(self, sent: Mapping[str, Any]) -> None:
        if self.one_of and sum(any(name in sent for name in group) for group in self.one_of) != 1:
            names = " or ".join(repr(group[0]) for group in self.one_of)
            raise SerializationError(f"{self.name}: exactly one way to name it is needed. Fix: send {names}")
        for group in self.one_of:
            if group[0] not in sent and any(name in sent for name in group):
                raise SerializationError(f"{self.name}: {group[0]!r} is missing", field=group[0])
        if self.not_both is not None and all(sent.get(name) is True for name in self.not_both):
            first, second = self.not_both
            raise SerializationError(f"{self.name}: {first!r} and {second!r} exclude each other. Fix: send one of them")


_WORDS = {
    Kind.BOOL: "true or false",
    Kind.NAME: "1 to 64 of the characters A-Z a-z 0-9 _ -",
    Kind.KEY: f"1 to {MAX_KEY} printable ASCII characters without space",
    Kind.DIGEST: "'sha256:' and 64 lower-case hex digits",
    Kind.DOCUMENT: "the TOML text, or its tables as a map",
    Kind.PLAIN: "any plain value",
}

_FITS: Mapping[Kind, Callable[[Field, Any], bool]] = {
    Kind.BOOL: lambda _, value: type(value) is bool,
    Kind.INT: lambda field, value: type(value) is int and field.low <= value <= field.high,
    Kind.TEXT: lambda field, value: type(value) is str and field.low <= len(value) <= field.high,
    Kind.NAME: lambda _, value: type(value) is str and is_name(value),
    Kind.NAMES: lambda field, value: (
        type(value) is list
        and field.low <= len(value) <= field.high
        and all(type(name) is str and is_name(name) for name in value)
    ),
    Kind.KEY: lambda _, value: type(value) is str and is_key(value),
    Kind.CHOICE: lambda field, value: type(value) is str and value in field.choices,
    Kind.DIGEST: lambda _, value: type(value) is str and _DIGEST.fullmatch(value) is not None,
    Kind.DOCUMENT: lambda _, value: type(value) is str or type(value) is dict,
    Kind.PLAIN: lambda _, __: True,
}
