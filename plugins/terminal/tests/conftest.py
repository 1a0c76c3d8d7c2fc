"""The fixtures that theater_bus offers to the authors of plugins, and terminals without anybody in front of them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server
from theater_bus_terminal import console
from theater_bus_terminal.console import Console

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]


@dataclass(frozen=True)
class Screen:
    """A pseudo-terminal: `front` is the side of the person, `back` that of the host; `console` is the host's."""

    front: int
    back: int
    console: Console

    def is_raw(self) -> bool:
        """Whether lines and echo are off."""
        return not termios.tcgetattr(self.back)[3] & (termios.ICANON | termios.ECHO)

    def type(self, data: bytes) -> None:
        """Press keys."""
        os.write(self.front, data)

    def shown(self, end: bytes) -> bytes:
        """What was written since, to `end`. The system takes its time to carry it: this waits, 30 s at most."""
        shown = b""
        while not shown.endswith(end):
            ready, _, _ = select.select([self.front], [], [], 30)
            assert ready, f"{end!r} is not shown: {shown[-200:]!r}"
            shown += os.read(self.front, 1 << 16)
        return shown

    def resize(self, columns: int, rows: int) -> None:
        """Change the window."""
        fcntl.ioctl(self.front, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """The terminal of the process is a pseudo-terminal of 80 columns and 24 rows."""
    front, back = pty.openpty()
    one = Screen(front, back, Console(back, back, back))
    one.resize(80, 24)
    monkeypatch.setattr(console, "CONSOLE", one.console)
    yield one
    os.close(front)
    os.close(back)
