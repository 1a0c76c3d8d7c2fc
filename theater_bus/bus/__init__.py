"""The bus: everything that theater_bus does with NATS, behind names of its own.

`Connection` publishes, subscribes and requests; `Bus` is the pair of connections that a host holds; `BusSettings` says
where and as whom to connect; `EmbeddedServer` runs a nats-server for development and tests; `ServiceResponder` makes a
host visible to `nats micro`. No other package imports nats-py, and none of its types or exceptions leaves this one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theater_bus.bus.connection import Connection, ConnectionEvent, ServerInfo
    from theater_bus.bus.discovery import Endpoint, EndpointStats, ServiceIdentity, ServiceResponder
    from theater_bus.bus.failure import BusFailure, as_error
    from theater_bus.bus.message import Handler, Message, Outcome
    from theater_bus.bus.pair import Bus
    from theater_bus.bus.request import RequestToken
    from theater_bus.bus.server import EmbeddedServer
    from theater_bus.bus.settings import BusSettings, TlsSettings
    from theater_bus.bus.stats import ConnectionStats
    from theater_bus.bus.subscription import Subscription

__all__ = [
    "Bus",
    "BusFailure",
    "BusSettings",
    "Connection",
    "ConnectionEvent",
    "ConnectionStats",
    "EmbeddedServer",
    "Endpoint",
    "EndpointStats",
    "Handler",
    "Message",
    "Outcome",
    "RequestToken",
    "ServerInfo",
    "ServiceIdentity",
    "ServiceResponder",
    "Subscription",
    "TlsSettings",
    "as_error",
]

_HOME = {
    "Bus": "pair",
    "BusFailure": "failure",
    "BusSettings": "settings",
    "Connection": "connection",
    "ConnectionEvent": "connection",
    "ConnectionStats": "stats",
    "EmbeddedServer": "server",
    "Endpoint": "discovery",
    "EndpointStats": "discovery",
    "Handler": "message",
    "Message": "message",
    "Outcome": "message",
    "RequestToken": "request",
    "ServerInfo": "connection",
    "ServiceIdentity": "discovery",
    "ServiceResponder": "discovery",
    "Subscription": "subscription",
    "TlsSettings": "settings",
    "as_error": "failure",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: nats-py costs 80 ms that `theater-bus --help` need not pay."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
