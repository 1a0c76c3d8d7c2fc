"""Requests: one inbox for all of them, a counter for each, one timer wheel for their deadlines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count

from theater_bus.bus.deadline import TimerWheel
from theater_bus.bus.failure import BusFailure
from theater_bus.bus.message import Message, OnReply, Outcome

__all__ = ["ReplyMux", "RequestToken"]

log = logging.getLogger("theater_bus.bus")


class RequestToken:
    """A request on its way. It ends with its outcome, or by `close`; a stream ends by `close` or by a failure."""

    __slots__ = ("_bucket", "_mux", "_on_reply", "_stream", "reply_subject", "subject")

    def __init__(self, mux: ReplyMux, subject: str, reply_subject: str, on_reply: OnReply, stream: bool) -> None:
        self._mux = mux
        self._on_reply = on_reply
        self._stream = stream
        self._bucket: set[RequestToken] = _NOWHERE
        self.subject = subject
        self.reply_subject = reply_subject

    @property
    def open(self) -> bool:
        """Whether `on_reply` may still be called."""
        return self._mux.holds(self)

    def close(self) -> None:
        """Forget the request: `on_reply` is not called again, late replies are dropped. Closing twice is fine."""
        self._mux.forget(self)

    def extend(self, timeout_s: float) -> None:
        """Start the deadline of a stream anew, `timeout_s` from now (an inactivity limit)."""
        if self.open:
            self._bucket.discard(self)
            self._bucket = self._mux.wheel.add(self, timeout_s)


_NOWHERE: set[RequestToken] = set()


class ReplyMux:
    """The replies of one connection, told apart by the last token of their subject.

    Every request gets exactly one outcome (a stream: any number of messages, then at most one failure).
    """

    def __init__(self, base: str, loop: asyncio.AbstractEventLoop, on_late: Callable[[], None]) -> None:
        self.pattern = f"{base}.*"
        self.wheel: TimerWheel[RequestToken] = TimerWheel(loop, self._expired)
        self._prefix = f"{base}."
        self._numbers = count(1)
        self._pending: dict[str, RequestToken] = {}
        self._on_late = on_late
        self._idle: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def start(self, subject: str, on_reply: OnReply, timeout_s: float, stream: bool = False) -> RequestToken:
        """A new token, watched from now on."""
        reply_subject = f"{self._prefix}{next(self._numbers)}"
        token = RequestToken(self, subject, reply_subject, on_reply, stream)
        token._bucket = self.wheel.add(token, timeout_s)
        self._pending[reply_subject] = token
        return token

    def holds(self, token: RequestToken) -> bool:
        """Whether the token still waits."""
        return token.reply_subject in self._pending

    def forget(self, token: RequestToken) -> None:
        """Take the token out; nothing happens if it is out already."""
        if self._pending.pop(token.reply_subject, None) is not None:
            token._bucket.discard(token)
            if self._idle is not None and not self._pending:
                self._report_idle()

    def receive(self, message: Message) -> None:
        """The handler of the inbox subscription."""
        token = self._pending.get(message.subject)
        if token is None:
            self._on_late()
            return
        outcome: Outcome = message
        headers = message.headers
        if headers is not None and not message.data and headers.get("Status") == "503":
            outcome = BusFailure.NO_RESPONDERS
            self.forget(token)
        elif not token._stream:
            self.forget(token)
        token._on_reply(outcome)

    def fail(self, failure: BusFailure, subject: str | None = None) -> None:
        """End all requests with `failure`, or those to (or to be answered at) `subject`, given in lower case."""
        for token in list(self._pending.values()):
            if subject is None or subject in (token.subject.lower(), token.reply_subject.lower()):
                self._end(token, failure)

    async def idle(self) -> None:
        """Return when no request waits any more."""
        while self._pending:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)

    def close(self) -> None:
        """End everything that still waits, as disconnected."""
        self.fail(BusFailure.DISCONNECTED)
        self.wheel.close()

    def _expired(self, token: RequestToken) -> None:
        self._end(token, BusFailure.TIMEOUT)

    def _end(self, token: RequestToken, failure: BusFailure) -> None:
        self.forget(token)
        try:
            token._on_reply(failure)
        except (Exception, asyncio.CancelledError):
            # One caller's mistake must not keep the outcome from the others of the same tick.
            log.exception("the outcome of a request to %s could not be handed over", token.subject)

    def _report_idle(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._idle = None
