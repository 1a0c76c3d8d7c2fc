"""Queries and verbs: the envelope in, a handler's plain value out. One for info, control, host and fleet.

A handler gets the checked fields and returns its answer, a coroutine for it, or `SILENCE` to say nothing. What it
raises as an `ActorError` is the answer. Coroutines are awaited by tasks of the lane's owner, bounded in number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutine
from time import time
from typing import TYPE_CHECKING, Any, Final

from theater_bus.bus import Connection, Message
from theater_bus.core.wire.deadline import remaining
from theater_bus.core.wire.form import content_type_of
from theater_bus.core.wire.request import Request, decode_request
from theater_bus.core.wire.response import encode_value, encode_void
from theater_bus.core.wire.subjects import Channel
from theater_bus.core.wire.verbs import parse_fields
from theater_bus.errors import ActorError, Overloaded, SerializationError, TheaterError
from theater_bus.host.failure import unexpected
from theater_bus.host.reply import refuse

if TYPE_CHECKING:
    from theater_bus.host.shared import Shared

__all__ = ["SILENCE", "Fields", "Handler", "VerbLane"]

SILENCE: Final = object()
MAX_RUNNING = 256

Fields = dict[str, Any]
Handler = Callable[[Fields], Any]


class VerbLane:
    """Takes the messages of one channel of one actor or host."""

    __slots__ = ("_channel", "_connection", "_handlers", "_shared", "_tasks", "_who")

    def __init__(
        self,
        channel: Channel,
        who: str,
        handlers: Mapping[str, Handler],
        connection: Connection,
        shared: Shared,
    ) -> None:
        self._channel = channel
        self._who = who
        self._handlers = handlers
        self._connection = connection
        self._shared = shared
        self._tasks: set[asyncio.Task[None]] | None = None

    def receive(self, message: Message) -> None:
        """Answer the query or verb in `message`. Never raises."""
        shared = self._shared
        if message.reply and not shared.replies.allows(message.reply):
            shared.refused_reply(message.subject, message.reply)
            return
        request: Request | None = None
        try:
            headers = message.headers
            request = decode_request(message.data, content_type_of(headers), headers, shared.limits)
            self._check(request)
            verb = message.subject.rpartition(".")[2]
            fields = parse_fields(self._channel, verb, request.params)
            answer = self._handlers[verb]({**fields, "": request})
            if iscoroutine(answer):
                self._later(answer, message, request)
            else:
                self._answer(message, request, answer)
        except ActorError as error:
            self._refuse(message, request, error)
        except Exception as error:  # noqa: BLE001  a bug here must not end the connection's reader
            self._refuse(message, request, self._bug(message, error))

    def _check(self, request: Request) -> None:
        """Refuse what would have no effect here, and what expired on its way."""
        for key, given in (("cgrf", request.cgrf), ("op", request.op), ("outbox", request.outbox)):
            if given is not None:
                raise SerializationError(
                    f"{key!r} is for operations; {self._channel.value} takes its fields as 'params'. Fix: leave it out",
                    key=key,
                )
        if request.stream:
            raise SerializationError(
                f"'stream' is for operations; {self._channel.value} answers once. Fix: leave it out", key="stream"
            )
        if request.reply == "cgrf":
            raise SerializationError(
                f"{self._channel.value} answers with plain values only. Fix: leave 'reply' out", key="reply"
            )
        if remaining(request.timeout_ms, request.sent_ms, int(time() * 1000)).skewed:
            self._shared.telemetry.count("theater.requests.skewed")

    def _bug(self, message: Message, error: Exception) -> ActorError:
        verb = f"{self._channel.value}.{message.subject.rpartition('.')[2]}"
        return unexpected(self._shared.telemetry, self._who, verb, error)

    def _later(self, answer: Coroutine[Any, Any, Any], message: Message, request: Request) -> None:
        if self._tasks is None:
            self._tasks = set()
        if len(self._tasks) >= MAX_RUNNING:
            answer.close()
            raise Overloaded(
                f"{MAX_RUNNING} {self._channel.value} requests wait already", bound=f"{self._channel.value} requests"
            )
        task = self._shared.loop.create_task(self._wait(answer, message, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, answer: Coroutine[Any, Any, Any], message: Message, request: Request) -> None:
        try:
            self._answer(message, request, await answer)
        except ActorError as error:
            self._refuse(message, request, error)
        except Exception as error:  # noqa: BLE001  answered and logged
            self._refuse(message, request, self._bug(message, error))

    def _answer(self, message: Message, request: Request, value: Any) -> None:
        if message.reply and value is not SILENCE:
            if request.reply == "none":
                body, headers = encode_void(request.form, has_type=request.has_type)
            else:
                body, headers = encode_value(value, request.form, has_type=request.has_type)
            self._connection.publish(message.reply, body, headers=headers)

    def _refuse(self, message: Message, request: Request | None, error: ActorError) -> None:
        try:
            refuse(self._connection, message, error, request)
        except TheaterError as failure:
            self._shared.lost_reply(message.subject, failure)
