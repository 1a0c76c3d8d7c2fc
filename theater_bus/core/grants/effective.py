"""The intersection of what the host gives, the parent has and the manifest asks for, and which of them cut what.

Invariants: `grants` is the meet of the three, whatever their order; an explanation names exactly the sides without
which the asked bound would have been larger.
Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from theater_bus.core.grants.bound import NOTHING, Bound, Exactly, Number
from theater_bus.core.grants.grant import Grant, Grants
from theater_bus.core.setting import Plain
from theater_bus.errors import SpawnRefused

__all__ = ["Effective", "Explanation", "intersect"]


_LINES: Final = {
    "host": "add [grants.{}] to the host's grants",
    "parent": "add [capabilities.{}] to the parent's manifest",
    "record": "spawn the actor anew with [capabilities.{}] in its manifest",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a setting came to its effective bound. `cut_by` holds `host`, `parent` (or `record`), both or neither."""

    capability: str
    setting: str
    asked: Bound
    host: Bound
    parent: Bound
    effective: Bound
    cut_by: tuple[str, ...]

    def text(self) -> str:
        """One line for people."""
        name = f"{self.capability}.{self.setting}"
        if not self.cut_by:
            return f"{name}: {_words(self.effective)}, as the manifest asks"
        limits = " and ".join(
            f"the {side} allows {_words(self.host if side == 'host' else self.parent)}" for side in self.cut_by
        )
        return f"{name}: {_words(self.effective)}; the manifest asks for {_words(self.asked)}, {limits}"

    def to_plain(self) -> dict[str, Plain]:
        """Every side as it is written down, as plain values."""
        return {
            "capability": self.capability,
            "setting": self.setting,
            "effective": _shown(self.effective),
            "asked": _shown(self.asked),
            "host": _shown(self.host),
            "parent": _shown(self.parent),
            "cut_by": list(self.cut_by),
        }


@dataclass(frozen=True, slots=True)
class Effective:
    """What an actor may do, and the three sides that it comes from.

    `parent` is what was recorded when `second` is `record`: the actor came back, and its record stands for its parent.
    """

    host: Grants
    parent: Grants
    manifest: Grants
    grants: Grants
    second: str = "parent"

    def explain(self, capability: str, setting: str) -> Explanation:
        """Which side cut what of one setting."""
        asked, host, parent, found = (
            _bound(side, capability, setting) for side in (self.manifest, self.host, self.parent, self.grants)
        )
        sides = (("host", host), (self.second, parent))
        cut_by = tuple(name for name, bound in sides if asked.meet(bound) != asked)
        return Explanation(capability, setting, asked, host, parent, found, cut_by)

    def explain_all(self) -> Iterator[Explanation]:
        """The explanation of each setting that the manifest bounds."""
        for capability, grant in self.manifest.capabilities.items():
            for setting in grant.bounds if grant is not None else ():
                yield self.explain(capability, setting)

    def cuts(self) -> Iterator[Explanation]:
        """The explanation of each setting that the manifest names and does not get as asked."""
        return (one for one in self.explain_all() if one.cut_by)

    def require(self) -> None:
        """Raise `SpawnRefused`, saying what to add where, unless every capability that is asked for is granted and
        no number or exact setting came to nothing.
        """
        problems = [
            f"capability {name!r} is not granted by the {side}. Fix: {_LINES[side].format(name)}, "
            f"or remove [capabilities.{name}] from the manifest"
            for name, asked in self.manifest.capabilities.items()
            if asked is not None
            for side, given in (("host", self.host), (self.second, self.parent))
            if given.of(name) is None
        ]
        problems += [
            f"{one.text()}. Fix: ask for what the {' and the '.join(one.cut_by)} allows"
            for one in self.cuts()
            if one.effective is NOTHING and isinstance(one.asked, (Number, Exactly))
            if self.grants.of(one.capability) is not None
        ]
        if problems:
            raise SpawnRefused("; ".join(problems), problems=problems)


def intersect(host: Grants, parent: Grants, manifest: Grants, second: str = "parent") -> Effective:
    """What remains of the manifest's wishes. Without a parent, pass what the spawner's role may, or `ALL`.

    For a recovery, an update or a fork pass the recorded grants as `parent` and `record` as its name: a host that has
    become more generous then cannot widen them.
    """
    return Effective(host, parent, manifest, host.meet(parent).meet(manifest), second)


def _bound(side: Grants, capability: str, setting: str) -> Bound:
    grant: Grant | None = side.of(capability)
    return NOTHING if grant is None else grant.bound(setting)


def _shown(bound: Bound) -> Plain:
    plain: Plain = bound.to_plain()
    if isinstance(plain, dict):
        [plain] = plain.values()
    return plain


def _words(bound: Bound) -> str:
    plain = _shown(bound)
    return ", ".join(map(str, plain)) if isinstance(plain, list) else str(plain)
