"""The `theater:simple/filesystem` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_filesystem.filesystem import Filesystem

__all__ = ["Filesystem"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `filesystem`."""
    return [Filesystem]
