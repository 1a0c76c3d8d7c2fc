"""What becomes of an actor after its guest failed, and when it is told to pause: rules in, phases and events out.

Invariants: only traps and limits call on `on_failure`; what follows is recorded in the failed operation's segment
before it is done. Source: the architecture page, "Actor life".
"""

from __future__ import annotations

import asyncio
from random import random
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.chain.control import FreshInstance, Paused, Restarted, Resumed
from theater_bus.core.lifecycle import Phase, StopReason
from theater_bus.core.supervision import Action, Decision, Supervisor

if TYPE_CHECKING:
    from theater_bus.errors import ActorError
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["Supervision"]


class Supervision:
    """The restarts and pauses of one actor."""

    __slots__ = ("_actor", "_rules", "_timer")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._rules = Supervisor(actor.type.manifest.on_failure)
        self._timer: asyncio.TimerHandle | None = None

    def decide(self, op: Operation, error: ActorError, now: int) -> Decision | None:
        """What follows from an instance that is lost; recorded with the operation that lost it."""
        assert op.recording is not None
        if error.code != "guest-trap":
            op.recording.control(now, FreshInstance(error.code))
            return None
        actor = self._actor
        decision = self._rules.decide(actor.services.loop.time(), random())
        if decision.action is Action.RESTART:
            op.recording.control(now, Restarted(decision.attempt, error.code))
        else:
            op.recording.control(now, FreshInstance(error.code))
        reason = str(error.details.get("reason"))
        actor.services.telemetry.count("theater.actor.traps", 1, reason=reason)
        actor.event("guest.trapped", function=op.entry.name, reason=reason)
        return decision

    def apply(self, decision: Decision, error: ActorError) -> None:
        """Do what was decided, unless the actor ends or rests already."""
        actor = self._actor
        if actor.phases.phase is not Phase.RUNNING:
            return
        if decision.action is Action.RESTART:
            actor.services.telemetry.count("theater.actor.restarts", 1)
            actor.event("actor.restarted", attempt=decision.attempt, reason=error.code)
            if decision.delay_s > 0:
                actor.phases.begin_restart()
                self._timer = actor.services.loop.call_later(decision.delay_s, self._restarted)
            return
        actor.failure_note = error.message
        if decision.action is Action.PAUSE:
            self.pause(error.code)
        else:
            actor.failure = error
            actor.event("actor.failed", reason=decision.why, error=error.message)
            actor.services.stop_actor(actor, StopReason.FAILED)

    def pause(self, code: str | None = None) -> None:
        """Let the running operation finish, queue the rest. `code` is the failure that asks for it, if one does."""
        actor = self._actor
        actor.phases.pause()
        actor.journal.write(time_ns(), Paused(code), actor.state)
        actor.event("actor.paused", reason=code or "asked")
        if actor.checkpoints is not None:
            actor.checkpoints.wanted()

    def resume(self) -> None:
        """Go on after a pause. Raises `NotPaused`."""
        actor = self._actor
        actor.phases.resume()
        actor.failure_note = None
        actor.journal.write(time_ns(), Resumed(), actor.state)
        actor.event("actor.resumed")
        actor.services.loop.call_soon(actor.queue.resume)

    def end(self) -> None:
        """The actor ends: a restart that waits does not come any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _restarted(self) -> None:
        self._timer = None
        actor = self._actor
        if actor.phases.phase is Phase.RESTARTING:
            actor.phases.renewed()
            actor.queue.resume()
