"""What a setting may hold: rules that check one value and can say themselves in words.

A settings dataclass names the rule and the documentation of each field in the field's metadata (see `setting`), so
that one declaration is checked when it is read, explained when it is wrong, and printed in the reference.

Invariants: a rule never converts (a text is no number, a bool no integer); it answers None for a value that fits and
otherwise what is wrong, as the end of a sentence that begins with the setting's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

__all__ = ["DOC", "RULE", "Choice", "Plain", "PlainValue", "Rule", "Switch", "Text", "Texts", "Whole", "setting"]

Plain: TypeAlias = bool | int | float | str | bytes | Sequence["Plain"] | Mapping[str, "Plain"] | None
"""A plain value as TOML, JSON or msgpack give it."""

RULE: Final = "rule"
DOC: Final = "doc"

_MIN_INT, _MAX_INT = -(1 << 63), (1 << 64) - 1
_MAX_DEPTH = 64


class Rule(Protocol):
    """What a value must be."""

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""

    def describe(self) -> str:
        """What fits, in a few words for a reference table."""


def setting(rule: Rule, doc: str) -> dict[str, object]:
    """The `metadata` of a dataclass field that is a setting."""
    return {RULE: rule, DOC: doc}


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer within bounds, both included."""

    minimum: int
    maximum: int

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be an integer, not {_kind(value)}"
        if not self.minimum <= value <= self.maximum:
            return f"is {_shown(value)}, outside {self.describe()}"
        return None

    def describe(self) -> str:
        """The bounds."""
        return f"{self.minimum:,} to {self.maximum:,}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that fits a pattern as a whole; `form` says the pattern in words."""

    pattern: str
    form: str

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if not isinstance(value, str):
            return f"must be a text, not {_kind(value)}"
        if not _is_unicode(value):
            return "holds half a surrogate pair"
        if re.fullmatch(self.pattern, value, re.DOTALL) is None:
            return f"is {_shown(value)}, not {self.form}"
        return None

    def describe(self) -> str:
        """The form, in words."""
        return self.form


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words. `unoffered` are read as well, so that whoever cannot serve them may say so; none is named."""

    words: tuple[str, ...]
    unoffered: tuple[str, ...] = ()

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if value in self.words or value in self.unoffered:
            return None
        return f"is {_shown(value)}, not one of {self.describe()}"

    def describe(self) -> str:
        """The words."""
        return ", ".join(f'"{word}"' for word in self.words)


@dataclass(frozen=True, slots=True)
class Switch:
    """true or false."""

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        return None if isinstance(value, bool) else f"must be true or false, not {_kind(value)}"

    def describe(self) -> str:
        """The two words."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of different texts that are not empty."""

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        if not isinstance(value, (list, tuple)):
            return f"must be a list of texts, not {_kind(value)}"
        for item in value:
            if not isinstance(item, str) or not item or not _is_unicode(item):
                return f"must hold texts only, not {_shown(item)}"
        if len(set(value)) != len(value):
            return "holds the same text twice"
        return None

    def describe(self) -> str:
        """What it is."""
        return "a list of texts"


@dataclass(frozen=True, slots=True)
class PlainValue:
    """Any plain value: null, bool, 64-bit integers, floats, text, bytes, lists, and maps with text keys."""

    def check(self, value: object) -> str | None:
        """What is wrong with `value`, or None."""
        return _check_plain(value, "", 0)

    def describe(self) -> str:
        """What it is."""
        return "any plain value"


def _check_plain(value: object, path: str, depth: int) -> str | None:
    where = f" at {path}" if path else ""
    if depth > _MAX_DEPTH:
        return f"nests deeper than {_MAX_DEPTH} levels"
    if isinstance(value, int) and not _MIN_INT <= value <= _MAX_INT:
        return f"holds an integer{where} that needs more than 64 bits"
    if isinstance(value, str):
        return None if _is_unicode(value) else f"holds half a surrogate pair{where}"
    if value is None or isinstance(value, (bool, int, float, bytes)):
        return None
    if isinstance(value, (list, tuple)):
        found = (_check_plain(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value))
        return next((problem for problem in found if problem), None)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not _is_unicode(key):
                return f"has the key {key!r}{where}, which is no text"
            problem = _check_plain(item, f"{path}.{key}" if path else key, depth + 1)
            if problem:
                return problem
        return None
    return f"holds {_kind(value)}{where}, which is no plain value. Fix: write it as a text"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_KINDS: Final = {bool: "a bool", int: "an integer", float: "a float", str: "a text", dict: "a table", list: "a list"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _shown(value: object) -> str:
    try:
        text = f"{value:,}" if type(value) is int else repr(value)
    except ValueError:  # an integer of more digits than CPython converts
        return f"{_kind(value)} of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
