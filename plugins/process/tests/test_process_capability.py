"""Programs without a guest: what they write and read, how many there are, and how the actor hears of it."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import Cancelled, Overloaded, SpawnRefused
from theater_bus_process import Process


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
