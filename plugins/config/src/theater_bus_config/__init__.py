"""The `theater:bus/config` capability: values that the operator of a host sets, and handles of secrets."""

from collections.abc import Iterable, Mapping
from typing import Any

from theater_bus.capability import Capability, hookimpl
from theater_bus_config.config import REVEALED, Config

__all__ = ["Config"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `config`."""
    return [Config]


@hookimpl
def theater_telemetry() -> Iterable[Mapping[str, Any]]:
    """Name the log event of an actor that may see secrets."""
    sentence = "An actor was started that may see the values of secrets: they may stand in its chain, state and logs."
    return [
        {
            "kind": "log_event",
            "name": REVEALED,
            "level": "warning",
            "sentence": sentence,
            "fields": ["actor", "namespace", "host", "reason"],
        }
    ]
