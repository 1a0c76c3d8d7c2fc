"""Spans kept in memory: for the demonstration, for tests, for looking at one trace in a notebook."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

__all__ = ["TraceCollector"]


class TraceCollector(SpanExporter):
    """An exporter that keeps the newest `capacity` spans. Several providers may share one."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._spans: deque[ReadableSpan] = deque(maxlen=capacity)
        self._lock = threading.Lock()

    def provider(self, service_name: str, instance: str = "") -> TracerProvider:
        """Return a provider that exports here, for `Telemetry(tracer_provider=…)`. Shut it down when done."""
        attributes = {"service.name": service_name} | ({"service.instance.id": instance} if instance else {})
        provider = TracerProvider(resource=Resource.create(attributes))
        provider.add_span_processor(BatchSpanProcessor(self))
        return provider

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep the spans."""
        with self._lock:
            self._spans.extend(spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back."""
        return True

    def spans(self) -> list[ReadableSpan]:
        """Return everything kept, in the order of arrival."""
        with self._lock:
            return list(self._spans)

    def trace(self, trace_id: bytes) -> list[ReadableSpan]:
        """Return the spans of one trace, by start time."""
        wanted = int.from_bytes(trace_id, "big")
        found = [span for span in self.spans() if span.context is not None and span.context.trace_id == wanted]
        return sorted(found, key=lambda span: span.start_time or 0)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._spans.clear()
