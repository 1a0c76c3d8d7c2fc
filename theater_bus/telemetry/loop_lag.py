"""How late the event loop runs: a timer that measures itself."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter

__all__ = ["LoopLag"]


class LoopLag:
    """`read` returns the worst lateness, in seconds, within the last `remembered` intervals."""

    def __init__(self, interval_s: float = 0.5, remembered: int = 120) -> None:
        self._interval_s = interval_s
        self._seen: deque[float] = deque(maxlen=remembered)

    def read(self) -> float:
        """Return the worst of the last minute; several readers see the same."""
        return max(self._seen, default=0.0)

    async def tick(self) -> None:
        """Wait one interval and note how much longer it took."""
        started = perf_counter()
        await asyncio.sleep(self._interval_s)
        self._seen.append(max(0.0, perf_counter() - started - self._interval_s))
