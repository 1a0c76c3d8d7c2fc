"""Tracing without an SDK: nothing is recorded, and a context that is there travels on."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.trace import get_current_span

from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.propagation import PassedOn, inject
from theater_bus.telemetry.spans import AppendTrace, CallTrace, Headers, OperationTrace

__all__ = ["PassingTracing"]


class PassingTracing:
    """What the API's own no-ops do."""

    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool) -> CallTrace | None:
        """Pass the current context on, if there is one."""
        current = get_current_span().get_span_context()
        return PassedOn(inject(current)) if current.is_valid else None

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool
    ) -> OperationTrace | None:
        """Record nothing."""
        return None

    def start_append(
        self, actor: ActorAttributes, operations: Sequence[OperationTrace], segments: int, start_ns: int
    ) -> AppendTrace | None:
        """Record nothing."""
        return None

    def unsampled_root(self) -> dict[str, str] | None:
        """Return nothing: no trace begins here."""
        return None
