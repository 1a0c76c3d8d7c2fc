"""The actors that wait for a request, so that a circle of calls fails at once instead of timing out.

Invariants: a path holds at most `MAX_PATH` ids, oldest first; an actor that is in the path is never entered again. Of a
circle that several operations make together, one and the same call fails, whoever finds it.
Source: wire protocol, "Requests and replies" (`path`).
"""

from __future__ import annotations

from theater_bus.errors import CallCycle, Overloaded

__all__ = ["MAX_PATH", "check_cycle", "circle_of", "extend_path", "seen_from", "victim_of"]

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


def circle_of(path: tuple[str, ...], waiter: str, target: str) -> tuple[str, ...]:
    """The actors that wait for one another, when those of `path` wait for `waiter`, and `waiter` for `target`.

    Each waits for the next one, the last (`waiter`) for the first (`target`). Empty where they form no circle.
    """
    return (*path[path.index(target) :], waiter) if target in path else ()


def victim_of(circle: tuple[str, ...]) -> str:
    """Whose call fails so that the others go on: everybody who sees the circle decides alike."""
    return min(circle)


def seen_from(circle: tuple[str, ...], member: str) -> tuple[str, ...]:
    """The path by which `member` sees the circle: beginning with the one that it waits for, without itself."""
    at = circle.index(member)
    return circle[at + 1 :] + circle[:at]
