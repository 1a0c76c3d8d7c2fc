"""The clock that makes long guests yield: a thread that advances the engine's epoch, and sleeps when nobody runs."""

from __future__ import annotations

import threading
import time
from typing import Final

from theater_bus.engine import ffi

__all__ = ["Ticker"]

IDLE_TICKS: Final = 200


class Ticker:
    """Advances the epoch every `slice_ms` while guests are being polled.

    Whoever polls adds one to `polls` first and then calls `wake` if `parked`. The thread parks after 200 ticks in
    which `polls` did not change; having set `parked` it looks at `polls` once more, so that of a poller and a
    parking thread at least one sees the other. `epoch` follows the engine's epoch and never lags behind it.
    """

    __slots__ = ("_closing", "_engine", "_slice", "_thread", "_wake", "epoch", "parked", "polls")

    def __init__(self, engine: int, slice_ms: float) -> None:
        self._engine = engine
        self._slice = slice_ms / 1000
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self.epoch = 0
        self.polls = 0
        self.parked = True

    def wake(self) -> None:
        """Tick again. Cheap when it ticks already."""
        self.parked = False
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="theater-bus-ticker", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Stop the thread and wait for it; afterwards the engine may be deleted."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        seen, idle = self.polls, 0
        while not self._closing:
            time.sleep(self._slice)
            self.epoch += 1
            ffi.increment_epoch(self._engine)
            if self.polls != seen:
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
