"""Hidden state: whether a component does the same in a fresh instance as in the one that was kept for it.

What an actor must keep is in its explicit state; guest memory is a cache. Of the operations of components that keep
their instance some are therefore repeated, in a fresh instance, from the state before them and on their recorded
answers. What is different there would be different after every restart and recovery.

A fresh instance makes the calls with which its language runtime starts; those were recorded with the first operation of
the kept one, and are answered from there.

Invariants: a repetition calls no capability and changes nothing of the actor; there is at most one at a time; the chain
has acknowledged its operation before.

Source: the chain page, "Replay".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from random import random
from time import time_ns
from typing import TYPE_CHECKING, Final

from theater_bus.capability import WitCapability
from theater_bus.core.chain.bodies import Call, Failure, HostCall, LogRun, Result
from theater_bus.core.chain.control import HiddenState
from theater_bus.core.chain.divergence import (
    CallScript,
    Divergence,
    Failed,
    RecordedCall,
    RecordedOperation,
    is_imposed,
)
from theater_bus.core.chain.events import decode_event
from theater_bus.core.chain.layout import Payload, Stored
from theater_bus.core.chain.segments import Segment
from theater_bus.errors import ActorError
from theater_bus.host.replay.guest import NO_ANSWER, ReplayGuest, Stopped, guest_of
from theater_bus.plugins import is_compatible

if TYPE_CHECKING:
    from theater_bus.engine import Engine
    from theater_bus.host.actor import Actor
    from theater_bus.telemetry import Telemetry

__all__ = ["HiddenStateChecks", "Watch"]

START_BYTES: Final = 64 * 1024
"""How much of an instance's first operation is kept as long as the instance."""

log = logging.getLogger("theater_bus.host")

_Step = tuple[tuple[int, RecordedCall], bytes]
"""A recorded call with its sequence, and the answer to it."""


class HiddenStateChecks:
    """The repetitions of one host, of about one in `one_in` operations (0: of none)."""

    def __init__(self, engine: Engine, telemetry: Telemetry, one_in: int) -> None:
        self._engine, self._telemetry, self._one_in = engine, telemetry, one_in
        self._running: asyncio.Task[None] | None = None
        self._starts: dict[str, int] = {}

    def watch(self, actor: Actor) -> Watch | None:
        """What follows an actor's operations; None where nothing is kept between them, or nothing is repeated."""
        wanted = self._one_in and actor.type.package.is_component and not actor.type.fresh_each_time
        return Watch(actor, self) if wanted else None

    def is_due(self) -> bool:
        """Whether the operation that just ended is one to repeat."""
        return self._running is None and random() * self._one_in < 1

    def begin(self, actor: Actor, segment: Segment, before: bytes | None, start: Sequence[bytes]) -> None:
        """Repeat the operation of a segment from the state `before` it; `start` begins the instance's first segment."""
        self._running = asyncio.get_running_loop().create_task(self._repeat(actor, segment, before, start))

    async def close(self) -> None:
        """Give up a repetition in progress."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _repeat(self, actor: Actor, segment: Segment, before: bytes | None, start: Sequence[bytes]) -> None:
        try:
            instance = actor.instance
            await actor.journal.quiet()
            if actor.instance is not instance:  # as after an append that was refused, and what fell with it
                return
            operation, steps = _read(segment)
            if operation is None or operation.is_imposed:
                return
            type_ = actor.type
            guest = guest_of(self._engine, type_.package, type_.limits, type_.budget, is_fresh_each_time=True)
            repetition = _Repetition(guest, operation, steps, before)
            result, difference = await self._compare(actor, repetition, _start_of(start))
            self._telemetry.count("theater.guest.repeats", 1, result=result)
            if result == "different" and difference is not None:
                self._tell(actor, difference, operation.call.function, segment.first)
        except ActorError:
            self._telemetry.count("theater.guest.repeats", 1, result="unknown")
        except Exception:
            log.exception("an operation of %s could not be repeated", actor.identity.id)
        finally:
            self._running = None

    async def _compare(
        self, actor: Actor, repetition: _Repetition, start: list[_Step]
    ) -> tuple[str, Divergence | None]:
        """What the repetition is like, and how it differs where it gets furthest.

        How many of the first operation's calls belong to a fresh start is found by trying, first what was right before.
        """
        sha256 = actor.type.package.module.sha256
        known = min(self._starts.get(sha256, 0), len(start))
        best: _Attempt | None = None
        for count in dict.fromkeys((known, *range(len(start) + 1))):
            attempt = await repetition.run(start[:count])
            if attempt.difference is None and not attempt.is_imposed:
                self._starts[sha256] = count
                return "same", None
            if best is None or attempt.rank > best.rank:
                best = attempt
            if attempt.reached < count and count != known:
                break
        assert best is not None
        if best.is_imposed or best.difference is None or _is_foreign(actor, best.difference):
            return "unknown", best.difference
        return "different", best.difference

    def _tell(self, actor: Actor, found: Divergence, function: str, seq: int) -> None:
        identity = actor.identity
        self._telemetry.event(
            "guest.hidden-state",
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            function=function,
            reason=f"{found.kind} at event {found.seq} in a fresh instance",
        )
        if not actor.phases.is_ending:
            actor.journal.write(time_ns(), HiddenState(seq, found.kind), actor.state)


class Watch:
    """One actor's operations, as far as they are needed to repeat one of them."""

    __slots__ = ("_actor", "_checks", "_instance", "_start")

    def __init__(self, actor: Actor, checks: HiddenStateChecks) -> None:
        self._actor, self._checks = actor, checks
        self._instance: object = None
        self._start: tuple[bytes, ...] = ()

    def ended(self, segment: Segment, before: bytes | None) -> None:
        """An operation was linked into the chain; `before` is the state that it began with."""
        instance = self._actor.instance
        if instance is not self._instance:
            self._instance, self._start = instance, _beginning(segment)
        elif instance is not None and self._checks.is_due():
            self._checks.begin(self._actor, segment, before, self._start)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How one run ended: where it differed, how many calls were as recorded, and how far it got behind its start."""

    difference: Divergence | None
    reached: int
    rank: int
    is_imposed: bool


class _Repetition:
    """An operation that can be run again and again, each time in a fresh instance."""

    def __init__(
        self, guest: ReplayGuest, operation: RecordedOperation, steps: list[_Step], before: bytes | None
    ) -> None:
        self._guest, self._operation, self._steps, self._before = guest, operation, steps, before

    async def run(self, start: list[_Step]) -> _Attempt:
        """Run it where a fresh instance begins with the calls of `start`."""
        steps = [*start, *self._steps]
        operation = RecordedOperation(self._operation.call, [call for call, _ in steps], self._operation.end)
        script = CallScript(operation)
        reached = 0

        def answer(interface: str, function: str, data: bytes) -> bytes:
            nonlocal reached
            place = script.next(interface, function, data)
            if place is None:
                raise Stopped
            reached = place + 1
            return steps[place][1]

        call = operation.call
        assert isinstance(call.params, bytes)
        try:
            ended = await self._guest.run(call.function, self._before, call.params, answer)
        finally:
            self._guest.renew()
        difference = script.divergence if ended is None else script.finish(ended, self._before)
        is_whole = difference is not None and difference.kind == "different-end"
        imposed = isinstance(ended, Failed) and is_imposed(
            Failure(call.function, ended.code, ended.reason, "", None), ()
        )
        return _Attempt(difference, reached, reached - len(start) + is_whole, imposed)


def _beginning(segment: Segment) -> tuple[bytes, ...]:
    room = START_BYTES
    for place, event in enumerate(segment.events):
        room -= len(event)
        if room < 0:
            return segment.events[:place]
    return segment.events


def _read(segment: Segment) -> tuple[RecordedOperation | None, list[_Step]]:
    """The operation in a segment, all its payloads in place; None where there is none."""
    objects = dict(segment.objects)
    call: Call | None = None
    steps: list[_Step] = []
    for data in segment.events:
        event = decode_event(data)
        body = event.body
        if isinstance(body, Call):
            params = _bytes(body.params, objects)
            call = Call(body.function, params, body.identity, body.caller, body.proof, body.outbox)
        elif isinstance(body, HostCall | LogRun):
            steps.append(((event.seq, body), _answer(body, objects)))
        elif isinstance(body, Result | Failure) and call is not None:
            return RecordedOperation(call, [step for step, _ in steps], (event.seq, body)), steps
    return None, steps


def _start_of(events: Sequence[bytes]) -> list[_Step]:
    """The host calls that an instance's first operation began with, as far as they are kept."""
    found: list[_Step] = []
    for event in map(decode_event, events):
        body = event.body
        if isinstance(body, LogRun):
            found.append(((event.seq, body), NO_ANSWER))
        elif isinstance(body, HostCall):
            if isinstance(body.output, Stored):
                break
            found.append(((event.seq, body), _answer(body, {})))
    return found


def _answer(call: RecordedCall, objects: dict[bytes, bytes]) -> bytes:
    output = None if isinstance(call, LogRun) else call.output
    return NO_ANSWER if output is None else _bytes(output, objects)


def _bytes(payload: Payload, objects: dict[bytes, bytes]) -> bytes:
    return objects[payload.digest] if isinstance(payload, Stored) else payload


def _is_foreign(actor: Actor, found: Divergence) -> bool:
    """Whether it differs by a call of WASI, which a guest's libraries make once and remember: that is no state yet."""
    owners = [one.cls for one in actor.type.capabilities if issubclass(one.cls, WitCapability)]
    sides = [side["interface"] for side in (found.recorded, found.replayed) if side and "interface" in side]
    return any(is_compatible(owner, str(interface)) for owner in owners for interface in sides)
