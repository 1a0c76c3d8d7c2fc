"""The `theater:simple/message-server-host` capability: sends, requests and conversations between actors."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_messages.messages import Messages

__all__ = ["Messages"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `messages`."""
    return [Messages]
