"""An alarm of the kernel: a file that becomes readable when a time has passed, and again at every interval after it.

Setting it costs a microsecond and wakes nobody, so that whoever must be woken only when something takes too long can
set it forward again and again. Linux only (timerfd_create(2)); `available` says whether it is there.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import PYFUNCTYPE, c_char_p, c_int, c_void_p
from struct import Struct
from typing import Any, Final, cast

__all__ = ["Alarm", "available"]

_CLOCK_MONOTONIC: Final = 1
_CLOEXEC: Final = os.O_CLOEXEC
_SPEC: Final = Struct("@llll")  # struct itimerspec: interval and first time, each in seconds and nanoseconds
_LIBRARY: Final = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    """Whether this system has such alarms."""
    return hasattr(_LIBRARY, "timerfd_create")


def _bound(name: str, *arguments: Any) -> Callable[..., int]:
    # The GIL is kept: both calls return at once.
    return cast("Callable[..., int]", PYFUNCTYPE(c_int, *arguments)((name, _LIBRARY)))


def spec(first_ns: int, interval_ns: int) -> bytes:
    """What `Alarm.set` takes: the time until it goes off (0: never), and the interval from then on."""
    return _SPEC.pack(*divmod(interval_ns, 1_000_000_000), *divmod(first_ns, 1_000_000_000))


class Alarm:
    """One alarm. `set(spec(…))` replaces whatever was set before."""

    __slots__ = ("_fd", "_settime")

    def __init__(self) -> None:
        self._fd = _bound("timerfd_create", c_int, c_int)(_CLOCK_MONOTONIC, _CLOEXEC)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._settime = _bound("timerfd_settime", c_int, c_int, c_char_p, c_void_p)

    def set(self, spec: bytes) -> None:
        """Start anew. HOT: once per turn of the loop."""
        self._settime(self._fd, 0, spec, None)

    def wait(self) -> None:
        """Return when it goes off. Other threads run meanwhile."""
        os.read(self._fd, 8)

    def close(self) -> None:
        """Free it; nobody may wait for it. What is set afterwards is ignored, whoever has got its number since."""
        os.close(self._fd)
        self._fd = -1
