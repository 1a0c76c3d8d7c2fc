"""Code around operations and host calls, and the judges of requests. Composed once when a host starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "Authorizer",
    "Decision",
    "HostCall",
    "HostCallMiddleware",
    "OperationInfo",
    "OperationMiddleware",
    "Proof",
    "Request",
]

Proof = Literal["subject", "actor", "host", "none"]


@dataclass(frozen=True, slots=True)
class Request:
    """What an authoriser judges: who asks whom for what, and how sure the host is of the name."""

    namespace: str
    actor: str
    function: str
    caller: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not; `reason` is told to the caller."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """One operation as middleware sees it. `params` is the CGRF parameter tuple that enters the guest."""

    namespace: str
    actor: str
    function: str
    caller: str
    proof: Proof
    params: bytes


@dataclass(frozen=True, slots=True)
class HostCall:
    """One host call as middleware sees it, of a guest of either kind.

    `input` is CGRF: a single argument as it is, none or several as a tuple.
    """

    actor: str
    interface: str
    function: str
    input: bytes


class _Wrap(Protocol):
    async def __call__(self, context: OperationInfo, proceed: Callable[[], Awaitable[bytes]]) -> bytes: ...


class _WrapCall(Protocol):
    async def __call__(self, context: HostCall, proceed: Callable[[], Awaitable[bytes]]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class OperationMiddleware:
    """`await wrap(info, proceed)` runs around every operation: quotas, audit, chaos.

    `proceed()` runs the guest and gives the value it answered (canonical CGRF), or raises the `ActorError` that the
    operation ends with. `wrap` returns that value unchanged, or raises an `ActorError` of its own: before `proceed`
    the operation never ran, after it nothing is rolled back any more, so only refuse before. Lower `order` is further
    outside.
    """

    order: int
    wrap: _Wrap


@dataclass(frozen=True, slots=True)
class HostCallMiddleware:
    """`await wrap(call, proceed)` runs around every host call: policy, mocks, replay.

    `proceed()` calls the capability and gives the bytes for the guest. What `wrap` returns is what the guest sees and
    what is recorded. Lower `order` is further outside.
    """

    order: int
    wrap: _WrapCall


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A judge of requests: `await decide(request)` gives a `Decision`, or None for no opinion.

    One refusal refuses; one that raises or is late (250 ms) refuses; when nobody has an opinion the host's
    `authorize_default` holds. Answers are kept for `cache_ttl_ms` per (actor, function, caller, proof).
    """

    cache_ttl_ms: int
    decide: Callable[[Request], Awaitable[Decision | None]]
    name: str = ""
