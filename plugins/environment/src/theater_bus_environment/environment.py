"""`theater:simple/environment`: variables of the host's process, by name or prefix, as granted.

Invariants: nothing is granted by default; the host's own settings (`THEATER_BUS_*`) are granted to nobody; what is not
granted cannot be told from what does not exist.
"""

from __future__ import annotations

import os
from typing import Annotated, Final

from pydantic import Field

from theater_bus.capability import FLAG, STRINGS, Capability
from theater_bus.capability import Settings as BaseSettings

__all__ = ["Environment"]

RESERVED: Final = "THEATER_BUS_"
"""How the variables begin that hold the host's own settings, its passwords among them."""

Name = Annotated[str, Field(strict=True, min_length=1, max_length=256, pattern=r"^[^=\x00]+$")]


class Environment(Capability):
    """Variables that `vars` names or that begin with one of `prefixes`."""

    name = "environment"
    pact = "environment.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.environment]`. A name or prefix counts when host, parent and manifest name it alike."""

        vars: Annotated[tuple[Name, ...], STRINGS] = ()
        prefixes: Annotated[tuple[Name, ...], STRINGS] = ()
        list: Annotated[bool, FLAG, Field(strict=True)] = False

    def get_var(self, name: str) -> str | None:
        """The value, or None."""
        if not self._is_granted(name):
            return None
        value = os.environ.get(name)
        return None if value is None else _text(value)

    def list_vars(self) -> list[tuple[str, str]]:
        """Names and values."""
        if not self.settings.list:
            return []
        granted = [name for name in os.environ if self._is_granted(name)]
        return sorted((_text(name), _text(os.environ[name])) for name in granted)

    def exists(self, name: str) -> bool:
        """Whether it exists, for this actor."""
        return self.get_var(name) is not None

    def _is_granted(self, name: str) -> bool:
        if name.startswith(RESERVED):
            return False
        return name in self.settings.vars or name.startswith(self.settings.prefixes)


def _text(value: str) -> str:
    """A value that need not be UTF-8."""
    return os.fsencode(value).decode("utf-8", "replace")
