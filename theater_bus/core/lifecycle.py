"""The phases of an actor and the only ways from one to the next.

    starting → running ⇄ paused
    running → restarting | updating → running
    any → stopping → stopped

Invariants: a machine never leaves this graph; `stopping` is absorbing (nothing but `stopped` follows, and nothing
follows `stopped`); a reason exists exactly from the moment of stopping; while stopping, a reason only gets more
severe. An actor that was paused when its host died is recovered through `running` before its lanes are subscribed.
Source: architecture, "Actor life".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from theater_bus.errors import IllegalTransition, NotPaused, Paused, ShuttingDown, Unavailable

__all__ = ["TRANSITIONS", "Observer", "Phase", "PhaseMachine", "StopReason"]


class Phase(Enum):
    """Where an actor is in its life; the value is the word used on the wire and in metrics."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    UPDATING = "updating"
    STOPPING = "stopping"
    STOPPED = "stopped"


class StopReason(Enum):
    """Why an actor stopped, mildest first: a stop that is under way can only be overtaken by a later one of these.

    `exited`: it asked itself. `shutdown`: others asked. `moved`: another host goes on with it. `failed`: its
    `on_failure` said so, or its start failed. `terminated`: cut at once. `fenced`: this host has lost it.
    """

    EXITED = "exited"
    SHUTDOWN = "shutdown"
    MOVED = "moved"
    FAILED = "failed"
    TERMINATED = "terminated"
    FENCED = "fenced"


TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = MappingProxyType(
    {
        Phase.STARTING: frozenset({Phase.RUNNING, Phase.STOPPING}),
        Phase.RUNNING: frozenset({Phase.PAUSED, Phase.RESTARTING, Phase.UPDATING, Phase.STOPPING}),
        Phase.PAUSED: frozenset({Phase.RUNNING, Phase.STOPPING}),
        Phase.RESTARTING: frozenset({Phase.RUNNING, Phase.STOPPING}),
        Phase.UPDATING: frozenset({Phase.RUNNING, Phase.STOPPING}),
        Phase.STOPPING: frozenset({Phase.STOPPED}),
        Phase.STOPPED: frozenset(),
    }
)

Observer: TypeAlias = Callable[[Phase, Phase], None]

_SEVERITY: Final = {reason: rank for rank, reason in enumerate(StopReason)}


class PhaseMachine:
    """The guarded phase of one actor.

    `observer(before, after)` is called after each change, when the machine already shows the new phase; it must not
    raise. `phase` and `reason` are for reading; only the methods change them.
    """

    __slots__ = ("_observer", "phase", "reason")

    def __init__(self, observer: Observer | None = None) -> None:
        self.phase = Phase.STARTING
        self.reason: StopReason | None = None
        self._observer = observer

    @property
    def is_running(self) -> bool:
        """True when the next queued operation may start."""
        return self.phase is Phase.RUNNING

    @property
    def is_ending(self) -> bool:
        """True from the moment of stopping on: whatever arrives is `shutting-down`."""
        return self.phase is Phase.STOPPING or self.phase is Phase.STOPPED

    def can(self, phase: Phase) -> bool:
        """Whether the graph has an edge from here to `phase`."""
        return phase in TRANSITIONS[self.phase]

    def started(self) -> None:
        """`starting` → `running`. Raises `IllegalTransition` from anywhere else, as the methods below do."""
        self._require(Phase.STARTING, Phase.RUNNING)
        self._enter(Phase.RUNNING)

    def begin_restart(self) -> None:
        """`running` → `restarting`."""
        self._enter(Phase.RESTARTING)

    def begin_update(self) -> None:
        """`running` → `updating`."""
        self._enter(Phase.UPDATING)

    def renewed(self) -> None:
        """`restarting` or `updating` → `running`, with a fresh instance."""
        if self.phase is not Phase.UPDATING:
            self._require(Phase.RESTARTING, Phase.RUNNING)
        self._enter(Phase.RUNNING)

    def pause(self) -> None:
        """`running` → `paused`, as a control verb.

        Raises `Paused` when it is paused already, `ShuttingDown` when it ends, `Unavailable` while it starts,
        restarts or updates.
        """
        if self.phase is Phase.PAUSED:
            raise Paused("the actor is paused already", phase=self.phase.value)
        self._require_settled("paused")
        self._enter(Phase.PAUSED)

    def resume(self) -> None:
        """`paused` → `running`, as a control verb. Raises `NotPaused`, or `ShuttingDown` when it ends."""
        if self.is_ending:
            raise self.shutting_down()
        if self.phase is not Phase.PAUSED:
            raise NotPaused(f"the actor is {self.phase.value}, not paused", phase=self.phase.value)
        self._enter(Phase.RUNNING)

    def begin_stop(self, reason: StopReason) -> bool:
        """Any phase → `stopping`; True when this call began it.

        While stopping, a more severe reason replaces the first (a `terminate` overtakes a `shutdown`) and the
        answer is False; after `stopped` nothing changes any more.
        """
        if self.phase is Phase.STOPPED:
            return False
        if self.reason is not None:
            if _SEVERITY[reason] > _SEVERITY[self.reason]:
                self.reason = reason
            return False
        self.reason = reason
        self._enter(Phase.STOPPING)
        return True

    def stopped(self) -> None:
        """`stopping` → `stopped`."""
        self._enter(Phase.STOPPED)

    def shutting_down(self) -> ShuttingDown:
        """The error that whatever arrives while the actor ends is answered with."""
        reason = self.reason.value if self.reason else StopReason.SHUTDOWN.value
        return ShuttingDown(f"the actor is {self.phase.value} ({reason})", phase=self.phase.value, reason=reason)

    def _require(self, found: Phase, wanted: Phase) -> None:
        if self.phase is not found:
            raise IllegalTransition(self.phase.value, wanted.value)

    def _require_settled(self, wanted: str) -> None:
        if self.is_ending:
            raise self.shutting_down()
        if self.phase is not Phase.RUNNING:
            raise Unavailable(
                f"the actor is {self.phase.value} and cannot be {wanted} now. Fix: ask again when it runs",
                phase=self.phase.value,
            )

    def _enter(self, phase: Phase) -> None:
        before = self.phase
        if phase not in TRANSITIONS[before]:
            raise IllegalTransition(before.value, phase.value)
        self.phase = phase
        if self._observer is not None:
            self._observer(before, phase)
