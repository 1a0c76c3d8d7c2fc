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
from typing import Any, Final

__all__ = ["Carriers", "Running"]

_NOTHING: Final = object()


class _Carrier(Coroutine[Any, Any, bytes]):
    """What a carrier task runs: first it waits for a coroutine, then it is that coroutine.

    Written as an object, not as an `async def`, because it must hand on a cancellation that arrives before the task's
    own first step.
    """

    __slots__ = ("_context", "_coroutine", "_first", "_gate", "_waiting", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gate: asyncio.Future[bytes] = loop.create_future()
        self._waiting = self._gate.__await__()
        self._coroutine: Coroutine[Any, Any, bytes] | None = None
        self._context: Context | None = None
        self._first: object = _NOTHING
        self.task: asyncio.Task[bytes] = loop.create_task(self, name="theater-bus host call")

    def carry(self, coroutine: Coroutine[Any, Any, bytes], first: object, context: Context) -> None:
        """Go on with a coroutine whose first step yielded `first`."""
        self._coroutine, self._first, self._context = coroutine, first, context
        self.release()

    def release(self) -> None:
        """Let the task go on; without a coroutine it ends."""
        if not self._gate.done():
            self._gate.set_result(b"")

    def send(self, value: Any) -> Any:
        """A step of the task."""
        if self._coroutine is None or self._context is None:
            return next(self._waiting)
        if self._first is not _NOTHING:
            first, self._first = self._first, _NOTHING
            return first
        return self._context.run(self._coroutine.send, value)

    def throw(self, error: Any, *_rest: Any) -> Any:
        """A step of the task that begins with an exception."""
        if self._coroutine is None or self._context is None:
            raise error
        self._first = _NOTHING
        return self._context.run(self._coroutine.throw, error)

    def close(self) -> None:
        """The task was abandoned together with its loop."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, bytes]:
        return self._gate.__await__()


class Running:
    """A coroutine that suspended and is driven by its task."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[bytes]) -> None:
        self._task = task

    def cancel(self) -> None:
        """Cancel it as a task is cancelled."""
        self._task.cancel()


class Carriers:
    """Spare tasks of one loop for eager first steps. `close` ends the spare one."""

    __slots__ = ("_loop", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._spare: _Carrier | None = None

    def start(
        self, coroutine: Coroutine[Any, Any, bytes], context: Context, done: Callable[[asyncio.Task[bytes]], None]
    ) -> bytes | Running:
        """Make the first step of `coroutine` in `context`.

        Returns its result, or raises what it raised, if that was all. Otherwise returns what runs on, and `done` is
        called with its task at the end.
        """
        carrier, self._spare = self._spare or _Carrier(self._loop), None
        task = carrier.task
        current = asyncio.current_task(self._loop)
        if current is not None:
            _leave_task(self._loop, current)
        _enter_task(self._loop, task)
        try:
            first = context.run(coroutine.send, None)
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
        carrier.carry(coroutine, first, context)
        task.add_done_callback(done)
        return Running(task)

    def close(self) -> None:
        """End the spare carrier."""
        if self._spare is not None:
            self._spare.release()
            self._spare = None

    def _keep(self, carrier: _Carrier) -> None:
        """Keep the carrier for the next, unless the coroutine cancelled it or one is kept already (steps may nest)."""
        if self._spare is None and not carrier.task.cancelling():
            self._spare = carrier
        else:
            carrier.release()
