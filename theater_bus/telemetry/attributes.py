"""The attributes, names and status of every span, for deferred and ordinary spans alike.

Both kinds call the same functions, which is why what arrives at an exporter does not depend on the kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.trace import SpanKind, Status, StatusCode

from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.registry import OK, error_type, is_fault

__all__ = [
    "FAULT",
    "UNSET",
    "AttributeDict",
    "append_attributes",
    "call_shape",
    "ending",
    "guest_events",
    "host_call_attributes",
    "host_call_ending",
    "host_call_status",
    "operation_attributes",
    "operation_shape",
    "status",
]

AttributeDict = dict[str, str | int]
UNSET = Status(StatusCode.UNSET)
FAULT = Status(StatusCode.ERROR)


def call_shape(spec: FunctionSpec, actor: str, one_way: bool) -> tuple[str, SpanKind, AttributeDict]:
    """Return name, kind and first attributes of the caller's span."""
    attributes: AttributeDict = {**spec.attributes, "theater.actor.id": actor}
    if not one_way:
        return spec.span_name, SpanKind.CLIENT, attributes
    attributes["messaging.operation.name"] = attributes["messaging.operation.type"] = "send"
    return f"send {spec.template}", SpanKind.PRODUCER, attributes


def operation_shape(spec: FunctionSpec, actor: ActorAttributes, one_way: bool) -> tuple[str, SpanKind, AttributeDict]:
    """Return name, kind and first attributes of the host's span."""
    attributes = operation_attributes(spec, actor)
    if not one_way:
        return spec.span_name, SpanKind.SERVER, attributes
    attributes["messaging.operation.name"] = attributes["messaging.operation.type"] = "process"
    return f"process {spec.template}", SpanKind.CONSUMER, attributes


def operation_attributes(spec: FunctionSpec, actor: ActorAttributes) -> AttributeDict:
    """Return what is known of an operation when it arrives, in a dictionary of its own. HOT."""
    kept = actor.of_function.get(spec)
    if kept is not None:
        return kept.copy()
    attributes: AttributeDict = {**spec.attributes, "theater.actor.id": actor.id}
    if actor.name:
        attributes["theater.actor.name"] = actor.name
    if actor.host_id:
        attributes["theater.host.id"] = actor.host_id
    if spec.known:  # those that outsiders invent are without number
        actor.of_function[spec] = attributes.copy()
    return attributes


def ending(code: str | None, chain_seq: int | None = None) -> AttributeDict:
    """Return what is known of a call or an operation when it ended."""
    attributes: AttributeDict = {"rpc.response.status_code": OK if code is None else code}
    if code is not None:
        attributes["error.type"] = error_type(code)
    if chain_seq is not None:
        attributes["theater.chain.seq"] = chain_seq
    return attributes


def status(code: str | None) -> Status:
    """Return ERROR for the host's faults, UNSET for everything else."""
    return FAULT if code is not None and is_fault(code) else UNSET


def host_call_attributes(interface: str, function: str) -> AttributeDict:
    """Return what is known of a host call when it starts."""
    return {"theater.host_call.interface": interface, "theater.host_call.function": function}


def host_call_ending(outcome: str, failure: str | None) -> AttributeDict:
    """Return what is known of a host call when it ended."""
    attributes: AttributeDict = {"theater.host_call.outcome": outcome}
    if failure is not None:
        attributes["error.type"] = failure
    return attributes


def host_call_status(failure: str | None) -> Status:
    """Return ERROR when a host call failed by a fault: a code that is one, `timeout`, or an exception's class."""
    return FAULT if failure is not None and is_fault(failure) else UNSET


def guest_events(
    end_ns: int, slices: int, promoted_ns: int, cancelled_ns: int
) -> list[tuple[str, Mapping[str, str | int], int]]:
    """Return the events of the guest's span as (name, attributes, time), in the order of the page."""
    events: list[tuple[str, Mapping[str, str | int], int]] = []
    if promoted_ns:
        events.append(("theater.guest.promoted", {}, promoted_ns))
    if cancelled_ns:
        events.append(("theater.guest.cancelled", {}, cancelled_ns))
    if slices > 1:
        events.append(("theater.guest.sliced", {"theater.guest.slices": slices}, end_ns))
    return events


def append_attributes(actor: ActorAttributes, segments: int, failure: str | None) -> AttributeDict:
    """Return the attributes of an append's span."""
    attributes: AttributeDict = {
        "messaging.batch.message_count": segments,
        "theater.actor.id": actor.id,
        "theater.namespace": actor.namespace,
    }
    if failure is not None:
        attributes["error.type"] = failure
    return attributes
