"""Starting a coroutine at once, on the stack of whoever needs its result, instead of in a task of its own.

Most host functions that are coroutines finish without waiting for anything; a task and a turn of the loop would cost
more than they do. So the first step is made by hand. `asyncio.current_task()` must still be right during that step
(timeouts, task groups and libraries bind to it), so a spare task, the *carrier*, is entered for it. A coroutine that
suspends stays with its carrier, which drives it to the end; one that finishes leaves the carrier for the next.

Source: `asyncio` documentation, "Extending", Task lifetime support.
"""

from __future__ import annotations

import asyncio
from asyncio import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

__all__ = ["Carriers", "Running"]


class _Driver:
    """Drives a started coroutine from inside its carrier, each step in the coroutine's own context."""

    __slots__ = ("_context", "_coroutine", "_first", "_throw")

    def __init__(self, coroutine: Coroutine[Any, Any, bytes], first: Any, context: Context) -> None:
        self._coroutine, self._first, self._context = coroutine, first, context
        self._throw: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        self._throw = error

    def __await__(self) -> Generator[Any, Any, bytes]:
        run, coroutine, yielded, error = self._context.run, self._coroutine, self._first, self._throw
        try:
            if error is not None:
                yielded = run(coroutine.throw, error)
            while True:
                try:
                    value = yield yielded
                except GeneratorExit:
                    run(coroutine.close)
                    raise
                except BaseException as thrown:  # noqa: BLE001 - whatever the task throws belongs to the coroutine
                    yielded = run(coroutine.throw, thrown)
                else:
                    yielded = run(coroutine.send, value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class Running:
    """A coroutine that suspended. `done(self)` is called once, on the loop, when it has ended."""

    __slots__ = ("task",)

    def __init__(self, task: asyncio.Task[bytes]) -> None:
        self.task = task

    def cancel(self) -> None:
        """Cancel it as a task is cancelled."""
        self.task.cancel()


class _Carrier:
    __slots__ = ("driver", "gate", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gate: asyncio.Future[None] = loop.create_future()
        self.driver: _Driver | None = None
        self.task: asyncio.Task[bytes] = loop.create_task(self._carry(), name="theater-bus host call")

    async def _carry(self) -> bytes:
        try:
            await self.gate
        except asyncio.CancelledError as error:
            if self.driver is None:
                raise
            self.driver.interrupt(error)
        if self.driver is None:
            return b""
        return await self.driver


class Carriers:
    """Spare tasks of one loop for eager first steps. `close` ends the spare ones."""

    __slots__ = ("_loop", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._spare: _Carrier | None = None

    def start(
        self, coroutine: Coroutine[Any, Any, bytes], context: Context, done: Callable[[asyncio.Task[bytes]], None]
    ) -> bytes | Running:
        """Make the first step of `coroutine` in `context`.

        Returns its result, or raises what it raised, if that was all. Else returns what runs on; `done` is called
        with its task at the end.
        """
        carrier, self._spare = self._spare or _Carrier(self._loop), None
        task = carrier.task
        current = asyncio.current_task(self._loop)
        if current is not None:
            _leave_task(self._loop, current)
        _enter_task(self._loop, task)
        try:
            yielded = context.run(coroutine.send, None)
        except StopIteration as end:
            self._keep(carrier)
            return end.value  # type: ignore[no-any-return]
        except BaseException:
            self._keep(carrier)
            raise
        finally:
            _leave_task(self._loop, task)
            if current is not None:
                _enter_task(self._loop, current)
        carrier.driver = _Driver(coroutine, yielded, context)
        if not carrier.gate.done():
            carrier.gate.set_result(None)
        task.add_done_callback(done, context=context)
        return Running(task)

    def close(self) -> None:
        """End the spare carrier."""
        if self._spare is not None:
            spare, self._spare = self._spare, None
            if not spare.gate.done():
                spare.gate.set_result(None)

    def _keep(self, carrier: _Carrier) -> None:
        """Keep the carrier unless the coroutine cancelled it or one is kept already (steps may nest)."""
        if self._spare is None and not carrier.task.cancelling() and not carrier.task.done():
            self._spare = carrier
        elif not carrier.gate.done():
            carrier.gate.set_result(None)
