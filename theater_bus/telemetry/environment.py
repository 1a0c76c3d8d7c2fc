"""Providers and exporters of our own processes, from the standard variables (OpenTelemetry, SDK environment variables).

One departure: nothing is exported unless somebody asked. The specification's default, OTLP to localhost, would make a
host without a collector retry and warn for ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from theater_bus.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Configured", "configured"]


@dataclass(frozen=True, slots=True)
class Configured:
    """What the environment asks for. Everything is None or empty when it asks for nothing."""

    tracer_provider: TracerProvider | None = None
    metric_exporters: tuple[MetricExporter, ...] = ()
    resource: Resource | None = None
    export_interval_s: float = 60.0


_TRACES = {
    "otlp": ("theater_bus.telemetry.otlp", "QuickSpanExporter"),
    "console": ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
}
_METRICS = {
    "otlp": ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "OTLPMetricExporter"),
    "console": ("opentelemetry.sdk.metrics.export", "ConsoleMetricExporter"),
}


def configured(
    service_name: str, level: str, host_id: str = "", environment: Mapping[str, str] = os.environ
) -> Configured:
    """Read the variables and make what they ask for. Raises `ConfigurationError` with the variable's name."""
    if level == "off" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Configured()
    traces = _exporters(environment, "TRACES", _TRACES) if level == "traces" else ()
    metrics = _exporters(environment, "METRICS", _METRICS)
    if not traces and not metrics:
        return Configured()
    resource = _resource(service_name, host_id, environment)
    provider = None
    if traces:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider(resource=resource)
        for exporter in traces:
            provider.add_span_processor(BatchSpanProcessor(exporter))
    return Configured(provider, metrics, resource, _interval_s(environment))


def _exporters(environment: Mapping[str, str], signal: str, known: Mapping[str, tuple[str, str]]) -> tuple[Any, ...]:
    variable = f"OTEL_{signal}_EXPORTER"
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    default = "otlp" if any(environment.get(each) for each in endpoints) else "none"
    names = [name.strip() for name in (environment.get(variable) or default).split(",")]
    return tuple(_exporter(variable, name, known) for name in names if name not in ("none", ""))


def _exporter(variable: str, name: str, known: Mapping[str, tuple[str, str]]) -> object:
    if name not in known:
        raise ConfigurationError(variable, f"{name!r} is unknown", f"write {', '.join(known)} or none")
    module, attribute = known[name]
    try:
        return getattr(import_module(module), attribute)()
    except ImportError as error:
        fix = "pip install 'theater-bus[otlp]'"
        raise ConfigurationError(variable, f"the {name} exporter is not installed ({error})", fix) from error


def _resource(service_name: str, host_id: str, environment: Mapping[str, str]) -> Resource:
    from opentelemetry.sdk.resources import Resource

    attributes: dict[str, str] = {}
    if not environment.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = service_name
    if host_id:
        attributes["service.instance.id"] = host_id
    return Resource.create(attributes)


def _interval_s(environment: Mapping[str, str]) -> float:
    text = environment.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")
    try:
        interval_s = float(text) / 1000
    except ValueError:
        interval_s = 0.0
    if interval_s <= 0:
        raise ConfigurationError("OTEL_METRIC_EXPORT_INTERVAL", f"{text!r} is no number of milliseconds", "write 60000")
    return interval_s
