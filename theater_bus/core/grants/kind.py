"""How a setting of a capability becomes a bound, and an intersected bound a setting again.

A capability annotates the fields of its settings model with these kinds:

    class Settings(capability.Settings):
        hosts: Annotated[list[str], HOSTS]
        timeout_ms: Annotated[int, NUMBER] = 5000

Invariants: the texts "unlimited" and "nothing" mean the two extremes for every kind but EXACT and OWN; null means
neither and is refused; what `write` gives reads back as the same bound, or allows as little (false, an empty list)
where nothing was left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from theater_bus.core.grants.bound import UNLIMITED, Bound, Exactly, Extreme, Flag, Number, Patterns
from theater_bus.core.grants.pattern import (
    ENDPOINT_PATTERNS,
    EXACT_TEXTS,
    HOST_NAMES,
    PATH_PREFIXES,
    SECRET_PLACES,
    SUBJECT_PATTERNS,
    Language,
)
from theater_bus.core.setting import Plain

__all__ = ["ENDPOINTS", "EXACT", "FLAG", "HOSTS", "NUMBER", "OWN", "PATHS", "SECRETS", "STRINGS", "SUBJECTS", "Kind"]

Read: TypeAlias = Callable[[Plain], Bound]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to bound a setting."""

    name: str
    nothing: Plain
    """What `write` gives for NOTHING: the kind's own empty value where it has one."""
    _read: Read

    def read(self, value: Plain) -> Bound:
        """The bound that a setting's value is. Raises `ValueError` saying what is wrong with it."""
        if self is not EXACT and self is not OWN and isinstance(value, str) and value in ("unlimited", "nothing"):
            return Extreme(value)
        return self._read(value)

    def write(self, bound: Bound) -> Plain:
        """The bound as a value for the settings model: a number, a list, a bool, or "unlimited"."""
        if isinstance(bound, Patterns):
            return bound.texts()
        if isinstance(bound, Number):
            return bound.maximum
        if isinstance(bound, Flag):
            return bound.given
        if isinstance(bound, Exactly):
            return bound.value
        return "unlimited" if bound is UNLIMITED else self.nothing

    def intersect(self, one: Plain, other: Plain) -> Plain:
        """The value of what two values of the setting both allow. Raises `ValueError` as `read`."""
        return self.write(self.read(one).meet(self.read(other)))


def _number(value: Plain) -> Bound:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Number(value)
    raise ValueError(f'must be a number or "unlimited", not {value!r}')


def _flag(value: Plain) -> Bound:
    if isinstance(value, bool):
        return Flag(value)
    raise ValueError(f"must be true or false, not {value!r}")


def _texts(language: Language) -> Read:
    def read(value: Plain) -> Bound:
        if isinstance(value, (list, tuple)):
            return Patterns.of(language, value)
        raise ValueError(f'must be a list of texts or "unlimited", not {value!r}')

    return read


NUMBER: Final = Kind("number", "nothing", _number)
"""A number is a maximum: the smallest counts."""
FLAG: Final = Kind("flag", False, _flag)
"""True only if all sides say true."""
STRINGS: Final = Kind("strings", [], _texts(EXACT_TEXTS))
"""Texts that all sides name."""
PATHS: Final = Kind("paths", [], _texts(PATH_PREFIXES))
"""Path prefixes, component by component."""
HOSTS: Final = Kind("hosts", [], _texts(HOST_NAMES))
"""Host names and addresses, and `*.suffix`."""
SECRETS: Final = Kind("secrets", [], _texts(SECRET_PLACES))
"""Secrets by name, with the hosts that they may go to: `NAME@HOST`."""
SUBJECTS: Final = Kind("subjects", [], _texts(SUBJECT_PATTERNS))
"""NATS subjects with `*` and `>`."""
ENDPOINTS: Final = Kind("endpoints", [], _texts(ENDPOINT_PATTERNS))
"""Hosts and networks with ports: `*.example.com:443`, `10.0.0.0/8:5432`."""
EXACT: Final = Kind("exact", "nothing", Exactly.of)
"""A value that all sides must agree on; what a setting without a kind is."""
OWN: Final = Kind("own", "unlimited", lambda value: UNLIMITED)
"""A choice that gives an actor nothing, such as a strategy: each makes its own, host and parent do not bound it."""
