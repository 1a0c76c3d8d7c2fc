"""`theater:simple/process`, compatible with guests built for Theater: programs, their output, their ends.

Invariants: at most `processes` programs of an actor run at a time, each under its limits; what it writes arrives in
order, one part at a time, and it waits while the actor is busy; `handle-exit` comes last, once. A program belongs to
the operation that started it: where that fails, it ends. None outlives its actor.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from asyncio import StreamReader
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from theater_bus import ActorError
from theater_bus.capability import Capability, CapabilityError, Context
from theater_bus_process.child import KILLED, Child, Order, StartFailed
from theater_bus_process.order import ProcessSettings, Request, make_order, read_request, resolve
from theater_bus_process.output import Mode, cutter

__all__ = ["Process"]

HANDLERS: Final = "theater:simple/process-handlers"
AGAIN_S: Final = 0.25
"""How long to wait where a part was refused: by a mailbox that others fill, or an actor that is paused for long."""
KEPT: Final = 64
"""Ends of programs that `os-status` still knows."""
SIGNALS: Final = range(1, 65)
STOP_S: Final = 5.0


@dataclass(slots=True, eq=False)
class _Running:
    """A program and what is done with its output."""

    pid: int
    child: Child
    request: Request
    started_ms: int
    timer: asyncio.TimerHandle | None = None
    output_bytes: int = 0
    settled: bool = False
    heard: bool = True


class Process(Capability):
    """Programs that the manifest names."""

    name = "process"
    pact = "process.pact"
    Settings = ProcessSettings
    settings: ProcessSettings

    def __init__(self, context: Context, settings: ProcessSettings) -> None:
        super().__init__(context, settings)
        self._programs: dict[str, str] = {}
        self._running: dict[int, _Running] = {}
        self._starting = 0
        self._ended: dict[int, tuple[int, int]] = {}
        self._last = 0
        self._lost: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # -- theater:simple/process ----------------------------------------------------------------------------------------

    async def os_spawn(self, config: dict[str, Any]) -> int:
        """Start a program. Its number."""
        request = read_request(config)
        most = self.settings.processes
        if len(self._running) + self._starting >= most:
            raise CapabilityError(
                f"the grant process.processes = {most} is used up. Fix: end one, or write `processes = {most + 1}` "
                "under [capabilities.process]; parent and host must allow as much"
            )
        self._starting += 1
        try:
            child = await self._start(request)
        finally:
            self._starting -= 1
        self._last += 1
        running = self._running[self._last] = _Running(self._last, child, request, time.time_ns() // 1_000_000)
        limit_ms = min(self.settings.time_ms, request.time_ms or self.settings.time_ms)
        running.timer = asyncio.get_running_loop().call_later(limit_ms / 1000, self._late, running, limit_ms)
        self.context.on_operation_end(partial(self._settled, running))
        self.context.snapshot_changed()
        return running.pid

    async def os_write_stdin(self, pid: int, data: bytes) -> int:
        """Write to its input."""
        if not await self._of(pid).child.write(data):
            raise CapabilityError(f"program {pid} does not read any more")
        return len(data)

    def os_status(self, pid: int) -> dict[str, Any]:
        """Whether it runs, or how it ended."""
        running, ended = self._running.get(pid), self._ended.get(pid)
        if running is not None:
            return {"pid": pid, "running": True, "exit-code": None, "start-time": running.started_ms}
        if ended is not None:
            return {"pid": pid, "running": False, "exit-code": ended[0], "start-time": ended[1]}
        raise _unknown(pid)

    def os_signal(self, pid: int, signal: int) -> None:
        """Send a signal."""
        if signal not in SIGNALS:
            raise CapabilityError(f"{signal} is no signal. Fix: 1 to {SIGNALS[-1]}; 15 asks a program to end")
        self._of(pid).child.signal(signal)

    def os_kill(self, pid: int) -> None:
        """End it at once."""
        self._of(pid).child.kill()

    # -- theater:bus/process -------------------------------------------------------------------------------------------

    def close_stdin(self, pid: int) -> None:
        """End its input."""
        self._of(pid).child.stdin.close()

    def list_processes(self) -> list[int]:
        """The numbers of those that run."""
        return sorted(self._running)

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find the programs, and tell the actor of those that ended with the last host."""
        self._programs = await asyncio.to_thread(resolve, self.settings.programs)
        if self._lost:
            self._keep(asyncio.create_task(self._tell_lost()))

    async def stop(self) -> None:
        """End all programs, and wait until they are gone."""
        for running in self._running.values():
            running.heard = False
            running.child.kill()
            self._settled(running, False)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in late:
                task.cancel()

    def snapshot(self) -> bytes | None:
        """The last number, and the programs that run: they end with their host."""
        return json.dumps([self._last, sorted([*self._running, *self._lost])]).encode() if self._last else None

    def restore(self, snapshot: bytes) -> None:
        """Go on with the numbers; what ran is gone."""
        self._last, self._lost = json.loads(snapshot)
        for pid in self._lost:
            self._remember(pid, KILLED, 0)

    # -- starting and ending -------------------------------------------------------------------------------------------

    async def _start(self, request: Request) -> Child:
        # The thread goes on when this is cancelled, and what it opens must not be lost.
        making = asyncio.create_task(asyncio.to_thread(make_order, request, self.settings, self._programs))
        try:
            order = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_close_folder)
            raise
        try:
            return await Child.start(order)
        except (StartFailed, OSError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CapabilityError(f"{request.program!r:.200} does not start: {why}") from error
        finally:
            os.close(order.folder)

    def _of(self, pid: int) -> _Running:
        running = self._running.get(pid)
        if running is None:
            if pid in self._ended:
                raise CapabilityError(f"program {pid} has ended, with code {self._ended[pid][0]}")
            raise _unknown(pid)
        return running

    def _settled(self, running: _Running, took_effect: bool) -> None:
        if running.settled:
            return
        running.settled = True
        if not took_effect:
            running.heard = False
            running.child.kill()
        self._keep(asyncio.create_task(self._live(running), name=f"process {running.pid}"))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _late(self, running: _Running, limit_ms: int) -> None:
        self.context.report_failure(f"program {running.pid} ran for {limit_ms} ms, all that it may, and was ended")
        running.child.kill()

    async def _live(self, running: _Running) -> None:
        """From its start until all that it wrote, and its end, was handed on."""
        request, child = running.request, running.child
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(running, child.stdout, "handle-stdout", request.stdout))
                group.create_task(self._pump(running, child.stderr, "handle-stderr", request.stderr))
                ended = group.create_task(self._end(running))
            await child.close()
            if running.heard:
                await self._deliver("handle-exit", [running.pid, ended.result()])
        finally:
            child.let_go()

    async def _end(self, running: _Running) -> int:
        """Its exit code, as soon as nothing of it runs."""
        code = await running.child.ended()
        if running.timer is not None:
            running.timer.cancel()
        del self._running[running.pid]
        self._remember(running.pid, code, running.started_ms)
        self.context.snapshot_changed()
        return code

    def _remember(self, pid: int, code: int, started_ms: int) -> None:
        self._ended[pid] = (code, started_ms)
        while len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]

    async def _pump(self, running: _Running, stream: StreamReader, handler: str, mode: Mode) -> None:
        """Hand on what the program writes, until it has closed this pipe."""
        request = running.request
        cut = cutter(mode, request.part_bytes, request.chunk_bytes)
        while data := await stream.read(request.part_bytes):
            running.output_bytes += len(data)
            if running.output_bytes > self.settings.output_bytes:
                self._too_much(running)
                data = b""
            await self._hand_on(running, handler, cut.feed(data))
        await self._hand_on(running, handler, cut.end())
        if cut.skipped and running.heard:
            self.context.report_failure(f"{cut.skipped} lines of program {running.pid} are no JSON, and were left out")

    def _too_much(self, running: _Running) -> None:
        if running.heard:
            self.context.report_failure(
                f"program {running.pid} wrote more than the grant process.output_bytes = {self.settings.output_bytes}, "
                "and was ended"
            )
        running.child.kill()

    async def _hand_on(self, running: _Running, handler: str, parts: list[bytes]) -> None:
        for part in parts:
            if not running.heard:
                return
            if not await self._deliver(handler, [running.pid, part]):
                running.heard = False

    async def _deliver(self, handler: str, params: list[Any]) -> bool:
        """Call a handler and wait for its end; again, where it did not run. False when the actor takes no more."""
        function = f"{HANDLERS}.{handler}"
        if not self.context.has_export(function):
            return True
        while True:
            over: asyncio.Future[ActorError | None] = asyncio.get_running_loop().create_future()
            try:
                self.context.enqueue(function, params, partial(_settle, over))
                error = await over
            except ActorError as refused:
                error = refused
                if error.code not in ("overloaded", "shutting-down", "unavailable"):
                    self.context.report_failure(f"{handler} of program {params[0]} cannot be called: {error}")
                    return True
            if error is None:
                return True
            if error.code == "shutting-down":
                return False
            if error.ran != "never":
                self.context.report_failure(f"{handler} of program {params[0]} failed: {error}")
                return True
            await asyncio.sleep(AGAIN_S)

    async def _tell_lost(self) -> None:
        while self._lost:
            await self._deliver("handle-exit", [self._lost[0], KILLED])
            del self._lost[0]


def _settle(over: asyncio.Future[ActorError | None], error: ActorError | None) -> None:
    """A call is over; whoever waited for it may have been cancelled."""
    if not over.done():
        over.set_result(error)


def _close_folder(making: asyncio.Task[Order]) -> None:
    """Nobody wants this order any more."""
    if not making.cancelled() and making.exception() is None:
        os.close(making.result().folder)


def _unknown(pid: int) -> CapabilityError:
    return CapabilityError(f"there is no program {pid}. Fix: pass the number that os-spawn answered with")
