"""From messages to calls of the actor: a bounded number in its mailbox, a bounded number behind that, the rest dropped.

Invariants: messages of one subscription are handled in the order in which they came; what does not fit, in number or in
bytes, is counted and reported, and costs nobody else anything; a message that wants a reply can be answered once, while
it is among the newest that do.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import Any

from theater_bus import ActorError
from theater_bus.capability import BusMessage, CallQueue, Context, QueuedCall

__all__ = ["HANDLE", "Inbound", "shown"]

HANDLE = "theater:bus/nats-client.handle-message"


class Inbound:
    """The messages of an actor's subscriptions."""

    def __init__(self, context: Context, waiting: int, pending: int, pending_bytes: int) -> None:
        self._context = context
        self._pending = pending
        self._pending_bytes = pending_bytes
        self._most = waiting + pending
        self._queue = CallQueue(context, waiting)
        self._replies: OrderedDict[str, BusMessage] = OrderedDict()
        self._calls: dict[int, tuple[str, QueuedCall | None]] = {}
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._last_id = 0
        self._dropping = False
        self.dropped = 0

    def take(self, subscription: str, message: BusMessage) -> None:
        """Have a message handled, or drop it."""
        size = _size_of(message)
        if len(self._calls) >= self._most or (self._calls and self._bytes + size > self._pending_bytes):
            self._drop(subscription, len(self._calls) >= self._most)
            return
        id = self._next_id()
        self._sizes[id] = size
        self._bytes += size
        if message.reply:
            self._replies[str(id)] = replace(message, data=b"", headers={})
            while len(self._replies) > self._most:
                self._replies.popitem(last=False)
        self._calls[id] = (subscription, None)
        params = [shown(id, subscription, message.subject, message.headers, message.data, bool(message.reply))]
        call = self._queue.put(HANDLE, params, partial(self._handled, id), headers=message.headers)
        if id in self._calls:  # it is not over already, as one that can never run is
            self._calls[id] = (subscription, call)

    def forget(self, subscription: str) -> None:
        """Take back what waits for a subscription that has ended."""
        for id, (name, call) in list(self._calls.items()):
            if name == subscription and call is not None and call.take_back():
                self._let_go(id)
                self._replies.pop(str(id), None)

    def close(self) -> None:
        """The actor ends: nothing more is handled."""
        self._queue.close()

    def reply_to(self, id: str) -> BusMessage | None:
        """The message to answer, once."""
        return self._replies.pop(id, None)

    def restore_reply(self, id: str, message: BusMessage) -> None:
        """Let a message be answered after all: the operation that did came to nothing."""
        self._replies[id] = message

    def _handled(self, id: int, error: ActorError | None) -> None:
        subscription = self._let_go(id)
        if len(self._calls) <= self._most - self._pending:
            self._dropping = False
        if error is not None:
            self._replies.pop(str(id), None)
            self._context.report_failure(f"a message of {subscription!r} could not be handled: {error}")

    def _let_go(self, id: int) -> str:
        """A call is over, or never will be: the subscription that it was of."""
        self._bytes -= self._sizes.pop(id)
        return self._calls.pop(id)[0]

    def _drop(self, subscription: str, are_many: bool) -> None:
        self.dropped += 1
        if not self._dropping:
            self._dropping = True
            bound = f"pending = {self._pending}" if are_many else f"pending_bytes = {self._pending_bytes}"
            self._context.report_failure(f"messages of {subscription!r} are dropped: nats.{bound} wait already")

    def _next_id(self) -> int:
        """A number that a recovered actor does not give again."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id


def _size_of(message: BusMessage) -> int:
    headers = sum(len(name) + len(value) for name, value in message.headers.items())
    return len(message.subject) + headers + len(message.data)


def shown(id: object, subscription: str, subject: str, headers: Any, data: bytes, wants_reply: bool) -> dict[str, Any]:
    """A message as the actor gets it."""
    return {
        "id": str(id),
        "subscription": subscription,
        "subject": subject,
        "headers": [[name, value] for name, value in headers.items()],
        "data": data,
        "wants-reply": wants_reply,
    }
