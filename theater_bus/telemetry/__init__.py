"""Traces, metrics and log events of theater_bus: one registry of names, and one object to emit them through."""

from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.spans import CallTrace, Headers, HostCallOutcome, HostCallTrace, OperationTrace
from theater_bus.telemetry.telemetry import Level, Telemetry

__all__ = [
    "ActorAttributes",
    "CallTrace",
    "FunctionSpec",
    "Headers",
    "HostCallOutcome",
    "HostCallTrace",
    "Level",
    "OperationTrace",
    "Telemetry",
]
