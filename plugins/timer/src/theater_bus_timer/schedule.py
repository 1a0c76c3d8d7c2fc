"""One timer of an actor, when it is due next, and what of it survives its host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import floor
from typing import Literal

from theater_bus.capability import Cancellable

__all__ = ["MOST_MS", "NAME_BYTES", "Missed", "Scheduled", "next_due", "read_snapshot", "write_snapshot"]

Missed = Literal["skip", "once", "delay"]

MOST_MS = 10 * 366 * 86_400_000
"""Ten years: a longer time is a mistake, such as nanoseconds."""
NAME_BYTES = 256


@dataclass(slots=True, eq=False)
class Scheduled:
    """A timer. `interval_ms` is None for a one-shot; `due` is in seconds of the monotonic clock.

    It is armed (`handle`), or late (it is due and waits for room in the mailbox), or its tick is in the mailbox or
    running (`take_back`), or its operation has not ended yet (none of these). One that is `over` never ticks again.
    """

    name: str
    interval_ms: int | None
    due: float
    handle: Cancellable | None = None
    take_back: Callable[[], bool] | None = None
    is_late: bool = False
    is_over: bool = False
    has_failed: bool = False

    def disarm(self) -> None:
        """Be called no more."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None


def next_due(due: float, interval_ms: int, now: float, missed: Missed) -> float:
    """When an interval is due after its tick of `due` is over, in seconds of the monotonic clock.

    `skip` keeps the rhythm and leaves out what was missed, `once` makes up for it with one tick at once, `delay` counts
    from now.
    """
    interval = interval_ms / 1000
    if missed == "delay":
        return now + interval
    following = due + interval
    if following > now:
        return following
    if missed == "once":
        return due + floor((now - due) / interval) * interval
    return due + (floor((now - due) / interval) + 1) * interval


def write_snapshot(timers: Iterable[Scheduled], now: float, unix_s: float) -> bytes | None:
    """The timers as JSON, with their due times as Unix milliseconds; None where there are none."""
    kept = [
        {"name": one.name, "interval_ms": one.interval_ms, "due_ms": round((unix_s + one.due - now) * 1000)}
        for one in timers
    ]
    return json.dumps(kept, separators=(",", ":")).encode() if kept else None


def read_snapshot(snapshot: bytes, now: float, unix_s: float) -> list[Scheduled]:
    """What `write_snapshot` wrote, the first due first. Raises `ValueError` for anything else."""
    try:
        found = [
            Scheduled(
                str(one["name"]),
                None if one["interval_ms"] is None else max(1, int(one["interval_ms"])),
                now + min(int(one["due_ms"]) / 1000 - unix_s, MOST_MS / 1000),
            )
            for one in json.loads(snapshot)
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no snapshot of timers: {error!r}") from error
    return sorted(found, key=lambda one: one.due)
