"""Telemetry of a whole process: `/metrics` over HTTP, OTLP over HTTP, the standard variables, bounded lifecycles."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.parser import text_string_to_metric_families

from theater_bus.errors import ConfigurationError
from theater_bus.telemetry import REGISTRY, ActorAttributes, MetricsServer, Telemetry, TraceCollector
from theater_bus.telemetry.conformance import LogCollector, emitted, missing
from theater_bus.telemetry.environment import configured
from theater_bus.telemetry.loop_lag import LoopLag

ACTOR = ActorAttributes("counter-1", "default", "counter", "host-1")


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self, path: str) -> list[bytes]:
        return [body for found, body in self.requests if found == path]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.requests.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def operate(telemetry: Telemetry) -> None:
    spec = telemetry.function_spec("increment", "default")
    call = telemetry.start_call(spec, "counter-1")
    assert call is not None
    operation = telemetry.start_operation(spec, call.headers, ACTOR, time.time_ns())
    assert operation is not None
    operation.end(None, chain_seq=1)
    call.end(None)
    telemetry.observe_operation(spec, None, 0, 30_000, 50_000)


async def test_a_process_configured_by_variables_exports_over_otlp(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    telemetry = Telemetry.from_environment(service_name="theater-bus-host", host_id="host-1")
    operate(telemetry)
    assert await telemetry.flush(10)
    await telemetry.close(10)
    spans = {}
    for body in collector.bodies("/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert (names["service.name"], names["service.instance.id"]) == ("theater-bus-host", "host-1")
            spans |= {span.kind: span for scope in resource.scope_spans for span in scope.spans}
    client, server = spans[3], spans[2]
    assert server.parent_span_id == client.span_id
    assert server.trace_id == client.trace_id
    (metric,) = [
        metric
        for body in collector.bodies("/v1/metrics")[:1]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "rpc.server.call.duration"
    ]
    point = metric.histogram.data_points[0]
    assert (point.count, point.sum, metric.unit) == (1, pytest.approx(50e-6), "s")
    assert not point.HasField("min")


async def get(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_metrics_are_served_to_a_scraper() -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    telemetry.count("theater.actor.restarts", 3)
    server = MetricsServer(telemetry.prometheus)
    port = await server.start()
    head, body = await get(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"version=0.0.4" in head
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["theater_actor_restarts_total"] == 3
    assert (await get(port, b"HEAD /metrics HTTP/1.1\r\n\r\n"))[1] == b""
    assert (await get(port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0].startswith(b"HTTP/1.1 405")
    assert (await get(port, b"GET / HTTP/1.1\r\n\r\n"))[0].startswith(b"HTTP/1.1 404")
    assert await get(port, b"x" * 20_000) == (b"", b"")
    await server.close()
    await server.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_the_probe_sees_a_blocked_loop_and_a_later_provider() -> None:
    lag = LoopLag(interval_s=0.01)
    ticking = asyncio.create_task(lag.tick())
    await asyncio.sleep(0)
    time.sleep(0.05)
    await ticking
    assert lag.read() >= 0.03
    assert lag.read() == lag.read()


async def test_started_telemetry_measures_the_loop_exports_and_stops(collector: Collector) -> None:
    exported = asyncio.Event()
    loop = asyncio.get_running_loop()

    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

    class Telling(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
            loop.call_soon_threadsafe(exported.set)
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return True

        def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
            pass

    telemetry = Telemetry(level="metrics", metric_exporters=[Telling()], export_interval_s=0.01, strict=True)
    await telemetry.start()
    await telemetry.start()
    async with asyncio.timeout(10):
        await exported.wait()
    assert "theater_event_loop_lag_seconds" in telemetry.prometheus()
    await telemetry.close()
    await telemetry.close()


async def test_an_export_that_hangs_costs_its_own_turns_only() -> None:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

    opened = threading.Event()

    class Hanging(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:
            opened.wait(30)
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return True

        def shutdown(self, timeout_millis: float = 30_000, **more: Any) -> None:
            pass

    telemetry = Telemetry(level="metrics", metric_exporters=[Hanging()], strict=True)
    with LogCollector() as logs:
        assert await telemetry.flush(0.05) is False
        assert await telemetry.flush(0.05) is False
    assert "still busy" in logs.records[-1].getMessage()
    opened.set()
    await telemetry.close()


def test_nothing_is_exported_unless_somebody_asks() -> None:
    assert configured("s", "traces", environment={}) == configured(
        "s", "off", environment={"OTEL_TRACES_EXPORTER": "otlp"}
    )
    disabled = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}
    assert configured("s", "traces", environment=disabled).tracer_provider is None
    only_metrics = configured(
        "s", "metrics", environment={"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "500"}
    )
    assert only_metrics.tracer_provider is None
    assert len(only_metrics.metric_exporters) == 1
    assert only_metrics.export_interval_s == 0.5
    console = configured("s", "traces", environment={"OTEL_TRACES_EXPORTER": "console,none"})
    assert isinstance(console.tracer_provider, TracerProvider)
    console.tracer_provider.shutdown()


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "often"},
        {"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "0"},
    ],
)
def test_variables_that_cannot_be_used_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="OTEL_"):
        configured("s", "traces", environment=environment)


def test_a_script_that_forgets_to_close_loses_no_span() -> None:
    script = """
import sys
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from theater_bus.telemetry import Telemetry
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
telemetry = Telemetry(tracer_provider=provider)
telemetry.start_call(telemetry.function_spec("f", "default"), "a").end(None)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout)["name"] == "theater.Actor/f"
    assert done.stderr == ""


def test_importing_telemetry_brings_in_no_sdk() -> None:
    script = (
        "import sys; import theater_bus.telemetry as t; t.Telemetry.silent();"
        "t.Telemetry(level='metrics').prometheus();"
        "print([m for m in sys.modules if m.partition('.')[0] in ('opentelemetry', 'structlog', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


async def test_conformance_names_what_is_not_registered_and_what_is_missing() -> None:
    traces = TraceCollector()
    provider = traces.provider("test")
    telemetry = Telemetry(tracer_provider=provider, strict=True)
    operate(telemetry)
    with LogCollector() as logs:
        telemetry.event("host.started")
    await telemetry.flush()
    ours = provider.get_tracer("theater_bus")
    for start in (
        lambda: ours.start_span("unheard-of"),
        lambda: ours.start_span("theater.queue", attributes={"colour": "blue"}),
        lambda: ours.start_span("theater.Actor/f"),
    ):
        start().end()
    event = ours.start_span("theater.guest f")
    event.add_event("unheard-of")
    event.end()
    provider.get_tracer("foreign").start_span("whatever").end()
    provider.force_flush()
    seen = emitted(REGISTRY, traces.spans(), [telemetry.snapshot()], logs.records)
    assert len(seen.problems) == 4
    assert seen.spans == {"theater.Actor/{function}"}
    assert seen.logs == {"host.started"}
    absent = missing(REGISTRY, seen)
    assert "span theater.queue" in absent
    assert "log event host.started" not in absent
    assert "metric theater.leases" not in absent
    assert "metric theater.leases" in missing(REGISTRY, seen, features=["jetstream"])
    await telemetry.close()
    provider.shutdown()
