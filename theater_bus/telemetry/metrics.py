"""Accumulators that a call may feed on the event loop: plain lists, read whenever metrics are exported.

An SDK instrument costs microseconds per measurement; a bucket search and two additions cost a tenth of one. What is
exported, through OTLP or as Prometheus text, is made from one `snapshot`, so that both show the same numbers.

Durations come in as integer nanoseconds of a monotonic clock and leave as seconds. `observe_*` belongs to the event
loop alone; `count` and `record` may be called from any thread.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from time import time_ns

from theater_bus.errors import by_code
from theater_bus.telemetry.definition import Metric, Registry, UnregisteredName
from theater_bus.telemetry.registry import DURATION_BUCKETS, OK, OTHER, error_type

__all__ = ["Accumulators", "FunctionMeter", "MetricPoints", "Point", "Snapshot"]

SERIES_LIMIT = 2_000
OVERFLOW = {"otel.metric.overflow": "true"}
_BOUNDS_NS = tuple(round(bound * 1e9) for bound in DURATION_BUCKETS)
_WIDTH = len(_BOUNDS_NS) + 2

Attributes = tuple[tuple[str, str], ...]
Cells = list[int]
"""A duration histogram: one count per bucket, the overflow bucket, then the sum in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Point:
    """One series at one moment: a number, or a histogram as its `counts` per bucket and the sum in `value`."""

    attributes: Mapping[str, str]
    value: float
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricPoints:
    """One metric and its series."""

    metric: Metric
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All metrics at `time_ns`, counted since `start_ns` (unix time)."""

    start_ns: int
    time_ns: int
    metrics: tuple[MetricPoints, ...]


class FunctionMeter:
    """The accumulators of one function, for one namespace and perhaps one listed actor. HOT."""

    __slots__ = ("attributes", "calls", "guest", "method", "operations", "queue", "succeeded", "succeeded_calls")

    def __init__(self, method: str, attributes: dict[str, str]) -> None:
        self.method = method
        self.attributes = attributes
        self.queue: Cells = [0] * _WIDTH
        self.guest: Cells = [0] * _WIDTH
        self.succeeded: Cells = [0] * _WIDTH
        self.succeeded_calls: Cells = [0] * _WIDTH
        self.operations: dict[str, Cells] = {OK: self.succeeded}
        self.calls: dict[str, Cells] = {OK: self.succeeded_calls}

    def observe_operation(self, code: str | None, queue_ns: int, guest_ns: int, total_ns: int) -> None:
        """Count one operation; a `guest_ns` of 0 means that it never entered the guest."""
        cells = self.succeeded if code is None else self._of_code(self.operations, code)
        cells[bisect_left(_BOUNDS_NS, total_ns)] += 1
        cells[-1] += total_ns
        queue = self.queue
        if queue_ns:
            queue[bisect_left(_BOUNDS_NS, queue_ns)] += 1
            queue[-1] += queue_ns
        else:
            queue[0] += 1
        if guest_ns:
            guest = self.guest
            guest[bisect_left(_BOUNDS_NS, guest_ns)] += 1
            guest[-1] += guest_ns

    def observe_call(self, code: str | None, total_ns: int) -> None:
        """Count one call by this client."""
        cells = self.succeeded_calls if code is None else self._of_code(self.calls, code)
        cells[bisect_left(_BOUNDS_NS, total_ns)] += 1
        cells[-1] += total_ns

    @staticmethod
    def _of_code(table: dict[str, Cells], code: str) -> Cells:
        cells = table.get(code)
        if cells is None:
            cells = table.setdefault(code if by_code(code) is not None else OTHER, [0] * _WIDTH)
        return cells


class Accumulators:
    """All accumulators of one `Telemetry`. Names are checked against the registry once per series, not per call."""

    def __init__(self, registry: Registry, dropped: Callable[[str, int], None] = lambda signal, amount: None) -> None:
        self._registry = registry
        self._dropped = dropped
        self._lock = threading.Lock()
        self._functions: dict[tuple[str, str, str], FunctionMeter] = {}
        self._host_calls: dict[tuple[str, str, str], Cells] = {}
        self._numbers: dict[str, dict[Attributes, list[float]]] = {}
        self._histograms: dict[str, dict[Attributes, list[float]]] = {}
        self._aliases: dict[str, dict[Attributes, list[float]]] = {}
        self._gauges: dict[str, dict[Attributes, Callable[[], float]]] = {}
        self._start_ns = time_ns()

    def function(self, method: str, namespace: str, actor: str = "") -> FunctionMeter:
        """Return the meter of a function; the same one for the same arguments."""
        key = (method, namespace, actor)
        meter = self._functions.get(key)
        if meter is None:
            attributes = {"rpc.method": method, "theater.namespace": namespace}
            if actor:
                attributes["theater.actor.id"] = actor
            meter = self._functions.setdefault(key, FunctionMeter(method, attributes))
        return meter

    def observe_host_call(self, interface: str, function: str, outcome: str, total_ns: int) -> None:
        """Count one host call. HOT."""
        key = (interface, function, outcome)
        cells = self._host_calls.get(key)
        if cells is None:
            self._check("theater.host_call.duration", _host_call_attributes(key))
            cells = self._host_calls.setdefault(key, [0] * _WIDTH)
        cells[bisect_left(_BOUNDS_NS, total_ns)] += 1
        cells[-1] += total_ns

    def count(self, name: str, amount: int, attributes: Mapping[str, str]) -> None:
        """Add to a counter or up-down counter. Raises `UnregisteredName`.

        An attribute may be written without its prefix: `reason` for `theater.trap.reason`.
        """
        key = tuple(attributes.items())
        with self._lock:
            table = self._aliases.get(name)
            cell = None if table is None else table.get(key)
            if cell is None:
                cell = self._new_cell(self._numbers, name, key, attributes, ("counter", "updown"), 1)
            cell[0] += amount

    def record(self, name: str, value: float, attributes: Mapping[str, str]) -> None:
        """Record in a histogram, in its unit. Raises `UnregisteredName`."""
        key = tuple(attributes.items())
        buckets = self._registry.metric(name).buckets
        with self._lock:
            table = self._aliases.get(name)
            cell = None if table is None else table.get(key)
            if cell is None:
                cell = self._new_cell(self._histograms, name, key, attributes, ("histogram",), len(buckets) + 2)
            cell[bisect_left(buckets, value)] += 1
            cell[-1] += value

    def gauge(self, name: str, read: Callable[[], float], attributes: Mapping[str, str]) -> None:
        """Read a gauge, or a counter that somebody else keeps, by callback. Raises `UnregisteredName`."""
        canonical = self._check(name, attributes, ("gauge", "updown", "counter"))
        with self._lock:
            self._gauges.setdefault(name, {})[tuple(sorted(canonical.items()))] = read

    def snapshot(self) -> Snapshot:
        """Return every metric that has a series. Call it on the event loop, where the gauges' owners live."""
        with self._lock:
            numbers = {name: _copy(table) for name, table in self._numbers.items()}
            recorded = {name: _copy(table) for name, table in self._histograms.items()}
            gauges = {name: dict(table) for name, table in self._gauges.items()}
        points: dict[str, list[Point]] = {}
        for name, numeric in numbers.items():
            points.setdefault(name, []).extend(Point(dict(key), cell[0]) for key, cell in numeric.items())
        for name, cells in recorded.items():
            points.setdefault(name, []).extend(_recorded(key, cell) for key, cell in cells.items())
        for name, point in [*self._function_points(), *self._host_call_points()]:
            points.setdefault(name, []).append(point)
        for name, reads in gauges.items():
            points.setdefault(name, []).extend(self._read_gauges(reads))
        metrics = (MetricPoints(self._registry.metric(name), tuple(points[name])) for name in sorted(points))
        return Snapshot(self._start_ns, time_ns(), tuple(each for each in metrics if each.points))

    def _new_cell(
        self,
        tables: dict[str, dict[Attributes, list[float]]],
        name: str,
        key: Attributes,
        attributes: Mapping[str, str],
        instruments: Collection[str],
        width: int,
    ) -> list[float]:
        canonical = self._check(name, attributes, instruments)
        table = tables.setdefault(name, {})
        ordered = tuple(sorted(canonical.items()))
        if len(table) >= SERIES_LIMIT and ordered not in table:
            # Not remembered as an alias either: the number of those is bounded by the number of series.
            return table.setdefault(tuple(OVERFLOW.items()), [0] * width)
        cell: list[float] = table.setdefault(ordered, [0] * width)
        # The same set in another order, or with short names, is the same series: an alias, left out of snapshots.
        self._aliases.setdefault(name, {})[key] = cell
        return cell

    def _check(
        self, name: str, attributes: Mapping[str, str], instruments: Collection[str] = ("histogram",)
    ) -> dict[str, str]:
        metric = self._registry.metric(name)
        if metric.instrument not in instruments:
            raise UnregisteredName("metric", name, f"is a {metric.instrument}, no {' or '.join(instruments)}")
        allowed = {each.rpartition(".")[2]: each for each in (*metric.attributes, *metric.optional)}
        canonical = {allowed.get(key, key): value for key, value in attributes.items()}
        self._registry.check_attributes(name, canonical, metric)
        return canonical

    def _function_points(self) -> Iterator[tuple[str, Point]]:
        for meter in list(self._functions.values()):
            for name, table in (
                ("rpc.server.call.duration", meter.operations),
                ("rpc.client.call.duration", meter.calls),
            ):
                for code, cells in list(table.items()):
                    point = _durations(_call_attributes(meter, code), cells)
                    if any(point.counts):
                        yield name, point
                        if table is meter.operations:
                            labels = {**meter.attributes, "rpc.response.status_code": code}
                            yield "theater.operations", Point(labels, sum(point.counts))
            for name, cells in (("theater.queue.duration", meter.queue), ("theater.guest.duration", meter.guest)):
                point = _durations(meter.attributes, cells)
                if any(point.counts):
                    yield name, point

    def _host_call_points(self) -> Iterator[tuple[str, Point]]:
        totals: dict[tuple[str, str], int] = {}
        for key, cells in list(self._host_calls.items()):
            point = _durations(_host_call_attributes(key), cells)
            yield "theater.host_call.duration", point
            total = (key[0], key[2])
            totals[total] = totals.get(total, 0) + sum(point.counts)
        for (interface, outcome), number in totals.items():
            labels = {"theater.host_call.interface": interface, "theater.host_call.outcome": outcome}
            yield "theater.host_calls", Point(labels, number)

    def _read_gauges(self, reads: Mapping[Attributes, Callable[[], float]]) -> Iterator[Point]:
        for key, read in reads.items():
            try:
                value = float(read())
            except Exception:  # noqa: BLE001 - a gauge is foreign code; telemetry never fails because of it
                self._dropped("metrics", 1)
                continue
            yield Point(dict(key), value)


def _call_attributes(meter: FunctionMeter, code: str) -> dict[str, str]:
    attributes = {"rpc.system.name": "theater", **meter.attributes, "rpc.response.status_code": code}
    if code != OK:
        attributes["error.type"] = error_type(code)
    return attributes


def _host_call_attributes(key: tuple[str, str, str]) -> dict[str, str]:
    return dict(
        zip(
            ("theater.host_call.interface", "theater.host_call.function", "theater.host_call.outcome"), key, strict=True
        )
    )


def _durations(attributes: Mapping[str, str], cells: Cells) -> Point:
    taken = tuple(cells)
    return Point(attributes, taken[-1] / 1e9, taken[:-1])


def _recorded(key: Attributes, cell: list[float]) -> Point:
    return Point(dict(key), cell[-1], tuple(int(count) for count in cell[:-1]))


def _copy(table: Mapping[Attributes, list[float]]) -> dict[Attributes, list[float]]:
    return {key: list(cell) for key, cell in table.items()}
