"""How programs end, and that nothing of them outlives their actor, their operation, their watcher or their host."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.testing import capability_harness
from theater_bus_process import Process
from theater_bus_process.child import Child, Order


async def test_a_signal_reaches_the_program(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("trap 'echo asked; exit 3' TERM; echo ready; while :; do read line; done")
    calls = programs.calls()
    assert await anext(calls) == ("handle-stdout", pid, b"ready\n")
    programs.context.finish()
    await programs.call("os-signal", pid, int(signal.SIGTERM))
    assert await programs.said(pid) == ("asked\n", "", 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
async def test_a_program_that_dies_of_a_signal_says_so(start_programs: Any, number: int) -> None:
    programs = await start_programs()
    pid = await programs.shell("read line")
    await programs.call("os-signal", pid, int(number))
    assert (await programs.ended(pid))[2] == -number


@pytest.mark.parametrize("number", [0, 65, 1000, (1 << 32) - 1])
async def test_what_is_no_signal_is_refused(start_programs: Any, number: int) -> None:
    programs = await start_programs()
    pid = await programs.shell("read line")
    with pytest.raises(CapabilityError, match="is no signal"):
        await programs.call("os-signal", pid, number)


LEAVING = """
import os, sys, time
sys.stdout.write(str(os.getpid()) + "\\n")
for leave in (lambda: None, os.setsid, lambda: os.setpgid(0, 0)):
    if os.fork() == 0:
        leave()
        if os.fork() == 0:
            sys.stdout.write(str(os.getpid()) + "\\n")
            sys.stdout.flush()
            time.sleep(1000)
        os._exit(0)
sys.stdout.flush()
"""


async def family(programs: Any, after: str) -> tuple[int, list[int]]:
    """A program with children that moved to sessions and groups of their own; its number, and theirs in the system."""
    pid = await programs.start(sys.executable, "-u", "-c", LEAVING + after, stdout_mode="line-by-line")
    found: list[int] = []
    async for _, _, line in programs.calls():
        found.append(int(line))
        if len(found) == 4:
            break
    programs.context.finish()
    return pid, found


async def test_a_kill_ends_all_that_a_program_has_started_wherever_it_went(start_programs: Any, is_gone: Any) -> None:
    programs = await start_programs()
    pid, found = await family(programs, "time.sleep(1000)")
    assert not any(is_gone(one) for one in found)
    await programs.call("os-kill", pid)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL
    assert all(is_gone(one) for one in found)


async def test_what_a_program_leaves_behind_ends_with_it(start_programs: Any, is_gone: Any) -> None:
    programs = await start_programs()
    pid, found = await family(programs, "time.sleep(0.1)")
    assert (await programs.ended(pid))[2] == 0
    assert all(is_gone(one) for one in found)


async def test_a_stopped_program_can_be_killed(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("read line")
    await programs.call("os-signal", pid, int(signal.SIGSTOP))
    await programs.call("os-kill", pid)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL


async def test_the_end_of_the_actor_ends_its_programs(programs_of: Any, is_gone: Any) -> None:
    async with capability_harness(Process, {"programs": [sys.executable]}) as harness:
        programs = programs_of(harness)
        _, found = await family(programs, "time.sleep(1000)")
    assert all(is_gone(one) for one in found)


HOST = """
import asyncio, sys
from theater_bus.testing import capability_harness
from theater_bus_process import Process

async def main():
    async with capability_harness(Process, {"programs": [sys.executable]}) as harness:
        config = {"program": sys.executable, "args": ["-u", "-c", sys.argv[1]], "cwd": None, "env": []}
        config |= {"stdout-mode": "line-by-line", "stderr-mode": "raw", "buffer-size": 0}
        config |= {"chunk-size": None, "execution-timeout": None}
        await harness.call("os-spawn", config, timeout_s=60)
        while True:
            while not harness.context.enqueued:
                await asyncio.sleep(0.002)
            print(int(harness.context.enqueued[0][1][1]), flush=True)
            harness.context.finish()

asyncio.run(main())
"""


async def test_the_sudden_death_of_the_host_ends_its_programs(eventually: Any, is_gone: Any) -> None:
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, LEAVING + "time.sleep(1000)", stdout=asyncio.subprocess.PIPE
    )
    assert host.stdout is not None
    found = [int(await host.stdout.readline()) for _ in range(4)]
    assert not any(is_gone(one) for one in found)
    host.kill()
    await host.wait()
    await eventually(lambda: all(is_gone(one) for one in found))


async def test_the_death_of_the_watcher_ends_the_program(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("echo $PPID; read line", stdout_mode="line-by-line")
    calls = programs.calls()
    _, _, watcher = await anext(calls)
    programs.context.finish()
    os.kill(int(watcher), signal.SIGKILL)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL


async def test_a_program_that_stops_its_watcher_is_ended_with_all_that_it_has_started(
    start_programs: Any, is_gone: Any
) -> None:
    programs = await start_programs()
    stopping = "sys.stdin.readline()\nos.kill(os.getppid(), 19)\nprint(-1)\nsys.stdout.flush()\ntime.sleep(1000)"
    pid, found = await family(programs, stopping)
    await programs.call("os-write-stdin", pid, b"\n")
    assert await anext(programs.calls()) == ("handle-stdout", pid, b"-1")
    programs.context.finish()
    await programs.call("os-kill", pid)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL
    assert all(is_gone(one) for one in found)


async def test_a_watcher_that_its_program_stops_at_once_is_not_left_behind(
    eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[Child] = []
    begin = Child._begin

    async def observed(child: Child, order: Order) -> None:
        children.append(child)
        await begin(child, order)

    def is_stopped() -> bool:
        stat = Path(f"/proc/{children[0]._process.pid}/stat").read_bytes() if children else b""
        return stat.rpartition(b")")[2].split()[:1] == [b"T"]

    monkeypatch.setattr(Child, "_begin", observed)
    folder = os.open("/", os.O_PATH)
    order = Order("/bin/sh", ("sh", "-c", "kill -STOP $PPID; read line"), {}, {}, folder, 4096)
    starting = asyncio.create_task(Child.start(order))
    await eventually(is_stopped)
    os.close(folder)
    # Whether the watcher said before that it started is a race.
    starting.cancel()
    try:
        await (await starting).close()
    except asyncio.CancelledError:
        pass
    assert children[0]._process.returncode is not None


async def test_the_end_is_told_also_where_the_watcher_died_and_something_holds_the_output(
    start_programs: Any, is_gone: Any
) -> None:
    programs = await start_programs()
    pid, found = await family(programs, "sys.stdin.readline()\nos.kill(os.getppid(), 9)\ntime.sleep(1000)")
    try:
        await programs.call("os-write-stdin", pid, b"\n")
        assert (await programs.ended(pid))[2] == -signal.SIGKILL
    finally:
        for one in found:
            if not is_gone(one):
                os.kill(one, signal.SIGKILL)


async def test_a_program_that_ended_is_not_running_while_its_output_still_waits(
    start_programs: Any, eventually: Any
) -> None:
    programs = await start_programs(processes=1)
    pid = await programs.shell("echo a; echo b >&2; exit 5")
    await eventually(lambda: not programs.harness.instance.list_processes())
    assert (await programs.call("os-status", pid))["exit-code"] == 5
    assert len(programs.context.enqueued) == 2
    second = await programs.shell("read line")
    assert await programs.said(pid) == ("a\n", "b\n", 5)
    await programs.call("os-kill", second)
    await programs.ended(second)


async def test_the_end_of_the_actor_ends_what_an_operation_has_just_started(
    programs_of: Any, is_gone: Any, eventually: Any, tmp_path: Path
) -> None:
    """The operation is not over, so nobody has heard yet whether it took effect."""
    told = tmp_path / "pid"
    told.touch()
    async with capability_harness(Process, {"programs": ["/bin/sh"]}) as harness:
        programs = programs_of(harness)
        programs.context.on_operation_end = lambda then: None
        await programs.shell(f"echo $$ > {told}; read line")
        await eventually(lambda: told.read_text().endswith("\n"))
    assert is_gone(int(told.read_text()))


async def test_an_operation_that_fails_ends_what_it_started(start_programs: Any, eventually: Any) -> None:
    programs = await start_programs()
    ended: list[Any] = []
    programs.context.on_operation_end = ended.append
    pid = await programs.shell("echo not heard; read line")
    [end] = ended
    end(False)
    await eventually(lambda: not programs.harness.instance.list_processes())
    assert (await programs.call("os-status", pid))["exit-code"] == -signal.SIGKILL
    assert programs.context.enqueued == []


async def test_to_be_cancelled_while_it_starts_leaves_nothing(
    start_programs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = await start_programs()
    started = asyncio.create_task(programs.shell(f"touch {tmp_path}/ran; read line"))
    begun = asyncio.Event()
    begin = Child._begin

    async def observed(child: Child, order: Order) -> None:
        begun.set()
        await begin(child, order)

    monkeypatch.setattr(Child, "_begin", observed)
    await begun.wait()
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started
    assert await programs.call("list-processes") == []
    assert programs.harness.instance._starting == 0
