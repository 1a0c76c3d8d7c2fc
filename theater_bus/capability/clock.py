"""The time as capabilities see it, so that a test can move it by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Cancellable", "SystemTime", "TimeSource"]


class Cancellable(Protocol):
    """A call that has been asked for, as `asyncio.TimerHandle` is."""

    def cancel(self) -> None:
        """Let it not happen; nothing where it has happened."""


class TimeSource(Protocol):
    """Clocks, and waiting by them: the host's, or one that a test moves (`theater_bus.testing.FakeClock`)."""

    def unix_ns(self) -> int:
        """Nanoseconds since 1970."""

    def monotonic_ns(self) -> int:
        """Nanoseconds by a clock that nobody sets; comparable within one run of the host."""

    async def sleep(self, seconds: float) -> None:
        """Come back after that long, by the monotonic clock. An event loop may come back up to a millisecond early."""

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Cancellable:
        """Have `callback(*args)` called on the event loop after `delay_s` seconds; at once for zero and less."""


class SystemTime:
    """The clocks of the system and of the running event loop."""

    def unix_ns(self) -> int:
        """See `TimeSource`."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """See `TimeSource`."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """See `TimeSource`."""
        await asyncio.sleep(seconds)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Cancellable:
        """See `TimeSource`."""
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)
