"""What a capability can do on NATS in the name of its actor: messages, key-value buckets, objects, streams.

Everything is bounded by the capability's own settings: `publish` and `subscribe` (kind `SUBJECTS`) say on which
subjects, `buckets` and `consumers` (kind `STRINGS`) which buckets and which `STREAM/DURABLE` pairs. A capability
without such a setting has nothing of it. Whatever they say, subjects of the server (`$…`), inboxes (`_INBOX…`, `_R_`)
and those of theater (`theater.>`) are refused: actors reach actors through `Context.call_actor`.
Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "BusMessage",
    "BusSubscription",
    "CapabilityBus",
    "Consumer",
    "KeyValue",
    "KeyValueEntry",
    "ObjectEntry",
    "Objects",
    "StreamAck",
    "StreamMessage",
    "Streams",
]


@dataclass(frozen=True, slots=True)
class BusMessage:
    """A message that arrived. `reply` is empty when nobody waits for an answer; see `CapabilityBus.respond`."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    reply: str = ""


class BusSubscription(Protocol):
    """Interest in a subject."""

    def unsubscribe(self) -> None:
        """End it. Doing it twice is fine; the end of the actor does it too."""


@dataclass(frozen=True, slots=True)
class KeyValueEntry:
    """One revision of a key. `value` is None where the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class KeyValue(Protocol):
    """A key-value bucket. Every method raises `Unavailable` when JetStream refuses or does not answer.

    Keys are 1 to 512 of `A-Z a-z 0-9 _ - / = .`, without a dot at either end (`ConfigurationError`).
    """

    async def get(self, key: str) -> KeyValueEntry | None:
        """The newest revision; None when there is none, or it was deleted."""

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever was there. Returns the revision. Raises `TooLarge`."""

    async def create(self, key: str, value: bytes) -> int | None:
        """Store a value where there is none; None where there is one."""

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Store a value where `revision` is the newest one; None where it is not."""

    async def delete(self, key: str, revision: int | None = None) -> bool:
        """Delete a key, with `revision` only if that is the newest one. False where it is not."""

    async def keys(
        self, prefix: str = "", *, accept: Callable[[str], bool] | None = None, most: int | None = None
    ) -> list[str]:
        """The keys that begin with `prefix` and that `accept` takes, sorted. Raises `TooLarge` for more than `most`."""

    async def created_us(self) -> int:
        """When the bucket was made, in microseconds of Unix time. One that was made anew under its name has another."""

    def watch(self, pattern: str = ">") -> AsyncGenerator[KeyValueEntry | None, None]:
        """What is there now, then None once, then every change as it comes. `pattern` as in subjects.

        Raises `Unavailable` where the bucket was made anew, since its revisions begin again. Close it
        (`contextlib.aclosing`) when you have seen enough.
        """


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object in a bucket."""

    name: str
    size_bytes: int


class Objects(Protocol):
    """A bucket of objects by name. Every method raises `Unavailable` when JetStream refuses or does not answer."""

    async def put(self, name: str, data: bytes) -> None:
        """Store an object, replacing what was there."""

    async def get(self, name: str, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes, or None. Raises `TooLarge` beyond `max_bytes`, before anything is transferred."""

    async def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""

    async def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is not there."""

    async def list(self) -> list[ObjectEntry]:
        """All objects, by name."""


@dataclass(frozen=True, slots=True)
class StreamAck:
    """What a stream says to a message that it kept. `duplicate`: it had one with the same id already."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of a durable consumer; `deliveries` counts from 1. Settle it once with one of its methods' namesakes
    of the `Consumer` that gave it."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    stream: str
    sequence: int
    deliveries: int
    token: str
    """Names this delivery; for the `Consumer`."""
    time_us: int
    """When the stream took it, in microseconds of Unix time: with the sequence it names the message, also where a
    stream of the same name was made anew."""


class Consumer(Protocol):
    """A durable consumer, pulled."""

    async def fetch(self, most: int, wait_s: float) -> list[StreamMessage]:
        """The next messages, as soon as there is one; none after `wait_s`. Raises `Unavailable`."""

    def ack(self, message: StreamMessage) -> None:
        """It is done."""

    def nak(self, message: StreamMessage, delay_ms: int = 0) -> None:
        """Deliver it again, not before `delay_ms`."""

    def term(self, message: StreamMessage) -> None:
        """Never deliver it again."""

    def working(self, message: StreamMessage) -> None:
        """It takes longer: begin the consumer's `ack_wait` anew."""

    @property
    def ack_wait_s(self) -> float:
        """After so long without a word a message is delivered again."""

    async def close(self) -> None:
        """Let go of it on this side; it stays on the server. The actor's end does it for those that are left."""


class Streams(Protocol):
    """JetStream streams."""

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, id: str = ""
    ) -> StreamAck:
        """Publish and wait until a stream has it. `id` lets the stream know repeats (`Nats-Msg-Id`).

        Raises `PermissionDenied`, `TooLarge`, `Unavailable` (also where no stream takes the subject).
        """

    async def consumer(self, stream: str, durable: str, filter_subject: str = "") -> Consumer:
        """A durable consumer, made if it does not exist; one that does keeps what it is.

        What it can deliver must be within the setting `subscribe`. Raises `PermissionDenied`, `Unavailable`.
        """


class CapabilityBus(Protocol):
    """NATS as a capability has it."""

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a message. Where `reply` is given, answers go there, and `subscribe` must allow it.

        Raises `PermissionDenied`, `TooLarge`, `Overloaded`, `ConnectionLost`, `ConfigurationError` (no subject, no
        header).
        """

    def queue(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """As `publish`, once the running operation is kept; nothing is sent if it fails. See `Context.queue_call`.

        An actor's messages leave in the order in which they were queued. Raises what `publish` raises, and `TooLarge`.
        """

    async def request(
        self, subject: str, data: bytes, *, timeout_ms: int, headers: Mapping[str, str] | None = None
    ) -> BusMessage:
        """Ask and wait for one answer, within a host call no longer than its operation has left.

        Raises `PermissionDenied`, `ChannelClosed` (nobody listens), `OperationTimeout`, and what `publish` raises.
        """

    def respond(self, message: BusMessage, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer a message that arrived. Raises `PermissionDenied` where its reply subject is no inbox."""

    def queue_response(self, message: BusMessage, data: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """As `respond`, once the running operation is kept; see `Context.queue_reply`. Raises `TooLarge`, too."""

    async def subscribe(
        self, subject: str, handler: Callable[[BusMessage], None], *, queue: str = ""
    ) -> BusSubscription:
        """Call `handler` with every message; returns when the server knows. It must return at once.

        With `queue`, each message goes to one member of that group. Raises `PermissionDenied`, `ConnectionLost`.
        """

    async def kv(self, bucket: str | None = None) -> KeyValue:
        """A key-value bucket that exists; None for the capability's own in this namespace, which is made.

        Raises `PermissionDenied`, `Unavailable`.
        """

    async def objects(self, bucket: str | None = None) -> Objects:
        """A bucket of objects, as `kv`."""

    @property
    def streams(self) -> Streams:
        """JetStream streams."""
