"""Children that ended begin anew, as the manifest's strategy says.

Invariants: restarts within the window never exceed `max_restarts`, the next one makes the supervisor give up; a child
that is being restarted has not ended for its parent; a group stops and starts as a whole, one group at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import random
from typing import Any

from theater_bus import ActorError
from theater_bus.capability import Context
from theater_bus_supervisor.record import Child
from theater_bus_supervisor.strategy import Strategy, affected, intensity

__all__ = ["Restarter"]

AT_ONCE = 16
"""Children that are stopped or started at a time: a thousand at once would keep the event loop from everybody else."""


class Restarter:
    """Restarts children in the background. `order` gives those that count, `begin` starts one again."""

    def __init__(
        self,
        context: Context,
        strategy: Strategy,
        bounds: tuple[int, int],
        order: Callable[[], list[Child]],
        begin: Callable[[Child], Awaitable[None]],
    ) -> None:
        self._context = context
        self._strategy = strategy
        self._bounds = bounds
        self._intensity = intensity(*bounds)
        self._order = order
        self._begin = begin
        self._group = asyncio.Lock()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def restart(self, child: Child) -> None:
        """Begin to restart a child that has ended, and those that the strategy restarts with it."""
        child.is_renewed = True
        one = self._strategy == "one-for-one"
        self._spawn(self._one(child) if one else self._with_others(child), f"restart {child.id}")

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._context.report_failure(f"{task.get_name()} failed: {task.exception()!r}")

    async def _one(self, child: Child) -> None:
        while await self._may(child):
            if await self._begun(child):
                return

    async def _with_others(self, child: Child) -> None:
        async with self._group:
            while child.is_renewed and await self._may(child):
                group = self._affected(child) or [child]
                for one in group:
                    one.is_renewed = True
                await asyncio.gather(*(self._stop(one) for one in reversed(group)))
                for one in group:
                    if not await self._begun(one):
                        break
                else:
                    return

    async def _may(self, child: Child) -> bool:
        """Count a restart and wait as long as the child has to; False when the supervisor gives up instead."""
        now = asyncio.get_running_loop().time()
        if self._intensity.decide(now).action.value != "restart":
            most, window_s = self._bounds
            self._context.children.give_up(
                f"{child.id} ended after {most} restarts of children within {window_s} s, as many as "
                "supervisor.max_restarts allows"
            )
            return False
        await asyncio.sleep(child.delays.decide(now, random()).delay_s)
        return True

    def _affected(self, child: Child) -> list[Child]:
        children = {one.id: one for one in self._order()}
        if child.id not in children:
            return []
        return [children[one] for one in affected(self._strategy, list(children), child.id)]

    async def _stop(self, child: Child) -> None:
        try:
            async with self._room:
                await self._context.children.stop(child.id)
        except ActorError:
            return  # it has ended already

    async def _begun(self, child: Child) -> bool:
        """Start a child again; False where that failed and is to be tried again."""
        try:
            async with self._room:
                await self._begin(child)
        except ActorError as error:
            if error.code == "shutting-down":
                return True
            self._context.report_failure(f"{child.id} could not be restarted: {error}")
            return False
        return True
