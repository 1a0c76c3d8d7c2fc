"""The fixtures that theater_bus offers to the authors of plugins, and programs that run without a guest."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server
from theater_bus_process import Process

__all__ = ["Programs", "eventually", "start_harness", "start_host", "theater_server"]

SHELL = "/bin/sh"
HANDLERS = "theater:simple/process-handlers."


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """`is_gone(pid)`: whether a process of the system has ended; one that only waits to be reaped has."""

    def look(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return look


class Programs:
    """The capability without a guest: `start` and `shell` start programs, `ended` gives all that a program said."""

    def __init__(self, harness: Any) -> None:
        self.harness = harness
        self.call = harness.call
        self.context = harness.context

    async def start(self, program: str, *args: str, **config: Any) -> int:
        """Start a program; further arguments are fields of its `process-config`, with `_` for `-`."""
        whole = {"program": program, "args": list(args), "cwd": None, "env": [], "buffer-size": 0}
        whole |= {"stdout-mode": "raw", "stderr-mode": "raw", "chunk-size": None, "execution-timeout": None}
        whole |= {name.replace("_", "-"): value for name, value in config.items()}
        return int(await self.call("os-spawn", whole, timeout_s=60))

    async def shell(self, script: str, **config: Any) -> int:
        """Start a script of the shell."""
        return await self.start(SHELL, "-c", script, **config)

    async def calls(self) -> Any:
        """The calls of the actor's handlers, each ended when the next one is asked for."""
        while True:
            async with asyncio.timeout(60):
                while not self.context.enqueued:  # noqa: ASYNC110  the capability calls when it wants
                    await asyncio.sleep(0.002)
            function, params = self.context.enqueued[0]
            yield function.removeprefix(HANDLERS), *params
            self.context.finish()

    async def ended(self, pid: int) -> tuple[list[bytes], list[bytes], int]:
        """The parts of stdout and of stderr, and the exit code of a program that ends."""
        parts: dict[str, list[bytes]] = {"handle-stdout": [], "handle-stderr": []}
        async for handler, of, content in self.calls():
            assert of == pid
            if handler == "handle-exit":
                self.context.finish()
                return parts["handle-stdout"], parts["handle-stderr"], content
            parts[handler].append(content)
        raise AssertionError("unreachable")

    async def said(self, pid: int) -> tuple[str, str, int]:
        """The same, joined."""
        out, err, code = await self.ended(pid)
        return b"".join(out).decode(), b"".join(err).decode(), code


@pytest.fixture
def programs_of() -> type[Programs]:
    """`programs = programs_of(harness)`, for a harness of one's own."""
    return Programs


@pytest.fixture
def start_programs(start_harness: Any) -> Callable[..., Any]:
    """`programs = await start_programs(processes=1)`: the shell and Python are granted, and what the settings say."""

    async def start(**settings: Any) -> Programs:
        settings.setdefault("programs", [SHELL, sys.executable])
        return Programs(await start_harness(Process, settings))

    return start
