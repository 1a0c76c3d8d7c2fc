"""The `theater:simple/http-client` capability, and its streaming variant `theater:bus/http-client`."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_http_client.client import HttpClient

__all__ = ["HttpClient"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `http-client`."""
    return [HttpClient]
