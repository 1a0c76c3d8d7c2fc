"""The `theater:bus/clock` capability: the time, a clock that never goes back, and sleep."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_clock.clock import Clock

__all__ = ["Clock"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `clock`."""
    return [Clock]
