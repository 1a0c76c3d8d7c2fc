"""The `theater:bus/random` capability: random bytes and numbers, and reproducible ones for tests."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_random.random import Random

__all__ = ["Random"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `random`."""
    return [Random]
