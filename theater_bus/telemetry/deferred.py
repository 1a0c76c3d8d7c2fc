"""Spans that cost the event loop only their ids and one record; the rest is made from the record off the loop.

An SDK span costs 20 µs on the loop, a record one or two. Sampling is decided once, by comparing numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from time import time_ns

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, get_current_span

from theater_bus.telemetry.deferred_record import RANDOM, DeferredAppend, DeferredCall, DeferredOperation, Record
from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.propagation import COMMON, FLAGS, TRACEPARENT, TRACESTATE, PassedOn, extract, inject
from theater_bus.telemetry.provider import Pipeline
from theater_bus.telemetry.sampling import MASK
from theater_bus.telemetry.spans import AppendTrace, CallTrace, Headers, OperationTrace

__all__ = ["DeferredTracing"]


class DeferredTracing:
    """Starts deferred spans for one provider; the sampling decision is one comparison. HOT."""

    def __init__(self, pipeline: Pipeline, keep: Callable[[Record], None]) -> None:
        self._keep = keep
        self._limits = pipeline.thresholds
        self._silent_root = pipeline.thresholds.never_at_root
        self._root_flags = 1 | (RANDOM if pipeline.random_trace_ids else 0)
        self._root_tail = f"-{self._root_flags:02x}"
        ids = pipeline.ids
        if type(ids) is RandomIdGenerator:
            bits = Random().getrandbits
            self._new_ids: Callable[[], int] = partial(bits, 192)
            self._new_span: Callable[[], int] = partial(bits, 64)
        else:
            self._new_ids = lambda: ids.generate_trace_id() << 64 | ids.generate_span_id()
            self._new_span = ids.generate_span_id

    def start_call(self, spec: FunctionSpec, actor: str, one_way: bool) -> CallTrace | None:
        """Start a caller's span below the current one."""
        parent = get_current_span().get_span_context()
        if parent.is_valid:
            return self._start_child_call(spec, actor, one_way, parent)
        ids = self._new_ids()
        root = self._limits.root
        if root <= MASK and (ids >> 64 & MASK) >= root:
            return self._unsampled_root(ids)
        text = f"{ids:048x}"
        return DeferredCall(self._keep, spec, actor, one_way, f"00-{text[:32]}-{text[32:]}{self._root_tail}", None)

    def _start_child_call(self, spec: FunctionSpec, actor: str, one_way: bool, parent: SpanContext) -> CallTrace | None:
        if (parent.trace_id & MASK) >= self._threshold(parent.is_remote, parent.trace_flags & 1):
            return PassedOn(inject(_unsampled(parent)))
        flags = 1 | parent.trace_flags & RANDOM
        traceparent = f"00-{parent.trace_id:032x}-{self._new_span():016x}-{flags:02x}"
        return DeferredCall(self._keep, spec, actor, one_way, traceparent, parent)

    def start_operation(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int, one_way: bool
    ) -> OperationTrace | None:
        """Start the host's span below the one that the headers name."""
        if one_way:
            return self._start_consumer(spec, headers, actor, start_ns)
        parent = headers.get(TRACEPARENT) if headers else None
        if parent is None or TRACESTATE in headers or COMMON(parent) is None:  # type: ignore[operator]
            return self._start_uncommon(spec, headers, actor, start_ns)
        bits = int(parent[53:], 16)
        threshold = self._limits.remote_sampled if bits & 1 else self._limits.remote_unsampled
        if threshold <= MASK and (not threshold or int(parent[19:35], 16) >= threshold):
            return None
        return DeferredOperation(self._keep, self._new_span, spec, actor, start_ns, parent)

    def start_append(
        self, actor: ActorAttributes, operations: Sequence[OperationTrace], segments: int, start_ns: int
    ) -> AppendTrace | None:
        """Start the span of one append."""
        links = tuple(operation.span_context for operation in operations)
        if not links or (links[0].trace_id & MASK) >= self._limits.local_sampled:
            return None
        return DeferredAppend(self._keep, actor, links, segments, self._new_span(), start_ns or time_ns())

    def unsampled_root(self) -> dict[str, str] | None:
        """Return headers that say "not sampled" for a trace that begins, and is not recorded, here."""
        call = self._unsampled_root(self._new_ids())
        return None if call is None else call.headers

    def _start_uncommon(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int
    ) -> DeferredOperation | None:
        parent = extract(headers)
        if parent is None:
            return self._start_root(spec, actor, start_ns)
        if (parent.trace_id & MASK) >= self._threshold(True, parent.trace_flags & 1):
            return None
        traceparent = inject(parent)[TRACEPARENT]
        operation = DeferredOperation(self._keep, self._new_span, spec, actor, start_ns, traceparent)
        if parent.trace_state:
            operation.more().state = parent.trace_state
        return operation

    def _start_consumer(
        self, spec: FunctionSpec, headers: Headers | None, actor: ActorAttributes, start_ns: int
    ) -> DeferredOperation | None:
        operation = self._start_root(spec, actor, start_ns)
        if operation is not None:
            extra = operation.more()
            extra.one_way = True
            extra.link = extract(headers)
        return operation

    def _start_root(self, spec: FunctionSpec, actor: ActorAttributes, start_ns: int) -> DeferredOperation | None:
        ids = self._new_ids()
        if (ids >> 64 & MASK) >= self._limits.root:
            return None
        # The low half of the ids is spare here: the operation draws its span id itself.
        root = f"00-{ids >> 64:032x}-{0:016x}{self._root_tail}"
        return DeferredOperation(self._keep, self._new_span, spec, actor, start_ns, root)

    def _threshold(self, remote: bool, sampled: int) -> int:
        limits = self._limits
        if remote:
            return limits.remote_sampled if sampled else limits.remote_unsampled
        return limits.local_sampled if sampled else limits.local_unsampled

    def _unsampled_root(self, ids: int) -> PassedOn | None:
        if self._silent_root:
            return None
        text = f"{ids:048x}"
        return PassedOn({TRACEPARENT: f"00-{text[:32]}-{text[32:]}-{self._root_flags & ~1:02x}"})


def _unsampled(parent: SpanContext) -> SpanContext:
    flags = FLAGS[parent.trace_flags & RANDOM]
    return SpanContext(parent.trace_id, parent.span_id, parent.is_remote, flags, parent.trace_state)
