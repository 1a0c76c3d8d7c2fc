"""Spans made in one step are those that the SDK's constructors make, and an SDK that differs has them called."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from theater_bus.telemetry import assembly

STATES = (None, TraceState(), TraceState([("vendor", "value"), ("other", "1")]))
CONTEXT = SpanContext(2**128 - 1, 2**64 - 1, False, TraceFlags(3))
PARENT = SpanContext(1, 1, True, TraceFlags(1))
ORIGIN = (Resource({"service.name": "test"}), None, InstrumentationScope("theater_bus", "1", "schema"))


def test_the_pinned_sdk_is_known_inside() -> None:
    """Fails with an SDK that stores something else: `stored_…` must then follow it, or go."""
    assert assembly.span_context is assembly.stored_context
    assert assembly.span_maker is assembly.stored_span


@pytest.mark.parametrize(("flags", "remote", "state"), list(itertools.product((0, 1, 3, 255), (True, False), STATES)))
def test_contexts_are_the_same(flags: int, remote: bool, state: TraceState | None) -> None:
    for trace_id, span_id in ((1, 1), (2**128 - 1, 2**64 - 1)):
        given = (trace_id, span_id, remote, TraceFlags(flags), state)
        made, stored = assembly.constructed_context(*given), assembly.stored_context(*given)
        assert stored == made
        assert type(stored) is type(made) is SpanContext
        assert stored.is_valid
        assert stored.trace_state == (state or TraceState())
        assert repr(stored) == repr(made)


@pytest.mark.parametrize("parent", [None, PARENT])
@pytest.mark.parametrize("events", [(), (Event("one", {"a": 1}, 5),)])
def test_spans_are_the_same(parent: SpanContext | None, events: tuple[Event, ...]) -> None:
    given = (
        *(ORIGIN, "name", SpanKind.SERVER, CONTEXT, parent, 10, 20, {"a": 1, "b": "two"}),
        *(Status(StatusCode.ERROR), events, (Link(PARENT, {"why": "cause"}),)),
    )
    made, stored = assembly.constructed_span(*given), assembly.stored_span(*given)
    assert vars(stored) == vars(made)
    assert type(stored) is type(made) is ReadableSpan
    assert stored.to_json() == made.to_json()
    assert stored.get_span_context() is CONTEXT
    assert (stored.start_time, stored.end_time) == (10, 20)


def test_an_sdk_whose_spans_hold_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assembly.holds(assembly.same_span)
    original = ReadableSpan.__init__

    def with_more(self: ReadableSpan, *values: Any, **named: Any) -> None:
        original(self, *values, **named)
        self.profile_id = 7  # type: ignore[attr-defined]

    monkeypatch.setattr(ReadableSpan, "__init__", with_more)
    assert not assembly.holds(assembly.same_span)


def test_an_sdk_whose_contexts_hold_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert assembly.holds(assembly.same_context)
    original = SpanContext.__new__

    def with_more(kind: type[SpanContext], *values: Any, **named: Any) -> SpanContext:
        return tuple.__new__(kind, (*original(kind, *values, **named), "more"))

    monkeypatch.setattr(SpanContext, "__new__", with_more)
    assert not assembly.holds(assembly.same_context)


def test_an_sdk_that_cannot_be_asked_is_another_one() -> None:
    def fails() -> bool:
        raise TypeError("other arguments")

    assert not assembly.holds(fails)
