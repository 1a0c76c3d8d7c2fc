"""Names of pact as WIT writes them.

Invariants: the names of interfaces and functions are the same in both languages, or they are refused, since a host
finds functions by them; names of types, fields, cases and parameters are respelled, since hosts match those without
case, `_` and `-`. A name that is a word of WIT's is written with `%`, which is no part of it.

Source: the Component Model, "WIT identifiers" and "Package names".
"""

from __future__ import annotations

import re

__all__ = ["NotInWit", "exact_name", "package_and_name", "respelled", "written"]

_LABEL = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_KEYWORDS = frozenset(
    (
        *("as", "async", "bool", "borrow", "char", "constructor", "enum", "error-context", "export", "f32", "f64"),
        *("flags", "from", "func", "future", "import", "include", "interface", "list", "map", "option", "own"),
        *("package", "record", "resource", "result", "s16", "s32", "s64", "s8", "static", "stream", "string", "tuple"),
        *("type", "u16", "u32", "u64", "u8", "use", "variant", "with", "world"),
    )
)


class NotInWit(ValueError):
    """Something that pact can say and WIT cannot. The message says what, and what to write instead."""


def written(name: str) -> str:
    """A WIT name as it stands in source: `record` is `%record`."""
    return f"%{name}" if name in _KEYWORDS else name


def exact_name(kind: str, name: str) -> str:
    """The name of a function, an interface or a package, which must not change. Raises `NotInWit`."""
    if not _LABEL.fullmatch(name):
        fix = f"Fix: call it {respelled(name)!r} in the pact" if name else "Fix: give it one"
        raise NotInWit(f"{kind} {name!r} is no WIT name (words of a-z and 0-9, joined by `-`). {fix}")
    return name


def respelled(name: str) -> str:
    """A name in WIT's spelling: `readOnly`, `read_only` and `Read-Only` are all `read-only`."""
    words: list[str] = []
    for word in re.split(r"[-_]+", _HUMP.sub("-", name)):
        if word[:1].isdigit():
            # A word begins with a letter; joined to the one before, the name differs from others as before.
            words[-1:] = ["".join(words[-1:]) + word]
        elif word:
            words.append(word)
    text = "-".join(words).lower()
    return text if text[:1].isalpha() else f"x{text}"


def package_and_name(interface: str) -> tuple[str, str]:
    """`theater:simple/list` → (`theater:simple`, `%list`), as they stand in source. Raises `NotInWit`."""
    package, _, name = interface.rpartition("/")
    namespace, _, rest = package.partition(":")
    if not namespace or not rest:
        raise NotInWit(
            f"interface {interface!r} is in no package of the form namespace:name. "
            'Fix: write its full name, or `@package: string = "my:app"`'
        )
    parts = [written(exact_name("package", part)) for part in (namespace, rest)]
    return ":".join(parts), written(exact_name("interface", name))
