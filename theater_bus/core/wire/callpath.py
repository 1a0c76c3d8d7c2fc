"""The actors that wait for a request, so that a circle of calls fails at once instead of timing out.

Invariants: a path holds at most `MAX_PATH` ids, oldest first; an actor that is in the path is never entered again.
Source: wire protocol, "Requests and replies" (`path`).
"""

from __future__ import annotations

from theater_bus.errors import CallCycle, Overloaded

__all__ = ["MAX_PATH", "check_cycle", "extend_path"]

MAX_PATH = 32
"""Actors that may wait for one request."""


def check_cycle(path: tuple[str, ...], receiver: str) -> None:
    """Raise `CallCycle`, with the whole circle, when `receiver` already waits for this request."""
    if receiver in path:
        circle = " → ".join((*path, receiver))
        raise CallCycle(f"actor {receiver!r} already waits for this request: {circle}", path=[*path, receiver])


def extend_path(path: tuple[str, ...], caller: str, limit: int = MAX_PATH) -> tuple[str, ...]:
    """The path of a nested call that `caller` makes while it serves a request with `path`.

    Raises `Overloaded`, `bound: call_depth`, when more than `limit` actors would wait.
    """
    if len(path) >= min(limit, MAX_PATH):
        raise Overloaded(
            f"{len(path) + 1} actors would wait for one call, the limit is {min(limit, MAX_PATH)}. "
            "Fix: send one way, or flatten the calls",
            bound="call_depth",
            limit=min(limit, MAX_PATH),
            path=[*path, caller],
        )
    return (*path, caller)
