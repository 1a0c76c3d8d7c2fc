"""Code of plugins, awaited with a bound that holds whatever that code does.

`asyncio.timeout` cancels and then waits for as long as the code likes: one `except CancelledError` would hold up the
end of an actor, and of its host, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["PluginFailed", "bounded"]

T = TypeVar("T")

GRACE_S = 1.0
"""What cancelled code has for its clean-up before it is left to itself."""


class PluginFailed(Exception):
    """Code of a plugin ended in what is no `Exception`: it cancelled itself, called `sys.exit`, or worse."""


async def bounded(run: Callable[[], Awaitable[T]], bound_s: float) -> T:
    """What `run()` gives. Raises what it raises, `PluginFailed`, and `TimeoutError` when it is late.

    Late code is cancelled, and left alone when it is not over a second later. So it is when the caller is cancelled.
    """
    task = asyncio.ensure_future(_contained(run))
    try:
        await asyncio.wait({task}, timeout=bound_s)
    finally:
        if not task.done():
            await _give_up(task)
    if not task.done() or task.cancelled():
        raise TimeoutError(f"it did not end within {bound_s:g} s")
    return task.result()


async def _contained(run: Callable[[], Awaitable[T]]) -> T:
    try:
        return await run()
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise PluginFailed(f"{type(error).__name__}: {error}") from error


async def _give_up(task: asyncio.Future[T]) -> None:
    task.cancel()
    task.add_done_callback(_retrieve)
    await asyncio.wait({task}, timeout=GRACE_S)


def _retrieve(task: asyncio.Future[T]) -> None:
    if not task.cancelled():
        task.exception()
