"""The clock that makes long guests yield: a thread that advances the engine's epoch, and sleeps unless one takes long.

A thread that wakes up every millisecond while guests run is not cheap: it needs the GIL, which the loop gives up and
takes back at every poll, so that it is woken in vain for each of them until the interpreter's switch interval has
passed. Measured at 16,000 operations a second: 10 of 45 µs of CPU per operation. So the clock stands still while calls
are short: the loop sets an alarm when it begins to run guests, sets it off when it has turned, and only an alarm that
goes off wakes the thread.

Invariants: whoever polls on the loop has called `arm` in the same turn, and `disarm` follows in the next; while a guest
is in the pool (`hold`), the clock ticks. `epoch` follows the engine's epoch and never lags behind it.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from theater_bus.engine import alarm, ffi

__all__ = ["AlarmTicker", "SleepingTicker", "Ticker", "make_ticker"]

IDLE_TICKS: Final = 200


class Ticker(Protocol):
    """What the engine needs of a clock. `arm`, `disarm`, `hold` and `release` are called on the loop's thread."""

    epoch: int
    """The engine's epoch."""

    patience: int
    """The ticks after which a call that starts now has used a slice."""

    def arm(self) -> None:
        """Guests are going to be polled on the loop, in this turn."""

    def disarm(self) -> None:
        """The loop has turned."""

    def hold(self) -> None:
        """A guest goes into the pool: tick until it has left."""

    def release(self) -> None:
        """A guest has left the pool."""

    def include(self, engine: int) -> None:
        """Advance the epoch of another engine too, which is deleted only after `close`."""

    def close(self) -> None:
        """Stop the thread and wait for it; afterwards the engines may be deleted."""


def make_ticker(engine: int, window_ns: int, slice_ns: int, kernel_timer: bool) -> Ticker:
    """The best clock that this system has. On the loop, no call begins later than `window_ns` after `arm`."""
    if kernel_timer and alarm.available():
        return AlarmTicker(engine, window_ns, slice_ns)
    return SleepingTicker(engine, slice_ns)


class AlarmTicker:
    """Wakes up only when guests have been polled for longer than a window and a slice, and while one is in the pool."""

    __slots__ = (
        "_alarm",
        "_armed",
        "_closing",
        "_engines",
        "_held",
        "_off",
        "_steady",
        "_thread",
        "_watch",
        "epoch",
        "patience",
    )

    def __init__(self, engine: int, window_ns: int, slice_ns: int) -> None:
        self._engines: tuple[int, ...] = (engine,)
        self._alarm = alarm.Alarm()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._armed = False
        self._held = 0
        self._watch = alarm.spec(window_ns + slice_ns, slice_ns)
        self._steady = alarm.spec(slice_ns, slice_ns)
        self._off = alarm.spec(0, 0)
        self.epoch = 0
        # The first tick comes a slice after the last call can have begun. While the clock ticks steadily it may come
        # at once, and with one tick of patience every hundredth short call would yield for nothing.
        self.patience = 1

    def arm(self) -> None:
        """Wake the thread unless `disarm` comes in time."""
        self._armed = True
        if not self._held:
            if self._thread is None:
                self._start()
            self._alarm.set(self._watch)

    def disarm(self) -> None:
        """Nothing took long."""
        self._armed = False
        if not self._held:
            self._alarm.set(self._off)

    def hold(self) -> None:
        """Tick steadily."""
        self._held += 1
        if self._held == 1:
            self.patience = 2
            self._start()
            self._alarm.set(self._steady)

    def release(self) -> None:
        """Go on only as `arm` says when nobody is left."""
        self._held -= 1
        if not self._held:
            self.patience = 1
            self._alarm.set(self._watch if self._armed else self._off)

    def include(self, engine: int) -> None:
        """Advance the epoch of another engine too."""
        self._engines = (*self._engines, engine)

    def close(self) -> None:
        """Stop the thread, wait for it, free the alarm."""
        self._closing = True
        if self._thread is not None:
            self._alarm.set(alarm.spec(1, 0))
            self._thread.join()
            self._thread = None
        self._alarm.close()

    def _start(self) -> None:
        # The loop may turn once more after the end; a thread would read a file, and tick an engine, that are gone.
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="theater-bus-ticker", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._alarm.wait()
            if self._closing:
                return
            self.epoch += 1
            for engine in self._engines:
                ffi.increment_epoch(engine)


class SleepingTicker:
    """Advances the epoch every slice, and parks after 200 ticks in which nobody called `arm`.

    Having set `parked` the thread looks at `polls` once more, so that of a poller and a parking thread at least one
    sees the other.
    """

    __slots__ = (
        "_closing",
        "_engines",
        "_held",
        "_slice_s",
        "_thread",
        "_wake",
        "epoch",
        "parked",
        "patience",
        "polls",
    )

    def __init__(self, engine: int, slice_ns: int) -> None:
        self._engines: tuple[int, ...] = (engine,)
        self._slice_s = slice_ns / 1e9
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._held = 0
        self.epoch = 0
        self.patience = 2
        self.polls = 0
        self.parked = True

    def arm(self) -> None:
        """Tick for a while."""
        self.polls += 1
        if self.parked:
            self._unpark()

    def disarm(self) -> None:
        """Nothing: the thread finds out by itself."""

    def hold(self) -> None:
        """Tick until `release`."""
        self._held += 1
        self.arm()

    def release(self) -> None:
        """Tick for a while only."""
        self._held -= 1

    def include(self, engine: int) -> None:
        """Advance the epoch of another engine too."""
        self._engines = (*self._engines, engine)

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _unpark(self) -> None:
        self.parked = False
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="theater-bus-ticker", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        seen, idle = self.polls, 0
        while not self._closing:
            time.sleep(self._slice_s)
            self.epoch += 1
            for engine in self._engines:
                ffi.increment_epoch(engine)
            if self._held or self.polls != seen:
                seen, idle = self.polls, 0
                continue
            idle += 1
            if idle >= IDLE_TICKS:
                self._park(seen)
                idle = 0

    def _park(self, seen: int) -> None:
        self._wake.clear()
        self.parked = True
        if self.polls == seen:
            self._wake.wait()
        self.parked = False
