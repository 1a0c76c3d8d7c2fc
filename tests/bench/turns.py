"""The longest turn of the event loop while something else happens: what every other actor waits for at most."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

EVERY_S = 0.002


class Turns:
    """`async with Turns() as turns: …; turns.longest_s`: measured by how late a task wakes up that sleeps 2 ms."""

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
        while True:
            before = time.perf_counter()
            await asyncio.sleep(EVERY_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - before - EVERY_S)
