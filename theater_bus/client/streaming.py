"""A call that reports on its way: its parts as they come, then its result.

Invariants: parts come in the order of their numbers, each at most once, whatever was sent again meanwhile; what ends
the call ends the iteration. Source: wire protocol, "Requests and replies" (`stream`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from theater_bus.core.wire.response import Reply, ReplyKind, decode_reply
from theater_bus.errors import ActorError

if TYPE_CHECKING:
    from theater_bus.bus import Message

__all__ = ["CallStream"]

_Call = Callable[[Callable[["Message"], bool]], Coroutine[Any, Any, Reply]]


class CallStream:
    """The parts and the result of one call. Made by `ActorHandle.stream_function`; the call is made by `async with`."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._parts: asyncio.Queue[Any] = asyncio.Queue()
        self._last = -1
        self._task: asyncio.Task[Reply] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._call(self._is_part), name="theater-bus stream")
        self._task.add_done_callback(lambda _: self._parts.put_nowait(_END))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._running()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # whoever left early does not want to know it

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self._running()
        part = await self._parts.get()
        if part is not _END:
            return part
        self._parts.put_nowait(_END)
        self._running().result()
        raise StopAsyncIteration

    async def result(self) -> Any:
        """What the function returned, as a plain value; parts that were not read are dropped."""
        return (await asyncio.shield(self._running())).value

    def _running(self) -> asyncio.Task[Reply]:
        if self._task is None:
            raise RuntimeError("the call has not been made. Fix: `async with handle.stream_function(…) as stream:`")
        return self._task

    def _is_part(self, message: Message) -> bool:
        try:
            reply = decode_reply(message.data, message.headers)
        except ActorError:
            return False  # the one who waits for the reply reads it, and raises
        if reply.part is None:
            return False
        if reply.part > self._last:
            self._last = reply.part
            if reply.kind is not ReplyKind.VOID:
                self._parts.put_nowait(reply.value)
        return True


_END: Any = object()
