"""Batches reach the SDK's processors as if each span had been given to `on_end`: in order, whole, never too many."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.handover import hand_over

HOUR_MS = 3_600_000


class Kept(SpanExporter):
    """Keeps the names of what was exported, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.arrived = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append([span.name for span in spans])
        self.arrived.set()
        return SpanExportResult.SUCCESS

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


def spans(count: int) -> list[ReadableSpan]:
    return [ReadableSpan(f"span {n}", SpanContext(n + 1, n + 1, False, TraceFlags(1))) for n in range(count)]


def processor(exporter: SpanExporter, queue: int = 2048, batch: int = 512) -> Any:
    return BatchSpanProcessor(exporter, queue, HOUR_MS, batch)


def unexpected(span: ReadableSpan, error: Exception) -> None:
    raise AssertionError(f"{span.name}: {error}")


def test_the_pinned_sdk_is_known_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails with an SDK whose processors look different: `handover` must then follow it, or go."""
    exporter = Kept()
    batching = processor(exporter)

    def one_by_one(self: BatchSpanProcessor, span: ReadableSpan) -> None:
        raise AssertionError("a batch went one by one")

    monkeypatch.setattr(BatchSpanProcessor, "on_end", one_by_one)
    hand_over([batching], spans(100), unexpected)
    assert batching.force_flush()
    assert len(exporter.names) == 100
    batching.shutdown()


def test_a_batch_arrives_whole_and_in_order_at_every_processor() -> None:
    kept = [Kept(), Kept(), Kept()]
    processors: list[Any] = [processor(kept[0]), SimpleSpanProcessor(kept[1]), processor(kept[2], queue=64, batch=16)]
    given = spans(60)
    hand_over(processors, given[:20], unexpected)
    hand_over(processors, given[20:], unexpected)
    for each in processors:
        assert each.force_flush()
        each.shutdown()
    for exporter in kept:
        assert exporter.names == [span.name for span in given]


def test_a_full_batch_wakes_the_processor() -> None:
    exporter = Kept()
    batching = processor(exporter, queue=64, batch=16)
    hand_over([batching], spans(15), unexpected)
    assert not exporter.arrived.is_set()
    hand_over([batching], spans(1), unexpected)
    assert exporter.arrived.wait(30)
    batching.shutdown()
    assert len(exporter.names) == 16


def test_a_queue_without_room_is_exported_first_and_nothing_is_lost() -> None:
    exporter = Kept()
    batching = processor(exporter, queue=64, batch=64)
    for _ in range(10):
        hand_over([batching], spans(40), unexpected)
    assert batching.force_flush()
    assert len(exporter.names) == 400
    batching.shutdown()


def test_more_than_a_whole_queue_goes_in_pieces_and_nothing_is_lost() -> None:
    exporter = Kept()
    batching = processor(exporter, queue=32, batch=32)
    given = spans(100)
    hand_over([batching], given, unexpected)
    assert batching.force_flush()
    assert exporter.names == [span.name for span in given]
    batching.shutdown()


@pytest.mark.parametrize("field", ["_queue", "_worker_awaken", "_max_queue_size", "_max_export_batch_size", "_pid"])
def test_processors_that_look_different_inside_get_each_span(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, seen = Kept(), []
    batching = processor(exporter)
    inside: Any = batching._batch_processor
    before = getattr(inside, field)

    def on_end(self: BatchSpanProcessor, span: ReadableSpan) -> None:
        seen.append(span.name)

    monkeypatch.setattr(BatchSpanProcessor, "on_end", on_end)
    delattr(inside, field)
    hand_over([batching], spans(3), unexpected)
    assert seen == ["span 0", "span 1", "span 2"]
    setattr(inside, field, before)
    batching.shutdown()


def test_a_subclass_gets_each_span() -> None:
    seen: list[str] = []

    class Own(BatchSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            seen.append(span.name)

    own: Any = Own(Kept(), 2048, HOUR_MS, 512)
    hand_over([own], spans(2), unexpected)
    assert seen == ["span 0", "span 1"]
    own.shutdown()


def test_after_shutdown_the_sdk_decides() -> None:
    exporter = Kept()
    batching = processor(exporter)
    batching.shutdown()
    hand_over([batching], spans(2), unexpected)
    assert exporter.names == []
    assert len(batching._batch_processor._queue) == 0


def test_a_queue_that_others_keep_full_is_left_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    batching, seen = processor(Kept(), queue=4, batch=4), []
    batching._batch_processor._queue.extend(spans(3))
    monkeypatch.setattr(BatchSpanProcessor, "force_flush", lambda self: True)  # and at once it is full again
    monkeypatch.setattr(BatchSpanProcessor, "on_end", lambda self, span: seen.append(span.name))
    hand_over([batching], spans(2), unexpected)
    assert seen == ["span 0", "span 1"]
    batching.shutdown()


def test_in_a_forked_process_the_sdk_decides() -> None:
    exporter = Kept()
    batching = processor(exporter)
    inside: Any = batching._batch_processor
    inside._pid += 1  # as a child of the process that made it sees it
    worker, awaken = inside._worker_thread, inside._worker_awaken
    hand_over([batching], spans(2), unexpected)
    assert inside._pid == os.getpid()  # `on_end` began anew
    assert batching.force_flush()
    assert len(exporter.names) == 2
    batching.shutdown()
    awaken.set()
    worker.join(30)


def test_what_a_processor_raises_is_told_with_its_span_and_costs_no_other() -> None:
    class Broken(SimpleSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name == "span 1":
                raise RuntimeError("broken")
            super().on_end(span)

    exporter, other, told = Kept(), Kept(), []
    hand_over(
        [Broken(exporter), SimpleSpanProcessor(other)],
        spans(3),
        lambda span, error: told.append((span.name, str(error))),
    )
    assert told == [("span 1", "broken")]
    assert exporter.names == ["span 0", "span 2"]
    assert len(other.names) == 3


async def test_a_small_queue_of_the_applications_loses_nothing_of_a_burst() -> None:
    exporter = Kept()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor(exporter, queue=32, batch=8))
    telemetry = Telemetry(tracer_provider=provider)
    spec = telemetry.function_spec("f", "default")
    for _ in range(2_000):
        call = telemetry.start_call(spec, "actor")
        assert call is not None
        call.end(None)
    assert await telemetry.flush(30)
    assert len(exporter.names) == 2_000
    await telemetry.close()
    provider.shutdown()
