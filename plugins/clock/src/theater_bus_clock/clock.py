"""`theater:bus/clock`: the host's clocks, and waiting. It keeps nothing and runs nothing in the background."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from theater_bus.capability import NUMBER, Capability, CapabilityError
from theater_bus.capability import Settings as BaseSettings

__all__ = ["Clock"]

MILLISECOND = 1_000_000
SLEEP_MOST_MS = 86_400_000


class Clock(Capability):
    """`now`, `monotonic`, `resolution` need no grant beyond the name in the manifest; `sleep` needs `sleep_max_ms`."""

    name = "clock"
    pact = "clock.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`sleep_max_ms`: the longest single `sleep`, in milliseconds; without it an actor does not sleep."""

        sleep_max_ms: Annotated[int, NUMBER, Field(strict=True, ge=0, le=SLEEP_MOST_MS)] = 0

    def now(self) -> int:
        """Unix time in nanoseconds, by the host's clock."""
        return self.context.clock.unix_ns()

    def monotonic(self) -> int:
        """Nanoseconds by a clock that nobody sets; comparable within one run of the host only."""
        return self.context.clock.monotonic_ns()

    def resolution(self) -> dict[str, int]:
        """The steps of both clocks, in nanoseconds, at least 1."""
        return {"now": _step_ns("time"), "monotonic": _step_ns("monotonic")}

    async def sleep(self, duration_ns: int) -> None:
        """Come back when at least `duration_ns` have passed by `monotonic`, never earlier.

        The operation's deadline and a cancellation end it as they end the operation. Raises `CapabilityError` for more
        than `sleep_max_ms`.
        """
        most = self.settings.sleep_max_ms
        if duration_ns > most * MILLISECOND:
            raise CapabilityError(_too_long(duration_ns, most))
        clock = self.context.clock
        end = clock.monotonic_ns() + duration_ns
        # Some event loops count in whole milliseconds and come back up to one early.
        while (left := end - clock.monotonic_ns()) > 0:
            await clock.sleep(max(left, MILLISECOND) / 1e9)


def _step_ns(clock: str) -> int:
    return max(1, round(time.get_clock_info(clock).resolution * 1e9))  # type: ignore[arg-type]


def _too_long(duration_ns: int, most_ms: int) -> str:
    needed_ms = -(-duration_ns // MILLISECOND)
    problem = f"a sleep of {needed_ms} ms is longer than the granted clock.sleep_max_ms = {most_ms}. Fix: "
    if needed_ms > SLEEP_MOST_MS:
        return f"{problem}nobody can grant more than {SLEEP_MOST_MS}; sleep for less"
    return (
        f"{problem}write `sleep_max_ms = {needed_ms}` under [capabilities.clock] in the actor's manifest; "
        "its parent and the host must allow as much"
    )
