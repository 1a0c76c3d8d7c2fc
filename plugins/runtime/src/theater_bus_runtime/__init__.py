"""The `theater:simple/runtime` capability: what every actor of Theater may ask of its host."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_runtime.runtime import Runtime

__all__ = ["Runtime"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `runtime`."""
    return [Runtime]
