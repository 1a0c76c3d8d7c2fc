"""The languages that sets of texts are bounded in: exact texts, path prefixes, hosts, secrets, subjects, and endpoints.

Invariants: a parsed pattern is canonical, so equal meaning is equal pattern; `within` is a partial order (a pattern is
within itself); in all languages but the last two, two patterns are disjoint or one is within the other, which is what
keeps their intersections linear.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final, Protocol, TypeAlias

from theater_bus.core.grants.endpoint import Endpoints, check_name
from theater_bus.errors import SpawnRefused

__all__ = [
    "ENDPOINT_PATTERNS",
    "EXACT_TEXTS",
    "HOST_NAMES",
    "LANGUAGES",
    "PATH_PREFIXES",
    "SECRET_PLACES",
    "SUBJECT_PATTERNS",
    "Language",
    "Pattern",
]

Pattern: TypeAlias = tuple[str, ...]


class Language(Protocol):
    """How texts become patterns, and how patterns relate."""

    name: str
    most: int
    """Patterns that one list may hold."""
    most_met: int
    """Patterns that an intersection may need, and a record hold."""

    def parse(self, text: str) -> Pattern:
        """The canonical pattern. Raises `ValueError` saying what is wrong with the text."""

    def show(self, pattern: Pattern) -> str:
        """The pattern as a text; parsing it gives the pattern again."""

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether one of `bounds` (a set, for speed) holds everything that `pattern` does."""

    def meet(self, mine: Collection[Pattern], yours: Collection[Pattern]) -> set[Pattern]:
        """Patterns of what both sets hold. Raises `SpawnRefused` where that needs more than `most_met`."""


class _Nested:
    """A language in which two patterns are disjoint or nested: what two sets hold is made of their own patterns."""

    most = 4096
    most_met = 1 << 20

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        return pattern in bounds

    def meet(self, mine: Collection[Pattern], yours: Collection[Pattern]) -> set[Pattern]:
        both = {one for one in mine if self.within(one, yours)}
        return both | {one for one in yours if self.within(one, mine)}


class ExactTexts(_Nested):
    """Texts that stand for themselves: methods, programs, variable names."""

    name = "strings"

    def parse(self, text: str) -> Pattern:
        """The text itself."""
        return (text,)

    def show(self, pattern: Pattern) -> str:
        """The text itself."""
        return pattern[0]


class PathPrefixes(_Nested):
    """Folders and files by prefix, component by component: `/tmp/a` holds `/tmp/a/b` and not `/tmp/ab`.

    Paths are compared as written, without touching a disk: who opens a file resolves its links first.
    """

    name = "paths"

    def parse(self, text: str) -> Pattern:
        """The components behind `/` or, for a relative path, `.`; empty components and `.` vanish."""
        if not text or "\0" in text:
            raise ValueError("is empty or holds a NUL character")
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ValueError("holds `..`. Fix: write the path that it leads to")
        if text.startswith("~"):
            raise ValueError("begins with `~`, which nothing expands. Fix: write the whole path")
        return ("/" if text.startswith("/") else ".", *parts)

    def show(self, pattern: Pattern) -> str:
        """The path with single slashes."""
        root, *parts = pattern
        return "/" + "/".join(parts) if root == "/" else "/".join(parts) or "."

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether the path or a folder above it is among `bounds`."""
        return any(pattern[:length] in bounds for length in range(1, len(pattern) + 1))


class HostNames(_Nested):
    """Hosts: a name or an address exactly, or `*.suffix` for every name below a suffix (never the suffix itself)."""

    name = "hosts"

    def parse(self, text: str) -> Pattern:
        """`(host,)` or `("*", suffix)`; names in lower case without the last dot, addresses in their short form."""
        wildcard = text.startswith("*.")
        name = text.lower().removeprefix("*.").removesuffix(".")
        if not wildcard:
            try:
                return (str(ip_address(name.removeprefix("[").removesuffix("]"))),)
            except ValueError:
                pass
        check_name(name)
        return ("*", name) if wildcard else (name,)

    def show(self, pattern: Pattern) -> str:
        """The host, or `*.suffix`."""
        return ".".join(pattern)

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether the host itself or a suffix above it is among `bounds`."""
        if pattern in bounds:
            return True
        name = pattern[-1]
        while "." in name:
            name = name.partition(".")[2]
            if ("*", name) in bounds:
                return True
        return False


_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SecretPlaces(_Nested):
    """Secrets and where they may go: `NAME@HOST` with a host as above, or `NAME` alone, which may go nowhere."""

    name = "secrets"

    def parse(self, text: str) -> Pattern:
        """`(name,)`, or the name and the pattern of the host."""
        name, at, host = text.partition("@")
        if _SECRET.fullmatch(name) is None:
            raise ValueError("names no secret. Fix: write NAME@HOST, the name of 1 to 64 of A-Z a-z 0-9 _ -")
        return (name, *HOST_NAMES.parse(host)) if at else (name,)

    def show(self, pattern: Pattern) -> str:
        """`NAME@HOST`, or `NAME`."""
        name, *host = pattern
        return f"{name}@{HOST_NAMES.show(tuple(host))}" if host else name

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether the pattern itself, or the same secret with a suffix above its host, is among `bounds`."""
        if pattern in bounds:
            return True
        secret, name = pattern[0], pattern[-1]
        while len(pattern) > 1 and "." in name:
            name = name.partition(".")[2]
            if (secret, "*", name) in bounds:
                return True
        return False


_TOKEN: Final = re.compile(r"[^\s\x00-\x1f\x7f.*>]+|\*")


class SubjectPatterns:
    """NATS subjects: `*` stands for one token, a last `>` for one or more."""

    name = "subjects"
    most = 64
    most_met = 512

    def parse(self, text: str) -> Pattern:
        """The tokens."""
        tokens = tuple(text.split("."))
        rest = tokens[:-1] if tokens[-1] == ">" else tokens
        if not all(_TOKEN.fullmatch(token) for token in rest):
            raise ValueError("is no subject: tokens between dots, `*` for one token, `>` as the last one for the rest")
        return tokens

    def show(self, pattern: Pattern) -> str:
        """The subject."""
        return ".".join(pattern)

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether one of `bounds` matches whatever `pattern` matches."""
        return pattern in bounds or any(_met(pattern, bound) == pattern for bound in bounds)

    def meet(self, mine: Collection[Pattern], yours: Collection[Pattern]) -> set[Pattern]:
        """The pattern of each pair. Raises `SpawnRefused` for more than can be compared with one another."""
        met = {_met(one, other) for one in mine for other in yours}
        found = {one for one in met if one is not None}
        if len(found) > self.most_met:
            raise SpawnRefused(
                f"the subjects that all sides allow need {len(found):,} patterns, more than {self.most_met}. "
                "Fix: name fewer or narrower ones",
                limit=self.most_met,
            )
        return found


def _met(one: Pattern, other: Pattern) -> Pattern | None:
    """The subjects that both match; two NATS patterns never need more than one pattern for that."""
    found: list[str] = []
    for at, (mine, yours) in enumerate(zip(one, other, strict=False)):
        if mine == ">":
            return (*found, *other[at:])
        if yours == ">":
            return (*found, *one[at:])
        if mine != yours and "*" not in (mine, yours):
            return None
        found.append(yours if mine == "*" else mine)
    return tuple(found) if len(one) == len(other) else None


EXACT_TEXTS: Final = ExactTexts()
PATH_PREFIXES: Final = PathPrefixes()
HOST_NAMES: Final = HostNames()
SECRET_PLACES: Final = SecretPlaces()
SUBJECT_PATTERNS: Final = SubjectPatterns()
ENDPOINT_PATTERNS: Final = Endpoints()
LANGUAGES: Final[dict[str, Language]] = {
    language.name: language
    for language in (
        EXACT_TEXTS,
        PATH_PREFIXES,
        HOST_NAMES,
        SECRET_PLACES,
        SUBJECT_PATTERNS,
        ENDPOINT_PATTERNS,
    )
}
