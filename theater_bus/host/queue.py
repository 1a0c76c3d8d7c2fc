"""What stands before an actor's guest: operations in the order of their admission, until their turn or their deadline.

Nothing here awaits. Invariants: an operation starts only when the actor runs, the guest is free and the chain is not
too far behind; operations that end at once do not nest; other actors get their turn of the event loop in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from theater_bus.core.lifecycle import Phase
from theater_bus.errors import ActorError, Cancelled, OperationTimeout
from theater_bus.host.answering import refuse

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["AHEAD_MAX", "Queue"]

AHEAD_MAX = 64
"""Operations of a durable actor that may run before the first of them is kept."""


class Queue:
    """The way into the guest of one actor. `ahead_max` is how many segments may wait when an operation starts."""

    __slots__ = ("_actor", "_is_resuming", "_is_waiting", "_sweep_timer", "_turn", "ahead_max")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._turn = actor.services.turn
        self._is_waiting = False
        self._is_resuming = False
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.ahead_max = AHEAD_MAX

    def submit(self, op: Operation) -> None:
        """Run `op` now if nothing stands before it, else queue it; what refuses it is its answer. HOT."""
        actor = self._actor
        free = actor.current is None and actor.phases.phase is Phase.RUNNING
        try:
            if free and not len(actor.mailbox) and actor.journal.ahead < self.ahead_max:
                if not self._turn.expired():
                    actor.start(op)
                    return
            elif actor.phases.is_ending:
                raise actor.phases.shutting_down()
            actor.mailbox.push(op)
        except ActorError as error:
            refuse(op, error)
            return
        self._sweep_at(op.deadline)
        if free:
            self._wait_for_turn()

    def submit_own(self, op: Operation) -> None:
        """Queue what a capability of this actor enqueues, within the bound for that. Raises what refuses it."""
        actor = self._actor
        if actor.phases.is_ending:
            raise actor.phases.shutting_down()
        actor.mailbox.push_enqueue(op)
        self._sweep_at(op.deadline)
        actor.services.loop.call_soon(self.resume)

    def take_back(self, op: Operation) -> bool:
        """Take out what a capability enqueued; False when it waits no more."""
        if not self._actor.mailbox.remove(op):
            return False
        refuse(op, Cancelled(f"{op.entry.name} was taken back by the capability that enqueued it"))
        return True

    def cancel(self, matches: Callable[[Operation], bool], why: str) -> bool:
        """Cancel the first waiting operation that matches; False when none does."""
        mailbox = self._actor.mailbox
        for waiting in mailbox:
            if matches(waiting):
                mailbox.remove(waiting)
                refuse(waiting, Cancelled(why))
                return True
        return False

    def close(self) -> None:
        """Answer everything that waits with `shutting-down`."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for op in self._actor.mailbox.close():
            refuse(op, self._actor.phases.shutting_down())

    def hold(self) -> None:
        """Begin nothing until `release`: a checkpoint is due."""
        self.ahead_max = 0

    def release(self) -> None:
        """Operations begin again."""
        self.ahead_max = AHEAD_MAX
        self.resume()

    def resume(self) -> None:
        """Go on with what waits, if the actor runs and is free. Operations that end at once do not nest."""
        if self._is_resuming:
            return
        actor = self._actor
        self._is_resuming = True
        try:
            while (
                actor.current is None and actor.phases.phase is Phase.RUNNING and actor.journal.ahead < self.ahead_max
            ):
                if self._turn.expired():
                    if len(actor.mailbox):
                        self._wait_for_turn()
                    return
                op = actor.mailbox.pop()
                if op is None:
                    return
                if op.deadline <= actor.services.loop.time():
                    refuse(op, _too_late(op))
                else:
                    actor.start(op)
        finally:
            self._is_resuming = False

    def _wait_for_turn(self) -> None:
        """Go on in one of the next turns of the loop."""
        if not self._is_waiting:
            self._is_waiting = True
            self._turn.queue(self._turn_came)

    def _turn_came(self) -> None:
        self._is_waiting = False
        self.resume()

    def _sweep_at(self, deadline: float) -> None:
        """Look at the queue when the earliest deadline in it passes."""
        if deadline is inf:
            return
        timer = self._sweep_timer
        if timer is not None:
            if timer.when() <= deadline:
                return
            timer.cancel()
        self._sweep_timer = self._actor.services.loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        """Answer what waited until its deadline passed."""
        self._sweep_timer = None
        mailbox, loop = self._actor.mailbox, self._actor.services.loop
        now = loop.time()
        for op in mailbox.expire(now):
            refuse(op, _too_late(op))
        earliest = mailbox.next_deadline
        if earliest is not inf and len(mailbox):
            self._sweep_timer = loop.call_at(max(earliest, now + 0.001), self._sweep)


def _too_late(op: Operation) -> OperationTimeout:
    return OperationTimeout(
        f"{op.entry.name} waited in the queue until its deadline had passed", ran="never", phase="queued"
    )
