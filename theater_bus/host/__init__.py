"""The host: actors and their lanes, from a spawn to the end, and everything that one process of them shares.

`Host.start(HostSettings(…))` runs actors in this process, `SpawnRequest` says what to spawn. What people call actors
with is `theater_bus.client`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings
    from theater_bus.host.spawning import SpawnRequest

__all__ = ["Host", "HostSettings", "SpawnRequest"]

_HOME = {"Host": "host", "HostSettings": "settings", "SpawnRequest": "spawning"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, and with it the engine and the bus."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
