"""The `theater:simple/environment` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_environment.environment import Environment

__all__ = ["Environment"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `environment`."""
    return [Environment]
