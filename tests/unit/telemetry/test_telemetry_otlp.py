"""What the quick exporter sends is what OpenTelemetry's own sends, whatever a span is made of."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from theater_bus.telemetry import ActorAttributes, Telemetry, TraceCollector, otlp
from theater_bus.telemetry.environment import configured
from theater_bus.telemetry.otlp import Encoder, QuickSpanExporter

RESOURCE = Resource({"service.name": "test", "numbers": [1, 2]}, "https://example.com/schema")
SCOPE = InstrumentationScope("theater_bus", "1.0", "https://example.com/scope", {"a": "b"})

trace_ids, span_ids = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)
states = st.sampled_from([TraceState(), TraceState([("vendor", "value"), ("other", "1")])])
contexts = st.builds(SpanContext, trace_ids, span_ids, st.booleans(), st.sampled_from([TraceFlags(1)]), states)
numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans())
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
values = st.one_of(
    numbers, texts, st.none(), st.binary(), st.lists(texts, max_size=3), st.lists(st.integers(0, 9), max_size=3)
)
attributes = st.dictionaries(texts, values, max_size=6)
statuses = st.sampled_from([Status(), Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "why")])
moments = st.integers(0, 2**64 - 1)


@st.composite
def any_span(draw: st.DrawFn) -> ReadableSpan:
    given_attributes: Any = draw(attributes)
    if draw(st.booleans()):
        given_attributes = BoundedAttributes(draw(st.integers(0, 2)), given_attributes, False)
    events = draw(st.lists(st.builds(Event, texts, attributes, moments), max_size=1))
    links = draw(st.lists(st.builds(Link, contexts, attributes), max_size=1))
    kept = draw(st.none() | st.integers(0, 1))
    return ReadableSpan(
        draw(texts),
        draw(contexts),
        draw(st.none() | contexts),
        draw(st.sampled_from([RESOURCE, Resource({})])),
        given_attributes,
        tuple(events) if kept is None else BoundedList.from_seq(kept, events),
        tuple(links) if kept is None else BoundedList.from_seq(kept, links),
        draw(st.sampled_from(SpanKind)),
        None,
        draw(statuses),
        draw(moments),
        draw(moments),
        draw(st.sampled_from([SCOPE, InstrumentationScope("other"), None])),
    )


def by_origin(request: Any) -> dict[tuple[bytes, str, bytes, str], list[bytes]]:
    """The spans of a request, as bytes, by what they have in common."""
    found: dict[tuple[bytes, str, bytes, str], list[bytes]] = {}
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            key = (
                *(resource.resource.SerializeToString(deterministic=True), resource.schema_url),
                *(scope.scope.SerializeToString(deterministic=True), scope.schema_url),
            )
            found.setdefault(key, []).extend(span.SerializeToString(deterministic=True) for span in scope.spans)
    return found


@given(st.lists(any_span(), min_size=1, max_size=5))
def test_any_batch_is_encoded_as_opentelemetry_does(spans: list[ReadableSpan]) -> None:
    encoder = Encoder()
    for _ in range(2):  # the second time from what was kept
        ours = ExportTraceServiceRequest.FromString(encoder.encode(spans))
        assert by_origin(ours) == by_origin(encode_spans(spans))


def plain(count: int = 1, **named: Any) -> list[ReadableSpan]:
    context = SpanContext(5, 6, False, TraceFlags(1))
    given: dict[str, Any] = {"resource": RESOURCE, "start_time": 1, "end_time": 2, "instrumentation_scope": SCOPE}
    return [ReadableSpan(f"span {number}", context, **{**given, **named}) for number in range(count)]


def test_numbers_that_are_equal_stay_what_they_are() -> None:
    spans = plain(attributes={"a": 1, "b": True, "c": 1.0, "d": "1"})
    assert Encoder().encode(spans) == encode_spans(spans).SerializePartialToString()


async def test_spans_of_ours_do_not_take_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = TraceCollector()
    provider = collector.provider("test")
    telemetry = Telemetry(tracer_provider=provider)
    spec = telemetry.function_spec("f", "default")
    for code in (None, "guest-trap"):
        call = telemetry.start_call(spec, "actor")
        assert call is not None
        operation = telemetry.start_operation(spec, call.headers, ActorAttributes("actor", "default", "n", "h"), 5)
        assert operation is not None
        operation.queue(5, 6)
        operation.begin_guest(6)
        operation.host_call("a:b/c", "f").end("returned")
        operation.end_guest(7)
        operation.end(code, chain_seq=2**40)
        call.end(code)
    assert await telemetry.flush(10)
    spans = collector.spans()
    assert len(spans) == 10

    def never(span: ReadableSpan) -> Any:
        raise AssertionError(f"{span.name} took the long way")

    encoder = Encoder()
    encoder.encode(spans[:1])  # resource and scope are OpenTelemetry's to encode, once
    monkeypatch.setattr(otlp, "_theirs", never)
    monkeypatch.setattr(otlp, "encode_spans", never)
    assert by_origin(ExportTraceServiceRequest.FromString(encoder.encode(spans))) == by_origin(encode_spans(spans))
    await telemetry.close()
    provider.shutdown()


def test_what_was_dropped_is_told_also_where_nothing_is_left() -> None:
    for given_attributes in (BoundedAttributes(0, {"a": 1}, False), BoundedAttributes(1, {"a": 1, "b": 2}, False)):
        spans = plain(attributes=given_attributes)
        assert Encoder().encode(spans) == encode_spans(spans).SerializePartialToString()
    for events in (BoundedList(0), BoundedList(1)):
        events.extend([Event("one", {}, 5), Event("two", {}, 6)])
        spans = plain(events=events)
        assert Encoder().encode(spans) == encode_spans(spans).SerializePartialToString()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_KEPT", 10)
    monkeypatch.setattr(otlp, "_ORIGINS", 3)
    encoder = Encoder()
    for number in range(100):
        spans = plain(3, attributes={f"key {number}": "x" * number * 10}, resource=Resource({"n": number}))
        assert encoder.encode(spans) == encode_spans(spans).SerializePartialToString()
        assert len(encoder._texts) <= 10
        assert len(encoder._names) <= 10
        assert len(encoder._origins) <= 3
        assert all(len(value) <= 256 for _, value in encoder._texts)


class Sink(ThreadingHTTPServer):
    """Takes what is posted, and answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.received: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_pinned_exporter_is_known_inside(sink: Sink) -> None:
    """Fails with an exporter that sends otherwise: `QuickSpanExporter` must then follow it, or go."""
    exporter = QuickSpanExporter(sink.endpoint)
    assert exporter._is_known
    exporter.shutdown()


def test_processes_of_ours_take_it() -> None:
    provider: Any = configured("service", "traces", environment={"OTEL_TRACES_EXPORTER": "otlp"}).tracer_provider
    (processor,) = provider._active_span_processor._span_processors
    assert type(processor.span_exporter) is QuickSpanExporter
    provider.shutdown()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_headers_and_compression_are_the_exporters(sink: Sink, compression: Compression) -> None:
    spans, received = plain(3, attributes={"a": "b"}), []
    for kind in (QuickSpanExporter, OTLPSpanExporter):
        exporter: Any = kind(sink.endpoint, headers={"Authorization": "secret"}, compression=compression)
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        exporter.shutdown()
        headers, body = sink.received.pop()
        received.append((headers, gzip.decompress(body) if compression is Compression.Gzip else body))
    (ours, our_body), (theirs, their_body) = received
    assert our_body == their_body
    assert {**ours, "host": "", "content-length": ""} == {**theirs, "host": "", "content-length": ""}
    assert ours["authorization"] == "secret"


def test_a_refusal_is_a_failure(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.status = 400
    exporter = QuickSpanExporter(sink.endpoint)
    assert exporter.export(plain()) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert exporter.export(plain()) is SpanExportResult.FAILURE
    assert len(sink.received) == 1


def test_what_is_too_large_is_refused_by_the_exporter(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    exporter = QuickSpanExporter(sink.endpoint, max_request_size=1_000)
    assert exporter.export(plain(50)) is SpanExportResult.FAILURE
    assert exporter.export(plain(1)) is SpanExportResult.SUCCESS
    assert len(sink.received) == 1
    exporter.shutdown()


def test_what_cannot_be_encoded_here_goes_to_the_exporter_itself(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    exporter = QuickSpanExporter(sink.endpoint)
    spans = plain(attributes={"bad": "\ud800", "good": "x"})
    assert exporter.export(spans) is OTLPSpanExporter(sink.endpoint).export(spans)
    bodies = [body for _, body in sink.received]
    assert bodies[: len(bodies) // 2] == bodies[len(bodies) // 2 :]
    assert exporter.export(plain(start_time=-1)) is SpanExportResult.FAILURE
    assert exporter.export(plain()) is SpanExportResult.SUCCESS
    exporter.shutdown()


@pytest.mark.parametrize("lacking", ["_client", "_metrics", "_max_request_size"])
def test_an_exporter_that_looks_different_inside_does_everything_itself(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    exported: list[Sequence[ReadableSpan]] = []

    def export(self: OTLPSpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        exported.append(spans)
        return SpanExportResult.SUCCESS

    original = OTLPSpanExporter.__init__

    def other(self: OTLPSpanExporter, *values: Any, **named: Any) -> None:
        original(self, *values, **named)
        delattr(self, lacking)

    monkeypatch.setattr(OTLPSpanExporter, "__init__", other)
    monkeypatch.setattr(OTLPSpanExporter, "export", export)
    spans = plain()
    assert QuickSpanExporter(sink.endpoint).export(spans) is SpanExportResult.SUCCESS
    assert exported == [spans]
    assert sink.received == []
