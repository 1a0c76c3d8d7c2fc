"""The `theater:bus/kv` capability: key-value buckets of NATS for actors, within bucket and key grants."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_kv.kv import Kv

__all__ = ["Kv"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `kv`."""
    return [Kv]
