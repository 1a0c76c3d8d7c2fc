"""The OpenTelemetry span that foreign code sees while a deferred span is open.

Capabilities and middleware may add attributes, events and links to the current span. Nobody asks for it on the common
path, so it is made on demand; what was added is merged when the span is built, off the loop.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from time import time_ns

from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["LiveSpan"]


class LiveSpan(Span):
    """Collects additions until its owner ends it; ending it here does nothing."""

    __slots__ = ("attributes", "context", "events", "links", "name", "recording", "status")

    def __init__(self, context: SpanContext) -> None:
        self.context = context
        self.recording = True
        self.attributes: dict[str, AttributeValue] = {}
        self.events: list[tuple[str, Attributes, int]] = []
        self.links: list[Link] = []
        self.name: str | None = None
        self.status: Status | None = None

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self.recording

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the operation or host call ends its span."""

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self.recording:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        if self.recording:
            self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.recording:
            self.events.append((name, attributes, time_ns() if timestamp is None else timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.recording and (context.is_valid or attributes or context.trace_state):
            self.links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        if self.recording:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        wanted = status if isinstance(status, Status) else Status(status, description)
        settled = self.status is not None and self.status.status_code is StatusCode.OK
        if self.recording and not settled and wanted.status_code is not StatusCode.UNSET:
            self.status = wanted

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        kind = type(exception)
        module = "" if kind.__module__ in ("builtins", "") else f"{kind.__module__}."
        self.add_event(
            "exception",
            {
                "exception.type": f"{module}{kind.__qualname__}",
                "exception.message": str(exception),
                "exception.stacktrace": "".join(traceback.format_exception(exception)),
                "exception.escaped": str(escaped),
                **(attributes or {}),
            },
            timestamp,
        )
