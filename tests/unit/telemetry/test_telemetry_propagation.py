"""`traceparent` in and out: the fast path agrees with OpenTelemetry's propagator on everything."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from theater_bus.telemetry.propagation import carry, extract, inject
from theater_bus.telemetry.sampling import MASK, thresholds

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
hexadecimal = st.text("0123456789abcdef", min_size=1, max_size=34)
parents = st.one_of(
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?", fullmatch=True),
    st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", fullmatch=True),
    st.builds("-".join, st.lists(hexadecimal, max_size=5)),
    st.text(max_size=60),
)


def theirs(headers: dict[str, str]) -> SpanContext | None:
    context = get_current_span(TraceContextTextMapPropagator().extract(headers)).get_span_context()
    return context if context.is_valid else None


@settings(max_examples=100, deadline=None)
@given(parents)
@example("00-" + "0" * 32 + "-b7ad6b7169203331-01")
@example("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01")
@example("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
@example(PARENT.upper())
@example(PARENT + "\n")
@example("٠" * 2 + PARENT[2:])
def test_the_fast_path_reads_what_the_propagator_reads(parent: str) -> None:
    assert extract({"traceparent": parent}) == theirs({"traceparent": parent})


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
@example("vendor=value,other=1")
def test_trace_state_is_read_as_the_propagator_does(state: str) -> None:
    headers = {"traceparent": PARENT, "tracestate": state}
    assert extract(headers) == theirs(headers)


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT", "TraceParent"])
def test_header_names_are_read_in_any_case(name: str) -> None:
    context = extract({"Content-Type": "application/msgpack", name: PARENT, "TraceState": "a=b"})
    assert context is not None
    assert context.is_remote
    assert inject(context)["traceparent"] == PARENT


def test_nothing_comes_of_nothing() -> None:
    for headers in (None, {}, {"Nats-Service-Error": "x"}, {"traceparent": "nonsense"}):
        assert extract(headers) is None
        assert carry(headers) is None


def test_a_context_travels_on_unchanged() -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=value,other=1"}
    assert carry(headers) == headers


ratio = st.floats(0, 1).map(TraceIdRatioBased)
plain = st.one_of(st.sampled_from([ALWAYS_ON, ALWAYS_OFF]), ratio)
samplers: st.SearchStrategy[Sampler] = st.one_of(
    plain,
    st.sampled_from([DEFAULT_ON, DEFAULT_OFF]),
    st.floats(0, 1).map(ParentBasedTraceIdRatio),
    st.builds(ParentBased, plain, plain, plain, plain, plain),
)


@settings(max_examples=100, deadline=None)
@given(samplers, st.integers(1, 2**128 - 1), st.sampled_from(["root", "remote", "local"]), st.integers(0, 3))
def test_thresholds_decide_as_the_sampler_does(sampler: Sampler, trace_id: int, parent: str, flags: int) -> None:
    limits = thresholds(sampler)
    assert limits is not None
    above = SpanContext(trace_id, 1, parent == "remote", TraceFlags(flags))
    context = None if parent == "root" else set_span_in_context(NonRecordingSpan(above))
    decision = sampler.should_sample(context, trace_id, "name").decision
    name = "root" if parent == "root" else f"{parent}_{'sampled' if flags & 1 else 'unsampled'}"
    assert (decision is Decision.RECORD_AND_SAMPLE) == ((trace_id & MASK) < getattr(limits, name))


@pytest.mark.parametrize(
    "sampler",
    [
        AlwaysRecordSampler(ALWAYS_OFF),
        StaticSampler(Decision.RECORD_ONLY),
        ParentBased(AlwaysRecordSampler(ALWAYS_OFF)),
        type("Own", (TraceIdRatioBased,), {})(0.5),
        type("Own", (ParentBased,), {})(ALWAYS_ON),
    ],
)
def test_samplers_that_are_not_standard_must_be_asked(sampler: Sampler) -> None:
    assert thresholds(sampler) is None
