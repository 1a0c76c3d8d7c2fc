"""Deferred spans and ordinary SDK spans are the same at the exporter; sampling is decided once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from theater_bus.telemetry import REGISTRY, ActorAttributes, Telemetry, TraceCollector
from theater_bus.telemetry.conformance import emitted
from theater_bus.telemetry.deferred import DeferredTracing
from theater_bus.telemetry.ordinary import OrdinaryTracing
from theater_bus.telemetry.passing import PassingTracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
ACTOR = ActorAttributes("counter-1", "default", "counter", "host-1")
T = 1_700_000_000_000_000_000


class CountingIds(IdGenerator):
    def __init__(self) -> None:
        self._next = itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self._next)

    def generate_trace_id(self) -> int:
        return next(self._next) << 64 | 1

    def is_trace_id_random(self) -> bool:
        return True


class SubclassedProcessor(BatchSpanProcessor):
    """Not the SDK's own class, so spans must be ordinary."""


class AskMe(Sampler):
    def should_sample(self, parent_context: Any, trace_id: int, name: str, *more: Any, **named: Any) -> SamplingResult:
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, *more, **named)

    def get_description(self) -> str:
        return "AskMe"


class Poisoned:
    """An actor of which nobody may look at anything."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was looked at for an operation that is not sampled")


class Part:
    """A telemetry with its collector."""

    def __init__(
        self, deferred: bool, sampler: Sampler = DEFAULT_ON, limits: SpanLimits | None = None, **options: Any
    ) -> None:
        self.collector = TraceCollector()
        self.provider = TracerProvider(
            sampler=sampler,
            resource=Resource.create({"service.name": "test", "service.instance.id": "one"}),
            id_generator=CountingIds(),
            span_limits=limits,
            shutdown_on_exit=False,
        )
        kind = BatchSpanProcessor if deferred else SubclassedProcessor
        self.provider.add_span_processor(kind(self.collector))
        self.telemetry = Telemetry(tracer_provider=self.provider, strict=True, **options)
        expected = DeferredTracing if deferred else OrdinaryTracing
        assert type(self.telemetry._tracing) is expected
        self.spec = self.telemetry.function_spec("increment", "default")

    async def spans(self) -> list[ReadableSpan]:
        assert await self.telemetry.flush()
        spans = self.collector.spans()
        await self.telemetry.close()
        self.provider.shutdown()
        return spans


@contextmanager
def current(span: Span) -> Iterator[None]:
    token = attach(set_span_in_context(span))
    try:
        yield
    finally:
        detach(token)


def plain_operation(part: Part) -> None:
    operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T)
    assert operation is not None
    operation.end(None, chain_seq=7, end_ns=T + 100)


def full_operation(part: Part) -> None:
    headers = {**SAMPLED, "tracestate": "vendor=value,other=1"}
    operation = part.telemetry.start_operation(part.spec, headers, ACTOR, T)
    assert operation is not None
    operation.queue(T, T + 10)
    operation.begin_guest(T + 10)
    for external, outcome, failure in ((False, "returned", None), (True, "raised", "timeout"), (False, "queued", None)):
        call = operation.host_call("theater:simple/store", "put", external, start_ns=T + 20)
        call.end(outcome, failure, end_ns=T + 30)  # type: ignore[arg-type]
    operation.end_guest(T + 90, slices=3, promoted_ns=T + 40, cancelled_ns=T + 80)
    operation.end("operation-timeout", end_ns=T + 100)


def callers_fault(part: Part) -> None:
    operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T)
    assert operation is not None
    operation.end("type-mismatch", end_ns=T + 5)


def unknown_function(part: Part) -> None:
    spec = part.telemetry.function_spec("no-such", "default", known=False)
    operation = part.telemetry.start_operation(spec, SAMPLED, ACTOR, T)
    assert operation is not None
    operation.end("function-not-found", end_ns=T + 5)


def one_way(part: Part) -> None:
    call = part.telemetry.start_call(part.spec, "counter-1", one_way=True)
    assert call is not None
    call.end(None)
    operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T, one_way=True)
    assert operation is not None
    operation.end(None, end_ns=T + 5)


def calls(part: Part) -> None:
    root = part.telemetry.start_call(part.spec, "counter-1")
    assert root is not None
    root.end("guest-trap")
    above = SpanContext(int(TRACE, 16), 99, False, TraceFlags(1))
    with current(NonRecordingSpan(above)):
        child = part.telemetry.start_call(part.spec, "counter-1")
        assert child is not None
        child.end(None)


def appended(part: Part) -> None:
    operations = [part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T) for _ in range(2)]
    sampled = [each for each in operations if each is not None]
    append = part.telemetry.start_append(ACTOR, sampled, 2, T + 1)
    assert append is not None
    append.end("unavailable", end_ns=T + 9)
    for each in sampled:
        each.end(None, end_ns=T + 10)


def additions(part: Part) -> None:
    operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T)
    assert operation is not None
    operation.begin_guest(T)
    call = operation.host_call("acme:db/sql", "query", True, start_ns=T + 1)
    span = call.span
    assert span.is_recording()
    span.set_attribute("db.system", "sqlite")
    span.set_attributes({"rows": 3, "bad": object()})  # type: ignore[dict-item]
    span.add_event("fetched", {"page": 1}, T + 2)
    span.add_link(SpanContext(5, 6, True, TraceFlags(1)), {"why": "cause"})
    span.add_link(SpanContext(0, 0, True))
    span.update_name("acme:db/sql/query")
    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR, "too late")
    span.record_exception(ValueError("text"), {"more": "x"}, T + 3)
    call.end("raised", "ValueError", end_ns=T + 4)
    assert not span.is_recording()
    operation.end(None, end_ns=T + 5)


SCENARIOS: list[Callable[[Part], None]] = [
    plain_operation,
    full_operation,
    callers_fault,
    unknown_function,
    one_way,
    calls,
    appended,
    additions,
]


def comparable(spans: list[ReadableSpan]) -> list[dict[str, Any]]:
    """Everything an exporter can see, with span ids replaced by the name of the span."""
    names = {span.context.span_id: span.name for span in spans if span.context}
    rows = []
    for span in spans:
        assert span.context is not None
        timed = span.kind.name not in ("CLIENT", "PRODUCER") or span.attributes.get("rpc.method") is None
        rows.append(
            {
                "name": span.name,
                "kind": span.kind,
                "flags": span.context.trace_flags,
                "state": dict(span.context.trace_state),
                "remote": span.context.is_remote,
                "parent": None if span.parent is None else names.get(span.parent.span_id, span.parent),
                "parent_state": None if span.parent is None else dict(span.parent.trace_state),
                "attributes": dict(span.attributes or {}),
                "events": [(each.name, dict(each.attributes or {}), each.timestamp) for each in span.events],
                "links": [(each.context.is_remote, dict(each.attributes or {})) for each in span.links],
                "linked": [names.get(each.context.span_id, each.context.span_id) for each in span.links],
                "status": (span.status.status_code, span.status.description),
                "resource": dict(span.resource.attributes),
                "scope": span.instrumentation_scope,
                "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
                "times": (span.start_time, span.end_time) if timed else None,
                "encoded": len(span.to_json()) > 0,
            }
        )
    return sorted(rows, key=lambda row: (row["name"], row["kind"].name, str(row["attributes"]), str(row["parent"])))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_deferred_and_ordinary_spans_are_equal_at_the_exporter(scenario: Callable[[Part], None]) -> None:
    results = []
    for deferred in (True, False):
        part = Part(deferred)
        scenario(part)
        results.append(await part.spans())
    assert comparable(results[0]) == comparable(results[1])
    assert results[0]


@pytest.mark.parametrize("scenario", [full_operation, additions], ids=lambda scenario: scenario.__name__)
async def test_span_limits_bite_alike(scenario: Callable[[Part], None]) -> None:
    results = []
    for deferred in (True, False):
        limits = SpanLimits(
            max_span_attributes=4, max_span_attribute_length=5, max_attribute_length=3, max_event_attributes=1
        )
        part = Part(deferred, limits=limits)
        scenario(part)
        results.append(comparable(await part.spans()))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each is not additions], ids=lambda each: each.__name__
)
async def test_what_is_emitted_is_registered(scenario: Callable[[Part], None]) -> None:
    part = Part(deferred=True)
    scenario(part)
    assert emitted(REGISTRY, await part.spans()).problems == []


@pytest.mark.parametrize("deferred", [True, False])
async def test_the_tree_is_caller_host_queue_guest_host_call(deferred: bool) -> None:
    part = Part(deferred)
    call = part.telemetry.start_call(part.spec, "counter-1")
    assert call is not None
    operation = part.telemetry.start_operation(part.spec, call.headers, ACTOR, T)
    assert operation is not None
    operation.queue(T, T + 1)
    operation.begin_guest(T + 1)
    host_call = operation.host_call("a:b/c", "f")
    assert host_call.trace_id == operation.trace_id
    nested = part.telemetry.start_operation(part.spec, host_call.headers(), ACTOR, T + 2)
    assert nested is not None
    nested.end(None)
    host_call.end("returned")
    operation.end_guest(T + 5)
    operation.end(None)
    call.end(None)
    spans = await part.spans()
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    by_id = {span.context.span_id: span for span in spans if span.context}

    def path(span: ReadableSpan) -> str:
        own = f"{span.kind.name} {span.name}"
        return own if span.parent is None else f"{path(by_id[span.parent.span_id])} > {own}"

    operation_name = "theater.Actor/increment"
    root = f"CLIENT {operation_name} > SERVER {operation_name}"
    guest = f"{root} > INTERNAL theater.guest increment"
    assert sorted(map(path, spans)) == sorted(
        [
            f"CLIENT {operation_name}",
            root,
            f"{root} > INTERNAL theater.queue",
            guest,
            f"{guest} > INTERNAL a:b/c/f",
            f"{guest} > INTERNAL a:b/c/f > SERVER {operation_name}",
        ]
    )


@pytest.mark.parametrize("deferred", [True, False])
async def test_spans_of_capabilities_are_children_of_their_own_host_call(deferred: bool) -> None:
    part = Part(deferred)
    tracer = part.telemetry.tracer("capability")
    operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T)
    assert operation is not None
    operation.begin_guest(T)
    first = operation.host_call("a:b/c", "first")
    first_context = first.context()
    second = operation.host_call("a:b/c", "second")
    second_context = second.context()
    second_context.run(lambda: tracer.start_span("of second").end())
    first_context.run(lambda: tracer.start_span("of first, late").end())
    operation.context().run(lambda: tracer.start_span("of operation").end())
    assert operation.context() is operation.context()
    first.end("returned")
    second.end("returned")
    operation.end(None)
    spans = {span.name: span for span in await part.spans()}
    parents = {name: span.parent.span_id.to_bytes(8, "big") for name, span in spans.items() if span.parent}
    assert parents["of second"] == second.span_id
    assert parents["of first, late"] == first.span_id
    assert parents["of operation"] == operation.span_id


def test_an_unsampled_operation_looks_at_no_attribute() -> None:
    part = Part(deferred=True)
    poisoned: Any = Poisoned()
    assert part.telemetry.start_operation(poisoned, UNSAMPLED, poisoned, T) is None
    never = Part(deferred=True, sampler=ParentBased(ALWAYS_OFF))
    assert never.telemetry.start_operation(poisoned, None, poisoned, T) is None
    assert never.telemetry.start_call(poisoned, poisoned) is None


def test_an_unsampled_root_tells_those_it_calls_and_a_silent_one_does_not() -> None:
    ratio = Part(deferred=True, sampler=ParentBased(TraceIdRatioBased(2**-64)))
    call = ratio.telemetry.start_call(ratio.spec, "a")
    assert call is not None
    assert call.headers is not None
    assert call.headers["traceparent"].endswith("-02")
    call.end(None)
    assert ratio.telemetry.start_operation(ratio.spec, call.headers, ACTOR, T) is None
    assert Part(True, ParentBased(ALWAYS_OFF)).telemetry.start_call(ratio.spec, "a") is None


def test_an_unsampled_parent_is_passed_on() -> None:
    part = Part(deferred=True)
    above = SpanContext(int(TRACE, 16), 99, False, TraceFlags(0))
    with current(NonRecordingSpan(above)):
        call = part.telemetry.start_call(part.spec, "a")
    assert call is not None
    assert call.headers == {"traceparent": f"00-{TRACE}-{99:016x}-00"}


def test_what_an_untraced_operation_causes_is_untraced_too() -> None:
    part = Part(deferred=True)
    assert part.telemetry.untraced_headers(UNSAMPLED) == UNSAMPLED
    nested = part.telemetry.untraced_context(UNSAMPLED).run(lambda: part.telemetry.start_call(part.spec, "a"))
    assert nested is not None
    assert nested.headers == UNSAMPLED
    headers = part.telemetry.untraced_headers(None)
    assert headers is not None
    assert part.telemetry.start_operation(part.spec, headers, ACTOR, T) is None


def test_without_an_sdk_nothing_is_recorded_and_a_context_travels_on() -> None:
    telemetry = Telemetry()
    spec = telemetry.function_spec("f", "default")
    assert type(telemetry._tracing) is PassingTracing
    assert telemetry.start_call(spec, "a") is None
    assert telemetry.start_operation(spec, SAMPLED, ACTOR, T) is None
    assert telemetry.start_append(ACTOR, [], 0) is None
    assert telemetry.untraced_headers(SAMPLED) == SAMPLED
    assert telemetry.untraced_headers(None) is None
    with current(NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(1)))):
        call = telemetry.start_call(spec, "a")
    assert call is not None
    assert call.headers == {"traceparent": f"00-{1:032x}-{2:016x}-01"}


def test_switched_off_there_is_no_tracing_at_all() -> None:
    silent = Telemetry.silent()
    spec = silent.function_spec("f", "default")
    assert silent.level == "off"
    assert not silent.tracer("capability").start_span("x").is_recording()
    assert silent.start_call(spec, "a") is None
    assert silent.start_operation(spec, SAMPLED, ACTOR, T) is None
    assert silent.start_append(ACTOR, [], 0) is None
    assert silent.untraced_headers(SAMPLED) is None


@pytest.mark.parametrize("unusual", ["sampler", "processor", "provider"])
def test_unusual_providers_get_ordinary_spans(unusual: str) -> None:
    class OwnProvider(TracerProvider):
        pass

    sampler = AskMe() if unusual == "sampler" else DEFAULT_ON
    kind = OwnProvider if unusual == "provider" else TracerProvider
    provider = kind(sampler=sampler, shutdown_on_exit=False)
    if unusual == "processor":
        provider.add_span_processor(SimpleSpanProcessor(TraceCollector()))
    assert type(Telemetry(tracer_provider=provider)._tracing) is OrdinaryTracing


def test_a_processor_that_comes_later_is_noticed() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    telemetry = Telemetry(tracer_provider=provider)
    assert type(telemetry._tracing) is DeferredTracing
    provider.add_span_processor(SimpleSpanProcessor(TraceCollector()))
    telemetry.refresh()
    assert type(telemetry._tracing) is OrdinaryTracing


async def test_ending_twice_counts_once() -> None:
    for deferred in (True, False):
        part = Part(deferred)
        call = part.telemetry.start_call(part.spec, "a")
        operation = part.telemetry.start_operation(part.spec, SAMPLED, ACTOR, T)
        assert call is not None
        assert operation is not None
        host_call = operation.host_call("a:b/c", "f")
        for _ in range(2):
            host_call.end("returned")
            operation.end(None)
            call.end(None)
        assert len(await part.spans()) == 3
