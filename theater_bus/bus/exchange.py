"""Requests to actors: sent again under the same key, and told apart when nobody answers.

Source: wire protocol, "Keys" (attempts) and "Errors" (`channel-closed` and `actor-not-found`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from theater_bus.bus.connection import Connection
from theater_bus.bus.failure import BusFailure, as_error
from theater_bus.bus.message import Message, Outcome
from theater_bus.bus.request import RequestToken
from theater_bus.core.wire.deadline import attempt_ms
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import (
    ActorError,
    ActorNotFound,
    ChannelClosed,
    ConnectionLost,
    LocalError,
)

__all__ = ["Exchange"]

WHERE_S = 0.25
MIN_ATTEMPT_S = 0.05

Encode = Callable[[int], bytes]
"""The request's body for what is left of its time, in milliseconds."""


class Exchange:
    """Asks actors over one connection, in one namespace."""

    __slots__ = ("_connection", "_loop", "_subjects")

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._loop = asyncio.get_running_loop()

    async def request(
        self,
        actor: str,
        subject: str,
        encode: Encode,
        timeout_s: float,
        *,
        keyed: bool = False,
        headers: Mapping[str, str] | None = None,
        cancel: bool = False,
    ) -> Message:
        """Send a request and wait for its reply.

        With `keyed` it is sent again until `timeout_s` have passed, also over a reconnect; the receiver knows repeats
        by their key. With `cancel`, giving up the wait cancels the operation at the actor. Raises the `ActorError`
        that stands for no reply: `OperationTimeout`, `ActorNotFound`, `ChannelClosed`, `PermissionDenied`,
        `OutcomeUnknown`.
        """
        call = _Call(self._connection, self._loop, subject, encode, timeout_s, keyed, headers)
        try:
            outcome = await call.run()
        except asyncio.CancelledError:
            if cancel:
                self._give_up(actor, call.reply_subjects)
            raise
        except ConnectionLost as error:
            raise ChannelClosed(f"not connected, so nothing was sent: {error}", actor=actor) from error
        finally:
            call.close()
        if not isinstance(outcome, BusFailure):
            return outcome
        if outcome is BusFailure.NO_RESPONDERS:
            raise await self.absence(actor)
        failure = as_error(outcome, subject, timeout_s)
        failure.actor = actor
        raise failure

    async def absence(self, actor: str) -> ActorError:
        """Why nobody answers for `actor`: it does not exist, or its host does not listen just now."""
        body = encode_request({"id": actor}, timeout_ms=round(WHERE_S * 1000))
        try:
            await self._connection.request_one(self._subjects.fleet("where"), body, timeout_s=WHERE_S)
        except (ActorError, LocalError):
            return ActorNotFound(
                "there is no such actor in namespace "
                f"{self._subjects.namespace!r}. Fix: check the id (`theater-bus ps`), or spawn it",
                actor=actor,
            )
        return ChannelClosed("the actor exists, but nobody listens for it just now. Fix: try again", actor=actor)

    def _give_up(self, actor: str, replies: list[str]) -> None:
        for reply in replies:
            try:
                self._connection.publish(
                    self._subjects.control(actor, "cancel"), encode_request({"reply": reply}, reply="none")
                )
            except (LocalError, ActorError):
                return  # without a connection there is nobody to tell; the deadline ends it


class _Call:
    """One request and its repeats: several tokens, one outcome."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_encode",
        "_future",
        "_headers",
        "_keyed",
        "_loop",
        "_subject",
        "_timer",
        "_tokens",
    )

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        subject: str,
        encode: Encode,
        timeout_s: float,
        keyed: bool,
        headers: Mapping[str, str] | None,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._subject = subject
        self._encode = encode
        self._deadline = loop.time() + timeout_s
        self._keyed = keyed
        self._headers = headers
        self._future: asyncio.Future[Outcome] = loop.create_future()
        self._tokens: list[RequestToken] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def reply_subjects(self) -> list[str]:
        """Where replies to the attempts go."""
        return [token.reply_subject for token in self._tokens]

    async def run(self) -> Outcome:
        """Send, and send again, until there is an outcome."""
        self._send()
        return await self._future

    def close(self) -> None:
        """Let go of everything."""
        for token in self._tokens:
            token.close()
        if self._timer is not None:
            self._timer.cancel()

    def _send(self) -> None:
        left_s = max(0.0, self._deadline - self._loop.time())
        left_ms = max(1, round(left_s * 1000))
        token = self._connection.request(
            self._subject, self._encode(left_ms), timeout_s=left_s, on_reply=self._settle, headers=self._headers
        )
        self._tokens.append(token)
        if self._keyed:
            attempt_s = max(MIN_ATTEMPT_S, attempt_ms(left_ms) / 1000)
            if attempt_s < left_s:
                self._timer = self._loop.call_later(attempt_s, self._again)

    def _again(self) -> None:
        self._timer = None
        if self._future.done():
            return
        if self._loop.time() >= self._deadline:
            self._settle(BusFailure.TIMEOUT)
            return
        try:
            self._send()
        except ConnectionLost:
            self._timer = self._loop.call_later(MIN_ATTEMPT_S, self._again)
        except (ActorError, LocalError) as error:
            self._future.set_exception(error)

    def _settle(self, outcome: Outcome) -> None:
        if self._future.done():
            return
        if outcome is BusFailure.DISCONNECTED and self._keyed and self._loop.time() < self._deadline:
            if self._timer is None:
                self._timer = self._loop.call_later(MIN_ATTEMPT_S, self._again)
            return
        if outcome is BusFailure.TIMEOUT and self._keyed and self._loop.time() < self._deadline:
            return  # an earlier attempt; the last one speaks
        self._future.set_result(outcome)
