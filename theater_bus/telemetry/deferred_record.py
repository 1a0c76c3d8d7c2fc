"""The records of deferred spans: a call, an operation, a host call, an append, as it lies in the buffer.

The objects that client and host hold *are* the records: each is handed to the buffer when it ends, and
`theater_bus.telemetry.readable` builds the spans from its fields. Trace ids are kept as the 32 hexadecimal digits in
which they travel, because most operations only pass them on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from time import time_ns
from typing import Protocol

from opentelemetry.trace import Span, SpanContext, TraceFlags, TraceState

from theater_bus.telemetry.assembly import span_context
from theater_bus.telemetry.function import ActorAttributes, FunctionSpec
from theater_bus.telemetry.live_span import LiveSpan
from theater_bus.telemetry.propagation import FLAGS, TRACEPARENT, TRACESTATE, activate_span, inject, with_span
from theater_bus.telemetry.spans import HostCallOutcome

__all__ = ["RANDOM", "DeferredAppend", "DeferredCall", "DeferredHostCall", "DeferredOperation", "Record"]

RANDOM = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)
"""The flag that says that a trace id is random (W3C Trace Context level 2), with SDKs that know it."""


class Record(Protocol):
    """What lies in the buffer. `spans` is how many spans will be made from it."""

    @property
    def spans(self) -> int:
        """How many spans this is."""


class DeferredCall:
    """The CLIENT (or PRODUCER) span of a call."""

    __slots__ = ("actor", "code", "end_ns", "headers", "keep", "one_way", "parent", "spec", "start_ns", "traceparent")
    spans = 1
    code: str | None

    def __init__(
        self,
        keep: Callable[[Record], None],
        spec: FunctionSpec,
        actor: str,
        one_way: bool,
        traceparent: str,
        parent: SpanContext | None,
    ) -> None:
        self.keep = keep
        self.spec = spec
        self.actor = actor
        self.one_way = one_way
        self.traceparent = traceparent
        self.parent = parent
        self.headers: dict[str, str] | None = {TRACEPARENT: traceparent}
        if parent is not None and parent.trace_state:
            self.headers[TRACESTATE] = parent.trace_state.to_header()
        self.end_ns = 0
        self.start_ns = time_ns()

    @property
    def span_context(self) -> SpanContext:
        """The call's own span context; its trace state is handed down from the parent."""
        text, parent = self.traceparent, self.parent
        state = None if parent is None else parent.trace_state
        return span_context(int(text[3:35], 16), int(text[36:52], 16), False, FLAGS[int(text[53:], 16)], state)

    def end(self, code: str | None, end_ns: int = 0) -> None:
        """End the span and keep its record."""
        if not self.end_ns:
            self.code = code
            self.end_ns = end_ns or time_ns()
            self.keep(self)


class Extra:
    """What few operations have; made when one has it."""

    __slots__ = ("context", "link", "live", "one_way", "state")

    def __init__(self) -> None:
        self.state: TraceState | None = None
        self.one_way = False
        self.link: SpanContext | None = None
        self.live: LiveSpan | None = None
        self.context: Context | None = None


class DeferredOperation:
    """The SERVER (or CONSUMER) span of an operation, with its queue and guest spans."""

    __slots__ = (
        *("actor", "chain_seq", "code", "end_ns", "extra", "guest_end_ns", "guest_span", "guest_start_ns"),
        *("happened", "keep", "new_span", "queue_end_ns", "queue_start_ns", "span", "spec", "start_ns", "traceparent"),
    )
    chain_seq: int | None
    code: str | None
    guest_span: int
    happened: tuple[int, int, int] | None
    """Slices, when it was promoted, when it was cancelled; None for a guest that ran through. Set with the guest."""
    queue_end_ns: int

    def __init__(
        self,
        keep: Callable[[Record], None],
        new_span: Callable[[], int],
        spec: FunctionSpec,
        actor: ActorAttributes,
        start_ns: int,
        traceparent: str,
    ) -> None:
        """`traceparent` names the parent; for a root its span id is zero."""
        self.keep = keep
        self.new_span = new_span
        self.spec = spec
        self.actor = actor
        self.start_ns = start_ns
        self.span = new_span()
        self.traceparent = traceparent
        self.queue_start_ns = self.guest_start_ns = self.guest_end_ns = self.end_ns = 0
        self.extra: Extra | None = None

    def more(self) -> Extra:
        """What few operations have."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    @property
    def spans(self) -> int:
        """The operation's own span, and those of its wait and its guest."""
        return 1 + bool(self.queue_start_ns) + bool(self.guest_start_ns)

    @property
    def trace_id(self) -> bytes:
        """16 bytes."""
        return bytes.fromhex(self.traceparent[3:35])

    @property
    def span_id(self) -> bytes:
        """8 bytes."""
        return self.span.to_bytes(8, "big")

    def queue(self, start_ns: int, end_ns: int) -> None:
        """Note the wait."""
        self.queue_start_ns = start_ns
        self.queue_end_ns = end_ns

    def begin_guest(self, start_ns: int) -> None:
        """Note the guest's start; its span id is needed by its host calls."""
        self.guest_start_ns = start_ns
        self.guest_span = self.new_span()
        self.happened = None

    def end_guest(self, end_ns: int, slices: int = 1, promoted_ns: int = 0, cancelled_ns: int = 0) -> None:
        """Note the guest's end and what happened to it."""
        self.guest_end_ns = end_ns
        if slices != 1 or promoted_ns or cancelled_ns:
            self.happened = (slices, promoted_ns, cancelled_ns)

    def host_call(self, interface: str, function: str, external: bool = False, start_ns: int = 0) -> DeferredHostCall:
        """Start a host call below the guest."""
        return DeferredHostCall(self, interface, function, external, start_ns or time_ns())

    def headers(self) -> dict[str, str]:
        """Return the headers of a message that the operation itself causes."""
        return inject(self.span_context)

    def context(self) -> Context:
        """Return the operation's context, the same one each time."""
        extra = self.more()
        if extra.context is None:
            extra.live = LiveSpan(self.span_context)
            extra.live.recording = not self.end_ns
            extra.context = with_span(copy_context(), extra.live)
        return extra.context

    def end(self, code: str | None, chain_seq: int | None = None, end_ns: int = 0) -> None:
        """End the span and keep its record."""
        if self.end_ns:
            return
        self.code = code
        self.chain_seq = chain_seq
        self.end_ns = end_ns or time_ns()
        if self.extra is not None and self.extra.live is not None:
            self.extra.live.recording = False
        self.keep(self)

    @property
    def span_context(self) -> SpanContext:
        """The operation's own span context."""
        return self.context_of(self.span)

    def context_of(self, span: int) -> SpanContext:
        """Return the context of one of this trace's spans made here."""
        text, state = self.traceparent, None if self.extra is None else self.extra.state
        flags = FLAGS[1 | int(text[53:], 16) & RANDOM]
        return span_context(int(text[3:35], 16), span, False, flags, state)


class DeferredHostCall:
    """The span of one host call."""

    __slots__ = (
        "end_ns",
        "error_type",
        "external",
        "function",
        "interface",
        "live",
        "operation",
        "outcome",
        "own_span",
        "start_ns",
    )
    spans = 1
    error_type: str | None
    outcome: str

    def __init__(
        self, operation: DeferredOperation, interface: str, function: str, external: bool, start_ns: int
    ) -> None:
        self.operation = operation
        self.interface = interface
        self.function = function
        self.external = external
        self.own_span = operation.new_span()
        self.start_ns = start_ns
        self.end_ns = 0
        self.live: LiveSpan | None = None

    @property
    def trace_id(self) -> bytes:
        """16 bytes."""
        return self.operation.trace_id

    @property
    def span_id(self) -> bytes:
        """8 bytes."""
        return self.own_span.to_bytes(8, "big")

    @property
    def span(self) -> Span:
        """The span that a capability may add to."""
        if self.live is None:
            self.live = LiveSpan(self.operation.context_of(self.own_span))
            self.live.recording = not self.end_ns
        return self.live

    def headers(self) -> dict[str, str]:
        """Return the headers of a nested call."""
        return inject(self.operation.context_of(self.own_span))

    def context(self) -> Context:
        """Return a context of this call's own, copied from the operation's."""
        return with_span(self.operation.context().copy(), self.span)

    def activate(self) -> None:
        """Make this the current span of the running context."""
        activate_span(self.span)

    def end(self, outcome: HostCallOutcome, error_type: str | None = None, end_ns: int = 0) -> None:
        """End the span and keep its record."""
        if self.end_ns:
            return
        self.outcome = outcome
        self.error_type = error_type
        self.end_ns = end_ns or time_ns()
        if self.live is not None:
            self.live.recording = False
        self.operation.keep(self)


class DeferredAppend:
    """The span of one append: below the batch's first sampled operation, linked to all of them."""

    __slots__ = ("actor", "end_ns", "error_type", "flags", "keep", "links", "segments", "span", "start_ns")
    spans = 1
    error_type: str | None

    def __init__(
        self,
        keep: Callable[[Record], None],
        actor: ActorAttributes,
        links: tuple[SpanContext, ...],
        segments: int,
        span: int,
        start_ns: int,
    ) -> None:
        self.keep = keep
        self.actor = actor
        self.links = links
        self.segments = segments
        self.span = span
        self.flags = 1 | links[0].trace_flags & RANDOM
        self.start_ns = start_ns
        self.end_ns = 0

    def end(self, error_type: str | None = None, end_ns: int = 0) -> None:
        """End the span and keep its record."""
        if not self.end_ns:
            self.error_type = error_type
            self.end_ns = end_ns or time_ns()
            self.keep(self)
