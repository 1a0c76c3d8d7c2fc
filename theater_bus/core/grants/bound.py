"""What one setting of a capability allows, as a value that can be intersected.

Invariants: bounds form a meet-semilattice: `meet` is commutative, associative and idempotent, UNLIMITED is its top
and NOTHING its bottom, and these two are values of their own (an absent list is never either). A meet allows a value
only if both sides do. Bounds of different kinds have only NOTHING in common. Equal bounds have equal plain forms.
Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from typing import Final, TypeAlias

from theater_bus.core.canonical import canonical
from theater_bus.core.grants.pattern import LANGUAGES, Language, Pattern
from theater_bus.core.setting import Plain, PlainValue

__all__ = ["NOTHING", "UNLIMITED", "Bound", "Exactly", "Extreme", "Flag", "Number", "Patterns", "bound_from_plain"]


class Extreme(Enum):
    """Everything and nothing."""

    UNLIMITED = "unlimited"
    NOTHING = "nothing"

    def allows(self, value: Plain) -> bool:
        """Everything, or nothing at all."""
        return self is UNLIMITED

    def meet(self, other: Bound) -> Bound:
        """The other side of UNLIMITED; NOTHING of NOTHING."""
        return other if self is UNLIMITED else self

    def to_plain(self) -> Plain:
        """The word."""
        return str(self.value)


UNLIMITED: Final = Extreme.UNLIMITED
NOTHING: Final = Extreme.NOTHING


@dataclass(frozen=True, slots=True)
class Number:
    """Numbers up to `maximum`. A whole float is kept as an integer, so that 5 and 5.0 are one bound."""

    maximum: int | float

    def __post_init__(self) -> None:
        maximum = self.maximum
        if isinstance(maximum, float):
            if not isfinite(maximum):
                raise ValueError('is not finite. Fix: write "unlimited" where no bound is meant')
            if maximum.is_integer() and abs(maximum) < 1 << 63:
                object.__setattr__(self, "maximum", int(maximum))
        elif not -(1 << 63) <= maximum < 1 << 64:
            raise ValueError('needs more than 64 bits. Fix: write "unlimited" where no bound is meant')

    def allows(self, value: Plain) -> bool:
        """Whether `value` is a number up to the maximum."""
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= self.maximum

    def meet(self, other: Bound) -> Bound:
        """The smaller maximum."""
        if isinstance(other, Number):
            return self if self.maximum <= other.maximum else other
        return _unlike(self, other)

    def to_plain(self) -> Plain:
        """`{"number": maximum}`."""
        return {"number": self.maximum}


@dataclass(frozen=True, slots=True)
class Flag:
    """A permission that is given or not: true only if all say true."""

    given: bool

    def allows(self, value: Plain) -> bool:
        """False always, True if given."""
        return value is False or (value is True and self.given)

    def meet(self, other: Bound) -> Bound:
        """Given if both give it."""
        if isinstance(other, Flag):
            return other if self.given else self
        return _unlike(self, other)

    def to_plain(self) -> Plain:
        """`{"flag": given}`."""
        return {"flag": self.given}


@dataclass(frozen=True, slots=True)
class Exactly:
    """One value and no other, for settings that are no matter of more or less."""

    encoded: bytes
    value: Plain = field(compare=False)

    @classmethod
    def of(cls, value: Plain) -> Exactly:
        """The bound of this value. Raises `ValueError` for what is no plain value."""
        wrong = PlainValue().check(value)
        if wrong:
            raise ValueError(wrong)
        return cls(canonical(value), value)

    def allows(self, value: Plain) -> bool:
        """Whether it is that value, of the same kind (1 is not 1.0, nor true)."""
        return PlainValue().check(value) is None and canonical(value) == self.encoded

    def meet(self, other: Bound) -> Bound:
        """The value if both mean it, else NOTHING."""
        return self if self == other else _unlike(self, other)

    def to_plain(self) -> Plain:
        """`{"exactly": value}`."""
        return {"exactly": self.value}


@dataclass(frozen=True, slots=True)
class Patterns:
    """Texts within one of some patterns of a language. No pattern lies within another; there is at least one."""

    language: Language
    patterns: frozenset[Pattern]

    @classmethod
    def of(cls, language: Language, texts: Iterable[Plain], *, most: int | None = None) -> Bound:
        """The bound of these texts; NOTHING for none. Raises `ValueError` naming what is wrong.

        More patterns than `most` are refused; without it, than the language allows in one list.
        """
        found: set[Pattern] = set()
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"must hold texts only, not {text!r}")
            try:
                found.add(language.parse(text))
            except ValueError as error:
                raise ValueError(f"{text!r} {error}") from None
        most = most or language.most
        if len(found) > most:
            raise ValueError(f"holds {len(found):,} patterns, more than {most:,}")
        return _reduced(language, found)

    def allows(self, value: Plain) -> bool:
        """Whether the text, or pattern, lies within."""
        if not isinstance(value, str):
            return False
        try:
            pattern = self.language.parse(value)
        except ValueError:
            return False
        return self.language.within(pattern, self.patterns)

    def meet(self, other: Bound) -> Bound:
        """What lies within both. Raises `SpawnRefused` where subjects would need too many patterns to say it."""
        if not isinstance(other, Patterns) or other.language is not self.language:
            return _unlike(self, other)
        return _reduced(self.language, self.language.meet(self.patterns, other.patterns))

    def texts(self) -> list[str]:
        """The patterns as texts, sorted."""
        return sorted(self.language.show(pattern) for pattern in self.patterns)

    def to_plain(self) -> Plain:
        """`{language: texts}`."""
        return {self.language.name: self.texts()}


Bound: TypeAlias = Extreme | Number | Flag | Exactly | Patterns


def bound_from_plain(plain: Plain) -> Bound:
    """The bound that `to_plain` wrote. Raises `ValueError` for anything else."""
    if isinstance(plain, str):
        return Extreme(plain)
    if isinstance(plain, Mapping) and len(plain) == 1:
        [(kind, value)] = plain.items()
        if kind == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return Number(value)
        if kind == "flag" and isinstance(value, bool):
            return Flag(value)
        if kind == "exactly":
            return Exactly.of(value)
        if kind in LANGUAGES and isinstance(value, (list, tuple)):
            return Patterns.of(LANGUAGES[kind], value, most=LANGUAGES[kind].most_met)
    raise ValueError(f"{plain!r} is no bound")


def _reduced(language: Language, patterns: set[Pattern]) -> Bound:
    widest = frozenset(one for one in patterns if not language.within(one, patterns - {one}))
    return Patterns(language, widest) if widest else NOTHING


def _unlike(mine: Bound, other: Bound) -> Bound:
    return mine if other is UNLIMITED else NOTHING
