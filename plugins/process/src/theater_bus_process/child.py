"""The host's side of one program: its watcher, its pipes, its end.

Invariants: a program that was started has ended, with all that it has started, before `ended` is done; to be cancelled
while it starts ends it; what its pipes hold is read when somebody asks for it, so a program waits for a slow reader.
`close` comes last, when the pipes have been read to their ends. The program is of the same user as its watcher, and may
stop or kill it: one that is stopped is made to go on, and one that is gone takes the pipes along.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Child", "Order", "StartFailed"]

WATCHER = Path(__file__).with_name("watcher.py")
START_S = 30.0
KILLED = -9
URGE_S = 0.25
URGES = 40
"""How often, and how many times, a watcher that is to end is made to go on before it is killed, after 10 s."""


class StartFailed(Exception):
    """The program could not be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to start: the file to execute, `argv` with the name first, the whole environment, resource limits by the
    names of the module `resource`. `folder` is an open folder to start in; `buffer_bytes` are read ahead at most twice.
    """

    path: str
    argv: tuple[str, ...]
    env: dict[str, str]
    limits: dict[str, int]
    folder: int
    buffer_bytes: int


class Child:
    """One program under its watcher. Made by `Child.start`; `stdout` and `stderr` are to be read to their ends."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        # Nothing is kept in this process: who writes waits until the pipe has taken it.
        self.stdin.transport.set_write_buffer_limits(high=0)
        self._process, self._reader, self._writer = process, reader, writer
        self._urging: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, order: Order) -> Child:
        """Start a program. Raises `StartFailed`."""
        mine, theirs = socket.socketpair()
        try:
            reader, writer = await asyncio.open_connection(sock=mine)
        except BaseException:
            mine.close()
            theirs.close()
            raise
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(WATCHER),
                str(theirs.fileno()),
                str(order.folder),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(), order.folder),
                start_new_session=True,
                limit=order.buffer_bytes,
            )
        except BaseException:
            writer.close()
            raise
        finally:
            theirs.close()
        child = cls(process, reader, writer)
        try:
            await child._begin(order)
        except BaseException:
            await asyncio.shield(child.close())
            raise
        return child

    def kill(self) -> None:
        """End the program and all that it has started. Returns at once; `ended` tells when it is done."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            self._writer.write_eof()
        if self._urging is None:
            self._urge(URGES)

    def _urge(self, left: int) -> None:
        self._urging = None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT if left else signal.SIGKILL)
            self._urging = asyncio.get_running_loop().call_later(URGE_S, self._urge, max(left - 1, 0))

    def signal(self, number: int) -> None:
        """Send a signal to the program itself."""
        self._writer.write(f"signal {number}\n".encode())

    async def write(self, data: bytes) -> bool:
        """Write to the program's input; False where it does not read any more."""
        if self.stdin.is_closing():
            return False
        try:
            self.stdin.write(data)
            await self.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    async def ended(self) -> int:
        """Wait for the end of everything. The exit code, below 0 for a signal; -9 where the watcher was killed."""
        try:
            line = await self._reader.readline()
        except ConnectionResetError:
            line = b""
        if line.startswith(b"exit "):
            return int(line.split()[1])
        # What the program has started elsewhere may go on, and hold its pipes: nobody waits for that.
        self._process._transport.close()  # type: ignore[attr-defined]
        return KILLED

    async def _begin(self, order: Order) -> None:
        facts = {"path": order.path, "argv": order.argv, "env": order.env, "limits": order.limits}
        self._writer.write(json.dumps(facts).encode() + b"\n")
        try:
            async with asyncio.timeout(START_S):
                await self._writer.drain()
                line = (await self._reader.readline()).decode("utf-8", "replace")
        except (TimeoutError, ConnectionError):
            line = ""
        if line != "started\n":
            raise StartFailed(line.removeprefix("failed ").strip() or "its watcher did not start it")

    def let_go(self) -> None:
        """End whatever still runs, and hear and tell nothing more. Returns at once."""
        try:
            self.kill()
        finally:
            self._writer.close()
            self.stdin.close()

    async def close(self) -> None:
        """Let go of the watcher and of the pipes, and wait for the end."""
        self.let_go()
        await self._process.wait()
