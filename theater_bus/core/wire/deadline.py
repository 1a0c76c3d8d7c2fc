"""Arithmetic of budgets: what is left of a request's time, here and for the calls nested in it.

All times are integer milliseconds; `now_ms` and `sent_ms` are unix time, budgets are durations.
Source: wire protocol, "Requests and replies" (`timeout_ms`, `sent_ms`), "Nested calls" and "Keys".
"""

from __future__ import annotations

from typing import NamedTuple

from theater_bus.errors import OperationTimeout

__all__ = ["DEFAULT_TIMEOUT_MS", "NESTED_MARGIN_MS", "SKEW_MS", "Budget", "attempt_ms", "nested_ms", "remaining"]

DEFAULT_TIMEOUT_MS = 30_000
SKEW_MS = 60_000
"""Beyond this difference the clocks disagree and `sent_ms` says nothing."""
NESTED_MARGIN_MS = 5
"""Kept back from a nested call's budget, to answer the caller in time."""
_ATTEMPT_MS = 1_000


class Budget(NamedTuple):
    """Milliseconds left for a request; `skewed` says that its `sent_ms` was ignored (count it)."""

    left_ms: int
    skewed: bool


def remaining(timeout_ms: int | None, sent_ms: int | None, now_ms: int, default_ms: int = DEFAULT_TIMEOUT_MS) -> Budget:
    """What is left of a request's budget on arrival. Raises `OperationTimeout`, `ran: never`, when nothing is."""
    budget = default_ms if timeout_ms is None else timeout_ms
    travelled = 0 if sent_ms is None else now_ms - sent_ms
    skewed = abs(travelled) > SKEW_MS
    left = budget if skewed else budget - max(travelled, 0)
    if left <= 0:
        raise OperationTimeout(
            f"the request expired before it arrived: {budget} ms allowed, sent {max(travelled, 0)} ms ago",
            ran="never",
            limit_ms=budget,
        )
    return Budget(left, skewed)


def nested_ms(own_ms: int | None, left_ms: int) -> int:
    """The budget of a nested call: its own, but no more than what its operation has left less a margin, at least 0."""
    rest = max(left_ms - NESTED_MARGIN_MS, 0)
    return rest if own_ms is None else min(own_ms, rest)


def attempt_ms(left_ms: int) -> int:
    """How long a client with a key waits before it sends the same request again; at least 1."""
    return max(min(_ATTEMPT_MS, left_ms // 4), 1)
