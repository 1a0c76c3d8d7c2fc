"""Who is restarted with whom, how often, and after how long. Nothing here waits or knows a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from theater_bus.capability import FailurePolicy, RestartPolicy

__all__ = ["TRIGGERS", "Strategy", "Trigger", "affected", "delays", "intensity"]

Strategy = Literal["none", "one-for-one", "one-for-all", "rest-for-one"]
Trigger = Literal["failed", "always"]

TRIGGERS: Final[dict[str, frozenset[str]]] = {
    "failed": frozenset({"failed"}),
    "always": frozenset({"failed", "exited", "shutdown", "terminated"}),
}
"""Which ends are answered by a restart, by setting."""
_UNBOUNDED: Final = 1_000_000


def affected(strategy: Strategy, order: Sequence[str], failed: str) -> list[str]:
    """The children that begin anew when `failed` has ended, in the order of their birth; `order` holds all of them."""
    if strategy == "none":
        return []
    if strategy == "one-for-all":
        return list(order)
    if strategy == "rest-for-one":
        return list(order[order.index(failed) :])
    return [failed]


def intensity(max_restarts: int, window_s: int) -> RestartPolicy:
    """How many restarts all children together may have: one more within the window, and the supervisor gives up."""
    return RestartPolicy(FailurePolicy("restart", max_restarts, window_s, 0))


def delays(window_s: int, backoff_ms: int) -> RestartPolicy:
    """How long one child waits for each further restart within the window; it never gives up."""
    return RestartPolicy(FailurePolicy("restart", _UNBOUNDED, window_s, backoff_ms))
