"""The outbox of one actor: what its functions marked `queued` send, once the operation that sent it is in the chain.

Invariants: a send leaves only after the append of its operation's segment was acknowledged; at most one send per target
is in flight, in the order of the numbers; each is settled once: it arrived, or it was given up, which the chain says.
Source: event chain, "Outbox".
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Any

from theater_bus.core.chain.batch import Tail
from theater_bus.core.chain.bodies import Unsent
from theater_bus.core.chain.control import Undelivered
from theater_bus.core.outbox import CAPACITY, CAPACITY_BYTES, RETRIED, TTL_S, SentNumbers, pause_s
from theater_bus.errors import ActorError, GuestError, Overloaded, ShuttingDown, UnexpectedError

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["Delivery", "Outbox", "Send", "ToActor", "ToInbox", "ToSubject"]

log = logging.getLogger("theater_bus.host")

TRY_S = 30.0
"""How long one attempt may take, the wait in the target's mailbox included."""
INBOX_TTL_S = 10.0
"""How long a send to an inbox is tried: a client that nobody hears of for so long is gone."""


@dataclass(frozen=True, slots=True)
class ToActor:
    """A call of another actor."""

    actor: str
    function: str
    params: list[Any]

    @property
    def target(self) -> str:
        """What its sends wait for one another by."""
        return self.actor


@dataclass(frozen=True, slots=True)
class ToInbox:
    """A message to the inbox of a client."""

    subject: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def target(self) -> str:
        """What its sends wait for one another by; a subject has a dot, an actor's id has none."""
        return self.subject


@dataclass(frozen=True, slots=True)
class ToSubject:
    """A message to a subject of NATS, whoever listens there."""

    subject: str
    body: bytes
    reply: str
    headers: Mapping[str, str]

    @property
    def target(self) -> str:
        """The same for all: an actor's messages leave in the order in which it sent them, whatever their subjects."""
        return ">"


Delivery = ToActor | ToInbox | ToSubject


@dataclass(slots=True, eq=False)
class Send:
    """One `queued` host call. `number` is 0 until its operation is committed, `until` in the event loop's seconds."""

    interface: str
    function: str
    input: bytes
    effect_key: str
    time_ns: int
    delivery: Delivery
    headers: Mapping[str, str] | None
    number: int = 0
    until: float = 0.0

    def record(self) -> Unsent:
        """The send as a checkpoint holds it."""
        key = bytes.fromhex(self.effect_key)
        return Unsent(self.number, self.interface, self.function, self.input, key, self.time_ns)


class Outbox:
    """The sends of one actor. `tail` is that of its log, which says how far they are settled."""

    def __init__(self, actor: Actor, tail: Tail) -> None:
        self._actor = actor
        self._tail = tail
        self._numbers = SentNumbers(actor.journal.writer.next_outbox - 1)
        self._sends: dict[int, Send] = {}
        self._staged = 0
        self._bytes = 0
        self._targets: dict[str, deque[Send]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._empty: asyncio.Future[None] | None = None

    @property
    def size(self) -> int:
        """Sends that are not settled, those of operations that are not committed included."""
        return len(self._sends) + self._staged

    def stage(self, op: Operation, send: Send) -> None:
        """Keep what an operation sends until it is committed. Raises `Overloaded`."""
        self.check_room()
        self._staged += 1
        self._bytes += len(send.input)
        op.sends.append(send)

    def check_room(self) -> None:
        """Raise `Overloaded` where nothing more can be queued."""
        if self.size >= CAPACITY or self._bytes >= CAPACITY_BYTES:
            raise Overloaded(
                f"{self.size} sends of this actor, {self._bytes} bytes, wait to be delivered; its outbox holds "
                f"{CAPACITY} and {CAPACITY_BYTES} bytes. Fix: send less; the host's log says what does not answer",
                ran="rolled-back",
                bound="outbox",
                limit=CAPACITY,
            )

    def dropped(self, op: Operation) -> None:
        """The operation is not in the chain: nothing of it is sent."""
        self._staged -= len(op.sends)
        self._bytes -= sum(len(send.input) for send in op.sends)
        op.sends.clear()

    def committed(self, op: Operation) -> None:
        """The operation is in the chain; its sends have the numbers from `op.first_send` on."""
        self._staged -= len(op.sends)
        for number, send in enumerate(op.sends, op.first_send):
            send.number = number
            self._queue(send, _ttl_s(send))
        op.sends.clear()

    def restore(self, sends: Iterable[Send]) -> None:
        """Go on with what a recovery found, in the order of the numbers. Each is tried once at least."""
        for send in sends:
            self._bytes += len(send.input)
            self._queue(send, max(_ttl_s(send) - (time_ns() - send.time_ns) / 1e9, TRY_S))

    def give_up(self, unsent: Unsent, target: str, error: ActorError) -> None:
        """Settle what a recovery found and nobody can send any more."""
        self._numbers.add(unsent.number)
        self._numbers.settle(unsent.number)
        self._undelivered(unsent.number, target, error)

    def unsent(self) -> tuple[Unsent, ...]:
        """What a checkpoint must hold."""
        return tuple(self._sends[number].record() for number in sorted(self._sends))

    async def close(self, flush_s: float, *, keep: bool = False) -> None:
        """Let what waits leave within `flush_s`, then stop; what is left is given up, or kept for a recovery."""
        if self._sends and flush_s > 0:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=flush_s)
            self._empty = None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        if not keep:
            ended = ShuttingDown("the actor ended before this was delivered")
            for send in [self._sends[number] for number in sorted(self._sends)]:
                self._settle(send, ended)

    def _queue(self, send: Send, ttl_s: float) -> None:
        loop = self._actor.services.loop
        send.until = loop.time() + ttl_s
        self._numbers.add(send.number)
        self._sends[send.number] = send
        target = send.delivery.target
        waiting = self._targets.get(target)
        if waiting is not None:
            waiting.append(send)
            return
        self._targets[target] = deque([send])
        name = f"theater-bus outbox {self._actor.identity.id} → {target}"
        self._tasks[target] = loop.create_task(self._deliver_all(target), name=name)

    async def _deliver_all(self, target: str) -> None:
        waiting = self._targets[target]
        try:
            while waiting:
                self._settle(waiting[0], await self._deliver(waiting[0]))
                waiting.popleft()
        finally:
            del self._targets[target], self._tasks[target]

    async def _deliver(self, send: Send) -> ActorError | None:
        """Send until it is settled; returns what it ended with."""
        services = self._actor.services
        attempt = 0
        while True:
            left_s = send.until - services.loop.time()
            try:
                await services.calls.deliver(self._actor, send, max(1.0, min(left_s, TRY_S)))
            except GuestError:
                return None
            except ActorError as error:
                pause = pause_s(attempt)
                if error.code not in RETRIED or send.until - services.loop.time() <= pause:
                    return error
            except Exception as error:
                log.exception("a send of actor %s could not be made", self._actor.identity.id)
                return UnexpectedError(f"{type(error).__name__}: {error}")
            else:
                return None
            await asyncio.sleep(pause)
            attempt += 1

    def _settle(self, send: Send, error: ActorError | None) -> None:
        del self._sends[send.number]
        self._bytes -= len(send.input)
        self._numbers.settle(send.number)
        self._tail.sent_through = self._numbers.through
        if error is not None:
            self._undelivered(send.number, send.delivery.target, error)
            self._actor.calls.undelivered(send.interface, send.function, send.input, error)
        if self._empty is not None and not self._sends and not self._empty.done():
            self._empty.set_result(None)

    def _undelivered(self, number: int, target: str, error: ActorError) -> None:
        actor = self._actor
        actor.journal.write(time_ns(), Undelivered(number, target, error.code), actor.state)
        identity, telemetry = actor.identity, actor.services.telemetry
        telemetry.count("theater.outbox.undelivered", 1, **{"error.type": error.code})
        telemetry.event(
            "outbox.undelivered",
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            target=target,
            code=error.code,
            reason=error.message,
        )


def _ttl_s(send: Send) -> float:
    return INBOX_TTL_S if isinstance(send.delivery, ToInbox) else TTL_S
