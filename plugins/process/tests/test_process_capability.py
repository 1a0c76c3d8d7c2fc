"""The process capability with real programs, without a guest: output, limits, ends, and everything that is refused."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import Cancelled, Overloaded, SpawnRefused, TypeMismatch
from theater_bus.testing import capability_harness
from theater_bus_process import Process
from theater_bus_process.child import Child, Order

# -- output and ends ---------------------------------------------------------------------------------------------------


async def test_a_program_writes_reads_and_ends(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("read line; echo got $line; echo bad >&2; exit 7")
    assert pid == 1
    before = await programs.call("os-status", pid)
    assert (before["pid"], before["running"], before["exit-code"]) == (1, True, None)
    assert abs(before["start-time"] - time.time() * 1000) < 60_000
    assert await programs.call("list-processes") == [1]
    assert await programs.call("os-write-stdin", pid, b"this\n") == 5
    assert await programs.said(pid) == ("got this\n", "bad\n", 7)
    assert await programs.call("os-status", pid) == before | {"running": False, "exit-code": 7}
    assert await programs.call("list-processes") == []


async def test_a_status_is_true_from_the_start_to_the_end(start_programs: Any) -> None:
    """The original said that a program had ended as soon as it had started."""
    programs = await start_programs()
    pid = await programs.shell("read line")
    for _ in range(3):
        assert (await programs.call("os-status", pid))["running"] is True
    await programs.call("close-stdin", pid)
    assert (await programs.ended(pid))[2] == 1
    assert (await programs.call("os-status", pid))["running"] is False


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("line-by-line", [b"a", b"", b"bc", b"last"]),
        ("chunked", [b"a\n\n", b"bc\n", b"las", b"t"]),
        ("json", []),
    ],
)
async def test_output_is_cut_as_asked_and_its_end_is_not_lost(
    start_programs: Any, mode: str, expected: list[bytes]
) -> None:
    programs = await start_programs()
    config = {"stdout_mode": mode, "stderr_mode": mode, "chunk_size": 3}
    script = r"printf 'a\n\nbc\nlast'"
    assert await programs.ended(await programs.shell(script, **config)) == (expected, [], 0)
    assert await programs.ended(await programs.shell(script + " >&2", **config)) == ([], expected, 0)
    assert len(programs.context.failures) == (2 if mode == "json" else 0)


async def test_json_lines_arrive_and_others_are_counted(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell(r"""printf '{"a": 1}\nnot json\n 2 \n[3]'""", stdout_mode="json")
    assert (await programs.ended(pid))[0] == [b'{"a": 1}', b"2", b"[3]"]
    assert programs.context.failures == ["1 lines of program 1 are no JSON, and were left out"]


async def test_large_output_arrives_whole_in_bounded_parts_and_waits_for_a_busy_actor(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.start(sys.executable, "-c", "import sys; sys.stdout.write('x' * 300_000)", buffer_size=1000)
    [handler, *_] = [one async for one in _first(programs.calls())]
    assert handler[0] == "handle-stdout"
    assert len(programs.context.enqueued) == 1
    out, _, code = await programs.ended(pid)
    assert (sum(map(len, out)), max(map(len, out)), code) == (300_000, 1000, 0)


async def _first(calls: Any) -> Any:
    async for call in calls:
        yield call
        return


async def test_the_number_at_a_time_is_bounded_and_not_that_of_a_life(start_programs: Any) -> None:
    programs = await start_programs(processes=2)
    running = [await programs.shell("read line") for _ in range(2)]
    with pytest.raises(CapabilityError, match=r"the grant process\.processes = 2 is used up\. Fix: end one, or write"):
        await programs.shell("true")
    for pid in running:
        await programs.call("close-stdin", pid)
        await programs.ended(pid)
    for _ in range(5):
        assert (await programs.ended(await programs.shell("true")))[2] == 0
    assert await programs.call("list-processes") == []


async def test_programs_that_start_at_once_share_the_bound(start_programs: Any) -> None:
    programs = await start_programs(processes=2)
    found = await asyncio.gather(*(programs.shell("read line") for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, int) for one in found) == 2


async def test_the_ends_of_long_gone_programs_are_forgotten(
    start_programs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_process.process.KEPT", 2)
    programs = await start_programs()
    for _ in range(3):
        await programs.ended(await programs.shell("true"))
    assert (await programs.call("os-status", 2))["exit-code"] == 0
    with pytest.raises(CapabilityError, match="there is no program 1"):
        await programs.call("os-status", 1)


# -- signals and kills -------------------------------------------------------------------------------------------------


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


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_time_is_bounded_by_the_grant(start_programs: Any) -> None:
    programs = await start_programs(time_ms=50)
    pid = await programs.shell("read line", execution_timeout=1000)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL
    assert programs.context.failures == ["program 1 ran for 50 ms, all that it may, and was ended"]


async def test_time_is_bounded_by_what_the_guest_asks_for(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("read line", execution_timeout=1)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL
    assert "ran for 1000 ms" in programs.context.failures[0]


async def test_output_is_bounded(start_programs: Any) -> None:
    programs = await start_programs(output_bytes=10_000)
    pid = await programs.shell("while :; do echo 0123456789; done")
    out, _, code = await programs.ended(pid)
    assert sum(map(len, out)) <= 10_000
    assert code == -signal.SIGKILL
    assert "wrote more than the grant process.output_bytes = 10000" in programs.context.failures[0]


async def test_memory_is_bounded(start_programs: Any) -> None:
    programs = await start_programs(memory_bytes=100 * 1024 * 1024)
    script = "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('refused')"
    assert await programs.said(await programs.start(sys.executable, "-c", script)) == ("refused\n", "", 0)


async def test_processor_time_is_bounded(start_programs: Any) -> None:
    programs = await start_programs(cpu_ms=1)
    pid = await programs.shell("while :; do :; done")
    assert (await programs.ended(pid))[2] in (-signal.SIGKILL, -signal.SIGXCPU)
    assert programs.context.failures == []


async def test_files_and_their_number_are_bounded(start_programs: Any, tmp_path: Path) -> None:
    programs = await start_programs(file_bytes=1000, open_files=10)
    script = (
        "import os, sys\ntry:\n    while True: os.open('/dev/null', 0)\nexcept OSError as e:\n    print(e.errno)\n"
        "os.closerange(3, 10)\nfile = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\ntry:\n"
        "    while True: os.write(file, bytes(700))\nexcept OSError as e:\n    print(e.errno)"
    )
    pid = await programs.start(sys.executable, "-c", script, str(tmp_path / "file"))
    assert await programs.said(pid) == ("24\n27\n", "", 0)
    assert (tmp_path / "file").stat().st_size == 1000


# -- what a program has, and has not -----------------------------------------------------------------------------------


async def test_the_environment_is_empty_but_for_what_is_granted(
    start_programs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE_A", "inherited")
    monkeypatch.setenv("PLACE_SECRET", "secret")
    monkeypatch.setenv("THEATER_BUS_OF_A_TEST", "secret")
    dump = "import os; print(sorted(os.environ.items()))"
    programs = await start_programs(programs=[sys.executable])
    out, _, _ = await programs.said(await programs.start(sys.executable, "-I", "-c", dump))
    names = [name for name, _ in eval(out)]
    assert set(names) <= {"LC_CTYPE"}
    programs = await start_programs(env=["GIVEN"], inherit=["PLACE_A", "PLACE_GONE", "THEATER_BUS_OF_A_TEST"])
    out, _, _ = await programs.said(
        await programs.start(sys.executable, "-I", "-c", dump, env=[["GIVEN", "x"], ["GIVEN", "y"]])
    )
    assert {name: value for name, value in eval(out) if name != "LC_CTYPE"} == {"GIVEN": "y", "PLACE_A": "inherited"}


async def test_a_variable_that_is_not_granted_is_refused(start_programs: Any) -> None:
    programs = await start_programs(env=["GIVEN"])
    for name in ("LD_PRELOAD", "PATH", "given", "", "GIVEN=", "a=b"):
        with pytest.raises(CapabilityError, match=r"is not in the grant process\.env\. Fix: write `env = "):
            await programs.shell("true", env=[[name, "x"]])


async def test_nothing_of_the_host_is_open_in_a_program(start_programs: Any) -> None:
    programs = await start_programs()
    held, _ = os.pipe()
    os.set_inheritable(held, True)
    script = "import os; print(sorted(os.listdir('/proc/self/fd')), os.getcwd(), os.getsid(0) == os.getpid())"
    out, _, _ = await programs.said(await programs.start(sys.executable, "-c", script))
    os.close(held)
    assert out == "['0', '1', '2', '3'] / True\n"


async def test_a_program_cannot_gain_privileges(start_programs: Any) -> None:
    programs = await start_programs()
    out, _, _ = await programs.said(await programs.shell("while read line; do echo $line; done < /proc/self/status"))
    assert "NoNewPrivs: 1" in out


async def test_a_folder_is_granted_by_where_it_is(start_programs: Any, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "deep").mkdir()
    programs = await start_programs(folders=[str(inside)])
    for folder in (inside, inside / "deep", f"{inside}/../inside/deep/.."):
        assert (await programs.said(await programs.shell("pwd -P", cwd=str(folder))))[2] == 0
    for folder in (outside, inside / "link", "/", f"{inside}/..", "relative", "", f"{outside}/gone"):
        with pytest.raises(CapabilityError, match=r"is outside the grant process\.folders\. Fix: write `folders = "):
            await programs.shell("pwd", cwd=str(folder) or "x")
    with pytest.raises(CapabilityError, match="No such file or directory"):
        await programs.shell("pwd", cwd=f"{inside}/gone")


async def test_only_granted_programs_start(start_programs: Any, tmp_path: Path) -> None:
    link = tmp_path / "sh"
    link.symlink_to("/bin/sh")
    programs = await start_programs(programs=["/bin/sh"])
    refused = [
        "/bin/ls",
        "ls",
        str(link),
        "/bin/../bin/sh",
        "/bin//sh",
        "bin/sh",
        "./sh",
        "",
        "/",
        "../../bin/sh",
        "SH",
    ]
    for program in refused:
        with pytest.raises(CapabilityError, match=r"in the grant process\.programs\. Fix: write `programs = "):
            await programs.start(program)
    assert (await programs.said(await programs.start("sh", "-c", "echo $0")))[0] == "/bin/sh\n"


async def test_nothing_is_granted_by_default(start_programs: Any) -> None:
    programs = await start_programs(programs=[])
    with pytest.raises(CapabilityError, match=r"in the grant process\.programs"):
        await programs.shell("true")


async def test_a_granted_name_that_was_made_to_lead_elsewhere_does_not_start(
    start_programs: Any, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    tool.symlink_to("/bin/sh")
    programs = await start_programs(programs=[str(tool)])
    assert (await programs.said(await programs.start("tool", "-c", "echo $0"))) == (f"{tool}\n", "", 0)
    tool.unlink()
    tool.symlink_to(sys.executable)
    with pytest.raises(CapabilityError, match=r"led to .* when the actor started, and leads to"):
        await programs.start("tool")


async def test_two_programs_of_one_name_are_called_by_their_paths(start_programs: Any, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    programs = await start_programs(programs=["/bin/sh", str(tmp_path / "sh")])
    with pytest.raises(CapabilityError, match="is the name of several programs"):
        await programs.start("sh")
    assert (await programs.ended(await programs.start("/bin/sh", "-c", "true")))[2] == 0


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text("#!/bin/sh\n"), "Permission denied"),
        (lambda path: (path.write_bytes(b"\x00garbage"), path.chmod(0o755)), "Exec format error"),
        (lambda path: path.mkdir(), "Permission denied"),
    ],
)
async def test_what_cannot_be_executed_says_why(start_programs: Any, tmp_path: Path, make: Any, why: str) -> None:
    make(tmp_path / "tool")
    programs = await start_programs(programs=[str(tmp_path / "tool")])
    with pytest.raises(CapabilityError, match=f"'tool' does not start: {why}"):
        await programs.start("tool")
    assert await programs.call("list-processes") == []


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"program": "a\0b"}, "holds a NUL"),
        ({"args": ["a\0"]}, "holds a NUL"),
        ({"cwd": "/\0"}, "holds a NUL"),
        ({"env": [["a", "\0"]]}, "holds a NUL"),
        ({"args": ["x" * 200_000]}, "more than 131072"),
        ({"args": ["xyzxyzxyzxyzxyz"] * 10_000}, "more than 131072"),
        ({"buffer-size": 1 << 31}, "buffer-size is 2147483648. Fix: 1 to 1048576 bytes"),
        ({"chunk-size": 0}, "chunk-size is 0"),
        ({"execution-timeout": 0}, "execution-timeout is 0"),
    ],
)
async def test_requests_that_no_system_would_take_are_refused(
    start_programs: Any, config: dict[str, Any], why: str
) -> None:
    programs = await start_programs()
    with pytest.raises(CapabilityError, match=re.escape(why)):
        await programs.start(config.get("program", "/bin/sh"), **{k: v for k, v in config.items() if k != "program"})


async def test_an_absurd_time_is_cut_to_the_grant(start_programs: Any) -> None:
    programs = await start_programs(time_ms=50)
    pid = await programs.shell("read line", execution_timeout=(1 << 64) - 1)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, {"program": "/bin/sh"}])
async def test_wrong_types_never_reach_the_capability(start_programs: Any, wrong: object) -> None:
    with pytest.raises(TypeMismatch):
        await (await start_programs()).call("os-spawn", wrong)


async def test_programs_of_nobody_are_refused(start_programs: Any) -> None:
    programs = await start_programs()
    for function, rest in (
        ("os-write-stdin", (b"x",)), ("os-status", ()), ("os-signal", (15,)), ("os-kill", ()), ("close-stdin", ()),
    ):  # fmt: skip
        for pid in (0, 1, (1 << 64) - 1, os.getpid()):
            with pytest.raises(CapabilityError, match=f"there is no program {pid}"):
                await programs.call(function, pid, *rest)
    await programs.ended(await programs.shell("exit 4"))
    for function, rest in (("os-write-stdin", (b"x",)), ("os-signal", (15,)), ("os-kill", ()), ("close-stdin", ())):
        with pytest.raises(CapabilityError, match="program 1 has ended, with code 4"):
            await programs.call(function, 1, *rest)


async def test_a_program_that_does_not_read_keeps_only_its_writer_waiting(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("while :; do :; done")
    with pytest.raises(TimeoutError):
        await programs.call("os-write-stdin", pid, bytes(1_000_000), timeout_s=0.2)
    assert (await programs.call("os-status", pid))["running"]
    await programs.call("os-kill", pid)
    assert (await programs.ended(pid))[2] == -signal.SIGKILL


async def test_a_program_that_has_closed_its_input_says_so(start_programs: Any) -> None:
    programs = await start_programs()
    pid = await programs.shell("exec 0<&-; echo closed; while :; do :; done", stdout_mode="line-by-line")
    await anext(programs.calls())
    programs.context.finish()
    with pytest.raises(CapabilityError, match="does not read any more"):
        await programs.call("os-write-stdin", pid, bytes(100_000))
    await programs.call("close-stdin", pid)
    with pytest.raises(CapabilityError, match="does not read any more"):
        await programs.call("os-write-stdin", pid, b"x")


# -- the actor's side --------------------------------------------------------------------------------------------------


async def test_a_part_that_did_not_run_is_delivered_again_and_one_that_failed_is_not(
    start_programs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_process.process.AGAIN_S", 0.001)
    programs = await start_programs()
    pid = await programs.shell("echo a; read line; echo b")
    calls = programs.calls()
    assert await anext(calls) == ("handle-stdout", pid, b"a\n")
    programs.context.finish(Cancelled("it waited too long", ran="never"))
    assert await anext(programs.calls()) == ("handle-stdout", pid, b"a\n")
    programs.context.finish(Cancelled("in the middle", ran="rolled-back"))
    await programs.call("close-stdin", pid)
    assert (await programs.said(pid))[0] == "b\n"
    assert len(programs.context.failures) == 1
    assert "handle-stdout of program 1 failed: in the middle" in programs.context.failures[0]


async def test_a_full_mailbox_delays_output_and_loses_none(
    start_programs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_process.process.AGAIN_S", 0.001)
    programs = await start_programs()
    enqueue, refusals = programs.context.enqueue, 3

    def full(*args: Any, **named: Any) -> Any:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Overloaded("full", bound="enqueues")
        return enqueue(*args, **named)

    programs.context.enqueue = full
    assert await programs.said(await programs.shell("echo a")) == ("a\n", "", 0)
    assert refusals == 0


async def test_an_actor_without_handlers_runs_programs_all_the_same(start_programs: Any, eventually: Any) -> None:
    programs = await start_programs()
    programs.context.exports = set()
    pid = await programs.shell("echo a; exit 3")
    await eventually(lambda: not programs.harness.instance.list_processes())
    assert (await programs.call("os-status", pid))["exit-code"] == 3
    assert programs.context.enqueued == []


async def test_programs_that_ended_with_their_host_are_told_after_a_recovery(
    start_programs: Any, start_harness: Any
) -> None:
    programs = await start_programs()
    await programs.ended(await programs.shell("true"))
    await programs.shell("read line")
    snapshot = programs.harness.instance.snapshot()
    assert programs.context.snapshots >= 3
    again = type(programs)(await start_harness(Process, {"programs": ["/bin/sh"]}, snapshot=snapshot))
    assert await anext(again.calls()) == ("handle-exit", 2, -9)
    again.context.finish()
    assert (await again.call("os-status", 2))["exit-code"] == -9
    assert await again.shell("true") == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"programs": ["sh"]},
        {"programs": ["/bin/../bin/sh"]},
        {"programs": "/bin/sh"},
        {"folders": ["relative"]},
        {"env": ["A=B"]},
        {"inherit": [""]},
        {"processes": -1},
        {"memory_bytes": 1},
        {"time_ms": 0},
        {"allowed_paths": ["/"]},
    ],
)
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_ones(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.process\].*its settings are cpu_ms, env"):
        await start_harness(Process, wrong)
