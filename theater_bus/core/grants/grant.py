"""Who may use which capabilities within which bounds, and what remains when host, parent and manifest are intersected.

Invariants: an effective grant allows nothing that any of the three refuses; a capability that is not named is not
granted, unless the side says what holds for others; a grant read back from its plain form is equal, and equal grants
have equal digests.
Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Self

from theater_bus.core.canonical import canonical
from theater_bus.core.grants.bound import NOTHING, UNLIMITED, Bound, bound_from_plain
from theater_bus.core.grants.kind import EXACT, Kind
from theater_bus.core.setting import Plain
from theater_bus.errors import SpawnRefused

__all__ = ["ALL", "Grant", "Grants"]


@dataclass(frozen=True, slots=True)
class Grant:
    """The bounds of one capability: by setting, and `others` for the settings that are not named."""

    bounds: Mapping[str, Bound] = field(default_factory=dict)
    others: Bound = NOTHING

    def __post_init__(self) -> None:
        kept = {name: self.bounds[name] for name in sorted(self.bounds) if self.bounds[name] != self.others}
        object.__setattr__(self, "bounds", kept)

    @classmethod
    def read(cls, settings: Mapping[str, Plain], kinds: Mapping[str, Kind | None], *, others: Bound = NOTHING) -> Self:
        """The grant that settings are. A setting whose kind is None must be agreed on exactly.

        Raises `ValueError` with the setting's name for a value that is no bound, or a setting without an entry in
        `kinds`.
        """
        bounds: dict[str, Bound] = {}
        for name, value in settings.items():
            if name not in kinds:
                raise ValueError(f"{name} is no setting of the capability. Fix: use one of {', '.join(sorted(kinds))}")
            try:
                bounds[name] = (kinds[name] or EXACT).read(value)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        return cls(bounds, others)

    def bound(self, setting: str) -> Bound:
        """What holds for a setting."""
        return self.bounds.get(setting, self.others)

    def allows(self, setting: str, value: Plain) -> bool:
        """Whether the setting may be, or the value lies within, that."""
        return self.bound(setting).allows(value)

    def meet(self, other: Grant) -> Grant:
        """What both allow."""
        names = self.bounds.keys() | other.bounds.keys()
        return Grant({name: self.bound(name).meet(other.bound(name)) for name in names}, self.others.meet(other.others))

    def settings(self, kinds: Mapping[str, Kind | None]) -> dict[str, Plain]:
        """The bounds as values for the capability's settings model, one for each of `kinds`."""
        return {name: (kind or EXACT).write(self.bound(name)) for name, kind in kinds.items()}

    def to_plain(self) -> Plain:
        """`{"bounds": {setting: bound}, "others": bound}`."""
        return {
            "bounds": {name: bound.to_plain() for name, bound in self.bounds.items()},
            "others": self.others.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: Plain) -> Self:
        """The grant that `to_plain` wrote. Raises `ValueError` for anything else."""
        bounds, others = _two(plain, "bounds", "others")
        return cls({name: bound_from_plain(value) for name, value in _map(bounds).items()}, bound_from_plain(others))


UNBOUNDED: Final = Grant({}, UNLIMITED)


@dataclass(frozen=True, slots=True)
class Grants:
    """Capabilities by name, each with its bounds or None for refused; `others` is what holds for those not named."""

    capabilities: Mapping[str, Grant | None] = field(default_factory=dict)
    others: Grant | None = None

    def __post_init__(self) -> None:
        kept = {
            name: self.capabilities[name]
            for name in sorted(self.capabilities)
            if self.capabilities[name] != self.others
        }
        object.__setattr__(self, "capabilities", kept)

    def of(self, capability: str) -> Grant | None:
        """The grant of a capability, or None where it is refused."""
        return self.capabilities.get(capability, self.others)

    def meet(self, other: Grants) -> Grants:
        """What both allow."""
        names = self.capabilities.keys() | other.capabilities.keys()
        return Grants({name: _both(self.of(name), other.of(name)) for name in names}, _both(self.others, other.others))

    def to_plain(self) -> dict[str, Plain]:
        """The full form, as the ownership record holds it."""
        return {
            "capabilities": {name: None if one is None else one.to_plain() for name, one in self.capabilities.items()},
            "others": None if self.others is None else self.others.to_plain(),
        }

    @classmethod
    def from_plain(cls, plain: Plain) -> Self:
        """The grants that `to_plain` wrote. Raises `SpawnRefused` for anything else: a record is never guessed at."""
        try:
            capabilities, others = _two(plain, "capabilities", "others")
            return cls({name: _maybe(one) for name, one in _map(capabilities).items()}, _maybe(others))
        except ValueError as error:
            raise SpawnRefused(f"the recorded grants cannot be read: {error}") from None

    def canonical(self) -> bytes:
        """The full form as canonical msgpack."""
        return canonical(self.to_plain())

    @property
    def digest(self) -> bytes:
        """SHA-256 of `canonical()`, as the chain's genesis names it."""
        return sha256(self.canonical()).digest()


ALL: Final = Grants({}, UNBOUNDED)
"""Every capability without bounds: a host without a policy, an actor without a parent."""


def _both(mine: Grant | None, yours: Grant | None) -> Grant | None:
    return None if mine is None or yours is None else mine.meet(yours)


def _maybe(plain: Plain) -> Grant | None:
    return None if plain is None else Grant.from_plain(plain)


def _map(plain: Plain) -> Mapping[str, Plain]:
    if isinstance(plain, Mapping):
        return plain
    raise ValueError(f"{plain!r} is no map")


def _two(plain: Plain, first: str, second: str) -> tuple[Plain, Plain]:
    found = _map(plain)
    if found.keys() != {first, second}:
        raise ValueError(f"found {sorted(found)}, not {first} and {second}")
    return found[first], found[second]
