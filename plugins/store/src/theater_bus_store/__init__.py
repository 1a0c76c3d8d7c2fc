"""The `theater:simple/store` capability, `theater:bus/store` for the owners of stores, and `theater-bus store`."""

from collections.abc import Iterable, Mapping

from theater_bus.capability import Capability, hookimpl
from theater_bus_store.store import Store

__all__ = ["Store"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `store`."""
    return [Store]


@hookimpl
def theater_cli() -> Mapping[str, str]:
    """`theater-bus store`."""
    return {"store": "theater_bus_store.command:command"}
