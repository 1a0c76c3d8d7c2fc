"""Calls that actors make: to their own exports through the mailbox, and to other actors over NATS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from theater_bus.bus import BusFailure, Connection
from theater_bus.bus import Outcome as BusOutcome
from theater_bus.bus.exchange import Abort, Exchange
from theater_bus.core.wire.caller import HOST_SCOPE, Caller
from theater_bus.core.wire.callpath import check_cycle, extend_path
from theater_bus.core.wire.deadline import nested_ms
from theater_bus.core.wire.identity import is_name
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.response import decode_reply
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import (
    ActorError,
    ActorNotFound,
    ChannelClosed,
    ConnectionLost,
    GuestError,
    OperationTimeout,
    PermissionDenied,
    TooLarge,
)
from theater_bus.host.operation import Operation
from theater_bus.host.outbox import Send, ToActor, ToInbox, ToSubject
from theater_bus.host.waiting import Wait, Waiting

if TYPE_CHECKING:
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.actor import Actor
    from theater_bus.host.package import FunctionEntry
    from theater_bus.host.shared import Shared

__all__ = ["ActorCalls", "NestedCall", "OperationEnd", "OwnCall"]

log = logging.getLogger("theater_bus.host")

_UNMADE: Final = object()
REPLY_S = 5.0
MARGIN_BYTES = 1024
"""What headers and envelope of a send take at most."""
ENVELOPE_BYTES = 256
"""What a call of a capability takes in the mailbox beside its parameters."""


class OperationEnd:
    """An `Answer` for code of a capability: `then` gets what the operation failed with, or None.

    Before that, `answered` gets the plain value of an operation that worked.
    """

    __slots__ = ("_answered", "_then", "_value", "subject")

    def __init__(
        self, then: Callable[[ActorError | None], None] | None, answered: Callable[[Any], None] | None = None
    ) -> None:
        self._then = then
        self._answered = answered
        self._value: object = _UNMADE
        self.subject = ""

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Make the plain value while its size can still refuse the operation."""
        if self._answered is not None and outcome.ok:
            self._value = outcome.plain()

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        """Tell the capability. What it raises is logged: the operation is over whatever it does."""
        if error is None and outcome is not None and not outcome.ok:
            error = GuestError(outcome.text, function=entry.name)
        try:
            if error is None and self._answered is not None and outcome is not None:
                # One that joined a repeat comes too late for `prepare`.
                self._answered(outcome.plain() if self._value is _UNMADE else self._value)
            if self._then is not None:
                self._then(error)
        except Exception:
            log.exception("a capability failed at the end of %s", entry.name)


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call of an actor's own export by one of its capabilities. `key` makes repeats one, `headers` carry a trace."""

    capability: str
    function: str
    params: list[Any] | None
    then: Callable[[ActorError | None], None] | None = None
    answered: Callable[[Any], None] | None = None
    key: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class NestedCall:
    """A call that an actor makes while it serves an operation; `key` makes repeats one, `headers` carry the trace."""

    target: str
    function: str
    params: list[Any] | None
    timeout_ms: int | None
    key: str
    headers: Mapping[str, str] | None
    cgrf: bytes | None = None

    def encode(self, rest_ms: int, path: tuple[str, ...]) -> bytes:
        """The request with what is left of its time; with `cgrf` instead of `params` the answer is CGRF too."""
        if self.cgrf is None:
            return encode_request(self.params, timeout_ms=rest_ms, op=self.key, path=path)
        return encode_request(cgrf=self.cgrf, timeout_ms=rest_ms, op=self.key, reply="cgrf", path=path)


class ActorCalls:
    """One per host, over the connection that operations cannot delay."""

    def __init__(self, connection: Connection, subjects: Subjects, shared: Shared, peers: Mapping[str, str]) -> None:
        """`peers` are the peer functions that this host knows, each with its capability."""
        self._peers = peers
        self._connection = connection
        self._exchange = Exchange(connection, subjects)
        self._subjects = subjects
        self._shared = shared
        self.waiting = Waiting(connection, subjects)

    def enqueue(self, actor: Actor, call: OwnCall) -> Callable[[], bool]:
        """Queue a call of the actor's own export, as the host; gives what takes it back. Raises what refuses it."""
        entry = actor.type.own_function(call.function)
        services = actor.services
        now = time_ns()
        limit_ms = actor.type.manifest.limits.timeout_ms
        encoded = entry.codec.encode_params(call.params)
        op = Operation(
            actor,
            entry,
            encoded,
            None if call.then is None and call.answered is None else OperationEnd(call.then, call.answered),
            caller=call.capability,
            proof="host",
            scope=HOST_SCOPE,
            op=None if call.key is None else f"{call.capability}:{call.key}",
            deadline=services.loop.time() + limit_ms / 1000,
            arrival_ns=now,
            size_bytes=ENVELOPE_BYTES + len(encoded.nodes),
            headers=call.headers,
            trace=services.telemetry.start_operation(entry.spec, call.headers, actor.attributes, now, one_way=True),
        )
        if op.key is None or self._shared.admits(actor, op):
            self._submit(actor, op)
        return partial(actor.queue.take_back, op)

    @staticmethod
    def _submit(actor: Actor, op: Operation) -> None:
        try:
            actor.queue.submit_own(op)
        except ActorError:
            if op.key is not None and actor.window is not None:
                actor.window.abandon(*op.key)
            raise

    def check_peers(self, capability: str, function: str) -> None:
        """Refuse the peer function of another capability: it is reached by its own kind, and by clients."""
        owner = self._peers.get(function)
        if owner is not None and owner != capability:
            raise PermissionDenied(
                f"{function} is reached by the capability {owner!r} only. Fix: use {owner!r}, or call an export"
            )

    async def call_peer(self, actor: Actor, target: str, function: str, params: list[Any], timeout_ms: int) -> Any:
        """Call a capability of another actor in the name of this one, outside of any operation."""
        subject = self._subjects.ops(target, function, Caller(actor.identity.id, True))

        def encode(rest_ms: int) -> bytes:
            return encode_request(params, timeout_ms=rest_ms)

        message = await self._exchange.request(target, subject, encode, timeout_ms / 1000)
        return decode_reply(message.data, message.headers, target).value

    async def ask(self, target: str, query: str, timeout_ms: int) -> Any:
        """Ask about another actor on its info channel; answered also while it runs."""
        _check_id(target)

        def encode(rest_ms: int) -> bytes:
            return encode_request({}, timeout_ms=rest_ms)

        subject = self._subjects.info(target, query)
        message = await self._exchange.request(target, subject, encode, timeout_ms / 1000)
        return decode_reply(message.data, message.headers, target).value

    async def call(self, op: Operation, nested: NestedCall) -> Any:
        """Call another actor in the name of the one that serves `op`, within what is left of `op`; ends with it."""
        actor, target = op.actor, nested.target
        _check_id(target)
        path = extend_path(op.path, actor.identity.id)
        check_cycle(path, target)
        left_ms = int((op.deadline - actor.services.loop.time()) * 1000)
        budget_ms = nested_ms(nested.timeout_ms, left_ms)
        if budget_ms <= 0:
            raise OperationTimeout(f"no time is left to call {target}", ran="never", limit_ms=budget_ms)
        subject = self._subjects.ops(target, nested.function, Caller(actor.identity.id, True))

        def encode(rest_ms: int) -> bytes:
            return nested.encode(rest_ms, path)

        with self.waiting.scope(actor) as waits:

            def sent(abort: Abort) -> None:
                waits.append(Wait(target, abort))
                self.waiting.began(actor, waits[0])

            message = await self._exchange.request(
                target,
                subject,
                encode,
                budget_ms / 1000,
                keyed=True,
                headers=nested.headers,
                cancel=True,
                on_sent=sent,
            )
        return decode_reply(message.data, message.headers, target).value

    def to_actor(self, actor: str, function: str, params: list[Any] | None) -> ToActor:
        """A call to be sent later. Raises `FunctionNotFound`, `ActorNotFound` or `TooLarge` for what never can be."""
        _check_id(actor)
        subject = self._subjects.ops(actor, function)
        self._check_size(subject, len(encode_request(params)))
        return ToActor(actor, function, list(params or ()))

    def to_inbox(self, inbox: str, body: bytes, headers: Mapping[str, str] | None) -> ToInbox:
        """A message to be sent later. Raises `PermissionDenied` or `TooLarge` for what never can be."""
        if not self._shared.replies.allows(inbox):
            raise PermissionDenied(f"{inbox[:120]!r} is no inbox. Fix: a subject that begins with _INBOX")
        self._check_size(inbox, len(body) + _size_of(headers))
        return ToInbox(inbox, body, dict(headers or {}))

    def to_subject(self, subject: str, body: bytes, reply: str, headers: Mapping[str, str] | None) -> ToSubject:
        """A message to be sent later. Raises `TooLarge` for what never can be."""
        self._check_size(subject, len(body) + _size_of(headers))
        return ToSubject(subject, body, reply, dict(headers or {}))

    async def deliver(self, actor: Actor, send: Send, timeout_s: float) -> None:
        """Send what is queued, once; returns when the other side has taken it. Raises the `ActorError` of a failure."""
        delivery = send.delivery
        if isinstance(delivery, ToInbox):
            await self.reply(delivery)
            return
        if isinstance(delivery, ToSubject):
            await self._publish(delivery, send.headers)
            return
        subject = self._subjects.ops(delivery.actor, delivery.function, Caller(actor.identity.id, True))
        outbox = (actor.journal.writer.incarnation, send.number)

        def encode(rest_ms: int) -> bytes:
            return encode_request(delivery.params, timeout_ms=rest_ms, op=send.effect_key, reply="none", outbox=outbox)

        message = await self._exchange.request(
            delivery.actor, subject, encode, timeout_s, keyed=True, headers=send.headers
        )
        decode_reply(message.data, message.headers, delivery.actor)

    async def reply(self, message: ToInbox) -> None:
        """Publish to an inbox. Raises `ChannelClosed` when nobody listens there."""
        outcomes: list[BusOutcome] = []
        try:
            # The server says that nobody listens before it answers the flush behind it.
            token = self._connection.request(
                message.subject, message.body, timeout_s=REPLY_S, on_reply=outcomes.append, headers=message.headers
            )
            try:
                await self._connection.flush(REPLY_S)
            finally:
                token.close()
        except ConnectionLost as error:
            raise ChannelClosed(f"not connected: {error}") from error
        if outcomes and isinstance(outcomes[0], BusFailure):
            raise ChannelClosed(f"nobody listens at {message.subject}")

    async def _publish(self, message: ToSubject, trace: Mapping[str, str] | None) -> None:
        """Publish, and wait until the server has it. Raises `ChannelClosed`."""
        headers = {**message.headers, **(trace or {})}
        try:
            self._connection.publish(message.subject, message.body, message.reply, headers or None)
            await self._connection.flush(REPLY_S)
        except ConnectionLost as error:
            raise ChannelClosed(f"not connected: {error}") from error

    def _check_size(self, subject: str, size: int) -> None:
        limit = self._connection.max_payload - MARGIN_BYTES
        if size > limit:
            raise TooLarge(
                f"a message to {subject} would have {size} bytes, {limit} can be sent. Fix: send less, or raise the "
                "server's max_payload",
                size_bytes=size,
                limit_bytes=limit,
            )


def _size_of(headers: Mapping[str, str] | None) -> int:
    return sum(len(name.encode()) + len(value.encode()) + 4 for name, value in (headers or {}).items())


def _check_id(actor: str) -> None:
    if not is_name(actor):
        raise ActorNotFound(f"{actor[:80]!r} is no id of an actor. Fix: 1 to 64 of A-Z a-z 0-9 _ -", ran="never")
