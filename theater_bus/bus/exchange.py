"""Requests to actors: sent again under the same key, and told apart when nobody answers.

Source: wire protocol, "Keys" (attempts) and "Errors" (`channel-closed` and `actor-not-found`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic

from theater_bus.bus.connection import Connection
from theater_bus.bus.deadline import TICKS_PER_S, TimerWheel
from theater_bus.bus.failure import BusFailure, as_error
from theater_bus.bus.message import Message, Outcome
from theater_bus.bus.request import RequestToken
from theater_bus.core.wire.deadline import attempt_ms
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import ActorError, ActorNotFound, ChannelClosed, ConnectionLost, LocalError

__all__ = ["Abort", "Encode", "Exchange"]

WHERE_S = 0.25
MIN_ATTEMPT_S = 0.05
SILENCE_S = 15.0
"""A receiver that sends parts is heard from every 5 s; one that is silent for three times as long may be gone."""
ABSENCE_S = 2.0
"""So long may nobody listen for an actor that was sent something before: its host comes back, or another takes over."""

Abort = Callable[[ActorError], None]
OnSent = Callable[[Abort], None]
Encode = Callable[[int], bytes]
"""The request's body for what is left of its time, in milliseconds."""


class Exchange:
    """Asks actors over one connection, in one namespace."""

    __slots__ = ("_attempts", "_connection", "_loop", "_stranded", "_subjects")

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._loop = asyncio.get_running_loop()
        self._stranded: set[_Call] | None = set()
        # A wheel, because a timer per request costs more than all else that is done for a request here.
        self._attempts: TimerWheel[_Call] = TimerWheel(self._loop, _Call.again)

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
        grace_s: float = 0.0,
        on_sent: OnSent | None = None,
        is_part: Callable[[Message], bool] | None = None,
    ) -> Message:
        """Send a request and wait for its reply. HOT.

        With `keyed` it is sent again until `timeout_s` have passed, also over a reconnect; the receiver knows repeats
        by their key. With `cancel`, giving up the wait cancels the operation at the actor. `grace_s` is how much longer
        than `timeout_s` to wait, for a receiver that answers at the deadline and knows what became of the request.
        `on_sent` gets what ends the wait with an error of the caller's. With `is_part` several messages may come: it is
        called with each, and the first for which it says False is the reply; a receiver that was heard from is asked
        again only when it then falls silent.

        Raises the `ActorError` that stands for no reply: `OperationTimeout`, `ActorNotFound`, `ChannelClosed`,
        `PermissionDenied`, `OutcomeUnknown`; and `TooLarge` or `Overloaded` for what cannot be sent.
        """
        call = _Call(self, subject, encode, timeout_s, grace_s, headers, is_part)
        try:
            call.send(self._attempts if keyed else None)
            if on_sent is not None:
                on_sent(call.abort)
            outcome = await call.future
        except asyncio.CancelledError:
            if cancel:
                self._give_up(actor, call.reply_subjects)
            raise
        except ConnectionLost as error:
            raise ChannelClosed(f"not connected, so nothing was sent: {error}", actor=actor) from error
        except ActorError as error:
            if call.aborted and cancel:
                self._give_up(actor, call.reply_subjects)
            error.actor = actor
            raise
        finally:
            call.close()
        if not isinstance(outcome, BusFailure):
            return outcome
        raise await self._failure(outcome, actor, call, timeout_s)

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

    def close(self) -> None:
        """Send nothing again: what waits for a connection ends now, the rest with its connection or its deadline."""
        stranded, self._stranded = self._stranded, None
        self._attempts.close()
        for call in stranded or ():
            call.settle(BusFailure.DISCONNECTED)

    async def _failure(self, outcome: BusFailure, actor: str, call: _Call, timeout_s: float) -> ActorError:
        if outcome is BusFailure.NO_RESPONDERS:
            failure = await self.absence(actor)
        else:
            failure = as_error(outcome, call.subject, timeout_s)
            failure.actor = actor
        if call.sent > 1:
            # An earlier attempt may have been executed by a host that is gone now.
            failure.ran = failure.details["ran"] = "unknown"
        return failure

    def _give_up(self, actor: str, replies: list[str]) -> None:
        for reply in replies:
            try:
                self._connection.publish(
                    self._subjects.control(actor, "cancel"), encode_request({"reply": reply}, reply="none")
                )
            except (LocalError, ActorError):
                return  # without a connection there is nobody to tell; the deadline ends it


class _Call:
    """One request and its repeats: several tokens, one outcome. All tokens end at the same deadline."""

    __slots__ = (
        "_absent_since",
        "_bucket",
        "_deadline",
        "_encode",
        "_exchange",
        "_grace_s",
        "_headers",
        "_heard_at",
        "_is_part",
        "_tokens",
        "_wheel",
        "aborted",
        "future",
        "sent",
        "subject",
    )

    def __init__(
        self,
        exchange: Exchange,
        subject: str,
        encode: Encode,
        timeout_s: float,
        grace_s: float,
        headers: Mapping[str, str] | None,
        is_part: Callable[[Message], bool] | None = None,
    ) -> None:
        self._exchange = exchange
        self._is_part = is_part
        self._heard_at = -inf
        self._encode = encode
        # Not loop.time(): uvloop's clock stands still during a turn, and the wheels of deadlines count in this one.
        self._deadline = monotonic() + timeout_s
        self._grace_s = grace_s
        self._headers = headers
        self._tokens: list[RequestToken] = []
        self._wheel: TimerWheel[_Call] | None = None
        self._bucket: set[_Call] | None = None
        self._absent_since: float | None = None
        self.future: asyncio.Future[Outcome] = exchange._loop.create_future()
        self.subject = subject
        self.sent = 0
        self.aborted = False

    @property
    def reply_subjects(self) -> list[str]:
        """Where replies to the attempts go."""
        return [token.reply_subject for token in self._tokens]

    def send(self, wheel: TimerWheel[_Call] | None) -> None:
        """Send the first attempt; with a wheel, `again` follows until there is an outcome. Raises when it cannot."""
        self._wheel = wheel
        self._send(self._deadline - monotonic())

    def again(self) -> None:
        """Send the same request again: nothing was heard for a while, or the connection was lost."""
        self._leave()
        if self.future.done():
            return
        now = monotonic()
        left_s = self._deadline - now
        quiet_s = self._heard_at + SILENCE_S - now
        if quiet_s > 0 and left_s > 0:
            assert self._wheel is not None
            self._bucket = self._wheel.add(self, min(quiet_s, left_s) + 1 / TICKS_PER_S)
            return
        if left_s <= 0:
            # Tokens that wait out their grace have the last word; without any, nothing can come any more.
            if not any(token.open for token in self._tokens):
                self.settle(BusFailure.TIMEOUT)
            return
        try:
            self._send(left_s)
        except ConnectionLost:
            self._strand(left_s)
        except (ActorError, LocalError) as error:
            self.future.set_exception(error)

    def settle(self, outcome: Outcome) -> None:
        """Take what became of an attempt; what may be over soon is no outcome for a request that may be sent again."""
        if self.future.done():
            return
        if self._is_part is not None and not isinstance(outcome, BusFailure) and self._is_part(outcome):
            self._heard_at = monotonic()
            return
        self._heard_at = -inf
        if isinstance(outcome, BusFailure) and self._wheel is not None and self._may_pass(outcome):
            left_s = self._deadline - monotonic()
            if left_s > 0 and self._exchange._stranded is not None:
                self._strand(left_s)
                return
        self.future.set_result(outcome)

    def _may_pass(self, failure: BusFailure) -> bool:
        if failure is BusFailure.DISCONNECTED:
            return True
        if failure is not BusFailure.NO_RESPONDERS or self.sent == 1:
            return False
        now = monotonic()
        if self._absent_since is None:
            self._absent_since = now
        return now - self._absent_since < ABSENCE_S

    def abort(self, error: ActorError) -> None:
        """End the wait with `error`, if it goes on."""
        if not self.future.done():
            self.aborted = True
            self.future.set_exception(error)

    def close(self) -> None:
        """Let go of everything."""
        for token in self._tokens:
            token.close()
        # A token knows its call. Left to the garbage collector, these circles cost a third of a call's time.
        self._tokens.clear()
        if self._bucket is not None:
            self._leave()

    def _send(self, left_s: float) -> None:
        left_ms = int(left_s * 1000) or 1
        self._tokens.append(
            self._exchange._connection.request(
                self.subject,
                self._encode(left_ms),
                timeout_s=left_s + self._grace_s,
                on_reply=self.settle,
                headers=self._headers,
                stream=self._is_part is not None,
            )
        )
        self.sent += 1
        if self._wheel is not None:
            attempt_s = max(MIN_ATTEMPT_S, attempt_ms(left_ms) / 1000)
            if attempt_s < left_s:
                self._bucket = self._wheel.add(self, attempt_s)

    def _strand(self, left_s: float) -> None:
        """Try again soon: there is no connection just now. A tick beyond the deadline, so that it is seen to pass."""
        self._leave()
        stranded = self._exchange._stranded
        assert self._wheel is not None
        assert stranded is not None
        stranded.add(self)
        self._bucket = self._wheel.add(self, min(MIN_ATTEMPT_S, left_s + 1 / TICKS_PER_S))

    def _leave(self) -> None:
        if self._bucket is not None:
            self._bucket.discard(self)
            self._bucket = None
        if self._exchange._stranded:
            self._exchange._stranded.discard(self)
