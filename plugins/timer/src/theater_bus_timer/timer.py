"""`theater:simple/timer`, compatible with guests built for Theater, and one-shots beside it.

Invariants: a timer has at most one tick in the mailbox; all timers of an actor together have at most `waiting`; what is
due beyond that waits its turn here, in the order in which it became due. Timers change with the operation that changes
them: where it fails, they are what they were. A one-shot is kept until its tick ran.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Annotated

from pydantic import Field

from theater_bus import ActorError
from theater_bus.capability import NUMBER, Cancellable, Capability, CapabilityError, Context
from theater_bus.capability import Settings as BaseSettings
from theater_bus_timer.schedule import (
    MOST_MS,
    NAME_BYTES,
    Missed,
    Scheduled,
    next_due,
    read_snapshot,
    write_snapshot,
)

__all__ = ["Timer"]

TICK = "theater:simple/timer.handle-tick"
AGAIN_S = 1.0
"""How long to wait where a tick was refused: by a mailbox that others fill, or by a chain that cannot be written."""


class Timer(Capability):
    """Intervals and one-shots that tick into the actor's `handle-tick`."""

    name = "timer"
    pact = "timer.pact"

    class Settings(BaseSettings):
        """`[capabilities.timer]`; the three numbers are bounds that hosts and parents can lower."""

        timers: Annotated[int, NUMBER, Field(ge=0, le=100_000)] = 64
        rate: Annotated[int, NUMBER, Field(ge=1, le=1_000)] = 100
        waiting: Annotated[int, NUMBER, Field(ge=1, le=1_000)] = 16
        missed: Missed = "skip"

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._timers: dict[str, Scheduled] = {}
        self._late: deque[Scheduled] = deque()
        self._ticks = 0
        self._again: Cancellable | None = None
        self._restored: bytes | None = None
        self._clock = context.clock

    # -- theater:simple/timer ------------------------------------------------------------------------------------------

    def set_interval(self, name: str, interval_ms: int) -> str:
        """Tick at once, that is behind the running operation, and then every `interval_ms`."""
        shortest_ms = 1000 / self.settings.rate
        if 0 < interval_ms < shortest_ms:
            raise CapabilityError(
                f"an interval of {interval_ms} ms is shorter than the grant timer.rate = {self.settings.rate} allows. "
                f"Fix: {shortest_ms:g} ms or more, or `rate = {-(-1000 // interval_ms)}` in [capabilities.timer]"
            )
        return self._set(name, interval_ms, interval_ms, 0.0)

    def clear_interval(self, name: str) -> None:
        """End an interval. No tick of it follows."""
        self._clear(name, "interval")

    def now(self) -> int:
        """Milliseconds since 1970, recorded like every answer of the host."""
        return self._clock.unix_ns() // 1_000_000

    # -- theater:bus/timer ---------------------------------------------------------------------------------------------

    def set_timeout(self, name: str, delay_ms: int) -> str:
        """Tick once, in `delay_ms`. The name is free again when the tick is on its way."""
        return self._set(name, None, delay_ms, delay_ms / 1000)

    def clear_timeout(self, name: str) -> None:
        """Take a one-shot back."""
        self._clear(name, "one-shot")

    def list_timers(self) -> list[tuple[str, int | None]]:
        """What is set, in the order of names."""
        return sorted((one.name, one.interval_ms) for one in self._timers.values())

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what was restored."""
        if self._restored is None:
            return
        found = read_snapshot(self._restored, self._now(), self._unix_s())
        shortest_ms = -(-1000 // self.settings.rate)
        for timer in found[: self.settings.timers]:
            if timer.interval_ms is not None:
                timer.interval_ms = max(timer.interval_ms, shortest_ms)
            self._timers[timer.name] = timer
            self._arm(timer)
        if len(found) > len(self._timers):
            self.context.report_failure(
                f"{len(found) - len(self._timers)} of {len(found)} timers did not come back: the grant timer.timers is "
                f"{self.settings.timers} now"
            )

    async def stop(self) -> None:
        """Tick no more."""
        self._late.clear()
        for timer in self._timers.values():
            timer.disarm()
            timer.is_over = True
        if self._again is not None:
            self._again.cancel()

    def snapshot(self) -> bytes | None:
        """All timers, with the moments at which they are due."""
        return write_snapshot(self._timers.values(), self._now(), self._unix_s())

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave. What was due meanwhile ticks once, at once."""
        read_snapshot(snapshot, 0.0, 0.0)
        self._restored = snapshot

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _unix_s(self) -> float:
        return self._clock.unix_ns() / 1e9

    # -- setting and clearing, with the operation ----------------------------------------------------------------------

    def _set(self, name: str, interval_ms: int | None, given_ms: int, delay_s: float) -> str:
        _check(name, given_ms)
        before = self._timers.get(name)
        if before is not None and not (before.interval_ms is None and before.take_back is not None):
            raise CapabilityError(f"there is a timer {name!r} already. Fix: clear it first, or choose another name")
        if before is None and len(self._timers) >= self.settings.timers:
            raise CapabilityError(
                f"the grant timer.timers = {self.settings.timers} is used up. Fix: clear one, or "
                f"`timers = {self.settings.timers + 1}` in [capabilities.timer]"
            )
        if not self.context.has_export(TICK):
            raise CapabilityError(
                f"the actor has no {TICK}. Fix: export `{TICK}: func(state: S, name: string) -> "
                "result<tuple<S>, string>`"
            )
        timer = self._timers[name] = Scheduled(name, interval_ms, self._now() + delay_s)
        self.context.on_operation_end(partial(self._was_set, timer, before))
        self.context.snapshot_changed()
        return name

    def _was_set(self, timer: Scheduled, before: Scheduled | None, took_effect: bool) -> None:
        timer.is_over = timer.is_over or not took_effect
        if self._timers.get(timer.name) is not timer:
            return
        if took_effect:
            self._arm(timer)
            return
        self._remove(timer)
        if before is not None and not before.is_over:
            self._timers[before.name] = before

    def _clear(self, name: str, kind: str) -> None:
        timer = self._timers.get(name)
        if timer is None or (timer.interval_ms is None) != (kind == "one-shot"):
            raise CapabilityError(f"there is no {kind} {name!r:.80}")
        self._remove(timer)
        if timer.take_back is not None:
            timer.take_back()
        self.context.on_operation_end(partial(self._was_cleared, timer))
        self.context.snapshot_changed()

    def _was_cleared(self, timer: Scheduled, took_effect: bool) -> None:
        if took_effect or timer.is_over:
            timer.is_over = True
            return
        newer = self._timers.get(timer.name)
        if newer is not None:
            self._remove(newer)
            newer.is_over = True
        self._timers[timer.name] = timer
        if timer.take_back is None:
            self._arm(timer)

    def _remove(self, timer: Scheduled) -> None:
        del self._timers[timer.name]
        timer.disarm()
        timer.is_late = False

    # -- ticking -------------------------------------------------------------------------------------------------------

    def _arm(self, timer: Scheduled) -> None:
        timer.disarm()
        if timer.is_over:
            return
        timer.handle = self._clock.call_later(timer.due - self._now(), self._due, timer)

    def _due(self, timer: Scheduled) -> None:
        timer.handle = None
        timer.is_late = True
        self._late.append(timer)
        self._send()

    def _send(self) -> None:
        """Put ticks into the mailbox, as many as may be there."""
        late = self._late
        while late and self._ticks < self.settings.waiting:
            timer = late[0]
            if not timer.is_late:
                late.popleft()
                continue
            try:
                timer.take_back = self.context.enqueue(TICK, [timer.name], partial(self._ticked, timer))
            except ActorError as error:
                if self._refused(timer, error):
                    continue
                return
            self._ticks += 1
            timer.is_late = False
            late.popleft()

    def _refused(self, timer: Scheduled, error: ActorError) -> bool:
        """A tick could not be put into the mailbox. The result says whether to go on with the next one."""
        if error.code == "shutting-down":
            return False
        if error.code == "overloaded":
            if not self._ticks and self._again is None:
                self._again = self._clock.call_later(AGAIN_S, self._try_again)
            return False
        self._remove(timer)
        self.context.report_failure(f"timer {timer.name!r} is gone: {error}")
        return True

    def _try_again(self) -> None:
        self._again = None
        self._send()

    def _ticked(self, timer: Scheduled, error: ActorError | None) -> None:
        """A tick is over, or was refused in the mailbox."""
        self._ticks -= 1
        timer.take_back = None
        if error is not None and error.code == "shutting-down":
            return
        ran = error is None or error.ran != "never"
        if ran:
            self._judge(timer, error)
        if timer.interval_ms is None:
            timer.is_over = ran
        if self._timers.get(timer.name) is timer:
            self._follow_up(timer, ran)
        self._send()

    def _follow_up(self, timer: Scheduled, ran: bool) -> None:
        """What comes after a tick: the next one of an interval; of a one-shot only what has not run."""
        now = self._now()
        if timer.interval_ms is not None:
            timer.due = next_due(timer.due, timer.interval_ms, now, self.settings.missed if ran else "skip")
            self._arm(timer)
        elif ran:
            self._remove(timer)
        else:
            timer.due = now + AGAIN_S
            self._arm(timer)

    def _judge(self, timer: Scheduled, error: ActorError | None) -> None:
        """Report the first of several failed ticks."""
        if error is not None and not timer.has_failed:
            self.context.report_failure(f"tick of {timer.name!r} failed: {error}")
        timer.has_failed = error is not None


def _check(name: str, given_ms: int) -> None:
    if not name or len(name.encode()) > NAME_BYTES:
        raise CapabilityError(f"a timer's name has 1 to {NAME_BYTES} bytes, this one has {len(name.encode())}")
    if not 0 < given_ms <= MOST_MS:
        raise CapabilityError(f"{given_ms} ms is no time for a timer. Fix: 1 ms to ten years ({MOST_MS} ms)")
