"""The `theater:simple/terminal` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_terminal.terminal import Terminal

__all__ = ["Terminal"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `terminal`."""
    return [Terminal]
