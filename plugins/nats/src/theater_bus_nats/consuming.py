"""From a stream to calls of the actor: fetched as fast as it handles them, acknowledged when its chain has them.

Invariants: a message is acknowledged only after the operation that handled it took effect and its segment was appended;
the call's key is the message's place in its stream and the time at which that took it, so that a redelivery after a
crash between the two is answered from the record, and a message of a stream that was made anew is not. What fails comes
again, later each time, at most `deliveries` times; an `err` is an answer too, so the key of what comes again for one
counts the failures that are known.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from theater_bus import ActorError, TheaterError
from theater_bus.capability import Consumer, Context, StreamMessage
from theater_bus_nats.inbound import HANDLE, shown
from theater_bus_nats.interest import Consumption

__all__ = ["Bounds", "Consuming"]

FETCH_S = 5.0
AGAIN_S = 2.0
LONGEST_DELAY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Messages that may be in the mailbox at a time, and how often one that fails is delivered."""

    waiting: int
    deliveries: int


class Consuming:
    """One consumer that an actor takes messages from; `start` begins, `stop` ends it."""

    def __init__(self, context: Context, consumption: Consumption, consumer: Consumer | None, bounds: Bounds) -> None:
        self.consumption = consumption
        self._context = context
        self._consumer = consumer
        self._is_open = consumer is not None
        self._bounds = bounds
        self._held: dict[str, StreamMessage] = {}
        self._delays: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._failures: dict[str, int] = {}
        self._room = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to fetch."""
        name = f"nats consumer {self.consumption.target}"
        self._tasks = [
            asyncio.create_task(self._run(), name=name),
            asyncio.create_task(self._say_working(), name=f"{name}, working"),
        ]

    async def stop(self) -> None:
        """Fetch no more. What is not handled yet is delivered again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._consumer is not None:
            for message in self._held.values():
                self._settle(message, 0)
            await self._consumer.close()
        self._held.clear()

    def held(self, id: str) -> StreamMessage | None:
        """The message of this id, while it is being handled."""
        return self._held.get(id)

    def delay(self, id: str, delay_ms: int) -> None:
        """Have a message come again after `delay_ms` when it fails now."""
        self._delays[id] = delay_ms

    def give_up(self, id: str, is_given_up: bool) -> None:
        """Have a message that is handled terminated instead of acknowledged, or not after all."""
        (self._given_up.add if is_given_up else self._given_up.discard)(id)

    async def _run(self) -> None:
        while True:
            try:
                await self._take()
            except TheaterError as error:
                self._is_open = False
                self._context.report_failure(f"{self.consumption.target} cannot be consumed just now: {error}")
                await asyncio.sleep(AGAIN_S)

    async def _take(self) -> None:
        if self._consumer is None or not self._is_open:
            await self._open()
        while len(self._held) >= self._bounds.waiting:
            self._room.clear()
            await self._room.wait()
        assert self._consumer is not None
        for message in await self._consumer.fetch(self._bounds.waiting - len(self._held), FETCH_S):
            self._hand_over(message)

    async def _open(self) -> None:
        """Find the consumer, or make it anew where somebody has deleted it."""
        one, before = self.consumption, self._consumer
        self._consumer = await self._context.bus.streams.consumer(one.stream, one.durable, one.filter_subject)
        self._is_open = True
        if before is not None:
            await before.close()

    def _hand_over(self, message: StreamMessage) -> None:
        id = f"{self.consumption.target}/{message.sequence}"
        if id in self._held:
            self._held[id] = message
            return
        failures, key = self._failures.get(id, 0), f"{id}@{message.time_us}"
        try:
            self._context.enqueue(
                HANDLE,
                [shown(id, self.consumption.name, message.subject, message.headers, message.data, False)],
                partial(self._handled, id),
                key=f"{key}#{failures}" if failures else key,
                headers=message.headers,
            )
        except ActorError as error:
            self._failed(id, message, error)
            return
        self._held[id] = message

    def _handled(self, id: str, error: ActorError | None) -> None:
        message = self._held.pop(id, None)
        self._room.set()
        if message is None:
            return
        if error is not None:
            self._failed(id, message, error)
            return
        self._delays.pop(id, None)
        self._failures.pop(id, None)
        if id in self._given_up:
            self._given_up.discard(id)
            self._settle(message, None)
        else:
            self._acknowledge(message)

    def _failed(self, id: str, message: StreamMessage, error: ActorError) -> None:
        """Have it come again, unless it did so often enough; what never ran does not count against it."""
        given_ms = self._delays.pop(id, None)
        if error.code in ("shutting-down", "cancelled"):
            self._settle(message, 0)
            return
        if error.ran != "never":
            self._failures[id] = self._failures.get(id, 0) + 1
        where = f"message {message.sequence} of {self.consumption.target}"
        if error.ran != "never" and message.deliveries >= self._bounds.deliveries:
            self._failures.pop(id, None)
            self._context.report_failure(f"{where} is given up after {message.deliveries} deliveries: {error}")
            self._settle(message, None)
            return
        if message.deliveries == 1:
            self._context.report_failure(f"{where} could not be handled, and comes again: {error}")
        grown_ms = min(1000 * 2 ** min(message.deliveries - 1, 16), LONGEST_DELAY_MS)
        self._settle(message, grown_ms if given_ms is None else given_ms)

    def _acknowledge(self, message: StreamMessage) -> None:
        assert self._consumer is not None
        try:
            self._consumer.ack(message)
        except TheaterError as error:
            self._lost(message, error)

    def _settle(self, message: StreamMessage, delay_ms: int | None) -> None:
        assert self._consumer is not None
        try:
            if delay_ms is None:
                self._consumer.term(message)
            else:
                self._consumer.nak(message, delay_ms)
        except TheaterError as error:
            self._lost(message, error)

    def _lost(self, message: StreamMessage, error: TheaterError) -> None:
        """Nothing is lost: the server delivers it again, and a handled one is answered from the record."""
        self._context.log.warning("nats.unsettled", sequence=message.sequence, error=str(error))

    async def _say_working(self) -> None:
        """Keep what waits in the mailbox from being delivered again meanwhile."""
        while True:
            consumer = self._consumer
            await asyncio.sleep(AGAIN_S if consumer is None else consumer.ack_wait_s / 3)
            for message in list(self._held.values()) if consumer is not None else ():
                try:
                    consumer.working(message)  # type: ignore[union-attr]
                except TheaterError as error:
                    self._lost(message, error)
