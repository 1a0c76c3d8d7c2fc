"""The `theater:bus/progress` capability: parts of an answer for callers that accept several messages."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_progress.progress import Progress

__all__ = ["Progress"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `progress`."""
    return [Progress]
