"""Our accumulators to any OpenTelemetry `MetricExporter`, at an interval.

The SDK has no way to take in histograms that are already aggregated, so this is what its periodic reader does, with our
own snapshot: build `MetricsData`, in the temporality that the exporter prefers, and call `export` off the loop. At most
one export per exporter is under way; one that hangs costs its own intervals and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import DataT, MetricExporter, MetricsData
    from opentelemetry.sdk.resources import Resource

    from theater_bus.telemetry.metrics import MetricPoints, Point, Snapshot

__all__ = ["MetricExport", "in_thread", "metrics_data"]

T = TypeVar("T")
_Key = tuple[str, frozenset[tuple[str, str]]]


async def in_thread(function: Callable[[], T], timeout_s: float) -> T:
    """Run a blocking call in a thread of its own. Raises `TimeoutError`; the thread, a daemon, is then left alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as raised:  # noqa: BLE001 - it is raised again where it is awaited
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    threading.Thread(target=run, name="theater-bus-export", daemon=True).start()
    return await asyncio.wait_for(done, timeout_s)


class MetricExport:
    """Exports snapshots to some exporters. `failed` is told why an export was lost."""

    def __init__(
        self,
        exporters: Collection[MetricExporter],
        snapshot: Callable[[], Snapshot],
        failed: Callable[[str], None],
        resource: Resource | None = None,
    ) -> None:
        self._outlets = [_Outlet(exporter) for exporter in exporters]
        self._snapshot = snapshot
        self._failed = failed
        self._resource = resource

    async def run(self, interval_s: float, timeout_s: float = 10.0) -> None:
        """Export for ever, once an interval."""
        while True:
            await asyncio.sleep(interval_s)
            await self.export(timeout_s)

    async def export(self, timeout_s: float) -> bool:
        """Export once to every exporter; False when one failed."""
        if not self._outlets:
            return True
        snapshot = self._snapshot()
        results = await asyncio.gather(*(self._export(outlet, snapshot, timeout_s) for outlet in self._outlets))
        return all(results)

    async def shutdown(self, timeout_s: float) -> None:
        """Shut the exporters down."""
        for outlet in self._outlets:
            try:
                await in_thread(outlet.shutdown, timeout_s)
            except Exception as error:  # noqa: BLE001 - exporters are foreign code; told, never raised
                self._failed(f"{type(error).__name__}: {error}")

    async def _export(self, outlet: _Outlet, snapshot: Snapshot, timeout_s: float) -> bool:
        if outlet.busy:
            self._failed(f"{outlet.name} is still busy with an earlier export")
            return False
        try:
            exported = await in_thread(lambda: outlet.export(snapshot, self._resource, timeout_s), timeout_s)
        except Exception as error:  # noqa: BLE001 - exporters are foreign code; told, never raised
            self._failed(f"{outlet.name}: {type(error).__name__}: {error}")
            return False
        if not exported:
            self._failed(f"{outlet.name} reports a failure")
        return exported


class _Outlet:
    """One exporter and what it was last given, for exporters that want differences."""

    def __init__(self, exporter: MetricExporter) -> None:
        self._exporter = exporter
        self._last: Snapshot | None = None
        self.name = type(exporter).__name__
        self.busy = False

    def export(self, snapshot: Snapshot, resource: Resource | None, timeout_s: float) -> bool:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self.busy = True
        try:
            preferred = getattr(self._exporter, "_preferred_temporality", None) or {}
            data = metrics_data(snapshot, resource, preferred, self._last)
            self._last = snapshot
            return self._exporter.export(data, timeout_millis=timeout_s * 1000) is MetricExportResult.SUCCESS
        finally:
            self.busy = False

    def shutdown(self) -> None:
        self._exporter.shutdown()


def metrics_data(
    snapshot: Snapshot,
    resource: Resource | None = None,
    preferred_temporality: Mapping[type, Any] | None = None,
    last: Snapshot | None = None,
) -> MetricsData:
    """Build what an exporter takes. `last` is its previous snapshot, for instruments with delta temporality."""
    from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from theater_bus.telemetry.provider import SCHEMA_URL, SCOPE

    resource = resource or Resource.create({})
    earlier = _by_key(last.metrics if last is not None else ())
    delta_start = last.time_ns if last is not None else snapshot.start_ns
    deltas = _delta_instruments(preferred_temporality or {})
    metrics = []
    for each in snapshot.metrics:
        delta = each.metric.instrument in deltas
        points = [_difference(each, point, earlier) if delta else point for point in each.points]
        data = _data(each, points, delta, delta_start if delta else snapshot.start_ns, snapshot.time_ns)
        metrics.append(Metric(each.metric.name, each.metric.sentence, each.metric.unit, data))
    scope = ScopeMetrics(InstrumentationScope(SCOPE, "", SCHEMA_URL), metrics, SCHEMA_URL)
    return MetricsData([ResourceMetrics(resource, [scope], resource.schema_url)])


def _data(each: MetricPoints, points: Iterable[Point], delta: bool, start_ns: int, time_ns: int) -> DataT:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        NumberDataPoint,
        Sum,
    )

    temporality = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    if each.metric.instrument == "histogram":
        # Smallest and largest values are not kept; both are optional in OTLP.
        unknown: Any = None
        histogram_points = [
            HistogramDataPoint(
                dict(point.attributes), start_ns, time_ns, sum(point.counts), point.value,
                point.counts, each.metric.buckets, unknown, unknown,
            )
            for point in points
        ]  # fmt: skip
        return Histogram(histogram_points, temporality)
    numbers = [NumberDataPoint(dict(point.attributes), start_ns, time_ns, point.value) for point in points]
    if each.metric.instrument == "gauge":
        return Gauge(numbers)
    return Sum(numbers, temporality, is_monotonic=each.metric.instrument == "counter")


def _delta_instruments(preferred: Mapping[type, Any]) -> frozenset[str]:
    """Up-down counters stay cumulative whatever is asked (OpenTelemetry, metrics exporter, delta preference)."""
    from opentelemetry.sdk.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics.export import AggregationTemporality

    names: tuple[tuple[str, type], ...] = (("counter", Counter), ("histogram", Histogram))
    return frozenset(name for name, kind in names if preferred.get(kind) is AggregationTemporality.DELTA)


def _key(each: MetricPoints, point: Point) -> _Key:
    return each.metric.name, frozenset(point.attributes.items())


def _by_key(metrics: Iterable[MetricPoints]) -> dict[_Key, Point]:
    return {_key(each, point): point for each in metrics for point in each.points}


def _difference(each: MetricPoints, point: Point, earlier: Mapping[_Key, Point]) -> Point:
    from theater_bus.telemetry.metrics import Point

    before = earlier.get(_key(each, point))
    if before is None:
        return point
    counts = tuple(now - then for now, then in zip(point.counts, before.counts, strict=True))
    return Point(point.attributes, point.value - before.value, counts)
