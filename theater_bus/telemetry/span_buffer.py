"""The bounded buffer between the event loop and the exporters, and the thread that empties it.

The loop only appends; a full buffer drops and counts. The thread sleeps while there is nothing, builds spans in short
steps (a thread that computes holds the GIL, and the loop waits for it), and hands them to the provider's processors.
After every few hundred spans it lets the processors export before it goes on, so that their own queues cannot overflow
and a slow exporter is felt here, as dropped records, and nowhere else.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

from opentelemetry.sdk.trace import ReadableSpan

from theater_bus.telemetry.deferred_record import Record
from theater_bus.telemetry.handover import hand_over
from theater_bus.telemetry.provider import Pipeline
from theater_bus.telemetry.readable import SpanBuilder

__all__ = ["SpanBuffer"]

CAPACITY = 16_384
_STEP = 256
_GATHER_S = 0.05
_HURRY_S = 0.002
_IDLE_S = 1.0
_FLUSH_EVERY = 512
_FLUSH_MS = 10_000


class SpanBuffer:
    """Takes records on the loop, delivers spans off it. `dropped` is told how many spans were lost."""

    def __init__(self, pipeline: Pipeline, dropped: Callable[[int, str], None], capacity: int = CAPACITY) -> None:
        self._pipeline = pipeline
        self._builder = SpanBuilder(pipeline)
        self._dropped = dropped
        self._capacity = capacity
        self._records: deque[Record] = deque()
        self._draining = threading.Lock()
        self._awake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._unflushed = 0

    def keep(self, record: Record) -> None:
        """Take a record; never blocks. HOT."""
        records = self._records
        if len(records) >= self._capacity:
            self._dropped(record.spans, "the span buffer is full")
            return
        records.append(record)
        # Another thread may append at the same moment and hide this one's first; the idle timeout covers that.
        if len(records) == 1:
            self._wake()

    def flush(self, timeout_s: float) -> bool:
        """Deliver and export what was kept so far; blocks, so call it off the loop."""
        deadline = monotonic() + timeout_s
        if not self._draining.acquire(timeout=max(0.0, timeout_s)):
            return False
        try:
            left = len(self._records)  # more may come all the time
            while left > 0 and monotonic() < deadline:
                left -= self._step()
        finally:
            self._draining.release()
        remaining_ms = int((deadline - monotonic()) * 1000)
        return left <= 0 and remaining_ms > 0 and self._pipeline.force_flush(remaining_ms)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Deliver what is left and end the thread; what comes later is dropped and counted."""
        self._capacity = 0
        self._stop.set()
        self._awake.set()
        atexit.unregister(self.close)
        started = monotonic()
        flushed = self.flush(timeout_s)
        if self._thread is not None:
            self._thread.join(max(0.0, timeout_s - (monotonic() - started)))
        return flushed

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="theater-bus-spans", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        self._awake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._awake.wait(_IDLE_S)
            self._awake.clear()
            pause_s = _GATHER_S
            while self._records and not self._stop.wait(pause_s):
                with self._draining:
                    self._step()
                pause_s = _GATHER_S if len(self._records) < _STEP else _HURRY_S

    def _step(self) -> int:
        """Deliver what waits, up to a bound; returns how many records.

        To get the GIL costs both sides far more than a span, since the loop gives it up at every guest call, wakes this
        thread and has it back before this thread runs: few long steps, of a millisecond at most.
        """
        records = self._records
        taken = [records.popleft() for _ in range(min(len(records), _STEP))]
        self._deliver(taken)
        if self._unflushed >= _FLUSH_EVERY:
            self._unflushed = 0
            self._pipeline.force_flush(_FLUSH_MS)
        return len(taken)

    def _deliver(self, records: Sequence[Record]) -> None:
        try:
            spans = self._builder.spans(records)
        except Exception:  # noqa: BLE001 - one that cannot be built must not cost the others
            spans = [span for record in records for span in self._one(record)]
        try:
            hand_over(self._pipeline.processors(), spans, self._failed)
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever an exporter does
            self._dropped(len(spans), f"{type(error).__name__}: {error}")
        self._unflushed += len(spans)

    def _one(self, record: Record) -> Sequence[ReadableSpan]:
        try:
            return self._builder.spans((record,))
        except Exception as error:  # noqa: BLE001 - counted and logged, never raised
            self._dropped(record.spans, f"{type(error).__name__}: {error}")
            return ()

    def _failed(self, span: ReadableSpan, error: Exception) -> None:
        self._dropped(1, f"{type(error).__name__}: {error}")
