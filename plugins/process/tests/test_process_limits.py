"""What a program may use, what it has and has not, and everything that is refused."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import TypeMismatch


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
