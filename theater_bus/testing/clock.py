"""A clock that stands still until a test moves it.

    clock = FakeClock()
    timer = await start_harness(Timer, clock=clock)
    await timer.call("set-timeout", "tea", 180_000)
    await clock.advance(180)

A host takes it too: `running_host(Timer, clock=clock)`. Only what capabilities do by `context.clock` follows it; the
deadlines of operations, NATS and the event loop keep their own time.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from typing import Any, Final

__all__ = ["FakeClock"]

TURNS: Final = 10
"""How many turns of the loop what has been woken gets before time goes on."""


class _Due:
    """A call that waits for its moment; in the order of moments, then of asking."""

    __slots__ = ("args", "at_ns", "callback", "clock", "number")

    def __init__(
        self, clock: FakeClock, at_ns: int, number: int, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self.clock, self.at_ns, self.number, self.callback, self.args = clock, at_ns, number, callback, args

    def __lt__(self, other: _Due) -> bool:
        return (self.at_ns, self.number) < (other.at_ns, other.number)

    def cancel(self) -> None:
        """Let it not happen."""
        self.clock.forget(self)


class FakeClock:
    """A `TimeSource` at `unix_ns`, whose monotonic clock begins at `monotonic_ns`."""

    def __init__(self, unix_ns: int = 1_750_000_000_000_000_000, monotonic_ns: int = 1_000_000_000) -> None:
        self._ahead_ns = unix_ns - monotonic_ns
        self._monotonic_ns = monotonic_ns
        self._due: list[_Due] = []
        self._asked = 0

    def unix_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._monotonic_ns + self._ahead_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds that only `advance` adds to."""
        return self._monotonic_ns

    @property
    def waiting(self) -> int:
        """How many calls and sleeps wait for their moment."""
        return len(self._due)

    async def sleep(self, seconds: float) -> None:
        """Wait until time has been moved on that far."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            call.cancel()

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> _Due:
        """Have `callback(*args)` called when time has been moved on that far; in the next turn for zero and less."""
        self._asked += 1
        due = _Due(self, self._monotonic_ns + max(0, round(delay_s * 1e9)), self._asked, callback, args)
        insort(self._due, due)
        if delay_s <= 0:
            asyncio.get_running_loop().call_soon(self._fire, due)
        return due

    def forget(self, due: _Due) -> None:
        """Take a call out."""
        if due in self._due:
            self._due.remove(due)

    def set_unix(self, unix_ns: int) -> None:
        """Set the calendar clock, also back; what waits goes by the monotonic one and does not notice."""
        self._ahead_ns = unix_ns - self._monotonic_ns

    async def advance(self, seconds: float) -> None:
        """Move time on. What is due on the way happens at its moment, in order, and gets turns of the loop to run."""
        end_ns = self._monotonic_ns + round(seconds * 1e9)
        await self.settle()
        while self._due and self._due[0].at_ns <= end_ns:
            due = self._due[0]
            self._monotonic_ns = max(self._monotonic_ns, due.at_ns)
            self._fire(due)
            await self.settle()
        self._monotonic_ns = end_ns

    async def settle(self) -> None:
        """Give what runs on the loop its turns."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _fire(self, due: _Due) -> None:
        if due in self._due:
            self._due.remove(due)
            due.callback(*due.args)
