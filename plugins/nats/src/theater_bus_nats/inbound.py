"""From messages to calls of the actor: a bounded number in its mailbox, a bounded number behind that, the rest dropped.

Invariants: messages of one subscription are handled in the order in which they came; what does not fit is counted and
reported, and costs nobody else anything; a message that wants a reply can be answered once, while it is among the
newest that do.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from theater_bus import ActorError
from theater_bus.capability import BusMessage, Context

__all__ = ["HANDLE", "Inbound", "shown"]

HANDLE = "theater:bus/nats-client.handle-message"


class Inbound:
    """The messages of an actor's subscriptions."""

    def __init__(self, context: Context, waiting: int, pending: int) -> None:
        self._context = context
        self._waiting, self._pending = waiting, pending
        self._behind: deque[tuple[str, BusMessage]] = deque()
        self._replies: OrderedDict[str, BusMessage] = OrderedDict()
        self._calls: dict[int, tuple[str, Callable[[], bool]]] = {}
        self._last_id = 0
        self._dropping = False
        self.dropped = 0

    def take(self, subscription: str, message: BusMessage) -> None:
        """Have a message handled, or drop it."""
        if len(self._behind) >= self._pending:
            self.dropped += 1
            if not self._dropping:
                self._dropping = True
                self._context.report_failure(
                    f"messages of {subscription!r} are dropped: nats.pending = {self._pending} wait already"
                )
            return
        self._behind.append((subscription, message))
        self._send()

    def forget(self, subscription: str) -> None:
        """Take back what waits for a subscription that has ended."""
        self._behind = deque(one for one in self._behind if one[0] != subscription)
        for name, take_back in list(self._calls.values()):
            if name == subscription:
                take_back()

    def reply_to(self, id: str) -> BusMessage | None:
        """The message to answer, once."""
        return self._replies.pop(id, None)

    def restore_reply(self, id: str, message: BusMessage) -> None:
        """Let a message be answered after all: the operation that did came to nothing."""
        self._replies[id] = message

    def _send(self) -> None:
        while self._behind and len(self._calls) < self._waiting:
            subscription, message = self._behind[0]
            id = self._next_id()
            try:
                take_back = self._context.enqueue(
                    HANDLE,
                    [shown(id, subscription, message.subject, message.headers, message.data, bool(message.reply))],
                    partial(self._handled, id),
                    headers=message.headers,
                )
            except ActorError as error:
                if error.code == "overloaded" and self._calls:
                    return
                self._behind.popleft()
                self.dropped += 1
                self._context.report_failure(f"a message of {subscription!r} is dropped: {error}")
                continue
            self._behind.popleft()
            self._calls[id] = (subscription, take_back)
            if message.reply:
                self._replies[str(id)] = message
                while len(self._replies) > self._pending:
                    self._replies.popitem(last=False)
        if not self._behind:
            self._dropping = False

    def _handled(self, id: int, error: ActorError | None) -> None:
        subscription, _ = self._calls.pop(id, ("", None))
        if error is not None and error.code not in ("shutting-down", "cancelled"):
            self._replies.pop(str(id), None)
            self._context.report_failure(f"a message of {subscription!r} could not be handled: {error}")
        self._send()

    def _next_id(self) -> int:
        """A number that a recovered actor does not give again."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self._last_id


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
