"""Accumulators count what they are told, and every exporter sees the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
)
from prometheus_client.parser import text_string_to_metric_families

from theater_bus.errors import ConfigurationError
from theater_bus.telemetry import REGISTRY, Telemetry, UnregisteredName
from theater_bus.telemetry.conformance import LogCollector, emitted
from theater_bus.telemetry.metric_export import metrics_data
from theater_bus.telemetry.metrics import SERIES_LIMIT, Point, Snapshot
from theater_bus.telemetry.registry import DURATION_BUCKETS


class Kept(MetricExporter):
    def __init__(self, temporality: dict[type, AggregationTemporality] | None = None) -> None:
        super().__init__(preferred_temporality=temporality)
        self.data: list[Any] = []
        self.answer = MetricExportResult.SUCCESS

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
        self.data.append(metrics_data)
        return self.answer

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
        self.data.append("shutdown")


def busy(**options: Any) -> Telemetry:
    telemetry = Telemetry(level="metrics", strict=True, **options)
    spec = telemetry.function_spec("increment", "default")
    for code in (None, None, "guest-trap", "operation-timeout"):
        telemetry.observe_operation(spec, code, 0, 30_000, 50_000)
        telemetry.observe_call(spec, code, 80_000)
    telemetry.observe_operation(spec, "overloaded", 4_000, 0, 5_000)
    telemetry.observe_host_call("a:b/c", "f", "returned", 1_000_000)
    telemetry.observe_host_call("a:b/c", "g", "returned", 2_000_000)
    telemetry.count("theater.actor.restarts")
    telemetry.count("theater.actors", 3, **{"theater.actor.phase": "running"})
    telemetry.count("theater.actors", -1, **{"theater.actor.phase": "running"})
    telemetry.record("theater.chain.append.duration", 0.003)
    telemetry.register_gauge("theater.guest.memory", lambda: 65536)
    return telemetry


def points(snapshot: Snapshot, name: str) -> tuple[Point, ...]:
    return next((each.points for each in snapshot.metrics if each.metric.name == name), ())


def by_code(snapshot: Snapshot, name: str) -> dict[str, float]:
    return {point.attributes["rpc.response.status_code"]: point.value for point in points(snapshot, name)}


def test_operations_are_counted_by_function_and_code() -> None:
    snapshot = busy().snapshot()
    expected = {"ok": 2, "guest-trap": 1, "operation-timeout": 1, "overloaded": 1}
    assert by_code(snapshot, "theater.operations") == expected
    assert {point.attributes["rpc.method"] for point in points(snapshot, "theater.operations")} == {
        "theater.Actor/increment"
    }


def test_durations_fall_into_their_buckets() -> None:
    (queue,) = points(busy().snapshot(), "theater.queue.duration")
    (guest,) = points(busy().snapshot(), "theater.guest.duration")
    assert queue.counts[0] == 5
    assert guest.counts[DURATION_BUCKETS.index(0.00005)] == 4
    assert guest.value == pytest.approx(4 * 30e-6)


def test_errors_have_their_type_and_successes_have_none() -> None:
    types = {
        point.attributes["rpc.response.status_code"]: point.attributes.get("error.type")
        for point in points(busy().snapshot(), "rpc.client.call.duration")
    }
    assert types == {"ok": None, "guest-trap": "guest-trap", "operation-timeout": "timeout"}


def test_up_down_counters_go_down_and_host_calls_are_summed_by_interface() -> None:
    snapshot = busy().snapshot()
    assert points(snapshot, "theater.actors") == (Point({"theater.actor.phase": "running"}, 2),)
    assert [point.value for point in points(snapshot, "theater.host_calls")] == [2]


def test_what_is_measured_is_registered() -> None:
    assert emitted(REGISTRY, snapshots=[busy().snapshot()]).problems == []


def test_only_listed_actors_get_metrics_of_their_own() -> None:
    telemetry = Telemetry(level="metrics", actors=["vip"])
    for actor in ("vip", "one", "two"):
        spec = telemetry.function_spec("f", "default", actor=actor)
        telemetry.observe_operation(spec, None, 0, 1, 1)
    found = {
        point.attributes.get("theater.actor.id"): point.value
        for point in points(telemetry.snapshot(), "theater.operations")
    }
    assert found == {"vip": 1, None: 2}
    with pytest.raises(ConfigurationError, match=r"telemetry\.actors"):
        Telemetry(actors=[str(number) for number in range(201)])


def test_functions_and_codes_that_others_invent_are_one_series() -> None:
    telemetry = Telemetry(level="metrics")
    for number in range(5):
        spec = telemetry.function_spec(f"invented-{number}", "default", known=False)
        telemetry.observe_operation(spec, f"invented-{number}", 0, 0, 1)
    (point,) = points(telemetry.snapshot(), "theater.operations")
    assert point.value == 5
    assert point.attributes["rpc.method"] == point.attributes["rpc.response.status_code"] == "_OTHER"


def test_a_function_has_one_spec() -> None:
    telemetry = Telemetry(level="metrics")
    assert telemetry.function_spec("f", "default") is telemetry.function_spec("f", "default", actor="unlisted")
    assert telemetry.function_spec("f", "other") is not telemetry.function_spec("f", "default")


@pytest.mark.parametrize(
    "emit",
    [
        lambda telemetry: telemetry.count("theater.nothing"),
        lambda telemetry: telemetry.count("theater.actors", 1, **{"theater.actor.phase": "asleep"}),
        lambda telemetry: telemetry.count("theater.guest.duration"),
        lambda telemetry: telemetry.record("theater.actor.restarts", 1.0),
        lambda telemetry: telemetry.register_gauge("theater.guest.duration", lambda: 1.0),
        lambda telemetry: telemetry.observe_host_call("a", "f", "vanished", 1),
        lambda telemetry: telemetry.event("host.exploded"),
        lambda telemetry: telemetry.event("host.started", colour="blue"),
    ],
)
def test_unregistered_names_raise_in_tests_and_are_counted_elsewhere(emit: Any) -> None:
    with pytest.raises(UnregisteredName):
        emit(Telemetry(level="metrics", strict=True))
    relaxed = Telemetry(level="metrics")
    with LogCollector() as logs:
        emit(relaxed)
        emit(relaxed)
    (dropped,) = points(relaxed.snapshot(), "theater.telemetry.dropped")
    assert dropped == Point({"theater.telemetry.signal": "unregistered"}, 2)
    assert [record.theater_event for record in logs.records] == ["telemetry.unregistered"]  # type: ignore[attr-defined]


def test_more_series_than_allowed_are_one_overflow_series() -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    for number in range(SERIES_LIMIT + 10):
        telemetry.count("theater.actor.traps", 1, **{"theater.trap.reason": f"reason-{number}"})
    found = points(telemetry.snapshot(), "theater.actor.traps")
    assert len(found) == SERIES_LIMIT + 1
    assert sum(point.value for point in found) == SERIES_LIMIT + 10
    assert found[-1].attributes == {"otel.metric.overflow": "true"}


def test_the_order_of_attributes_makes_no_other_series() -> None:
    registry = REGISTRY.copy()
    names = ["acme.a", "acme.b"]
    attributes = [{"kind": "attribute", "name": name, "sentence": "One."} for name in names]
    metric = {
        "kind": "metric",
        "name": "acme.n",
        "instrument": "counter",
        "unit": "1",
        "sentence": "N.",
        "attributes": names,
    }
    registry.register_plugin("acme", [*attributes, metric])
    telemetry = Telemetry(level="metrics", registry=registry, strict=True)
    for _ in range(2):
        telemetry.count("acme.n", 1, **{"acme.a": "1", "acme.b": "2"})
        telemetry.count("acme.n", 1, **{"acme.b": "2", "acme.a": "1"})
    (point,) = points(telemetry.snapshot(), "acme.n")
    assert point.value == 4


def test_an_attribute_may_be_written_without_its_prefix() -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    for _ in range(2):
        telemetry.count("theater.actor.traps", 1, reason="unreachable")
        telemetry.count("theater.actor.traps", 1, **{"theater.trap.reason": "unreachable"})
    assert points(telemetry.snapshot(), "theater.actor.traps") == (Point({"theater.trap.reason": "unreachable"}, 4),)


def test_a_gauge_that_fails_is_counted_and_hides_no_other() -> None:
    telemetry = busy()
    telemetry.register_gauge("theater.event_loop.lag", lambda: 1 / 0)
    telemetry.snapshot()
    snapshot = telemetry.snapshot()
    assert points(snapshot, "theater.guest.memory") == (Point({}, 65536.0),)
    assert points(snapshot, "theater.event_loop.lag") == ()
    assert points(snapshot, "theater.telemetry.dropped")[0].attributes == {"theater.telemetry.signal": "metrics"}


def test_switched_off_nothing_is_kept() -> None:
    telemetry = busy()
    silent = Telemetry.silent()
    spec = telemetry.function_spec("f", "default")
    silent.observe_operation(spec, None, 0, 1, 1)
    silent.observe_call(spec, None, 1)
    silent.observe_host_call("a", "f", "returned", 1)
    silent.count("theater.actor.restarts")
    silent.record("theater.chain.append.duration", 1.0)
    silent.register_gauge("theater.guest.memory", lambda: 1.0)
    silent.event("host.started")
    assert silent.snapshot().metrics == ()
    assert silent.prometheus() == ""


def numbers_of_otlp(snapshot: Snapshot) -> Iterator[tuple[str, str, float]]:
    (resource,) = metrics_data(snapshot).resource_metrics
    (scope,) = resource.scope_metrics
    for metric in scope.metrics:
        written = REGISTRY.metric(metric.name).prometheus_name
        for point in metric.data.data_points:
            labels = str(sorted((key.replace(".", "_"), value) for key, value in (point.attributes or {}).items()))
            if not hasattr(point, "bucket_counts"):
                yield written, labels, point.value  # type: ignore[union-attr]
                continue
            yield f"{written}_sum", labels, point.sum
            yield f"{written}_count", labels, point.count
            total = 0
            for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):  # type: ignore[union-attr]
                total += count
                yield f"{written}_bucket {bound}", labels, total


def numbers_of_prometheus(text: str) -> Iterator[tuple[str, str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            bound = f" {float(sample.labels.pop('le'))}" if sample.name.endswith("_bucket") else ""
            yield sample.name + bound, str(sorted(sample.labels.items())), sample.value


def test_prometheus_and_otlp_show_the_same_numbers() -> None:
    telemetry = busy()
    ours, theirs = sorted(numbers_of_prometheus(telemetry.prometheus())), sorted(numbers_of_otlp(telemetry.snapshot()))
    assert [each[:2] for each in ours] == [each[:2] for each in theirs]
    assert [each[2] for each in ours] == pytest.approx([each[2] for each in theirs])
    assert len(ours) > 100


def test_prometheus_text_survives_hostile_labels() -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    reason = 'quote " backslash \\ newline \n end'
    telemetry.count("theater.actor.traps", 1, **{"theater.trap.reason": reason})
    (family,) = text_string_to_metric_families(telemetry.prometheus())
    assert family.samples[0].labels == {"theater_trap_reason": reason}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20_000_000_000), min_size=1, max_size=30))
def test_our_histogram_is_the_sdks(durations: list[int]) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("m").create_histogram(
        "h", explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS)
    )
    telemetry = Telemetry(level="metrics")
    spec = telemetry.function_spec("f", "default")
    for duration in durations:
        histogram.record(duration / 1e9)
        telemetry.observe_call(spec, None, duration)
    data = reader.get_metrics_data()
    assert data is not None
    expected: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    (ours,) = points(telemetry.snapshot(), "rpc.client.call.duration")
    assert ours.counts == tuple(expected.bucket_counts)
    assert ours.value == pytest.approx(expected.sum)


async def test_exporters_get_the_temporality_that_they_prefer() -> None:
    wanted = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
    delta, cumulative = Kept(wanted), Kept()
    telemetry = busy(metric_exporters=[delta, cumulative])
    await telemetry.flush()
    telemetry.count("theater.actor.restarts", 5)
    await telemetry.flush()

    def restarts(exporter: Kept, index: int) -> tuple[Any, Any]:
        metrics = exporter.data[index].resource_metrics[0].scope_metrics[0].metrics
        data = next(metric.data for metric in metrics if metric.name == "theater.actor.restarts")
        return data.aggregation_temporality, data.data_points[0].value

    assert [restarts(delta, index)[1] for index in (0, 1)] == [1, 5]
    assert [restarts(cumulative, index)[1] for index in (0, 1)] == [1, 6]
    assert restarts(delta, 1)[0] is AggregationTemporality.DELTA
    second = delta.data[1].resource_metrics[0].scope_metrics[0].metrics
    actors = next(metric.data for metric in second if metric.name == "theater.actors")
    assert actors.aggregation_temporality is AggregationTemporality.CUMULATIVE
    guests = next(metric.data for metric in second if metric.name == "theater.guest.duration")
    assert guests.data_points[0].count == 0
    await telemetry.close()
    assert delta.data[-1] == "shutdown"


async def test_an_exporter_that_fails_is_told_of_and_stops_nothing() -> None:
    class Raising(Kept):
        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
            raise OSError("no route")

        def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
            raise OSError("no route")

    refusing, good = Kept(), Kept()
    refusing.answer = MetricExportResult.FAILURE
    telemetry = busy(metric_exporters=[Raising(), refusing, good])
    with LogCollector() as logs:
        assert await telemetry.flush() is False
        await telemetry.close()
    assert len(good.data) == 3
    texts = " ".join(record.getMessage() for record in logs.records)
    assert "no route" in texts
    assert "reports a failure" in texts
