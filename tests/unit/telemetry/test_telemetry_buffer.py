"""The span buffer is bounded, counts what it drops, and never waits for an exporter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.telemetry.conformance import LogCollector
from theater_bus.telemetry.provider import pipeline
from theater_bus.telemetry.span_buffer import SpanBuffer


class Gate(SpanExporter):
    """Blocks in export until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.open.wait(30)
        self.count += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.open.set()


def provider_of(exporter: SpanExporter) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=10))
    return provider


def buffer_of(provider: TracerProvider, dropped: Callable[[int, str], None], capacity: int) -> SpanBuffer:
    made = pipeline(provider)
    assert made is not None
    return SpanBuffer(made, dropped, capacity)


def dropped_spans(telemetry: Telemetry) -> float:
    found = [each for each in telemetry.snapshot().metrics if each.metric.name == "theater.telemetry.dropped"]
    return sum(point.value for each in found for point in each.points)


def call(telemetry: Telemetry) -> None:
    started = telemetry.start_call(telemetry.function_spec("f", "default"), "actor")
    assert started is not None
    started.end(None)


async def test_a_burst_arrives_whole() -> None:
    collector = TraceCollector(capacity=100_000)
    provider = collector.provider("test")
    telemetry = Telemetry(tracer_provider=provider)
    for _ in range(5_000):
        call(telemetry)
    assert await telemetry.flush(20)
    assert len(collector.spans()) == 5_000
    assert dropped_spans(telemetry) == 0
    await telemetry.close()
    provider.shutdown()


def test_spans_arrive_without_being_asked_for() -> None:
    arrived = threading.Event()

    class Telling(TraceCollector):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            arrived.set()
            return result

    provider = provider_of(Telling())
    telemetry = Telemetry(tracer_provider=provider)
    call(telemetry)
    assert arrived.wait(10)
    provider.shutdown()


async def test_a_full_buffer_drops_counts_and_warns_once() -> None:
    gate = Gate()
    provider = provider_of(gate)
    telemetry = Telemetry(tracer_provider=provider, strict=True)
    telemetry._buffers[0]._capacity = 100
    with LogCollector() as logs:
        with telemetry._buffers[0]._draining:  # the thread cannot take anything meanwhile
            started = monotonic()
            for _ in range(1_000):
                call(telemetry)
            assert monotonic() - started < 5
        assert dropped_spans(telemetry) == 900
    warnings = [record for record in logs.records if record.getMessage().startswith("telemetry.dropped")]
    assert len(warnings) == 1
    gate.open.set()
    assert await telemetry.flush()
    assert gate.count == 100
    await telemetry.close()
    provider.shutdown()


async def test_an_exporter_that_hangs_delays_close_only_within_its_bound() -> None:
    gate = Gate()
    provider = provider_of(gate)
    telemetry = Telemetry(tracer_provider=provider)
    call(telemetry)
    assert await telemetry.flush(0.2) is False
    started = monotonic()
    await telemetry.close(0.2)
    assert monotonic() - started < 3
    gate.open.set()
    provider.shutdown()


def test_a_processor_that_raises_costs_its_span_and_nothing_else() -> None:
    collector = TraceCollector()
    provider = collector.provider("test")
    made = pipeline(provider)
    assert made is not None
    reasons: list[tuple[int, str]] = []
    buffer = SpanBuffer(made, lambda amount, why: reasons.append((amount, why)))
    telemetry = Telemetry(tracer_provider=provider)
    started = telemetry.start_call(telemetry.function_spec("f", "default"), "a")
    assert started is not None

    class Broken:
        spans = 1

        def __getattribute__(self, name: str) -> object:
            if name == "__class__":
                raise RuntimeError("broken")
            return object.__getattribute__(self, name)

    buffer.keep(Broken())
    started.keep = buffer.keep  # type: ignore[attr-defined]
    started.end(None)
    assert buffer.flush(5)
    assert reasons == [(1, "RuntimeError: broken")]
    assert len(collector.spans()) == 1
    buffer.close()
    provider.shutdown()


async def test_an_exporter_that_fails_when_it_makes_room_costs_a_batch_and_not_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = TraceCollector()
    provider = TracerProvider(shutdown_on_exit=False)
    batching = BatchSpanProcessor(collector, max_queue_size=4, max_export_batch_size=4, schedule_delay_millis=3_600_000)
    provider.add_span_processor(batching)
    telemetry = Telemetry(tracer_provider=provider)
    for _ in range(4):
        call(telemetry)
    assert await telemetry.flush(10)
    with monkeypatch.context() as patch:

        def fail(self: BatchSpanProcessor) -> bool:
            raise RuntimeError("no room")

        patch.setattr(BatchSpanProcessor, "force_flush", fail)
        for _ in range(5):  # one more than has room
            call(telemetry)
        telemetry._buffers[0]._step()
    assert dropped_spans(telemetry) == 5
    call(telemetry)
    assert await telemetry.flush(10)
    assert len(collector.spans()) >= 5
    await telemetry.close()
    provider.shutdown()


def test_a_flush_ends_though_more_comes_all_the_time() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    lost: list[str] = []
    buffer = buffer_of(provider, lambda amount, why: lost.append(why), 1_000_000)
    telemetry = Telemetry(tracer_provider=provider)
    call_of_many = telemetry.start_call(telemetry.function_spec("f", "default"), "a")
    assert call_of_many is not None
    record: Any = call_of_many
    record.keep = buffer.keep
    record.end(None)

    class Feeding(SpanProcessor):
        """For every span that arrives comes another record."""

        arrived = 0

        def on_end(self, span: ReadableSpan) -> None:
            Feeding.arrived += 1
            if not buffer._stop.is_set():
                buffer.keep(record)

    provider.add_span_processor(Feeding())
    for _ in range(3):
        assert buffer.flush(60)
    assert Feeding.arrived >= 3
    assert lost == []
    buffer._stop.set()
    buffer.close()
    provider.shutdown()


def test_what_comes_after_close_is_dropped_and_counted() -> None:
    collector = TraceCollector()
    provider = collector.provider("test")
    lost: list[int] = []
    buffer = buffer_of(provider, lambda amount, why: lost.append(amount), 10)
    telemetry = Telemetry(tracer_provider=provider)
    started = telemetry.start_call(telemetry.function_spec("f", "default"), "a")
    assert started is not None
    assert buffer.close()
    started.keep = buffer.keep  # type: ignore[attr-defined]
    started.end(None)
    assert lost == [1]
    provider.shutdown()
