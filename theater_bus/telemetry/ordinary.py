"""Ordinary SDK spans, for providers whose sampler or processors must see every span as it starts.

Slower by an order of magnitude than deferred spans and equal to them in what arrives at an exporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from time import time_ns

from opentelemetry.context import Context as OtelContext
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    set_span_in_context,
)

from theater_bus.telemetry.attributes import (
    FAULT,
    append_attributes,
    call_shape,
    ending,
    guest_events,
    host_call_attributes,
    host_call_ending,
    host_call_status,
    operation_shape,
    status,
)
from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.propagation import PassedOn, activate_span, extract, inject, with_span
from theater_bus.telemetry.spans import AppendTrace, CallTrace, Headers, HostCallOutcome, OperationTrace

__all__ = ["OrdinaryCall", "OrdinaryHostCall", "OrdinaryOperation", "OrdinaryTracing"]


class OrdinaryCall:
    """The CLIENT (or PRODUCER) span of a call."""

    __slots__ = ("headers", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.headers: dict[str, str] | None = inject(span.get_span_context())

    def end(self, code: str | None, end_ns: int = 0) -> None:
        """End the span."""
        if self.span.is_recording():
            self.span.set_attributes(ending(code))
            self.span.set_status(status(code))
            self.span.end(end_ns or time_ns())


class OrdinaryOperation:
    """The SERVER (or CONSUMER) span of an operation, with its queue and guest spans."""

    __slots__ = ("guest", "own_context", "span", "spec", "tracer")

    def __init__(self, tracer: Tracer, spec: FunctionSpec, span: Span) -> None:
        self.tracer = tracer
        self.spec = spec
        self.span = span
        self.guest: Span | None = None
        self.own_context: Context | None = None

    @property
    def trace_id(self) -> bytes:
        """16 bytes."""
        return self.span_context.trace_id.to_bytes(16, "big")

    @property
    def span_id(self) -> bytes:
        """8 bytes."""
        return self.span_context.span_id.to_bytes(8, "big")

    @property
    def span_context(self) -> SpanContext:
        """The operation's own span context."""
        return self.span.get_span_context()

    def queue(self, start_ns: int, end_ns: int) -> None:
        """Make the span of the wait."""
        below = set_span_in_context(self.span, OtelContext())
        self.tracer.start_span("theater.queue", below, SpanKind.INTERNAL, start_time=start_ns).end(end_ns)

    def begin_guest(self, start_ns: int) -> None:
        """Start the guest's span."""
        below = set_span_in_context(self.span, OtelContext())
        self.guest = self.tracer.start_span(self.spec.guest_name, below, SpanKind.INTERNAL, start_time=start_ns)

    def end_guest(self, end_ns: int, slices: int = 1, promoted_ns: int = 0, cancelled_ns: int = 0) -> None:
        """End the guest's span with what happened to it."""
        if self.guest is not None and self.guest.is_recording():
            for name, attributes, time in guest_events(end_ns, slices, promoted_ns, cancelled_ns):
                self.guest.add_event(name, attributes, time)
            self.guest.end(end_ns)

    def host_call(self, interface: str, function: str, external: bool = False, start_ns: int = 0) -> OrdinaryHostCall:
        """Start a host call below the guest."""
        span = self.tracer.start_span(
            f"{interface}/{function}",
            set_span_in_context(self.guest or self.span, OtelContext()),
            SpanKind.CLIENT if external else SpanKind.INTERNAL,
            attributes=host_call_attributes(interface, function),
            start_time=start_ns or time_ns(),
        )
        return OrdinaryHostCall(self, span)

    def headers(self) -> dict[str, str]:
        """Return the headers of a message that the operation itself causes."""
        return inject(self.span_context)

    def context(self) -> Context:
        """Return the operation's context, the same one each time."""
        if self.own_context is None:
            self.own_context = with_span(copy_context(), self.span)
        return self.own_context

    def end(self, code: str | None, chain_seq: int | None = None, end_ns: int = 0) -> None:
        """End the span, and the guest's if nobody did."""
        if not self.span.is_recording():
            return
        end_ns = end_ns or time_ns()
        self.end_guest(end_ns)
        self.span.set_attributes(ending(code, chain_seq))
        self.span.set_status(status(code))
        self.span.end(end_ns)


class OrdinaryHostCall:
    """The span of one host call."""

    __slots__ = ("operation", "span")

    def __init__(self, operation: OrdinaryOperation, span: Span) -> None:
        self.operation = operation
        self.span = span

    @property
    def trace_id(self) -> bytes:
        """16 bytes."""
        return self.span.get_span_context().trace_id.to_bytes(16, "big")

    @property
    def span_id(self) -> bytes:
        """8 bytes."""
        return self.span.get_span_context().span_id.to_bytes(8, "big")

    def headers(self) -> dict[str, str]:
        """Return the headers of a nested call."""
        return inject(self.span.get_span_context())

    def context(self) -> Context:
        """Return a context of this call's own, copied from the operation's."""
        return with_span(self.operation.context().copy(), self.span)

    def activate(self) -> None:
        """Make this the current span of the running context."""
        activate_span(self.span)

    def end(self, outcome: HostCallOutcome, error_type: str | None = None, end_ns: int = 0) -> None:
        """End the span."""
        if self.span.is_recording():
            self.span.set_attributes(host_call_ending(outcome, error_type))
            self.span.set_status(host_call_status(error_type))
            self.span.end(end_ns or time_ns())


class OrdinaryAppend:
    """The span of one append."""

    __slots__ = ("span",)

    def __init__(self, span: Span) -> None:
        self.span = span

    def end(self, error_type: str | None = None, end_ns: int = 0) -> None:
        """End the span."""
        if self.span.is_recording():
            if error_type is not None:
                self.span.set_attribute("error.type", error_type)
                self.span.set_status(FAULT)
            self.span.end(end_ns or time_ns())


class OrdinaryTracing:
    """Starts SDK spans. The sampler may look at attributes, so they are made before it decides."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool) -> CallTrace | None:
        """Start a caller's span below the current one."""
        name, kind, attributes = call_shape(spec, actor, one_way)
        span = self._tracer.start_span(name, None, kind, attributes)
        if span.is_recording():
            return OrdinaryCall(span)
        context = span.get_span_context()
        return PassedOn(inject(context)) if context.is_valid else None

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool
    ) -> OperationTrace | None:
        """Start the host's span below the one that the headers name."""
        name, kind, attributes = operation_shape(spec, actor, one_way)
        remote = extract(headers)
        above = OtelContext()
        if remote is not None and not one_way:
            above = set_span_in_context(NonRecordingSpan(remote), above)
        links = [Link(remote)] if remote is not None and one_way else None
        span = self._tracer.start_span(name, above, kind, attributes, links, start_ns)
        return OrdinaryOperation(self._tracer, spec, span) if span.is_recording() else None

    def start_append(
        self, actor: ActorAttributes, operations: Sequence[OperationTrace], segments: int, start_ns: int
    ) -> AppendTrace | None:
        """Start the span of one append."""
        if not operations:
            return None
        links = [Link(operation.span_context) for operation in operations]
        span = self._tracer.start_span(
            "theater.chain.append",
            set_span_in_context(NonRecordingSpan(links[0].context), OtelContext()),
            SpanKind.CLIENT,
            append_attributes(actor, segments, None),
            links,
            start_ns or time_ns(),
        )
        return OrdinaryAppend(span) if span.is_recording() else None

    def unsampled_root(self) -> dict[str, str] | None:
        """Return nothing: a custom sampler decides for each message itself."""
        return None
