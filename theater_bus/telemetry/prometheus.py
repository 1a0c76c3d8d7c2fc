"""`/metrics`: the same snapshot in the Prometheus text format, and the small server that answers it.

Names follow the OpenTelemetry rules for Prometheus: dots become underscores, the unit and `_total` are appended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from theater_bus.telemetry.metrics import MetricPoints, Point, Snapshot

__all__ = ["CONTENT_TYPE", "MetricsServer", "prometheus_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TYPES = {"histogram": "histogram", "counter": "counter", "updown": "gauge", "gauge": "gauge"}
_REQUEST_S = 5.0
_HEAD_BYTES = 8_192


def prometheus_text(snapshot: Snapshot) -> str:
    """Render a snapshot (Prometheus, text-based exposition format 0.0.4)."""
    return "".join(f"{line}\n" for each in snapshot.metrics for line in _lines(each))


class MetricsServer:
    """Answers `GET /metrics`. Bound to 127.0.0.1 unless told otherwise: what it says is not for everybody."""

    def __init__(self, render: Callable[[], str], port: int = 0, host: str = "127.0.0.1") -> None:
        self._render = render
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; return the port (which the system chose when it was 0). Raises `OSError`."""
        self._server = await asyncio.start_server(self._answer, self._host, self.port, limit=_HEAD_BYTES)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _http("404 Not Found", "Metrics are at /metrics.\n", "text/plain")
        if method not in (b"GET", b"HEAD"):
            return _http("405 Method Not Allowed", "Only GET and HEAD.\n", "text/plain")
        return _http("200 OK", self._render(), CONTENT_TYPE, body=method == b"GET")


def _http(status: str, text: str, content_type: str, *, body: bool = True) -> bytes:
    content = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (content if body else b"")


def _lines(each: MetricPoints) -> Iterator[str]:
    name = each.metric.prometheus_name
    yield f"# HELP {name} {_escape(each.metric.sentence, quotes=False)}"
    yield f"# TYPE {name} {_TYPES[each.metric.instrument]}"
    for point in each.points:
        if each.metric.instrument == "histogram":
            yield from _histogram(name, each.metric.buckets, point)
        else:
            yield f"{name}{_labels(point)} {_number(point.value)}"


def _histogram(name: str, bounds: tuple[float, ...], point: Point) -> Iterator[str]:
    total = 0
    for bound, count in zip((*bounds, float("inf")), point.counts, strict=True):
        total += count
        yield f"{name}_bucket{_labels(point, le=_number(bound))} {total}"
    yield f"{name}_sum{_labels(point)} {_number(point.value)}"
    yield f"{name}_count{_labels(point)} {total}"


def _labels(point: Point, **more: str) -> str:
    pairs = {key.replace(".", "_"): value for key, value in point.attributes.items()} | more
    inside = ",".join(f'{key}="{_escape(value)}"' for key, value in pairs.items())
    return f"{{{inside}}}" if inside else ""


def _escape(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
