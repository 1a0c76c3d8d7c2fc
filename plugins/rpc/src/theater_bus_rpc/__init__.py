"""The `theater:simple/rpc` capability, and imports that are bound to other actors (`theater:bus/rpc`)."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_rpc.rpc import Rpc

__all__ = ["Rpc"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `rpc`."""
    return [Rpc]
