"""The `theater:simple/tcp` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_tcp.tcp import Tcp

__all__ = ["Tcp"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `tcp`."""
    return [Tcp]
