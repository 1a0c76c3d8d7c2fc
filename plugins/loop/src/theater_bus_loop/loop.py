"""`theater:simple/loop`, compatible with guests built for Theater: an actor's own loop, one iteration per operation.

Invariants: an actor has at most one loop, and a loop at most one iteration in the mailbox or running; an iteration goes
to the end of the queue, so that whatever waits runs first. A loop changes with the operation that changes it: where
that fails, it is what it was. An iteration that ran and failed is the last one; one that never ran comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from theater_bus import ActorError
from theater_bus.capability import NUMBER, Cancellable, Capability, CapabilityError, Context
from theater_bus.capability import Settings as BaseSettings

__all__ = ["Loop"]

ITERATION = "theater:simple/loop-client.loop"
AGAIN_S = 1.0
"""How long to wait where an iteration was refused, as by a mailbox that others fill."""


@dataclass(slots=True, eq=False)
class _Running:
    """A loop: the value for its next iteration, and the iteration that waits (`take_back`) or is due (`handle`).

    `due` is the earliest moment of the next iteration, in seconds of the monotonic clock.
    """

    value: bytes
    due: float
    iterations: int = 0
    handle: Cancellable | None = None
    take_back: Callable[[], bool] | None = None
    is_over: bool = False

    def halt(self) -> None:
        """Take back the iteration that waits, or will; one that runs goes on."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        if self.take_back is not None:
            self.take_back()


class Loop(Capability):
    """One loop per actor, which calls the actor's `loop` with what it answered last."""

    name = "loop"
    pact = "loop.pact"

    class Settings(BaseSettings):
        """`[capabilities.loop]`; bounds that hosts and parents can lower."""

        rate: Annotated[int, NUMBER, Field(ge=1, le=1_000_000)] = 1_000
        value_bytes: Annotated[int, NUMBER, Field(ge=0, le=64 << 20)] = 1 << 20

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._running: _Running | None = None
        self._clock = context.clock

    # -- theater:simple/loop -------------------------------------------------------------------------------------------

    def start_loop(self, initial_state: bytes) -> None:
        """Iterate from this value on, behind the running operation."""
        if self._running is not None:
            raise CapabilityError("a loop is running already. Fix: stop-loop first")
        if not self.context.has_export(ITERATION):
            raise CapabilityError(
                f"the actor has no {ITERATION}. Fix: export `{ITERATION}: func(state: S, value: list<u8>) -> "
                "result<tuple<S, list<u8>>, string>`"
            )
        wrong = self._too_long(initial_state)
        if wrong:
            raise CapabilityError(wrong)
        running = self._running = _Running(initial_state, self._now())
        self.context.on_operation_end(partial(self._was_started, running))
        self.context.snapshot_changed()

    def stop_loop(self) -> None:
        """End the loop. No iteration follows."""
        running = self._running
        if running is None:
            raise CapabilityError("no loop is running")
        self._running = None
        running.halt()
        self.context.on_operation_end(partial(self._was_stopped, running))
        self.context.snapshot_changed()

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what was restored, if the grants still allow it."""
        running = self._running
        if running is None:
            return
        wrong = self._too_long(running.value)
        if wrong:
            self._fail(running, wrong)
        else:
            self._arm(running)

    async def stop(self) -> None:
        """Iterate no more."""
        if self._running is not None:
            self._running.is_over = True
            self._running.halt()

    def snapshot(self) -> bytes | None:
        """The value for the next iteration; None without a loop."""
        return None if self._running is None else self._running.value

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._running = _Running(snapshot, self._now())

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    # -- with the operation --------------------------------------------------------------------------------------------

    def _was_started(self, running: _Running, took_effect: bool) -> None:
        if not took_effect:
            running.is_over = True
            if self._running is running:
                self._running = None
        elif self._running is running:
            self._arm(running)

    def _was_stopped(self, running: _Running, took_effect: bool) -> None:
        if took_effect or running.is_over:
            running.is_over = True
            return
        self._running = running
        if running.take_back is None:
            running.due = self._now()
            self._arm(running)

    # -- iterating -----------------------------------------------------------------------------------------------------

    def _arm(self, running: _Running) -> None:
        """Iterate when it is time to."""
        if not running.is_over:
            running.handle = self._clock.call_later(running.due - self._now(), self._iterate, running)

    def _iterate(self, running: _Running) -> None:
        running.handle = None
        now = self._now()
        running.due = max(now, running.due) + 1 / self.settings.rate
        try:
            running.take_back = self.context.enqueue(
                ITERATION, [running.value], partial(self._ended, running), answered=partial(self._answered, running)
            )
        except ActorError as error:
            if error.code == "overloaded":
                running.due = now + AGAIN_S
                self._arm(running)
            elif error.code != "shutting-down":
                self._fail(running, str(error))

    def _answered(self, running: _Running, value: Any) -> None:
        """An iteration worked; what it answered is the value for the next one."""
        running.iterations += 1
        if not isinstance(value, bytes):
            self._fail(running, f"it answered {_shown(value)} beside the state, not a list<u8>")
            return
        wrong = self._too_long(value)
        if wrong:
            self._fail(running, wrong)
            return
        running.value = value

    def _ended(self, running: _Running, error: ActorError | None) -> None:
        """An iteration is over, or was refused in the mailbox."""
        running.take_back = None
        if error is not None and error.code == "shutting-down":
            return
        if error is not None and error.ran == "never":
            running.due = self._now() + AGAIN_S
        elif error is not None:
            self._fail(running, str(error))
            return
        if self._running is running:
            self._arm(running)

    def _fail(self, running: _Running, why: str) -> None:
        """End a loop that cannot go on, and say so."""
        if running.is_over:
            return
        running.is_over = True
        if self._running is running:
            self._running = None
            self.context.snapshot_changed()
        self.context.report_failure(f"the loop ended after {running.iterations} iterations: {why}")

    def _too_long(self, value: bytes) -> str | None:
        if len(value) <= self.settings.value_bytes:
            return None
        return (
            f"a value of {len(value)} bytes is longer than the grant loop.value_bytes = {self.settings.value_bytes} "
            f"allows. Fix: keep it in the actor's state, or `value_bytes = {len(value)}` in [capabilities.loop]"
        )


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == [] else f"a {type(value).__name__}"
