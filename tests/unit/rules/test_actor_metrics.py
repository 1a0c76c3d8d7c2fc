"""The counters of one actor are what happened to it."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.mailbox import Bounds, Mailbox
from theater_bus.core.metrics import ActorMetrics


class Waiting:
    size_bytes, deadline, key = 10, 1.0, None


def snapshot(metrics: ActorMetrics, now: float = 0.0) -> dict[str, Any]:
    found = metrics.snapshot(now, Mailbox[Waiting](Bounds()))
    return msgpack.unpackb(msgpack.packb(found))  # it is made of plain values


def test_before_anything_happened_there_is_no_minimum_and_no_update() -> None:
    found = snapshot(ActorMetrics(0.0, 5))
    assert found["operation_metrics"]["min_processing_time_ns"] is None
    assert found["operation_metrics"]["min_processing_time_with_wait_ns"] is None
    assert found["last_update_ns"] is None
    assert found["start_time_ns"] == 5


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from([None, "guest-trap", "cancelled"])),
        min_size=1,
    )
)
def test_totals_and_extremes_are_those_of_the_operations(operations: list[tuple[int, int, str | None]]) -> None:
    metrics = ActorMetrics(0.0, 0)
    for at, (processing, wait, code) in enumerate(operations):
        metrics.record(processing, processing + wait, code, at)
    found = snapshot(metrics)
    alone, waited = [one[0] for one in operations], [one[0] + one[1] for one in operations]
    failed = [code for _, _, code in operations if code]
    assert found["operation_metrics"] == {
        "total_operations": len(operations),
        "failed_operations": len(failed),
        "refused_operations": 0,
        "errors_by_code": {code: failed.count(code) for code in failed},
        "total_processing_time_ns": sum(alone),
        "max_processing_time_ns": max(alone),
        "min_processing_time_ns": min(alone),
        "total_processing_time_with_wait_ns": sum(waited),
        "max_processing_time_with_wait_ns": max(waited),
        "min_processing_time_with_wait_ns": min(waited),
    }
    assert found["last_update_ns"] == len(operations) - 1


def test_refusals_are_counted_apart_from_operations() -> None:
    metrics = ActorMetrics(0.0, 0)
    metrics.refused("overloaded", 8)
    found = snapshot(metrics)
    assert found["operation_metrics"]["refused_operations"] == 1
    assert found["operation_metrics"]["total_operations"] == 0
    assert found["operation_metrics"]["errors_by_code"] == {"overloaded": 1}
    assert found["last_update_ns"] == 8


def test_memory_and_queue_show_what_is_and_what_was_the_most() -> None:
    metrics = ActorMetrics(0.0, 0)
    metrics.memory(300)
    metrics.memory(200)
    queue: Mailbox[Waiting] = Mailbox(Bounds())
    queue.push(Waiting())
    queue.push(Waiting())
    queue.pop()
    assert metrics.snapshot(0.0, queue)["resource_metrics"] == {
        "memory_usage_bytes": 200,
        "peak_memory_usage_bytes": 300,
        "operation_queue_size": 1,
        "peak_queue_size": 2,
        "operation_queue_bytes": 10,
        "peak_queue_bytes": 20,
    }


def test_uptime_follows_the_monotonic_clock() -> None:
    assert snapshot(ActorMetrics(10.0, 0), now=12.5)["uptime_ms"] == 2500
