"""The `theater:simple/loop` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_loop.loop import Loop

__all__ = ["Loop"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `loop`."""
    return [Loop]
