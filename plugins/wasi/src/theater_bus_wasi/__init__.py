"""The `wasi` capability: WASI 0.2 for components, nothing of it without a grant."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_wasi.wasi import Wasi

__all__ = ["Wasi"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `wasi`."""
    return [Wasi]
