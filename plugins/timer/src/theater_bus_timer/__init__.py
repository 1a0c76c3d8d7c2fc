"""The `theater:simple/timer` capability, and one-shots beside it (`theater:bus/timer`)."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_timer.timer import Timer

__all__ = ["Timer"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `timer`."""
    return [Timer]
