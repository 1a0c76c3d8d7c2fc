"""Traces, metrics and log events of theater_bus: one registry of names, and one object to emit them through."""

from typing import TYPE_CHECKING, Any

from theater_bus.telemetry.definition import Registry, UnregisteredName
from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.registry import REGISTRY
from theater_bus.telemetry.spans import (
    AppendTrace,
    CallTrace,
    Headers,
    HostCallOutcome,
    HostCallTrace,
    OperationTrace,
)
from theater_bus.telemetry.telemetry import Level, Telemetry

if TYPE_CHECKING:
    from theater_bus.telemetry.collector import TraceCollector
    from theater_bus.telemetry.logging_setup import LoggingHandle, configure_logging
    from theater_bus.telemetry.prometheus import MetricsServer
    from theater_bus.telemetry.waterfall import render_waterfall

__all__ = [
    "REGISTRY",
    "ActorAttributes",
    "AppendTrace",
    "CallTrace",
    "FunctionSpec",
    "Headers",
    "HostCallOutcome",
    "HostCallTrace",
    "Level",
    "LoggingHandle",
    "MetricsServer",
    "OperationTrace",
    "Registry",
    "Telemetry",
    "TraceCollector",
    "UnregisteredName",
    "configure_logging",
    "render_waterfall",
]

# These bring in the SDK, structlog or rich, which a client that only calls actors never needs.
_LAZY = {
    "LoggingHandle": "logging_setup",
    "MetricsServer": "prometheus",
    "TraceCollector": "collector",
    "configure_logging": "logging_setup",
    "render_waterfall": "waterfall",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{module}"), name)
