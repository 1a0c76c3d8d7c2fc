"""The longest turn of the event loop while something else happens: what every other actor waits for at most."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

EVERY_S = 0.002


class Turns:
    """`async with Turns() as turns: …; turns.longest_s`: CPU seconds of the loop's thread, so that a busy machine does
    not count. Measured by what the thread used between two looks of a task that looks every 2 ms.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(EVERY_S)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - before)
            before = now
