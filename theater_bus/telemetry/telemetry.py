"""The one object through which a process part reports: traces, metrics, log events.

A client and a host each have one. It never raises because of what it was told (except in strict mode, which tests use),
never blocks the event loop, and drops with a counter what it cannot keep.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import Context, copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from theater_bus.core.wire.identity import is_name
from theater_bus.errors import ConfigurationError
from theater_bus.telemetry.definition import Registry, UnregisteredName
from theater_bus.telemetry.function import ActorAttributes, FunctionSpec, method_of
from theater_bus.telemetry.logs import GUEST_LOGGER, LOGGER, emit, severity
from theater_bus.telemetry.loop_lag import LoopLag
from theater_bus.telemetry.metric_export import MetricExport, in_thread
from theater_bus.telemetry.metrics import Accumulators, Snapshot
from theater_bus.telemetry.prometheus import prometheus_text
from theater_bus.telemetry.rate_limit import LogRateLimiter
from theater_bus.telemetry.registry import REGISTRY
from theater_bus.telemetry.spans import (
    AppendTrace,
    CallTrace,
    Headers,
    HostCallOutcome,
    HostCallTrace,
    OperationTrace,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Tracer, TracerProvider

    from theater_bus.telemetry.span_buffer import SpanBuffer

__all__ = ["LISTED_ACTORS_MAX", "Level", "Telemetry"]

Level = Literal["off", "metrics", "traces"]
LISTED_ACTORS_MAX = 200
FUNCTIONS_MAX = 4_096
_WARN_EVERY_S = 60.0


class _Tracing(Protocol):
    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool) -> CallTrace | None: ...

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool
    ) -> OperationTrace | None: ...

    def start_append(
        self, actor: ActorAttributes, operations: Sequence[OperationTrace], segments: int, start_ns: int
    ) -> AppendTrace | None: ...

    def unsampled_root(self) -> dict[str, str] | None: ...


class Telemetry:
    """Traces, metrics and log events of one client or host; implements `core.instrumentation.Instrumentation`.

    `level`: `off`, `metrics`, or `traces` (which includes metrics). `tracer_provider` None means the global one, also
    when that is set later. `metric_exporters` get every metric at `export_interval_s`. `actors` are the ids (at most
    200) that get metrics of their own. `strict` raises for names that are not in `registry`, instead of counting them.
    Raises `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        level: Level = "traces",
        tracer_provider: TracerProvider | None = None,
        metric_exporters: Collection[MetricExporter] = (),
        export_interval_s: float = 60.0,
        resource: Resource | None = None,
        actors: Collection[str] = (),
        host_id: str = "",
        registry: Registry = REGISTRY,
        strict: bool = False,
    ) -> None:
        if level not in ("off", "metrics", "traces"):
            raise ConfigurationError("telemetry.level", f"{level!r} is unknown", "write off, metrics or traces")
        if len(actors) > LISTED_ACTORS_MAX:
            raise ConfigurationError(
                "telemetry.actors", f"{len(actors)} are listed", f"list {LISTED_ACTORS_MAX} at most"
            )
        if wrong := [actor for actor in actors if not is_name(actor)]:
            raise ConfigurationError("telemetry.actors", f"{wrong[0]!r:.80} is no id of an actor", "list ids")
        self.level: Level = level
        self.host_id = host_id
        self.registry = registry.copy()
        self._plugins: set[str] = set()
        self._strict = strict
        self._quiet = False
        self._measures = level != "off"
        self._actors = frozenset(actors)
        self._accumulators = Accumulators(self.registry, self._count_dropped)
        self._specs: dict[tuple[str, str, bool, str], FunctionSpec] = {}
        self._refused: set[str] = set()
        self._warned_s: float | None = None
        self._limiter = LogRateLimiter()
        self._event_limiter = LogRateLimiter()
        self._lag = LoopLag()
        self._export = MetricExport(metric_exporters, self.snapshot, self._export_failed, resource)
        self._export_interval_s = export_interval_s
        self._tasks: list[asyncio.Task[None]] = []
        self._given_provider = tracer_provider
        self._owned_provider: TracerProvider | None = None
        self._seen_provider: tuple[int, int] | None = None
        self._tracing: _Tracing | None = None
        self._provider: TracerProvider | None = None
        self._buffers: list[SpanBuffer] = []
        if level == "traces":
            self.refresh()

    @classmethod
    def silent(cls) -> Self:
        """Return one that records nothing, logs nothing and costs nothing."""
        made = cls(level="off")
        made._quiet = True
        return made

    @classmethod
    def from_environment(
        cls,
        *,
        service_name: str,
        level: Level = "traces",
        actors: Collection[str] = (),
        host_id: str = "",
        registry: Registry = REGISTRY,
    ) -> Self:
        """Return one for a process of ours, configured by the standard `OTEL_*` variables.

        Nothing is exported unless `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` or an `OTEL_EXPORTER_OTLP_…ENDPOINT`
        asks for it. Raises `ConfigurationError` when an exporter is asked for that is not installed.
        """
        from theater_bus.telemetry.environment import configured

        setup = configured(service_name, level, host_id)
        made = cls(
            level=level,
            tracer_provider=setup.tracer_provider,
            metric_exporters=setup.metric_exporters,
            export_interval_s=setup.export_interval_s,
            resource=setup.resource,
            actors=actors,
            host_id=host_id,
            registry=registry,
        )
        made._owned_provider = setup.tracer_provider
        return made

    def register_plugin(self, plugin: str, definitions: Iterable[Any]) -> None:
        """Add what a plugin emits, under its own prefix; once for each plugin, however many hosts share this object.

        Raises `ConfigurationError` naming what is wrong; then nothing of the plugin is added.
        """
        if plugin not in self._plugins:
            self.registry.register_plugin(plugin, definitions)
            self._plugins.add(plugin)

    def listed(self, actor: str) -> str:
        """Return the id of an actor that gets metrics of its own, the empty text for any other."""
        return actor if actor in self._actors else ""

    def function_spec(self, function: str, namespace: str, known: bool = True, actor: str = "") -> FunctionSpec:
        """Return the spec of a function, cached; `actor` matters only for those listed in `actors`.

        Give `known=False` for a function that the actor's type does not have: it is then `_OTHER`.
        """
        listed = self.listed(actor)
        key = (function, namespace, known, listed)
        spec = self._specs.get(key)
        if spec is None:
            known = known and len(self._specs) < FUNCTIONS_MAX
            meter = self._accumulators.function(method_of(function, known), namespace, listed)
            spec = FunctionSpec(function, namespace, known, meter)
            if known:
                self._specs[key] = spec
        return spec

    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool = False) -> CallTrace | None:
        """Start the caller's span below the current one; None when there is nothing to record or to propagate. HOT.

        A `one_way` message is a PRODUCER span; end it when the message was sent.
        """
        tracing = self._tracing
        return None if tracing is None else tracing.start_call(spec, actor, one_way)

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool = False
    ) -> OperationTrace | None:
        """Start the host's span; None when the operation is not sampled, and then nothing more is done for it. HOT.

        `start_ns` is the unix time of arrival. A `one_way` message is a CONSUMER span in a trace of its own.
        """
        tracing = self._tracing
        return None if tracing is None else tracing.start_operation(spec, headers, actor, start_ns, one_way)

    def start_append(
        self, actor: ActorAttributes, operations: Sequence[OperationTrace], segments: int, start_ns: int = 0
    ) -> AppendTrace | None:
        """Start the span of one append that carries these sampled operations; None without any."""
        tracing = self._tracing
        return None if tracing is None else tracing.start_append(actor, operations, segments, start_ns)

    def tracer(self, name: str) -> Tracer:
        """Return a tracer for a plugin's own spans, of the provider that ours go to."""
        from opentelemetry.trace import NoOpTracer

        if self._provider is None or self._tracing is None:
            return NoOpTracer()
        return self._provider.get_tracer(name)

    def untraced_headers(self, incoming: Headers | None) -> dict[str, str] | None:
        """Return what a nested call carries for an operation whose `start_operation` gave None.

        The decision that was made once holds for everything it causes: the caller's context travels on unchanged, and
        a trace that began here says that it is not sampled.
        """
        if self._tracing is None:
            return None
        from theater_bus.telemetry.propagation import carry

        return carry(incoming) or self._tracing.unsampled_root()

    def untraced_context(self, incoming: Headers | None) -> Context:
        """Return the context in which an untraced operation's coroutines run, for the same reason."""
        context = copy_context()
        if self._tracing is not None:
            from opentelemetry.trace import NonRecordingSpan

            from theater_bus.telemetry.propagation import extract, with_span

            parent = extract(incoming) or extract(self._tracing.unsampled_root())
            if parent is not None:
                with_span(context, NonRecordingSpan(parent))
        return context

    def observe_operation(
        self, spec: FunctionSpec, code: str | None, queue_ns: int, guest_ns: int, total_ns: int
    ) -> None:
        """Count an operation of this host, on the event loop. HOT. Durations are of a monotonic clock, 0 for none."""
        if self._measures:
            spec.meter.observe_operation(code, queue_ns, guest_ns, total_ns)

    def observe_call(self, spec: FunctionSpec, code: str | None, total_ns: int) -> None:
        """Count a call made by this client, on the event loop. HOT."""
        if self._measures:
            spec.meter.observe_call(code, total_ns)

    def observe_host_call(self, interface: str, function: str, outcome: HostCallOutcome, total_ns: int) -> None:
        """Count a host call, on the event loop. HOT."""
        if self._measures:
            try:
                self._accumulators.observe_host_call(interface, function, outcome, total_ns)
            except UnregisteredName as error:
                self._refuse(error)

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """Add to a registered counter or up-down counter. Attributes by name, also without prefix: `reason="…"`."""
        if self._measures:
            try:
                self._accumulators.count(name, amount, attributes)
            except UnregisteredName as error:
                self._refuse(error)

    def record(self, name: str, value: float, **attributes: str) -> None:
        """Record a value in a registered histogram, in its unit."""
        if self._measures:
            try:
                self._accumulators.record(name, value, attributes)
            except UnregisteredName as error:
                self._refuse(error)

    def register_gauge(self, name: str, read: Callable[[], float], **attributes: str) -> None:
        """Read a registered gauge, or a counter kept elsewhere, by callback, on the event loop, at every export."""
        if self._measures:
            try:
                self._accumulators.gauge(name, read, attributes)
            except UnregisteredName as error:
                self._refuse(error)

    def event(self, name: str, **fields: object) -> None:
        """Emit a registered log event; trace, span and host are added where they are known."""
        if self._quiet:
            return
        try:
            definition = self.registry.log(name)
            for field in fields:
                if field not in definition.fields:
                    raise UnregisteredName(f"field of {name}", field)
        except UnregisteredName as error:
            self._refuse(error)
            return
        # What callers provoke must not fill a disk either: each event name has a bound of its own.
        if self._event_limiter.admit(name, monotonic()) is None:
            self._count_dropped("logs", 1)
            return
        self._site(fields, definition.fields)
        emit(LOGGER, severity(definition.level), name, fields)

    def guest_log(
        self, actor: ActorAttributes, level: str, text: str, trace: OperationTrace | HostCallTrace | None = None
    ) -> None:
        """Log a line that a guest wrote, as a record of its actor; rate-limited per actor, with a count."""
        if self._quiet:
            return
        dropped = self._limiter.admit(actor.id, monotonic())
        if dropped is None:
            self._count_dropped("guest-logs", 1)
            return
        fields: dict[str, object] = {
            "actor": actor.id,
            "namespace": actor.namespace,
            "text": text,
            "guest_level": level,
        }
        if dropped:
            fields["dropped"] = dropped
        if trace is not None:
            fields["trace_id"], fields["span_id"] = trace.trace_id.hex(), trace.span_id.hex()
        self._site(fields, ("host",))
        emit(GUEST_LOGGER, severity(level), "guest.log", fields)

    def snapshot(self) -> Snapshot:
        """Return all metrics as they are now."""
        return self._accumulators.snapshot()

    def prometheus(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return prometheus_text(self.snapshot())

    def refresh(self) -> None:
        """Look at the tracer provider again: it may have been set, or have got processors, since the last look.

        Called once a second after `start`; call it yourself when you configure tracing later than that allows.
        """
        from theater_bus.telemetry import provider as providers

        found = providers.current_provider(self._given_provider)
        seen = providers.fingerprint(found)
        if seen == self._seen_provider:
            return
        # Operations that began before keep their old buffer, which goes on delivering until `close`.
        self._seen_provider, self._provider = seen, found
        self._tracing = self._make_tracing(found)

    async def start(self) -> None:
        """Start the loop-lag probe and the metric exports. Awaited once, by the owner."""
        if self._tasks or not self._measures:
            return
        self.register_gauge("theater.event_loop.lag", self._lag.read)
        self._tasks.append(asyncio.create_task(self._probe(), name="theater-bus telemetry probe"))
        run = self._export.run(self._export_interval_s)
        self._tasks.append(asyncio.create_task(run, name="theater-bus metric export"))

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Hand everything recorded so far to the exporters; False when that failed or took longer than allowed."""
        steps: list[Callable[[], object]] = [partial(buffer.flush, timeout_s) for buffer in self._buffers]
        force_flush = getattr(self._provider, "force_flush", None)
        if not steps and force_flush is not None:
            steps.append(partial(force_flush, int(timeout_s * 1000)))
        results = [await self._export.export(timeout_s)]
        for step in steps:
            results.append(bool(await self._bounded(step, timeout_s)))
        return all(results)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Flush and stop, within the time allowed for each step. May be called more than once."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.flush(timeout_s)
        await self._export.shutdown(timeout_s)
        self._tracing = None
        for buffer in self._buffers:
            await self._bounded(buffer.close, timeout_s)
        self._buffers = []
        shutdown = getattr(self._owned_provider, "shutdown", None)
        if shutdown is not None:
            self._owned_provider = None
            await self._bounded(shutdown, timeout_s)

    async def _bounded(self, step: Callable[[], object], timeout_s: float) -> object:
        try:
            return await in_thread(step, timeout_s)
        except Exception as error:  # noqa: BLE001 - exporters are foreign code; told, never raised
            self._export_failed(f"{type(error).__name__}: {error}")
            return False

    def _make_tracing(self, provider: TracerProvider | None) -> _Tracing:
        from theater_bus.telemetry import provider as providers
        from theater_bus.telemetry.passing import PassingTracing

        tracer = None if provider is None else providers.tracer_of(provider)
        if provider is None or tracer is None:
            return PassingTracing()
        pipeline = providers.pipeline(provider)
        if pipeline is None:
            from theater_bus.telemetry.ordinary import OrdinaryTracing

            return OrdinaryTracing(tracer)
        from theater_bus.telemetry.deferred import DeferredTracing
        from theater_bus.telemetry.span_buffer import SpanBuffer

        buffer = SpanBuffer(pipeline, self._spans_dropped)
        self._buffers.append(buffer)
        return DeferredTracing(pipeline, buffer.keep)

    async def _probe(self) -> None:
        while True:
            await self._lag.tick()
            if self.level == "traces":
                self.refresh()

    def _site(self, fields: dict[str, object], allowed: Collection[str]) -> None:
        if self.host_id and "host" in allowed:
            fields.setdefault("host", self.host_id)
        if "trace_id" in allowed and "trace_id" not in fields and "opentelemetry.trace" in sys.modules:
            from opentelemetry.trace import get_current_span

            context = get_current_span().get_span_context()
            if context.is_valid:
                fields["trace_id"], fields["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def _refuse(self, error: UnregisteredName) -> None:
        if self._strict:
            raise error
        self._count_dropped("unregistered", 1)
        if error.name not in self._refused and len(self._refused) < FUNCTIONS_MAX:
            self._refused.add(error.name)
            self.event("telemetry.unregistered", reason=str(error))

    def _count_dropped(self, signal: str, amount: int) -> None:
        if self._measures:
            self._accumulators.count("theater.telemetry.dropped", amount, {"theater.telemetry.signal": signal})

    def _spans_dropped(self, amount: int, reason: str) -> None:
        self._count_dropped("spans", amount)
        now = monotonic()
        if self._warned_s is None or now - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now
            self.event("telemetry.dropped", count=amount, reason=reason)

    def _export_failed(self, reason: str) -> None:
        self._count_dropped("metrics", 1)
        self.event("telemetry.export_failed", error=reason)
