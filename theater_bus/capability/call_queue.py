"""Calls of the actor's own exports, for capabilities that have more to say than the mailbox may hold.

Invariants: calls enter the mailbox in the order in which they were put, at most `most` of them wait or run there at a
time; a call that never ran (it waited too long, the mailbox was full) comes again and keeps its place; `then` is called
exactly once for a call that ran or never can, and never for one that was taken back or that the actor's end refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from heapq import heappop, heappush
from typing import Any

from theater_bus.capability.clock import Cancellable
from theater_bus.capability.context import Context
from theater_bus.errors import ActorError

__all__ = ["CallQueue", "QueuedCall"]

Then = Callable[[ActorError | None], None]


class QueuedCall:
    """One call: `function` and `params`, with the `headers` of what causes it. It waits outside of the mailbox, is in
    it (or runs), or is over.
    """

    __slots__ = ("_number", "_queue", "_take_back", "_then", "function", "headers", "is_over", "params")

    def __init__(
        self,
        queue: CallQueue,
        number: int,
        function: str,
        params: list[Any],
        then: Then | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        self._queue = queue
        self._number = number
        self._then = then
        self._take_back: Callable[[], bool] | None = None
        self.function = function
        self.params = params
        self.headers = headers
        self.is_over = False

    def __lt__(self, other: QueuedCall) -> bool:
        return self._number < other._number

    def take_back(self) -> bool:
        """Have it never run; False for one that runs or is over."""
        if self.is_over:
            return False
        if self._take_back is None:
            self.is_over = True
            return True
        self.is_over = True
        if self._take_back():
            return True
        self.is_over = False
        return False


class CallQueue:
    """Puts calls into the mailbox of its actor, a bounded number at a time.

    `again_s` is how long to wait with a call that was refused before it is tried again.
    """

    def __init__(self, context: Context, most: int, again_s: float = 1.0) -> None:
        self._context = context
        self._most = most
        self._again_s = again_s
        self._late: list[QueuedCall] = []
        self._sent = 0
        self._count = 0
        self._again: Cancellable | None = None
        self._closed = False

    def put(
        self,
        function: str,
        params: list[Any] | None = None,
        then: Then | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> QueuedCall:
        """Have the actor's `function` called. `then` gets what the call failed with, or None.

        `headers` are those of the message that causes the call; its trace links to theirs.
        """
        self._count += 1
        call = QueuedCall(self, self._count, function, list(params or ()), then, headers)
        call.is_over = self._closed
        if not self._closed:
            heappush(self._late, call)
            self._send()
        return call

    def close(self) -> None:
        """Call no more. For the end of the actor, which refuses what waits in its mailbox."""
        self._closed = True
        self._late.clear()
        if self._again is not None:
            self._again.cancel()

    def _send(self) -> None:
        while self._late and self._sent < self._most and not self._closed:
            call = self._late[0]
            if call.is_over:
                heappop(self._late)
                continue
            try:
                call._take_back = self._context.enqueue(
                    call.function, call.params, partial(self._ended, call), headers=call.headers
                )
            except ActorError as error:
                if error.code == "shutting-down":
                    self.close()
                elif error.code == "overloaded":
                    self._later()
                    return
                else:
                    heappop(self._late)
                    self._over(call, error)
            else:
                heappop(self._late)
                self._sent += 1

    def _later(self) -> None:
        """Try again after a while; calls of this queue that end earlier make room earlier."""
        if self._again is None:
            self._again = self._context.clock.call_later(self._again_s, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self._send()

    def _ended(self, call: QueuedCall, error: ActorError | None) -> None:
        """A call is over, was refused in the mailbox, or was taken out of it."""
        self._sent -= 1
        call._take_back = None
        if error is not None and error.code == "shutting-down":
            self.close()
        elif error is None or error.ran != "never":
            self._over(call, error)
        elif not call.is_over and not self._closed:
            heappush(self._late, call)
            self._later()
            return
        self._send()

    def _over(self, call: QueuedCall, error: ActorError | None) -> None:
        call.is_over = True
        if call._then is not None:
            call._then(error)
