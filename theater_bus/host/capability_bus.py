"""NATS as one capability of one actor has it: within its grants, bounded by its operation, gone with its actor.

Invariants: nothing is published or listened to outside the settings `publish` and `subscribe`, nor on subjects of the
server, of theater, or on inboxes whatever those say; the headers that steer the server are nobody's to set; what was
subscribed ends with the actor, also when its capability forgets to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from theater_bus.bus import Message, Subscription
from theater_bus.bus.jetstream import check_bucket
from theater_bus.bus.named import NamedKeyValue, NamedObjects, named_key_value, named_objects
from theater_bus.bus.refusal import MAX_SUBJECTS
from theater_bus.bus.streams import DurableConsumer, StreamDelivery, StreamPublisher
from theater_bus.capability import (
    SUBJECTS,
    BusMessage,
    StreamAck,
    StreamMessage,
)
from theater_bus.core.grants import STRINGS, Kind
from theater_bus.core.wire.subjects import ROOT
from theater_bus.errors import ConfigurationError, OperationTimeout, PermissionDenied, TheaterError

if TYPE_CHECKING:
    from theater_bus.capability import CapabilityBus
    from theater_bus.host.actor_context import ActorContext
    from theater_bus.host.services import Services

__all__ = ["ActorBus", "Reserved"]

RESERVED_HEADERS = ("nats-", "theater-")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\r\n\0]*")
TRACE_HEADERS = ("traceparent", "tracestate")
CONSUMER_PENDING = 64
"""Messages that a consumer of ours may have out at a time: as many as a capability may enqueue."""


class Reserved:
    """The subjects that no grant opens: the server's, theater's own, inboxes. `prefixes` is `reply_prefixes`."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self._exact = {ROOT, "_R_", "_GR_"} | {one for one in prefixes if not one.endswith("*")}
        self._starts = ("$", "_INBOX", *(one[:-1] for one in prefixes if one.endswith("*")))

    def why(self, subject: str) -> str | None:
        """Why `subject`, or pattern, is refused whatever the grant; None where it is not."""
        first = subject.partition(".")[0]
        if first in ("*", ">"):
            return "its first token is a wildcard, which covers subjects of the server and of theater"
        if first in self._exact or first.startswith(self._starts):
            return "no grant opens the server's subjects, inboxes and those of theater"
        return None


class ActorBus:
    """The `CapabilityBus` of one capability instance."""

    __slots__ = ("_capability", "_consumers", "_context", "_grants", "_services", "_streams", "_subscriptions")

    def __init__(self, context: ActorContext, services: Services, capability: str, grants: Mapping[str, Any]) -> None:
        self._context = context
        self._services = services
        self._capability = capability
        self._grants = grants
        self._subscriptions: set[Subscription] = set()
        self._consumers: set[DurableConsumer] = set()
        self._streams: ActorStreams | None = None

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a message."""
        self.check_publish(subject, reply)
        self._services.bus.operations.publish(subject, data, reply, self.headers(headers))

    def queue(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a message once the running operation is kept."""
        self.check_publish(subject, reply)
        self.check_headers(headers)
        self._context.queue(self._services.calls.to_subject(subject, data, reply, headers))

    async def request(
        self, subject: str, data: bytes, *, timeout_ms: int, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        """Ask and wait for one answer."""
        self.check_publish(subject)
        left_ms = self._context.left_ms()
        wait_ms = timeout_ms if left_ms is None else min(timeout_ms, left_ms)
        if wait_ms <= 0:
            raise OperationTimeout(f"no time is left to ask {subject}", ran="never", limit_ms=wait_ms)
        answer = await self._services.bus.operations.request_one(
            subject, data, timeout_s=wait_ms / 1000, headers=self.headers(headers)
        )
        return _message(answer)

    def respond(self, message: BusMessage, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer a message that arrived."""
        if message.reply and not self._services.replies.allows(message.reply):
            raise PermissionDenied(f"the reply subject {message.reply[:120]!r} is no inbox, so nothing is sent to it")
        if message.reply:
            self._services.bus.operations.publish(message.reply, data, "", self.headers(headers))

    def queue_response(self, message: BusMessage, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer a message that arrived once the running operation is kept."""
        self.check_headers(headers)
        self._context.queue_reply(message.reply, data, headers)

    async def subscribe(
        self, subject: str, handler: Callable[[BusMessage], None], *, queue: str = ""
    ) -> ActorSubscription:
        """Call `handler` with every message."""
        self.check("subscribe", SUBJECTS, subject)
        connection = self._services.bus.operations
        subscription = connection.subscribe(subject, lambda message: handler(_message(message)), queue)
        self._subscriptions.add(subscription)
        try:
            await connection.ready()
        except TheaterError:
            self._end(subscription)
            raise
        return ActorSubscription(self._end, subscription)

    async def kv(self, bucket: str | None = None) -> NamedKeyValue:
        """A key-value bucket."""
        return await named_key_value(self._services.bus.services, self._bucket(bucket), create=bucket is None)

    async def objects(self, bucket: str | None = None) -> NamedObjects:
        """A bucket of objects."""
        name = self._bucket(bucket)
        return named_objects(self._services.bus.services, name)

    @property
    def streams(self) -> ActorStreams:
        """JetStream streams."""
        if self._streams is None:
            self._streams = ActorStreams(self, self._services)
        return self._streams

    async def close(self) -> None:
        """The actor ends: hear nothing more."""
        for subscription in self._subscriptions:
            subscription.unsubscribe()
        self._subscriptions.clear()
        for consumer in list(self._consumers):
            await self.let_go(consumer)

    def keep(self, consumer: DurableConsumer) -> None:
        """Close this consumer with the actor."""
        self._consumers.add(consumer)

    async def let_go(self, consumer: DurableConsumer) -> None:
        """Close it now."""
        self._consumers.discard(consumer)
        await consumer.close()

    def check_publish(self, subject: str, reply: str = "") -> None:
        """Raise `PermissionDenied` unless the capability may publish to this one subject, and hear the answers."""
        self.check_literal(subject)
        self.check("publish", SUBJECTS, subject)
        if reply:
            self.check_literal(reply)
            self.check("subscribe", SUBJECTS, reply)

    def check_literal(self, subject: str) -> None:
        """Raise `PermissionDenied` for a pattern, `ConfigurationError` for no subject: nobody can publish to one."""
        if not subject.isprintable() or " " in subject or len(subject) > MAX_SUBJECTS:
            raise ConfigurationError(
                "subject", f"{subject[:120]!r} is not a subject", "no spaces, no control characters, and make it short"
            )
        if not {"*", ">"}.isdisjoint(subject.split(".")):
            raise PermissionDenied(f"{subject[:120]!r} holds a wildcard, and is no subject to publish to")

    def check(self, setting: str, kind: Kind, value: str) -> None:
        """Raise `PermissionDenied`, with the line to add, unless the setting allows `value`."""
        reserved = self._services.reserved.why(value) if kind is SUBJECTS else None
        if reserved is not None:
            raise PermissionDenied(f"{value[:120]!r} is refused: {reserved}")
        if not kind.read(self._grants.get(setting, [])).allows(value):
            raise PermissionDenied(
                f"the grant {self._capability}.{setting} does not allow {value[:120]!r}. "
                f'Fix: `{setting} = ["{value[:120]}"]` in [capabilities.{self._capability}], and in the host\'s grants',
                grant=f"{self._capability}.{setting}",
            )

    def check_headers(self, given: Mapping[str, str] | None) -> None:
        """Raise `PermissionDenied` for headers that steer others, `ConfigurationError` for what is no header.

        A name is taken as it stands: on its way it loses the space around it, so one with a space becomes another.
        """
        for name, value in (given or {}).items():
            if not _HEADER_NAME.fullmatch(name):
                raise ConfigurationError("headers", f"{name[:80]!r} is not a header name", "use letters, digits and -")
            if not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(
                    "headers", f"the value of {name[:80]} holds a line end or a NUL", "leave it out"
                )
            if name.lower().startswith(RESERVED_HEADERS):
                raise PermissionDenied(f"the header {name[:80]!r} steers the server or theater, and is not for actors")

    def headers(self, given: Mapping[str, str] | None) -> dict[str, str] | None:
        """`given` and the trace of the current operation. Raises as `check_headers`."""
        self.check_headers(given)
        trace = self._context.trace_headers()
        if not given:
            return trace
        kept = {name: value for name, value in given.items() if not trace or name.lower() not in TRACE_HEADERS}
        return {**kept, **(trace or {})}

    def _bucket(self, bucket: str | None) -> str:
        if bucket is None:
            return self._services.capability_bucket(self._capability)
        check_bucket(bucket)
        if bucket.lower().startswith("theater_"):
            raise PermissionDenied(f"the bucket {bucket!r} is theater's own, which no grant opens")
        self.check("buckets", STRINGS, bucket)
        return bucket

    def _end(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.unsubscribe()


class ActorSubscription:
    """A `BusSubscription`."""

    __slots__ = ("_end", "_subscription")

    def __init__(self, end: Callable[[Subscription], None], subscription: Subscription) -> None:
        self._end = end
        self._subscription = subscription

    def unsubscribe(self) -> None:
        """End it."""
        self._end(self._subscription)


class ActorStreams:
    """The `Streams` of one capability instance."""

    __slots__ = ("_bus", "_publisher", "_services")

    def __init__(self, bus: ActorBus, services: Services) -> None:
        self._bus = bus
        self._services = services
        self._publisher = StreamPublisher(services.bus.services)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, id: str = ""
    ) -> StreamAck:
        """Publish and wait until a stream has it."""
        self._bus.check_publish(subject)
        kept = await self._publisher.publish(subject, data, self._bus.headers(headers), id)
        return StreamAck(kept.stream, kept.sequence, kept.duplicate)

    async def consumer(self, stream: str, durable: str, filter_subject: str = "") -> ActorConsumer:
        """A durable consumer."""
        self._bus.check("consumers", STRINGS, f"{stream}/{durable}")
        if filter_subject:
            self._bus.check("subscribe", SUBJECTS, filter_subject)
        consumer = DurableConsumer(self._services.bus.services, stream, durable)
        await consumer.open(filter_subject, CONSUMER_PENDING, self._check_filters)
        self._bus.keep(consumer)
        return ActorConsumer(self._bus, consumer)

    def _check_filters(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            self._bus.check("subscribe", SUBJECTS, subject)


class ActorConsumer:
    """A `Consumer`."""

    __slots__ = ("_bus", "_consumer")

    def __init__(self, bus: ActorBus, consumer: DurableConsumer) -> None:
        self._bus = bus
        self._consumer = consumer

    async def fetch(self, most: int, wait_s: float) -> list[StreamMessage]:
        """The next messages."""
        return [_stream_message(one) for one in await self._consumer.fetch(most, wait_s)]

    def ack(self, message: StreamMessage) -> None:
        """It is done."""
        self._consumer.ack(message.token)

    def nak(self, message: StreamMessage, delay_ms: int = 0) -> None:
        """Deliver it again."""
        self._consumer.nak(message.token, delay_ms)

    def term(self, message: StreamMessage) -> None:
        """Never deliver it again."""
        self._consumer.term(message.token)

    def working(self, message: StreamMessage) -> None:
        """It takes longer."""
        self._consumer.working(message.token)

    @property
    def ack_wait_s(self) -> float:
        """After so long without a word a message is delivered again."""
        return self._consumer.ack_wait_s

    async def close(self) -> None:
        """Let go of it."""
        await self._bus.let_go(self._consumer)


def _message(message: Message) -> BusMessage:
    return BusMessage(message.subject, message.data, dict(message.headers or {}), message.reply)


def _stream_message(found: StreamDelivery) -> StreamMessage:
    return StreamMessage(
        found.subject,
        found.data,
        found.headers,
        found.stream,
        found.sequence,
        found.deliveries,
        found.token,
        found.time_us,
    )


if TYPE_CHECKING:
    _: type[CapabilityBus] = ActorBus
