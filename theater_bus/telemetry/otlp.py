"""Spans as OTLP without a protobuf message for each of their attributes: a tenth of the exporter's time.

What nearly all spans are made of is written as bytes here; a span with anything else (events, links, lists, what was
dropped) is encoded by OpenTelemetry's own encoder, as resources and scopes are. Sending, retrying and all settings are
the exporter's own. Source: opentelemetry-proto, `trace/v1/trace.proto` and `common/v1/common.proto`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import StatusCode

__all__ = ["Encoder", "QuickSpanExporter"]

_KEPT = 8_192
_ORIGINS = 256
_LONG = 256
_MOST_INT = 2**63
_KINDS = (b"\x30\x01", b"\x30\x02", b"\x30\x03", b"\x30\x04", b"\x30\x05")
"""By the value of a `SpanKind`; the protocol counts from one."""
_TIMES = Struct("<BQBQ").pack
_FLOAT = Struct("<Bd").pack
_FLAGS_LOCAL, _FLAGS_REMOTE = b"\x85\x01\x00\x01\x00\x00", b"\x85\x01\x00\x03\x00\x00"


class _Unusual(Exception):
    """Not for this module."""


class _Origin(NamedTuple):
    """The fields of a resource and a scope. `objects` are held so that no others can come to have their identity."""

    objects: tuple[object, object]
    resource: bytes
    resource_schema: bytes
    scope: bytes
    scope_schema: bytes


class Encoder:
    """Encodes batches of spans; keeps the bytes of what comes again and again. Not for several threads at a time."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], bytes] = {}
        self._names: dict[str, bytes] = {}
        self._origins: dict[tuple[int, int], _Origin] = {}

    def encode(self, spans: Sequence[ReadableSpan]) -> bytes:
        """Return an `ExportTraceServiceRequest` with these spans."""
        groups: dict[tuple[int, int], list[bytes]] = {}
        for span in spans:
            origin = (id(span.resource), id(span.instrumentation_scope))
            pieces = groups.get(origin)
            if pieces is None:
                pieces = groups[origin] = []
            try:
                body = self._span(span)
            except (_Unusual, UnicodeError):
                body = _theirs(span).spans[0].SerializePartialToString()
            pieces += (b"\x12", _length(body), body)
        first = {(id(span.resource), id(span.instrumentation_scope)): span for span in reversed(spans)}
        return b"".join(self._resource_spans(first[origin], pieces) for origin, pieces in groups.items())

    def _resource_spans(self, span: ReadableSpan, pieces: list[bytes]) -> bytes:
        origin = self._origin(span)
        scope = b"".join((origin.scope, *pieces, origin.scope_schema))
        whole = b"".join((origin.resource, b"\x12", _length(scope), scope, origin.resource_schema))
        return _field(b"\x0a", whole)

    def _origin(self, span: ReadableSpan) -> _Origin:
        key = (id(span.resource), id(span.instrumentation_scope))
        found = self._origins.get(key)
        if found is None:
            resource = encode_spans((span,)).resource_spans[0]
            scope = resource.scope_spans[0]
            if len(self._origins) >= _ORIGINS:
                self._origins.clear()
            found = self._origins[key] = _Origin(
                (span.resource, span.instrumentation_scope),
                _field(b"\x0a", resource.resource.SerializePartialToString()),
                _text(b"\x1a", resource.schema_url),
                _field(b"\x0a", scope.scope.SerializePartialToString()),
                _text(b"\x1a", scope.schema_url),
            )
        return found

    def _span(self, span: ReadableSpan) -> bytes:
        if (span._events or span._links or type(span._events) is not tuple or type(span._links) is not tuple) and (
            # Those of the SDK's own spans know what they dropped; ours are empty tuples, mostly.
            span.events or span.links or span.dropped_events or span.dropped_links
        ):
            raise _Unusual
        context, parent, status, name = span.context, span.parent, span.status, self._names.get(span.name)
        if status.description:
            raise _Unusual
        if name is None:
            if len(self._names) >= _KEPT:
                self._names.clear()
            name = self._names[span.name] = _text(b"\x2a", span.name)
        pieces = [b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big")]
        state, remote = context.trace_state, False
        if state:
            pieces.append(_text(b"\x1a", state.to_header()))
        if parent is not None:
            remote = parent.is_remote
            pieces += (b"\x22\x08", parent.span_id.to_bytes(8, "big"))
        pieces += (name, _KINDS[span.kind._value_], _TIMES(0x39, span.start_time or 0, 0x41, span.end_time or 0))
        attributes = span._attributes
        if type(attributes) is not dict and isinstance(attributes, BoundedAttributes) and attributes.dropped:
            raise _Unusual
        if attributes:
            self._attributes(attributes, pieces)
        code = status.status_code
        pieces.append(b"\x7a\x00" if code is StatusCode.UNSET else b"\x7a\x02\x18" + _LENGTHS[code.value])
        pieces.append(_FLAGS_REMOTE if remote else _FLAGS_LOCAL)
        return b"".join(pieces)

    def _attributes(self, attributes: Mapping[str, Any], pieces: list[bytes]) -> None:
        texts = self._texts
        for key, value in attributes.items():
            kind = value.__class__
            if kind is str:
                piece = texts.get((key, value))
                if piece is None:
                    piece = _pair(key, _field(b"\x0a", value.encode()))
                    if len(value) <= _LONG:
                        if len(texts) >= _KEPT:
                            texts.clear()
                        texts[key, value] = piece
                pieces.append(piece)
            elif kind is int and 0 <= value < _MOST_INT:
                pieces.append(_pair(key, b"\x18" + _varint(value)))
            elif kind is bool:
                pieces.append(_pair(key, b"\x10\x01" if value else b"\x10\x00"))
            elif kind is float:
                pieces.append(_pair(key, _FLOAT(0x21, value)))
            else:
                raise _Unusual


class QuickSpanExporter(OTLPSpanExporter):
    """OpenTelemetry's exporter for OTLP over HTTP, with the encoder of this module; arguments and variables are its."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._encoder = Encoder()
        self._is_known = _looks_known(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and send a batch."""
        data = self._encoded(spans)
        if data is None:
            return super().export(spans)
        with self._metrics.export_operation(len(spans)) as outcome:
            sent = self._client.export(data)
            if not sent.success:
                outcome.error = sent.error
                return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _encoded(self, spans: Sequence[ReadableSpan]) -> bytes | None:
        """None for what the exporter itself must see: it is shut down, cannot encode this, or finds it too large."""
        if not self._is_known or self._shutdown:
            return None
        try:
            data = self._encoder.encode(spans)
        except Exception:  # noqa: BLE001 - the exporter's own encoder meets it again, and says so
            return None
        return None if 0 < self._max_request_size < len(data) else data


def _looks_known(exporter: OTLPSpanExporter) -> bool:
    """Whether the exporter of this release sends as `QuickSpanExporter` does; if not, it does everything itself."""
    inside = vars(exporter)
    return (
        callable(getattr(inside.get("_client"), "export", None))
        and callable(getattr(inside.get("_metrics"), "export_operation", None))
        and type(inside.get("_max_request_size")) is int
        and inside.get("_shutdown") is False
    )


def _theirs(span: ReadableSpan) -> Any:
    return encode_spans((span,)).resource_spans[0].scope_spans[0]


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


_LENGTHS = tuple(_varint(number) for number in range(2_048))


def _length(data: bytes) -> bytes:
    size = len(data)
    return _LENGTHS[size] if size < 2_048 else _varint(size)


def _field(tag: bytes, data: bytes) -> bytes:
    return b"".join((tag, _length(data), data))


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode()) if text else b""


def _pair(key: str, value: bytes) -> bytes:
    return _field(b"\x4a", _text(b"\x0a", key) + _field(b"\x12", value))
