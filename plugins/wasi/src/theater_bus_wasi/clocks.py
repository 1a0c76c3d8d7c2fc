"""`wasi:clocks` and `wasi:random`: the host's time and randomness, by grant."""

from __future__ import annotations

import hashlib
import os
from typing import Any, cast

from theater_bus.capability import HandlerError, TimeSource
from theater_bus_wasi.table import Group, Pollable, named, not_granted

__all__ = ["Clocks", "Random"]

BILLION = 1_000_000_000
MOST_RANDOM = 1 << 20
STARTING = 4096


class Clocks(Group):
    """`wasi:clocks/monotonic-clock` and `wasi:clocks/wall-clock`.

    Without the grant the wall clock cannot be read, and the monotonic clock stands still at 0: it says how long
    something took, which is then nothing, and language runtimes read it as they start. Nobody waits on it.
    """

    @named("wasi:clocks/wall-clock.now")
    def wall_now(self) -> dict[str, int]:
        self._require("the guest read the wall clock")
        seconds, nanoseconds = divmod(self._clock.unix_ns(), BILLION)
        return {"seconds": seconds, "nanoseconds": nanoseconds}

    @named("wasi:clocks/wall-clock.resolution")
    def wall_resolution(self) -> dict[str, int]:
        return {"seconds": 0, "nanoseconds": 1}

    @named("wasi:clocks/monotonic-clock.now")
    def now(self) -> int:
        return self._clock.monotonic_ns() if self.settings.clocks else 0

    @named("wasi:clocks/monotonic-clock.resolution")
    def resolution(self) -> int:
        return 1

    @named("wasi:clocks/monotonic-clock.subscribe-instant")
    def subscribe_instant(self, when: int) -> int:
        self._require("the guest waits for a time")
        return self.table.put(_at(self._clock, when))

    @named("wasi:clocks/monotonic-clock.subscribe-duration")
    def subscribe_duration(self, duration: int) -> int:
        self._require("the guest waits for a time")
        return self.table.put(_at(self._clock, self._clock.monotonic_ns() + duration))

    @property
    def _clock(self) -> TimeSource:
        return cast("TimeSource", self.wasi.context.clock)

    def _require(self, what: str) -> None:
        if not self.settings.clocks:
            raise not_granted(what, "clocks = true")


def _at(clock: TimeSource, when_ns: int) -> Pollable:
    async def wait() -> None:
        # Some event loops count in whole milliseconds and come back early.
        while (left := when_ns - clock.monotonic_ns()) > 0:
            await clock.sleep(max(left, 1_000_000) / BILLION)

    return Pollable(lambda: clock.monotonic_ns() >= when_ns, wait)


class Random(Group):
    """`wasi:random`: the host's randomness by grant.

    Language runtimes seed their hash tables and generators as they start, and end when they cannot. Without the grant
    the first operation of an instance therefore gets up to 4 KiB that are no secret: they follow from the actor's id.
    Whatever is asked for beyond that, or later, ends the operation.
    """

    def __init__(self, wasi: Any) -> None:
        super().__init__(wasi)
        self._left: int | None = None

    def renewed(self) -> None:
        """A fresh instance starts its runtime again."""
        self._left = None

    @named("wasi:random/random.get-random-bytes", "wasi:random/insecure.get-insecure-random-bytes")
    def get_random_bytes(self, count: int) -> bytes:
        if count > MOST_RANDOM:  # fewer than were asked for would leave the rest as it was
            raise HandlerError(f"wasi: the guest asked for {count} random bytes, {MOST_RANDOM} are given at once")
        if self.settings.random:
            return os.urandom(count)
        left = STARTING if self._left is None else self._left
        if count > left:
            raise not_granted("the guest asked for random bytes", "random = true")
        if self._left is None:
            self.wasi.context.on_operation_end(self._started)
        self._left = left - count
        return self._known(STARTING)[STARTING - left : STARTING - self._left]

    def _started(self, _took_effect: bool) -> None:
        self._left = 0

    def _known(self, count: int) -> bytes:
        return hashlib.shake_256(f"theater-bus wasi: {self.wasi.context.actor.id}".encode()).digest(count)

    @named("wasi:random/random.get-random-u64", "wasi:random/insecure.get-insecure-random-u64")
    def get_random_u64(self) -> int:
        return int.from_bytes(self.get_random_bytes(8), "little")

    @named("wasi:random/insecure-seed.insecure-seed")
    def insecure_seed(self) -> list[int]:
        raw = os.urandom(16) if self.settings.random else self._known(16)
        return [int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")]
