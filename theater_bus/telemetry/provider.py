"""What the configured tracer provider is, and whether spans may be deferred for it.

Deferred spans need to know the provider's inside: sampler, processors, limits, resource. All of it is read here, and
only from the SDK's own classes, never from subclasses. Whatever is not as expected means ordinary spans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, NoOpTracerProvider, ProxyTracerProvider, TracerProvider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, Tracer
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    from theater_bus.telemetry.sampling import Thresholds

__all__ = ["SCHEMA_URL", "SCOPE", "Pipeline", "current_provider", "fingerprint", "pipeline", "tracer_of"]

SCOPE = "theater_bus"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A provider for which spans may be deferred: how to decide, to name, to build and to hand over."""

    thresholds: Thresholds
    ids: IdGenerator
    random_trace_ids: bool
    tracer: Tracer
    limits: SpanLimits
    processors: Callable[[], Sequence[SpanProcessor]]
    force_flush: Callable[[int], bool]


def current_provider(given: TracerProvider | None) -> TracerProvider | None:
    """Return the provider that really records: the given one, else the global one; None when there is no SDK."""
    provider = trace.get_tracer_provider() if given is None else given
    return None if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider) else provider


def fingerprint(provider: TracerProvider | None) -> tuple[int, int]:
    """Return what changes when the provider or its processors change."""
    processor = getattr(provider, "_active_span_processor", None)
    return id(provider), id(getattr(processor, "_span_processors", None))


def tracer_of(provider: TracerProvider) -> trace.Tracer | None:
    """Return our tracer; None when the SDK is disabled (`OTEL_SDK_DISABLED`)."""
    try:
        release = version("theater-bus")
    except PackageNotFoundError:
        release = ""
    tracer = provider.get_tracer(SCOPE, release, SCHEMA_URL)
    return None if isinstance(tracer, NoOpTracer) else tracer


def pipeline(provider: TracerProvider) -> Pipeline | None:
    """Return how to defer spans for this provider; None when it must get ordinary SDK spans."""
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from theater_bus.telemetry.sampling import thresholds

    tracer = tracer_of(provider)
    if type(provider) is not sdk.TracerProvider or type(tracer) is not sdk.Tracer:
        return None
    processor = getattr(provider, "_active_span_processor", None)
    members = getattr(processor, "_span_processors", None)
    if type(processor) is not sdk.SynchronousMultiSpanProcessor or not isinstance(members, tuple):
        return None
    if any(type(each) is not BatchSpanProcessor for each in members):
        return None
    limits = getattr(tracer, "_span_limits", None)
    decided = thresholds(provider.sampler)
    enabled = getattr(tracer, "_is_enabled", None)
    if decided is None or not isinstance(limits, sdk.SpanLimits) or (callable(enabled) and not enabled()):
        return None
    random_ids = getattr(provider.id_generator, "is_trace_id_random", None)
    return Pipeline(
        thresholds=decided,
        ids=provider.id_generator,
        random_trace_ids=callable(random_ids) and bool(random_ids()),
        tracer=tracer,
        limits=limits,
        # Asked again each time: one may be added while records still wait.
        processors=partial(getattr, processor, "_span_processors"),
        force_flush=provider.force_flush,
    )
