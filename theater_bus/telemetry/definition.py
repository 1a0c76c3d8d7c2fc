"""What a registered name is: attributes, spans, span events, metrics and log events, and the set that holds them.

A `Registry` refuses what contradicts itself: a name registered twice, an attribute that nobody defined, a plugin's name
outside its prefix. Looking up a name that is not there raises `UnregisteredName`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from theater_bus.errors import ConfigurationError, LocalError

__all__ = [
    "Attribute",
    "Definition",
    "Instrument",
    "LogEvent",
    "LogLevel",
    "Metric",
    "Registry",
    "Span",
    "SpanEvent",
    "SpanKindName",
    "UnregisteredName",
]

Instrument = Literal["histogram", "counter", "updown", "gauge"]
LogLevel = Literal["debug", "info", "warning", "error"]
SpanKindName = Literal["CLIENT", "SERVER", "INTERNAL", "PRODUCER", "CONSUMER"]


class UnregisteredName(LocalError):
    """A name or an attribute that the telemetry registry does not hold was emitted."""

    def __init__(self, what: str, name: str, problem: str = "is not registered") -> None:
        self.what, self.name = what, name
        super().__init__(f"{what} {name!r} {problem}. Fix: add it to theater_bus/telemetry/registry.py")


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of spans, metrics or log events. `values` closes the set of values; None leaves it open."""

    name: str
    sentence: str
    type: Literal["string", "int"] = "string"
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment inside a span."""

    name: str
    sentence: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A span. `name` may hold `{placeholders}` of low cardinality; `optional` attributes are not always there.

    `needs` names the feature without which it is never emitted (`durable`, `jetstream`), "" for none.
    """

    name: str
    kinds: tuple[SpanKindName, ...]
    sentence: str
    attributes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    needs: str = ""

    def matches(self, name: str) -> bool:
        """Whether a span that was emitted under `name` is one of these."""
        pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(self.name))
        return re.fullmatch(pattern, name) is not None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `unit` is UCUM (`s`, `By`, `{operation}`); `buckets` are a histogram's upper bounds in that unit."""

    name: str
    instrument: Instrument
    unit: str
    sentence: str
    attributes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    needs: str = ""

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus: unit and `_total` appended (OpenTelemetry, Prometheus compatibility)."""
        suffix = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        total = "_total" if self.instrument == "counter" else ""
        return re.sub(r"[^a-zA-Z0-9_]", "_", self.name) + suffix + total


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A log event: its level, and the fields it may carry."""

    name: str
    level: LogLevel
    sentence: str
    fields: tuple[str, ...] = ()
    needs: str = ""


Definition = Attribute | SpanEvent | Span | Metric | LogEvent
_KINDS: dict[str, Callable[..., Definition]] = {
    "attribute": Attribute,
    "span_event": SpanEvent,
    "span": Span,
    "metric": Metric,
    "log_event": LogEvent,
}


class Registry:
    """All names that may be emitted. Iterate over `spans`, `metrics`, `events`, `logs`, `attributes` (by name)."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self.attributes: dict[str, Attribute] = {}
        self.events: dict[str, SpanEvent] = {}
        self.spans: dict[str, Span] = {}
        self.metrics: dict[str, Metric] = {}
        self.logs: dict[str, LogEvent] = {}
        self._sealed: frozenset[str] = frozenset()
        self._add(definitions)
        self._sealed = frozenset(name.split(".")[0] for table in self._tables().values() for name in table)

    def copy(self) -> Registry:
        """Return one that plugins may extend without touching this one."""
        other = Registry()
        for name, table in self._tables().items():
            getattr(other, name).update(table)
        other._sealed = self._sealed
        return other

    def register_plugin(self, plugin: str, items: Iterable[Definition | Mapping[str, Any]]) -> None:
        """Add a plugin's definitions, objects of this module or mappings with a `kind` and the same fields.

        Every name must begin with the plugin's own prefix: its name with `-` as `_`, then a dot. Raises
        `ConfigurationError` naming the item; then none of the plugin's definitions is added.
        """
        prefix = plugin.replace("-", "_") + "."
        made = [_definition(plugin, item) for item in items]
        for definition in made:
            if not definition.name.startswith(prefix) or prefix[:-1] in self._sealed:
                raise ConfigurationError(
                    f"telemetry of plugin {plugin}", f"{definition.name!r} is outside its prefix", f"name it {prefix}…"
                )
        trial = self.copy()
        trial._add(made)
        self._add(made)

    def metric(self, name: str) -> Metric:
        """Return the metric; raises `UnregisteredName`."""
        found = self.metrics.get(name)
        if found is None:
            raise UnregisteredName("metric", name)
        return found

    def log(self, name: str) -> LogEvent:
        """Return the log event; raises `UnregisteredName`."""
        found = self.logs.get(name)
        if found is None:
            raise UnregisteredName("log event", name)
        return found

    def span(self, name: str) -> Span:
        """Return the definition that an emitted span name belongs to; raises `UnregisteredName`."""
        found = self.spans.get(name) or next((each for each in self.spans.values() if each.matches(name)), None)
        if found is None:
            raise UnregisteredName("span", name)
        return found

    def check_attributes(self, what: str, attributes: Mapping[str, object], definition: Metric | Span) -> None:
        """Raise `UnregisteredName` unless the attributes are those of the definition, with allowed values."""
        allowed = {*definition.attributes, *definition.optional}
        for name, value in attributes.items():
            if name not in allowed:
                raise UnregisteredName(f"attribute of {what}", name)
            values = self.attributes[name].values
            if values is not None and value not in values:
                raise UnregisteredName(f"value of {name}", str(value), f"is none of {', '.join(values)}")
        for name in definition.attributes:
            if name not in attributes:
                raise UnregisteredName(f"attribute of {what}", name, "is missing")

    def _tables(self) -> dict[str, dict[str, Any]]:
        return {
            "attributes": self.attributes,
            "events": self.events,
            "spans": self.spans,
            "metrics": self.metrics,
            "logs": self.logs,
        }

    def _add(self, definitions: Iterable[Definition]) -> None:
        fresh = list(definitions)
        for definition in fresh:
            table = self._table_of(definition)
            if definition.name in table:
                raise ConfigurationError("telemetry registry", f"{definition.name!r} is registered twice")
            table[definition.name] = definition
        for definition in fresh:
            for name in _references(definition):
                if name not in self.attributes:
                    raise ConfigurationError(
                        "telemetry registry", f"{definition.name!r} has the unknown attribute {name!r}"
                    )

    def _table_of(self, definition: Definition) -> dict[str, Any]:
        match definition:
            case Attribute():
                return self.attributes
            case SpanEvent():
                return self.events
            case Span():
                return self.spans
            case Metric():
                return self.metrics
            case LogEvent():
                return self.logs


def _references(definition: Definition) -> Sequence[str]:
    match definition:
        case Span() | Metric():
            return (*definition.attributes, *definition.optional)
        case SpanEvent():
            return definition.attributes
        case LogEvent():
            return definition.fields
        case Attribute():
            return ()


def _definition(plugin: str, item: Definition | Mapping[str, Any]) -> Definition:
    if not isinstance(item, Mapping):
        return item
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in item.items() if key != "kind"}
    try:
        return _KINDS[str(item.get("kind"))](**fields)
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"telemetry of plugin {plugin}",
            f"{dict(item)!r} is no definition: {error}",
            f"give `kind` ({', '.join(_KINDS)}) and that kind's fields",
        ) from error
