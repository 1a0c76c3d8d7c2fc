"""What an actor may use, as its host explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

__all__ = ["GrantedSetting", "GrantsReport"]


@dataclass(frozen=True, slots=True)
class GrantedSetting:
    """A bound of a capability: what came out, and what each side says.

    A side is a number, a flag, a list of texts, or `"unlimited"` or `"nothing"`. `cut_by` names those without which
    it would be more: `host`, and `parent` or `record`.
    """

    capability: str
    setting: str
    effective: Any
    asked: Any
    host: Any
    parent: Any
    cut_by: tuple[str, ...]

    @property
    def name(self) -> str:
        """`capability.setting`."""
        return f"{self.capability}.{self.setting}"


@dataclass(frozen=True, slots=True)
class GrantsReport:
    """All bounds of an actor. `second` is what the side beside the host is: `parent`, or `record` after a recovery."""

    second: str
    capabilities: tuple[str, ...]
    settings: tuple[GrantedSetting, ...]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Make it from what travelled."""
        names = [field.name for field in fields(GrantedSetting) if field.name != "cut_by"]
        settings = tuple(
            GrantedSetting(**{name: one[name] for name in names}, cut_by=tuple(one["cut_by"]))
            for one in wire["settings"]
        )
        return cls(str(wire["second"]), tuple(wire["capabilities"]), settings)
