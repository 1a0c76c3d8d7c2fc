"""What one actor did, counted: the answer of `info.<id>.metrics`.

Invariants: an operation that entered the guest is counted once, failed or not, and takes part in the processing
times; one that was refused before it is counted apart and takes part in none. Extremes and totals are those of the
whole life of the accumulator. `min` is None until something ran.

Durations are integer nanoseconds; moments are unix nanoseconds; uptime comes from the monotonic clock, so that a
step of the wall clock does not bend it.
"""

from __future__ import annotations

from typing import Protocol

from theater_bus.core.setting import Plain

__all__ = ["ActorMetrics", "Queue"]


class Queue(Protocol):
    """What is read of the mailbox."""

    @property
    def size_bytes(self) -> int:
        """The bytes that wait."""

    @property
    def peak_depth(self) -> int:
        """The most entries that ever waited."""

    @property
    def peak_bytes(self) -> int:
        """The most bytes that ever waited."""

    def __len__(self) -> int:
        """The entries that wait."""


class ActorMetrics:
    """The counters of one actor, from `started` (monotonic seconds) = `start_time_ns` (unix nanoseconds) on."""

    __slots__ = (
        "_by_code",
        "_failed",
        "_last_update_ns",
        "_max_ns",
        "_max_with_wait_ns",
        "_memory_bytes",
        "_min_ns",
        "_min_with_wait_ns",
        "_peak_memory_bytes",
        "_refused",
        "_start_time_ns",
        "_started",
        "_total",
        "_total_ns",
        "_total_with_wait_ns",
    )

    def __init__(self, started: float, start_time_ns: int) -> None:
        self._started = started
        self._start_time_ns = start_time_ns
        self._last_update_ns: int | None = None
        self._total = self._failed = self._refused = 0
        self._by_code: dict[str, int] = {}
        self._total_ns = self._max_ns = self._total_with_wait_ns = self._max_with_wait_ns = 0
        self._min_ns: int | None = None
        self._min_with_wait_ns: int | None = None
        self._memory_bytes = self._peak_memory_bytes = 0

    def record(self, processing_ns: int, with_wait_ns: int, code: str | None, now_ns: int) -> None:
        """Count an operation that entered the guest: its time without and with the wait, and its error code. HOT."""
        self._total += 1
        self._total_ns += processing_ns
        self._total_with_wait_ns += with_wait_ns
        if processing_ns > self._max_ns:
            self._max_ns = processing_ns
        if with_wait_ns > self._max_with_wait_ns:
            self._max_with_wait_ns = with_wait_ns
        least = self._min_ns
        if least is None or processing_ns < least:
            self._min_ns = processing_ns
        least = self._min_with_wait_ns
        if least is None or with_wait_ns < least:
            self._min_with_wait_ns = with_wait_ns
        if code is not None:
            self._failed += 1
            self._by_code[code] = self._by_code.get(code, 0) + 1
        self._last_update_ns = now_ns

    def refused(self, code: str, now_ns: int) -> None:
        """Count an operation that never entered the guest."""
        self._refused += 1
        self._by_code[code] = self._by_code.get(code, 0) + 1
        self._last_update_ns = now_ns

    def memory(self, size_bytes: int) -> None:
        """Take note of the guest memory in use."""
        self._memory_bytes = size_bytes
        if size_bytes > self._peak_memory_bytes:
            self._peak_memory_bytes = size_bytes

    def snapshot(self, now: float, queue: Queue) -> dict[str, Plain]:
        """Everything as plain values, units in the names; `now` in monotonic seconds."""
        return {
            "operation_metrics": {
                "total_operations": self._total,
                "failed_operations": self._failed,
                "refused_operations": self._refused,
                "errors_by_code": dict(sorted(self._by_code.items())),
                "total_processing_time_ns": self._total_ns,
                "max_processing_time_ns": self._max_ns,
                "min_processing_time_ns": self._min_ns,
                "total_processing_time_with_wait_ns": self._total_with_wait_ns,
                "max_processing_time_with_wait_ns": self._max_with_wait_ns,
                "min_processing_time_with_wait_ns": self._min_with_wait_ns,
            },
            "resource_metrics": {
                "memory_usage_bytes": self._memory_bytes,
                "peak_memory_usage_bytes": self._peak_memory_bytes,
                "operation_queue_size": len(queue),
                "peak_queue_size": queue.peak_depth,
                "operation_queue_bytes": queue.size_bytes,
                "peak_queue_bytes": queue.peak_bytes,
            },
            "start_time_ns": self._start_time_ns,
            "last_update_ns": self._last_update_ns,
            "uptime_ms": max(0, round((now - self._started) * 1000)),
        }
