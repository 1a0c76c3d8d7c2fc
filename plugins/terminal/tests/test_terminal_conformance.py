"""What is asked of every capability, of `terminal`, on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_terminal import Terminal, console
from theater_bus_terminal.console import Console


@asynccontextmanager
async def screen(host: RunningHost) -> AsyncIterator[Mapping[str, Any]]:
    """The terminal of the process is a pseudo-terminal."""
    front, back = pty.openpty()
    before, console.CONSOLE = console.CONSOLE, Console(back, back, back)
    yield {}
    console.CONSOLE = before
    os.close(front)
    os.close(back)


test_conformance = conformance(
    Terminal,
    settings={"raw": True, "control": True, "input": True},
    examples=[Example("set-raw-mode", True), Example("write-stdout", b"")],
    refused=[
        Example("enable-input"),
        Example("set-raw-mode", True),
        Example("write-stdout", b"", settings={"output": False}),
    ],
    prepare=screen,
)
