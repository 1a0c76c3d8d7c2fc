"""The threads in which long guests go on, one slice after another, taking turns."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import Protocol

from theater_bus.engine.ticker import Ticker

__all__ = ["Pool", "Slice"]


class Slice(Protocol):
    """Work of the pool."""

    def poll_slice(self) -> bool:
        """Run one slice in a pool thread. True: give me another turn. False: the loop goes on with me."""

    def after_slice(self) -> None:
        """Called on the loop after `poll_slice` said False."""


class Pool:
    """At most `size` threads, started when first needed. Waiting work takes turns slice by slice.

    Whoever is in the pool is owned by it: nobody else touches its store until `after_slice` runs on the loop.
    """

    __slots__ = ("_loop", "_queue", "_size", "_threads", "_ticker")

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int, ticker: Ticker) -> None:
        self._loop = loop
        self._size = size
        self._ticker = ticker
        self._queue: SimpleQueue[Slice | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Slice) -> None:
        """Hand `work` over; from the loop's thread only."""
        self._ticker.hold()
        self._queue.put(work)
        if len(self._threads) < self._size:
            thread = threading.Thread(target=self._run, name=f"theater-bus-guest-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End the threads and wait for them. No work may be left in the pool."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _run(self) -> None:
        queue = self._queue
        while True:
            work = queue.get()
            if work is None:
                return
            if work.poll_slice():
                queue.put(work)
                continue
            try:
                self._loop.call_soon_threadsafe(self._left, work)
            except RuntimeError:  # the loop was closed without closing the engine: nobody waits for the guest
                return

    def _left(self, work: Slice) -> None:
        self._ticker.release()
        work.after_slice()
