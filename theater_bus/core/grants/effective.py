"""The intersection of what the host gives, the parent has and the manifest asks for, and which of them cut what.

Invariants: `grants` is the meet of the three, whatever their order; an explanation names exactly the sides without
which the asked bound would have been larger.
Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from theater_bus.core.grants.bound import NOTHING, Bound, Exactly, Number
from theater_bus.core.grants.grant import Grant, Grants
from theater_bus.core.setting import Plain
from theater_bus.errors import SpawnRefused

__all__ = ["Effective", "Explanation", "intersect"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a setting came to its effective bound. `cut_by` holds `host`, `parent`, both or neither."""

    setting: str
    asked: Bound
    host: Bound
    parent: Bound
    effective: Bound
    cut_by: tuple[str, ...]

    def text(self) -> str:
        """One line for people."""
        if not self.cut_by:
            return f"{self.setting}: {_words(self.effective)}, as the manifest asks"
        sides = {"host": self.host, "parent": self.parent}
        limits = " and ".join(f"the {side} allows {_words(sides[side])}" for side in self.cut_by)
        return f"{self.setting}: {_words(self.effective)}; the manifest asks for {_words(self.asked)}, {limits}"


@dataclass(frozen=True, slots=True)
class Effective:
    """What an actor may do, and the three sides that it comes from."""

    host: Grants
    parent: Grants
    manifest: Grants
    grants: Grants

    def explain(self, capability: str, setting: str) -> Explanation:
        """Which side cut what of one setting."""
        asked, host, parent, found = (
            _bound(side, capability, setting) for side in (self.manifest, self.host, self.parent, self.grants)
        )
        sides = (("host", host), ("parent", parent))
        cut_by = tuple(name for name, bound in sides if asked.meet(bound) != asked)
        return Explanation(f"{capability}.{setting}", asked, host, parent, found, cut_by)

    def cuts(self) -> Iterator[Explanation]:
        """The explanation of each setting that the manifest names and does not get as asked."""
        for capability, grant in self.manifest.capabilities.items():
            for setting in grant.bounds if grant is not None else ():
                explanation = self.explain(capability, setting)
                if explanation.cut_by:
                    yield explanation

    def require(self) -> None:
        """Raise `SpawnRefused`, saying what to add where, unless every capability that is asked for is granted and
        no number or exact setting came to nothing.
        """
        problems = [
            f"capability {name!r} is not granted by the {side}. Fix: add it to the {side}'s grants, "
            f"or remove [capabilities.{name}] from the manifest"
            for name, asked in self.manifest.capabilities.items()
            if asked is not None
            for side, given in (("host", self.host), ("parent", self.parent))
            if given.of(name) is None
        ]
        problems += [
            f"{one.text()}. Fix: ask for what the {' and the '.join(one.cut_by)} allows"
            for one in self.cuts()
            if one.effective is NOTHING and isinstance(one.asked, (Number, Exactly))
            if self.grants.of(one.setting.partition(".")[0]) is not None
        ]
        if problems:
            raise SpawnRefused("; ".join(problems), problems=problems)


def intersect(host: Grants, parent: Grants, manifest: Grants) -> Effective:
    """What remains of the manifest's wishes. Without a parent, pass what the spawner's role may, or `ALL`.

    For a recovery, an update or a fork pass the recorded grants as `parent`: a host that has become more generous
    then cannot widen them.
    """
    return Effective(host, parent, manifest, host.meet(parent).meet(manifest))


def _bound(side: Grants, capability: str, setting: str) -> Bound:
    grant: Grant | None = side.of(capability)
    return NOTHING if grant is None else grant.bound(setting)


def _words(bound: Bound) -> str:
    plain: Plain = bound.to_plain()
    if isinstance(plain, dict):
        [plain] = plain.values()
    return ", ".join(map(str, plain)) if isinstance(plain, list) else str(plain)
