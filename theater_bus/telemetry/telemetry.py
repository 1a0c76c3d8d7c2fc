"""The one object through which a process part reports: traces, metrics, log events."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Literal, Self

from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.metrics import FunctionMeter
from theater_bus.telemetry.spans import CallTrace, Headers, HostCallOutcome, HostCallTrace, OperationTrace

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["Level", "Telemetry"]

Level = Literal["off", "metrics", "traces"]


class Telemetry:
    """Traces, metrics and log events of one client or host; implements `core.instrumentation.Instrumentation`."""

    def __init__(
        self,
        *,
        level: Level = "traces",
        tracer_provider: TracerProvider | None = None,
        metric_exporters: Collection[Any] = (),
        actors: Collection[str] = (),
        host_id: str = "",
        strict: bool = False,
    ) -> None:
        self.level: Level = level
        self.host_id = host_id

    @classmethod
    def silent(cls) -> Self:
        """Return one that records nothing and costs nothing."""
        return cls(level="off")

    def function_spec(self, function: str, namespace: str, known: bool = True, actor: str = "") -> FunctionSpec:
        """Return the (cached) spec of a function; `actor` matters only for those listed in `actors`."""
        return FunctionSpec(function, namespace, known, FunctionMeter())

    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool = False) -> CallTrace | None:
        """Start the caller's span; None when there is nothing to record or to propagate."""
        return None

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool = False
    ) -> OperationTrace | None:
        """Start the host's span of a sampled operation; None when it is not sampled."""
        return None

    def untraced_headers(self, incoming: Headers | None) -> dict[str, str] | None:
        """Return what a nested call carries for an operation whose `start_operation` gave None."""
        return None

    def untraced_context(self, incoming: Headers | None) -> Context:
        """Return the context in which an untraced operation's coroutines run."""
        return copy_context()

    def observe_operation(
        self, spec: FunctionSpec, code: str | None, queue_ns: int, guest_ns: int, total_ns: int
    ) -> None:
        """Count an operation of this host (on the event loop only)."""

    def observe_call(self, spec: FunctionSpec, code: str | None, total_ns: int) -> None:
        """Count a call made by this client (on the event loop only)."""

    def observe_host_call(self, interface: str, function: str, outcome: HostCallOutcome, total_ns: int) -> None:
        """Count a host call (on the event loop only)."""

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """Add to a registered counter or up-down counter."""

    def record(self, name: str, value: float, **attributes: str) -> None:
        """Record a value in a registered histogram."""

    def register_gauge(self, name: str, read: Callable[[], float], **attributes: str) -> None:
        """Read a registered gauge by callback whenever metrics are exported."""

    def event(self, name: str, **fields: object) -> None:
        """Emit a registered log event."""

    def guest_log(
        self, actor: ActorAttributes, level: str, text: str, trace: OperationTrace | HostCallTrace | None = None
    ) -> None:
        """Log a line that a guest wrote, rate-limited per actor."""

    def prometheus(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return ""

    async def start(self) -> None:
        """Start the loop-lag probe and the metric exporters."""

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Hand everything recorded so far to the exporters; False when that took longer than allowed."""
        return True

    async def close(self, timeout_s: float = 5.0) -> None:
        """Flush and stop, within the time allowed."""
