"""JetStream streams for others' messages: publish with acknowledgement, and durable consumers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo
from nats.js.errors import BadRequestError, NoStreamResponseError, NotFoundError

from theater_bus.bus.connection import Connection
from theater_bus.bus.jetstream import REQUEST_S, JetStream
from theater_bus.errors import ConfigurationError, TooLarge, Unavailable

__all__ = ["DurableConsumer", "StreamDelivery", "StreamPosition", "StreamPublisher"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MESSAGE_ID = "Nats-Msg-Id"
_HEADER_BYTES = 256


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where a published message is; `duplicate` when the stream had one of the same id already."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StreamDelivery:
    """A message of a stream as a consumer delivers it. `deliveries` counts from 1; `token` settles it.

    `time_us` is when the stream took it, in microseconds of Unix time, the same at every delivery.
    """

    subject: str
    data: bytes
    headers: Mapping[str, str]
    stream: str
    sequence: int
    deliveries: int
    token: str
    time_us: int


class StreamPublisher:
    """Publishes to whatever stream takes a subject."""

    def __init__(self, connection: Connection) -> None:
        self._jetstream = JetStream(connection)

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None, id: str = ""
    ) -> StreamPosition:
        """Publish and wait until a stream has it. With `id`, repeats within the stream's window are one message.

        Raises `TooLarge`, and `Unavailable` where no stream takes the subject, or the one that does refuses.
        """
        given = {**(headers or {}), **({_MESSAGE_ID: id} if id else {})}
        size = len(data) + _HEADER_BYTES + sum(len(name) + len(value) + 4 for name, value in given.items())
        limit = self._jetstream.connection.max_payload
        if size > limit:
            raise TooLarge(
                f"a message to {subject[:120]} has {size} bytes with its headers, the server accepts {limit}",
                size_bytes=size,
                limit_bytes=limit,
            )
        context = self._jetstream.context("stream")
        async with self._jetstream.translated(f"published to {subject[:120]}", "check the stream and the permissions"):
            try:
                kept = await context.publish(subject, data, headers=given or None)
            except NoStreamResponseError as error:
                raise Unavailable(
                    f"no stream takes messages to {subject[:120]}. "
                    "Fix: create one with that subject (`nats stream add`)"
                ) from error
        return StreamPosition(kept.stream, kept.seq, bool(kept.duplicate))


class DurableConsumer:
    """One durable pull consumer. Made by `open`; `close` lets go of it on this side, and leaves it on the server."""

    def __init__(self, connection: Connection, stream: str, durable: str) -> None:
        for what, name in (("stream", stream), ("durable", durable)):
            if _NAME.fullmatch(name) is None:
                raise ConfigurationError(what, f"{name[:80]!r} is not a name", "use 1 to 128 of A-Z a-z 0-9 _ -")
        self.stream, self.durable = stream, durable
        self.ack_wait_s = 30.0
        self.filters: tuple[str, ...] = ()
        self._connection = connection
        self._jetstream = JetStream(connection)
        self._pull: JetStreamContext.PullSubscription | None = None
        self._context: JetStreamContext | None = None

    async def open(self, filter_subject: str, max_ack_pending: int, check: Callable[[Sequence[str]], None]) -> None:
        """Find the consumer, or make it with this filter. Sets `filters` and `ack_wait_s` to what it has.

        `check` gets the subjects that it can deliver, before it is made, and refuses them by raising. Raises
        `Unavailable` where there is no such stream, or the consumer cannot be pulled with acknowledgements.
        """
        context = self._jetstream.context("stream")
        async with self._translated("found"):
            info = await self._find(context)
            if info is None:
                check([filter_subject] if filter_subject else await self._all_subjects(context))
                info = await self._make(context, filter_subject, max_ack_pending)
            config = info.config
            if config.deliver_subject or config.ack_policy != AckPolicy.EXPLICIT.value:
                raise Unavailable(
                    f"the consumer {self.durable} of {self.stream} cannot be pulled with explicit acknowledgements. "
                    "Fix: make it so, or choose another name"
                )
            found = config.filter_subjects or ([config.filter_subject] if config.filter_subject else [])
            self.filters = tuple(found or await self._all_subjects(context))
            check(self.filters)
            self.ack_wait_s = config.ack_wait or 30.0

    async def fetch(self, most: int, wait_s: float) -> list[StreamDelivery]:
        """The next messages, as soon as there is one; none after `wait_s`. Raises `Unavailable`."""
        async with self._translated("fetched", wait_s + REQUEST_S):
            pull = await self._bound()
            try:
                found = await pull.fetch(most, timeout=wait_s)
            except NatsTimeout:
                return []
        return [_delivery(message) for message in found]

    def ack(self, token: str) -> None:
        """It is done."""
        self._settle(token, b"+ACK")

    def nak(self, token: str, delay_ms: int = 0) -> None:
        """Deliver it again, not before `delay_ms`."""
        rest = b" " + json.dumps({"delay": delay_ms * 1_000_000}).encode() if delay_ms else b""
        self._settle(token, b"-NAK" + rest)

    def term(self, token: str) -> None:
        """Never deliver it again."""
        self._settle(token, b"+TERM")

    def working(self, token: str) -> None:
        """It takes longer: begin `ack_wait_s` anew."""
        self._settle(token, b"+WPI")

    async def close(self) -> None:
        """Stop listening. What was delivered and not settled is delivered again."""
        pull, self._pull = self._pull, None
        if pull is not None:
            # Where the server cannot be told, the subscription ends with the connection.
            with suppress(NatsError):
                await pull.unsubscribe()

    def _settle(self, token: str, verdict: bytes) -> None:
        self._connection.publish(token, verdict)

    async def _all_subjects(self, context: JetStreamContext) -> list[str]:
        """What a consumer without a filter delivers; what comes from other streams has any subject."""
        config = (await context.stream_info(self.stream)).config
        return [">"] if config.sources or config.mirror else list(config.subjects or [">"])

    async def _find(self, context: JetStreamContext) -> ConsumerInfo | None:
        found: ConsumerInfo
        try:
            found = await context.consumer_info(self.stream, self.durable)
        except NotFoundError:
            return None
        return found

    async def _make(self, context: JetStreamContext, filter_subject: str, max_ack_pending: int) -> ConsumerInfo:
        found: ConsumerInfo
        config = ConsumerConfig(
            name=self.durable,
            durable_name=self.durable,
            ack_policy=AckPolicy.EXPLICIT,
            filter_subject=filter_subject or None,
            max_ack_pending=max_ack_pending,
            description="theater_bus",
        )
        try:
            found = await context.add_consumer(self.stream, config)
        except BadRequestError:
            # Somebody else made it meanwhile, with another filter.
            found = await context.consumer_info(self.stream, self.durable)
        return found

    async def _bound(self) -> JetStreamContext.PullSubscription:
        context = self._jetstream.context("stream")
        if self._pull is None or self._context is not context:
            self._pull = await context.pull_subscribe_bind(self.durable, self.stream)
            self._context = context
        return self._pull

    def _translated(self, what: str, within_s: float = REQUEST_S) -> AbstractAsyncContextManager[None]:
        return self._jetstream.translated(
            f"{what} for the consumer {self.durable} of stream {self.stream}",
            "check that the stream exists (`nats stream ls`), and that this user may use it",
            within_s,
        )


def _delivery(message: Msg) -> StreamDelivery:
    meta = message.metadata
    return StreamDelivery(
        message.subject,
        message.data,
        dict(message.headers or {}),
        meta.stream,
        meta.sequence.stream,
        meta.num_delivered,
        message.reply,
        round(meta.timestamp.timestamp() * 1_000_000),
    )
