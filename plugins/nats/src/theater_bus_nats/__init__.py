"""The `theater:bus/nats` capability: messages, queue groups and streams of NATS for actors, within subject grants."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_nats.nats import Nats

__all__ = ["Nats"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `nats`."""
    return [Nats]
