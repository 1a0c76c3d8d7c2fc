"""Emitted equals registered, both ways: what a run emitted is read from its exports, not from the code.

Use it around a run of the whole system: collect spans with `TraceCollector`, logs with `LogCollector`, metrics with
`Telemetry.snapshot()`; `emitted` names everything that is not registered as it should be, `missing` everything that is
registered and was not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from theater_bus.telemetry.definition import Registry, UnregisteredName
from theater_bus.telemetry.logs import LOGGER
from theater_bus.telemetry.metrics import OVERFLOW, Snapshot

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["Emitted", "LogCollector", "emitted", "missing"]


@dataclass(slots=True)
class Emitted:
    """Registered names that were seen, by signal, and `problems`: what was emitted and not registered."""

    spans: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class LogCollector(logging.Handler):
    """Keeps the records of theater_bus while it is entered as a context manager."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._level_before = LOGGER.level

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def __enter__(self) -> Self:
        self._level_before = LOGGER.level
        LOGGER.setLevel(logging.DEBUG)
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        LOGGER.removeHandler(self)
        LOGGER.setLevel(self._level_before)


def emitted(
    registry: Registry,
    spans: Iterable[ReadableSpan] = (),
    snapshots: Iterable[Snapshot] = (),
    records: Iterable[logging.LogRecord] = (),
) -> Emitted:
    """Hold what was exported against the registry. Spans of other instrumentation scopes are not ours to judge."""
    seen = Emitted()
    for span in spans:
        if span.instrumentation_scope is not None and span.instrumentation_scope.name == "theater_bus":
            _judge(seen, partial(_span, registry, seen, span))
    for snapshot in snapshots:
        _judge(seen, partial(_metrics, registry, seen, snapshot))
    for record in records:
        if getattr(record, "theater_event", None) is not None:
            _judge(seen, partial(_log, registry, seen, record))
    return seen


def missing(registry: Registry, seen: Emitted, features: Collection[str] = ()) -> list[str]:
    """Return what is registered and was not seen; what needs a feature that is not in `features` is not expected."""
    tables: tuple[tuple[str, Iterable[tuple[str, str]], set[str]], ...] = (
        ("span", ((each.name, each.needs) for each in registry.spans.values()), seen.spans),
        ("event", ((each.name, "") for each in registry.events.values()), seen.events),
        ("metric", ((each.name, each.needs) for each in registry.metrics.values()), seen.metrics),
        ("log event", ((each.name, each.needs) for each in registry.logs.values()), seen.logs),
    )
    return [
        f"{what} {name}"
        for what, names, found in tables
        for name, needs in names
        if name not in found and (not needs or needs in features)
    ]


def _judge(seen: Emitted, judge: Callable[[], None]) -> None:
    try:
        judge()
    except UnregisteredName as error:
        seen.problems.append(str(error))


def _span(registry: Registry, seen: Emitted, span: ReadableSpan) -> None:
    definition = registry.span(span.name)
    if span.kind.name not in definition.kinds:
        raise UnregisteredName(f"kind of {definition.name}", span.kind.name)
    registry.check_attributes(definition.name, span.attributes or {}, definition)
    for event in span.events:
        if event.name not in definition.events:
            raise UnregisteredName(f"event of {definition.name}", event.name)
        for name in event.attributes or {}:
            if name not in registry.events[event.name].attributes:
                raise UnregisteredName(f"attribute of {event.name}", name)
        seen.events.add(event.name)
    seen.spans.add(definition.name)


def _metrics(registry: Registry, seen: Emitted, snapshot: Snapshot) -> None:
    for each in snapshot.metrics:
        for point in each.points:
            if dict(point.attributes) != OVERFLOW:
                registry.check_attributes(each.metric.name, point.attributes, registry.metric(each.metric.name))
        seen.metrics.add(each.metric.name)


def _log(registry: Registry, seen: Emitted, record: logging.LogRecord) -> None:
    definition = registry.log(getattr(record, "theater_event", ""))
    for name in getattr(record, "theater", {}):
        if name not in definition.fields:
            raise UnregisteredName(f"field of {definition.name}", name)
    seen.logs.add(definition.name)
