"""`traceparent` and `tracestate`: out of a message's headers, and into them (W3C Trace Context §3.2, §3.3).

The common form, version 00 without `tracestate`, is read here in a microsecond; everything else goes through
OpenTelemetry's own propagator, directly. Header names are read in any case and written in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import Context

from opentelemetry.context import attach
from opentelemetry.trace import (
    Span,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = [
    "COMMON",
    "FLAGS",
    "TRACEPARENT",
    "TRACESTATE",
    "PassedOn",
    "activate_span",
    "carry",
    "extract",
    "inject",
    "with_span",
]

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
COMMON = re.compile(r"00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})", re.ASCII).fullmatch
FLAGS = tuple(TraceFlags(bits) for bits in range(256))
_PROPAGATOR = TraceContextTextMapPropagator()


class PassedOn:
    """A call that is not recorded here but whose trace context travels on."""

    __slots__ = ("headers",)

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers: dict[str, str] | None = headers

    def end(self, code: str | None, end_ns: int = 0) -> None:
        """Nothing was started."""


def extract(headers: Mapping[str, str] | None) -> SpanContext | None:
    """Return the remote span context that the headers carry; None without a valid one. HOT."""
    if not headers:
        return None
    parent = headers.get(TRACEPARENT)
    state = headers.get(TRACESTATE)
    if parent is None:
        found = _lowered(headers)
        parent, state = found.get(TRACEPARENT), found.get(TRACESTATE)
        if parent is None:
            return None
    if state is None and (match := COMMON(parent)) is not None:
        trace_id, span_id, flags = match.groups()
        return SpanContext(int(trace_id, 16), int(span_id, 16), True, FLAGS[int(flags, 16)])
    carrier = {TRACEPARENT: parent} if state is None else {TRACEPARENT: parent, TRACESTATE: state}
    context = get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()
    return context if context.is_valid else None


def inject(context: SpanContext) -> dict[str, str]:
    """Return the headers that carry a valid span context."""
    headers = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    if context.trace_state:
        headers[TRACESTATE] = context.trace_state.to_header()
    return headers


def carry(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the trace headers of a message for one that it causes, unchanged; None without a valid context."""
    context = extract(headers)
    return None if context is None else inject(context)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if len(name) <= len(TRACEPARENT):
            found.setdefault(name.lower(), value)
    return found


def activate_span(span: Span) -> None:
    """Make `span` the current one of the running context, for good."""
    attach(set_span_in_context(span))


def with_span(context: Context, span: Span) -> Context:
    """Make `span` the current one of `context`, and return the context."""
    context.run(lambda: attach(set_span_in_context(span)))
    return context
