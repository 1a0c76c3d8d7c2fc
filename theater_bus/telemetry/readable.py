"""From a record to the spans that the SDK would have made: the same fields, by test.

Runs off the loop. A `ReadableSpan` costs a microsecond and a half here; attribute limits that could bite, and what
foreign code added to a live span, take the SDK's own `BoundedAttributes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from theater_bus.telemetry.assembly import Origin, span_context, span_maker
from theater_bus.telemetry.attributes import (
    FAULT,
    UNSET,
    AttributeDict,
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
from theater_bus.telemetry.deferred_record import (
    RANDOM,
    DeferredAppend,
    DeferredCall,
    DeferredHostCall,
    DeferredOperation,
    Record,
)
from theater_bus.telemetry.live_span import LiveSpan
from theater_bus.telemetry.propagation import FLAGS
from theater_bus.telemetry.provider import Pipeline

__all__ = ["SpanBuilder"]

_ROOMY = 32
OwnEvent = tuple[str, Mapping[str, Any], int]


class SpanBuilder:
    """Builds the spans of records for one provider's resource, scope and limits."""

    def __init__(self, pipeline: Pipeline) -> None:
        tracer, limits = pipeline.tracer, pipeline.limits
        scope = getattr(tracer, "_instrumentation_scope", None)
        self._origin: Origin = (tracer.resource, tracer.instrumentation_info, scope)
        self._limits = limits
        counts = (limits.max_span_attributes, limits.max_event_attributes, limits.max_events, limits.max_links)
        lengths = (limits.max_span_attribute_length, limits.max_attribute_length)
        self._unbounded = all(each is None or each >= _ROOMY for each in counts) and not any(
            each is not None for each in lengths
        )

    def spans(self, records: Iterable[Record]) -> list[ReadableSpan]:
        """Return the spans of some records, of each record children first, as they ended."""
        made: list[ReadableSpan] = []
        for record in records:
            if isinstance(record, DeferredOperation):
                self._operation(record, made)
            elif isinstance(record, DeferredCall):
                made.append(self._call(record))
            elif isinstance(record, DeferredHostCall):
                made.append(self._host_call(record))
            elif isinstance(record, DeferredAppend):
                made.append(self._append(record))
        return made

    def _call(self, record: DeferredCall) -> ReadableSpan:
        name, kind, attributes = call_shape(record.spec, record.actor, record.one_way)
        return self._span(
            name, kind, record.span_context, record.parent, (record.start_ns, record.end_ns),
            attributes, status(record.code), late=ending(record.code),
        )  # fmt: skip

    def _operation(self, record: DeferredOperation, made: list[ReadableSpan]) -> None:
        text, extra = record.traceparent, record.extra
        trace, remote, above = int(text[3:35], 16), int(text[36:52], 16), int(text[53:], 16)
        flags, state = FLAGS[1 | above & RANDOM], None if extra is None else extra.state
        own = span_context(trace, record.span, False, flags, state)
        if record.queue_start_ns:
            queue = span_context(trace, record.new_span(), False, flags, state)
            times = (record.queue_start_ns, record.queue_end_ns)
            made.append(self._span("theater.queue", SpanKind.INTERNAL, queue, own, times, {}))
        if record.guest_start_ns:
            guest = span_context(trace, record.guest_span, False, flags, state)
            times = (record.guest_start_ns, record.guest_end_ns or record.end_ns)
            happened = () if record.happened is None else guest_events(times[1], *record.happened)
            made.append(self._span(record.spec.guest_name, SpanKind.INTERNAL, guest, own, times, {}, events=happened))
        parent = span_context(trace, remote, True, FLAGS[above], state) if remote else None
        name, kind, attributes = operation_shape(record.spec, record.actor, extra is not None and extra.one_way)
        links = () if extra is None or extra.link is None else (Link(extra.link),)
        made.append(self._span(
            name, kind, own, parent, (record.start_ns, record.end_ns),
            attributes, status(record.code), links=links, live=None if extra is None else extra.live,
            late=ending(record.code, record.chain_seq),
        ))  # fmt: skip

    def _host_call(self, record: DeferredHostCall) -> ReadableSpan:
        operation = record.operation
        parent = operation.guest_span if operation.guest_start_ns else operation.span
        return self._span(
            f"{record.interface}/{record.function}",
            SpanKind.CLIENT if record.external else SpanKind.INTERNAL,
            operation.context_of(record.own_span),
            operation.context_of(parent),
            (record.start_ns, record.end_ns),
            host_call_attributes(record.interface, record.function),
            host_call_status(record.error_type),
            live=record.live,
            late=host_call_ending(record.outcome, record.error_type),
        )

    def _append(self, record: DeferredAppend) -> ReadableSpan:
        parent = record.links[0]
        own = span_context(parent.trace_id, record.span, False, FLAGS[record.flags], parent.trace_state)
        return self._span(
            "theater.chain.append", SpanKind.CLIENT, own, parent, (record.start_ns, record.end_ns),
            append_attributes(record.actor, record.segments, record.error_type),
            UNSET if record.error_type is None else FAULT,
            links=tuple(Link(context) for context in record.links),
        )  # fmt: skip

    def _span(
        self,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        times: tuple[int, int],
        attributes: AttributeDict,
        outcome: Status = UNSET,
        *,
        events: Sequence[OwnEvent] = (),
        links: Sequence[Link] = (),
        live: LiveSpan | None = None,
        late: AttributeDict | None = None,
    ) -> ReadableSpan:
        if self._unbounded and live is None and not events and not links:
            if late is not None:
                attributes.update(late)
            return span_maker(
                self._origin, name, kind, context, parent, times[0], times[1], attributes, outcome, (), ()
            )
        if live is not None:
            name = live.name or name
            outcome = _settled(live.status, outcome)
        return span_maker(
            self._origin, name, kind, context, parent, times[0], times[1],
            self._attributes(attributes, live, late or {}), outcome,
            self._events(events, live), self._links(links, live),
        )  # fmt: skip

    def _attributes(
        self, first: Mapping[str, Any], live: LiveSpan | None, late: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if self._unbounded and live is None:
            return {**first, **late}
        # In the order in which the SDK would have got them: a full set drops its oldest.
        limits = self._limits
        made = BoundedAttributes(limits.max_span_attributes, first, False, limits.max_span_attribute_length)
        for more in (live.attributes if live is not None else {}, late):
            for key, value in more.items():
                made[key] = value
        return made

    def _events(self, own: Sequence[OwnEvent], live: LiveSpan | None) -> Sequence[Event]:
        if not own and live is None:
            return ()
        limits = self._limits
        given: list[tuple[str, Any, int]] = [*own, *(live.events if live is not None else ())]
        events = [
            Event(name, BoundedAttributes(limits.max_event_attributes, labels, True, limits.max_attribute_length), time)
            for name, labels, time in given
        ]
        return events if self._unbounded else BoundedList.from_seq(limits.max_events, events)

    def _links(self, own: Sequence[Link], live: LiveSpan | None) -> Sequence[Link]:
        if not own and live is None:
            return ()
        limits = self._limits
        links = [*own, *(live.links if live is not None else ())]
        bounded = [
            Link(
                link.context,
                BoundedAttributes(limits.max_link_attributes, link.attributes, True, limits.max_attribute_length),
            )
            for link in links
        ]
        return bounded if self._unbounded and live is None else BoundedList.from_seq(limits.max_links, bounded)


def _settled(foreign: Status | None, own: Status) -> Status:
    """OK is final; after that the later of the two counts, which is our own (OpenTelemetry, Set Status)."""
    if foreign is not None and (own is UNSET or foreign.status_code is StatusCode.OK):
        return foreign
    return own
