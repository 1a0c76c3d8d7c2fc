"""`theater:bus/nats`: publish, ask, subscribe, consume.

Invariants: what an actor sends without waiting for an answer leaves only when its operation has taken effect; what it
listens to changes with the operation that changes it, and comes back with `file` actors.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from pydantic import Field

from theater_bus import TheaterError
from theater_bus.capability import (
    NUMBER,
    STRINGS,
    SUBJECTS,
    BusMessage,
    BusSubscription,
    Capability,
    CapabilityError,
    Context,
    StreamMessage,
    refusals,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus_nats.consuming import Bounds, Consuming
from theater_bus_nats.inbound import HANDLE, Inbound
from theater_bus_nats.interest import NAME_BYTES, Consumption, Interest, Listening, read_snapshot, write_snapshot

__all__ = ["Nats"]

Headers = list[list[str]]
LONGEST_NAK_MS = 86_400_000


class Nats(Capability):
    """Messages of NATS, within the grants `publish`, `subscribe` and `consumers`."""

    name = "nats"
    pact = "nats.pact"

    class Settings(BaseSettings):
        """`[capabilities.nats]`. Nothing is allowed without `publish`, `subscribe` and `consumers`."""

        publish: Annotated[tuple[str, ...], SUBJECTS] = ()
        subscribe: Annotated[tuple[str, ...], SUBJECTS] = ()
        consumers: Annotated[tuple[str, ...], STRINGS] = ()
        subscriptions: Annotated[int, NUMBER, Field(ge=0, le=1024)] = 16
        waiting: Annotated[int, NUMBER, Field(ge=1, le=64)] = 16
        pending: Annotated[int, NUMBER, Field(ge=1, le=65_536)] = 256
        pending_bytes: Annotated[int, NUMBER, Field(ge=1, le=1 << 30)] = 16 << 20
        deliveries: Annotated[int, NUMBER, Field(ge=1, le=1_000)] = 5
        timeout_ms: Annotated[int, NUMBER, Field(ge=1, le=600_000)] = 30_000

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._inbound = Inbound(context, settings.waiting, settings.pending, settings.pending_bytes)
        self._interests: dict[str, Interest] = {}
        self._listening: dict[str, BusSubscription] = {}
        self._consuming: dict[str, Consuming] = {}
        self._restored: list[Interest] = []
        self._bounds = Bounds(settings.waiting, settings.deliveries)
        self._leaving: set[asyncio.Task[None]] = set()

    # -- sending -------------------------------------------------------------------------------------------------------

    def publish(self, subject: str, reply: str | None, headers: Headers, data: bytes) -> None:
        """Send a message when the operation has taken effect."""
        with refusals():
            self.context.bus.queue(subject, data, reply=reply or "", headers=_map(headers))

    async def request(self, subject: str, headers: Headers, data: bytes, timeout_ms: int) -> tuple[Headers, bytes]:
        """Ask, and wait for one answer."""
        wait_ms = min(timeout_ms, self.settings.timeout_ms)
        with refusals():
            answer = await self.context.bus.request(subject, data, timeout_ms=wait_ms, headers=_map(headers))
        return [[name, value] for name, value in answer.headers.items()], answer.data

    def respond(self, id: str, headers: Headers, data: bytes) -> None:
        """Answer a message that wants a reply, when the operation has taken effect."""
        message = self._inbound.reply_to(id)
        if message is None:
            raise CapabilityError(f"no message {id!r:.80} waits for a reply: it wanted none, has one, or came long ago")
        self.context.on_operation_end(partial(self._was_answered, id, message), kept=True)
        try:
            with refusals():
                self.context.bus.queue_response(message, data, headers=_map(headers))
        except BaseException:
            self._inbound.restore_reply(id, message)
            raise

    async def publish_to_stream(self, subject: str, headers: Headers, data: bytes) -> tuple[str, int, bool]:
        """Publish to a stream, and wait until it has the message."""
        key = self.context.effect_key
        with refusals():
            kept = await self.context.bus.streams.publish(subject, data, headers=_map(headers), id=key)
        return kept.stream, kept.sequence, kept.duplicate

    def _was_answered(self, id: str, message: BusMessage, is_sent: bool) -> None:
        if not is_sent:
            self._inbound.restore_reply(id, message)

    # -- listening -----------------------------------------------------------------------------------------------------

    async def subscribe(self, name: str, subject: str, queue: str | None) -> None:
        """Have messages to a subject delivered."""
        interest = Listening(name, subject, queue or "")
        self._check(interest)
        self._interests[name] = interest
        try:
            with refusals():
                await self._listen(interest)
        except BaseException:
            del self._interests[name]
            raise
        self.context.on_operation_end(partial(self._was_added, interest))
        self.context.snapshot_changed()

    async def consume(self, name: str, stream: str, durable: str, filter: str | None) -> None:
        """Have the messages of a stream delivered by a durable consumer."""
        interest = Consumption(name, stream, durable, filter or "")
        self._check(interest)
        if any(isinstance(one, Consumption) and one.target == interest.target for one in self._interests.values()):
            raise CapabilityError(f"the actor consumes {interest.target} already. Fix: choose another durable name")
        self._interests[name] = interest
        try:
            with refusals():
                consumer = await self.context.bus.streams.consumer(stream, durable, interest.filter_subject)
        except BaseException:
            del self._interests[name]
            raise
        self._consuming[name] = Consuming(self.context, interest, consumer, self._bounds)
        self.context.on_operation_end(partial(self._was_added, interest))
        self.context.snapshot_changed()

    def unsubscribe(self, name: str) -> None:
        """End a subscription, or leave a consumer."""
        interest = self._interests.pop(name, None)
        if interest is None:
            raise CapabilityError(f"nothing is subscribed or consumed under the name {name!r:.80}")
        self.context.on_operation_end(partial(self._was_removed, interest))
        self.context.snapshot_changed()

    def list_subscriptions(self) -> list[tuple[str, str]]:
        """What is subscribed and consumed, in the order of names."""
        return sorted((name, one.target) for name, one in self._interests.items())

    def _check(self, interest: Interest) -> None:
        name, most = interest.name, self.settings.subscriptions
        if not name or len(name.encode()) > NAME_BYTES:
            raise CapabilityError(
                f"a subscription's name has 1 to {NAME_BYTES} bytes, this one has {len(name.encode())}"
            )
        if name in self._interests or name in self._listening or name in self._consuming:
            raise CapabilityError(
                f"there is a subscription {name!r} already. Fix: choose another name, or end it first"
            )
        if len(self._interests) >= most:
            raise CapabilityError(
                f"the grant nats.subscriptions = {most} is used up. Fix: end one, or `subscriptions = {most + 1}` in "
                "[capabilities.nats]"
            )
        if not self.context.has_export(HANDLE):
            raise CapabilityError(
                f"the actor has no {HANDLE}. Fix: export `{HANDLE}: func(state: S, message: message) -> "
                "result<tuple<S>, string>`"
            )

    async def _listen(self, interest: Listening) -> None:
        take = partial(self._inbound.take, interest.name)
        self._listening[interest.name] = await self.context.bus.subscribe(interest.subject, take, queue=interest.queue)

    def _was_added(self, interest: Interest, took_effect: bool) -> None:
        if not took_effect:
            self._interests.pop(interest.name, None)
            self._end(interest.name)
        elif interest.name in self._consuming:
            self._consuming[interest.name].start()

    def _was_removed(self, interest: Interest, took_effect: bool) -> None:
        if took_effect:
            self._end(interest.name)
        else:
            self._interests[interest.name] = interest

    def _end(self, name: str) -> None:
        """Let go of what is behind a name."""
        listening = self._listening.pop(name, None)
        if listening is not None:
            listening.unsubscribe()
            self._inbound.forget(name)
        consuming = self._consuming.pop(name, None)
        if consuming is not None:
            self._leaving.add(task := asyncio.create_task(consuming.stop(), name=f"nats leaves {name}"))
            task.add_done_callback(self._leaving.discard)

    # -- messages of a stream ------------------------------------------------------------------------------------------

    def nak(self, id: str, delay_ms: int) -> None:
        """Say in how many milliseconds a message of a stream comes again when its operation fails."""
        if delay_ms > LONGEST_NAK_MS:
            raise CapabilityError(f"{delay_ms} ms is too long to wait. Fix: {LONGEST_NAK_MS} ms (a day) at most")
        self._held(id)[0].delay(id, delay_ms)

    def term(self, id: str) -> None:
        """Have a message of a stream terminated instead of acknowledged, when its operation takes effect."""
        consuming, _ = self._held(id)
        self.context.on_operation_end(partial(consuming.give_up, id))

    def deliveries(self, id: str) -> int:
        """How often a message of a stream was delivered."""
        return self._held(id)[1].deliveries

    def _held(self, id: str) -> tuple[Consuming, StreamMessage]:
        for consuming in self._consuming.values():
            message = consuming.held(id)
            if message is not None:
                return consuming, message
        raise CapabilityError(f"no message {id!r:.80} of a stream is being handled")

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen again to what was restored; what is not allowed any more is named and left out."""
        for interest in self._restored[: self.settings.subscriptions]:
            self._interests[interest.name] = interest
            if isinstance(interest, Consumption):
                consuming = self._consuming[interest.name] = Consuming(self.context, interest, None, self._bounds)
                consuming.start()
                continue
            try:
                await self._listen(interest)
            except TheaterError as error:
                self.context.report_failure(f"{interest.name!r} does not hear {interest.subject} any more: {error}")
        lost = len(self._restored) - len(self._interests)
        if lost > 0:
            self.context.report_failure(
                f"{lost} of {len(self._restored)} subscriptions did not come back: the grant nats.subscriptions is "
                f"{self.settings.subscriptions} now"
            )

    async def stop(self) -> None:
        """Listen no more; what waits is given back to its stream."""
        for name in [*self._listening, *self._consuming]:
            self._end(name)
        self._inbound.close()
        await asyncio.gather(*self._leaving)

    def snapshot(self) -> bytes | None:
        """What is listened to."""
        return write_snapshot(self._interests.values())

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._restored = read_snapshot(snapshot)


def _map(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name in found:
            raise CapabilityError(f"the header {name[:80]!r} is there twice")
        found[name] = value
    return found
