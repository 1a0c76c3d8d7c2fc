"""What the client and the host see of a trace: one object per call, per operation, per host call.

Three implementations stand behind these protocols: deferred spans (ids and one record on the loop, the rest off it),
ordinary SDK spans (custom samplers and processors), and plain propagation. Who holds one never needs to know which.

All times are unix time in nanoseconds (`time.time_ns()`). A time of 0 means "now" for an end, and "did not happen" for
an optional moment. No method raises or blocks; every `end` may be called more than once, the first call counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

__all__ = ["AppendTrace", "CallTrace", "Headers", "HostCallOutcome", "HostCallTrace", "OperationTrace"]

Headers = Mapping[str, str]
HostCallOutcome = Literal["returned", "raised", "queued", "dropped", "unknown"]


class CallTrace(Protocol):
    """The caller's side of one operation: the CLIENT span, or only the headers of a trace that is not recorded here."""

    @property
    def headers(self) -> dict[str, str] | None:
        """`traceparent` and perhaps `tracestate` for the request; None when there is nothing to say."""

    def end(self, code: str | None, end_ns: int = 0) -> None:
        """End with the error's code, None for success."""


class HostCallTrace(Protocol):
    """One host call of a guest: a child of the operation's guest span."""

    @property
    def trace_id(self) -> bytes:
        """16 bytes."""

    @property
    def span_id(self) -> bytes:
        """8 bytes."""

    @property
    def span(self) -> Span:
        """The OpenTelemetry span, for a capability that adds attributes or events of its own."""

    def headers(self) -> dict[str, str]:
        """What a nested call to another actor carries, so that it continues this trace."""

    def context(self) -> Context:
        """A context of this host call's own: spans made in it are its children, whatever else runs meanwhile."""

    def activate(self) -> None:
        """Make this the current span of the running context, which must be the operation's own: for coroutines."""

    def end(self, outcome: HostCallOutcome, error_type: str | None = None, end_ns: int = 0) -> None:
        """End with the recorded outcome; `error_type` is a code, `timeout` or an exception's class name."""


class OperationTrace(Protocol):
    """The host's side of one sampled operation: the SERVER span and what is below it."""

    @property
    def trace_id(self) -> bytes:
        """16 bytes, as they ride in the segment's unhashed map."""

    @property
    def span_id(self) -> bytes:
        """8 bytes, of the SERVER span."""

    @property
    def span_context(self) -> SpanContext:
        """The SERVER span's context, for links."""

    def queue(self, start_ns: int, end_ns: int) -> None:
        """The operation waited in the mailbox. Not called when it did not wait."""

    def begin_guest(self, start_ns: int) -> None:
        """The fiber is entered; host calls from here on are below the guest's span."""

    def end_guest(self, end_ns: int, slices: int = 1, promoted_ns: int = 0, cancelled_ns: int = 0) -> None:
        """The guest returned, trapped or was cut: how many slices it took, and when it was promoted or cancelled."""

    def host_call(self, interface: str, function: str, external: bool = False, start_ns: int = 0) -> HostCallTrace:
        """Start a host call; `external` ones (they leave the process) are CLIENT spans, the others INTERNAL."""

    def headers(self) -> dict[str, str]:
        """What a message that this operation causes carries, outside of any host call."""

    def context(self) -> Context:
        """The operation's own context, with its SERVER span as the current one."""

    def end(self, code: str | None, chain_seq: int | None = None, end_ns: int = 0) -> None:
        """End with the error's code (None for success) and the sequence of the operation's first chain event."""


class AppendTrace(Protocol):
    """The span of one append to the chain."""

    def end(self, error_type: str | None = None, end_ns: int = 0) -> None:
        """End when the append is acknowledged or refused."""
