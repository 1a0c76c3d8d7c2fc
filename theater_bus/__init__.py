"""WebAssembly actors on NATS: sandboxed, audited, traced.

    async with theater_bus.connect() as theater:
        counter = await theater.spawn("counter.toml")
        print(await counter.call.increment(5))

`connect` (or `connect_sync`) is the entrance for programs that call actors; `Host` runs actors in this process. What
plugins are written against is `theater_bus.capability`; what tests use is `theater_bus.testing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theater_bus.bus import BusSettings, EmbeddedServer, TlsSettings
    from theater_bus.client import (
        UNSET,
        ActorHandle,
        ActorMetrics,
        ActorStatus,
        SyncActorHandle,
        SyncTheater,
        Theater,
        connect,
        connect_sync,
    )
    from theater_bus.errors import ActorError, TheaterError
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings
    from theater_bus.telemetry import Telemetry

    __version__: str

__all__ = [
    "UNSET",
    "ActorError",
    "ActorHandle",
    "ActorMetrics",
    "ActorStatus",
    "BusSettings",
    "EmbeddedServer",
    "Host",
    "HostSettings",
    "SyncActorHandle",
    "SyncTheater",
    "Telemetry",
    "Theater",
    "TheaterError",
    "TlsSettings",
    "__version__",
    "connect",
    "connect_sync",
]

_HOME = {
    "ActorError": "errors",
    "BusSettings": "bus",
    "EmbeddedServer": "bus",
    "Host": "host.host",
    "HostSettings": "host.settings",
    "Telemetry": "telemetry",
    "TheaterError": "errors",
    "TlsSettings": "bus",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import theater_bus` alone loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any
    if name == "__version__":
        from importlib.metadata import version

        value = version("theater-bus")
    else:
        value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'client')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names too, before they are imported."""
    return sorted({*globals(), *__all__})
