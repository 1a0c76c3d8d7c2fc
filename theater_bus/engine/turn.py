"""How much guest work fits into one turn of the event loop, and the queue for what does not.

nats-py dispatches every message of a socket read without yielding, so calls made from there would all run before the
loop turns. After `turn_ms` of such calls further ones wait for the next turn, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theater_bus.engine.ticker import Ticker

__all__ = ["Turn"]


class Turn:
    """The inline allowance of one event loop.

    `until` is the time (`perf_counter_ns`) up to which calls run inline without asking; past it `renew` decides. Every
    turn begins without an allowance, so that the ticker is armed in each in which guests run. The window is half of
    `turn_ms`: the queue's work and one window may meet in one turn.
    While a guest's host call runs, `until` is in the past and `renew` says no: a call made from inside it is queued,
    never polled recursively.
    """

    __slots__ = ("_armed", "_draining", "_loop", "_nested", "_queue", "_ticker", "_window", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, window_ns: int, ticker: Ticker) -> None:
        self._loop = loop
        self._ticker = ticker
        self._window = window_ns
        self._queue: deque[Callable[[], None]] = deque()
        self._armed = False
        self._draining = False
        self.until = 0
        self._nested = 0

    def renew(self, now: int) -> bool:
        """Whether a call that finds `now` past `until` may still run in this turn."""
        if self._nested or self._armed or self._queue:
            return False
        self.until = now + self._window
        self.watch()
        return True

    def watch(self) -> None:
        """Arm the ticker until the loop has turned: a guest is going to be polled here."""
        if not self._armed:
            self._armed = True
            self._ticker.arm()
            self._loop.call_soon(self._turned)

    def expired(self) -> bool:
        """Whether work that goes on right now should leave the rest to the next turn."""
        now = perf_counter_ns()
        return now > self.until and not self.renew(now)

    def enter(self) -> int:
        """A host call begins: calls made from inside it are queued. Returns what `leave` needs."""
        allowance, self.until = self.until, 0
        self._nested += 1
        return allowance

    def leave(self, allowance: int) -> None:
        """The host call has returned."""
        self._nested -= 1
        self.until = allowance

    def queue(self, work: Callable[[], None]) -> None:
        """Run `work` in one of the next turns, first in, first out."""
        self._queue.append(work)
        if not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _turned(self) -> None:
        self._armed = False
        self.until = 0
        self._ticker.disarm()

    def _drain(self) -> None:
        end = perf_counter_ns() + self._window
        self.until = end
        if self._armed:
            self._ticker.arm()  # anew: what armed it may have been the turn before
        else:
            self.watch()
        queue = self._queue
        try:
            while queue:
                queue.popleft()()
                if perf_counter_ns() > end:
                    break
        finally:
            self._draining = bool(queue)
            if queue:
                self._loop.call_soon(self._drain)
