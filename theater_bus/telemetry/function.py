"""What is known of a function and of an actor before a message comes: names and attribute sets, made once.

Names that outsiders invent never become span names or metric attributes: an unknown function is `_OTHER`, its real name
only an attribute of the span (OpenTelemetry semantic conventions, RPC: `rpc.method_original`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from theater_bus.telemetry.registry import OTHER

if TYPE_CHECKING:
    from theater_bus.telemetry.metrics import FunctionMeter

__all__ = ["ActorAttributes", "FunctionSpec", "method_of"]


@dataclass(frozen=True, slots=True)
class ActorAttributes:
    """Who an actor is, for its spans and log records. One per actor, made at spawn."""

    id: str
    namespace: str
    name: str = ""
    host_id: str = ""
    of_function: dict[FunctionSpec, dict[str, str | int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The first attributes of operations, kept by `theater_bus.telemetry.attributes` for functions that are known."""


class FunctionSpec:
    """One function as telemetry sees it: get it from `Telemetry.function_spec`, keep it, pass it to every call."""

    __slots__ = ("attributes", "function", "guest_name", "known", "meter", "namespace", "span_name", "template")

    def __init__(self, function: str, namespace: str, known: bool, meter: FunctionMeter) -> None:
        label = function if known else OTHER
        self.function = function
        self.namespace = namespace
        self.known = known
        self.meter = meter
        self.span_name = f"theater.Actor/{label}"
        self.guest_name = f"theater.guest {label}"
        self.template = f"theater.{{namespace}}.ops.{{actor}}.{label}"
        self.attributes: dict[str, str] = {
            "rpc.system.name": "theater",
            "rpc.method": method_of(function, known),
            "messaging.system": "nats",
            "messaging.destination.template": self.template,
            "theater.namespace": namespace,
        }
        if not known:
            self.attributes["rpc.method_original"] = function


def method_of(function: str, known: bool) -> str:
    """Return `rpc.method` of a function."""
    return f"theater.Actor/{function}" if known else OTHER
