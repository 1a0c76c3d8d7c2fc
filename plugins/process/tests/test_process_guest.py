"""Programs through a real guest on a real host: what reaches the actor, failing, pausing, stopping, recovery."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from theater_bus.capability import HostCall, HostCallMiddleware, hookimpl
from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, SpawnRefused
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, guest, relay_guest, running_host
from theater_bus_process import Process

GUEST = guest("runner", Path(__file__).parent / "guests")
TYPE = compile_capability("process", Process)


async def noted(actor: Any, *last: str) -> list[str]:
    """The guest's notes, when the last ones are these; each question is an operation behind the parts that wait."""
    while True:
        lines: list[str] = (await actor.call_function("notes")).decode().splitlines()
        if set(last) <= set(lines):
            return lines


def capability(host: Any, id: str) -> Any:
    return host.host.actors[id].capabilities["process"]


def test_the_guest_imports_what_the_plugin_offers() -> None:
    declared = {one.interface: one.declared for one in GUEST.pact.imports if one.declared is not None}
    for name, interface in declared.items():
        assert interface_hash(interface) == TYPE.hashes()[name]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    interfaces = {one.name: one for one in TYPE.interfaces}
    assert build_guest(GUEST.folder / "runner.c", interfaces) == GUEST.wasm


async def test_what_a_program_writes_reaches_the_state_in_order_and_its_end_comes_last(start_host: Any) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, state=b"")
    script = "for n in 1 2 3 4 5; do echo $n; done; while read line; do echo got $line; done; echo bad >&2; exit 3"
    assert await actor.call_function("run", [script]) == 1
    await actor.call_function("write", [1, b"a\nb\n"])
    await actor.call_function("close", [1])
    lines = await noted(actor, "x1 3")
    assert [line for line in lines if line.startswith("o")] == [
        *(f"o1 {n}" for n in range(1, 6)),
        "o1 got a",
        "o1 got b",
    ]
    assert sorted(lines)[0] == "e1 bad"
    assert lines[-1] == "x1 3"


async def test_calls_and_output_are_in_the_chain_and_nobody_else_may_call_the_handlers(start_host: Any) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, state=b"")
    await actor.call_function("run", ["echo a"])
    await noted(actor, "x1 0")
    events = await actor.get_chain().all()
    called = [event.body.function for event in events if event.type == "host-call"]
    assert called == ["os-spawn"]
    functions = {getattr(event.body, "function", "") for event in events}
    handlers = {f"theater:simple/process-handlers.handle-{name}" for name in ("stdout", "exit")}
    assert functions >= handlers
    for name in handlers:
        with pytest.raises(FunctionNotFound):
            await actor.call_function(name, [1, b"x"])


async def test_an_operation_that_fails_ends_its_program(start_host: Any, eventually: Any, tmp_path: Path) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, id="r", state=b"")
    with pytest.raises(GuestError, match="as I was told"):
        await actor.call_function("run-and-fail", [f"read line; touch {tmp_path}/ran"])
    await eventually(lambda: capability(host, "r").list_processes() == [])
    assert await actor.call_function("run", ["echo a"]) == 2
    assert await noted(actor, "x2 0") == ["o2 a", "x2 0"]
    assert list(tmp_path.iterdir()) == []


async def test_a_handler_that_fails_is_seen_in_the_status_and_the_program_goes_on(start_host: Any) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, id="r", state=b"")
    await actor.call_function("run", ["echo fail >&2; echo fine >&2"])
    assert await noted(actor, "x1 0") == ["e1 fine", "x1 0"]
    assert "handle-stderr of program 1 failed" in host.host.actors["r"].failure_note


async def test_a_paused_actor_keeps_its_program_waiting_and_loses_nothing(
    start_host: Any, eventually: Any, tmp_path: Path
) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, id="r", state=b"")
    go = tmp_path / "go"
    until = f"until [ -e '{go}' ]; do sleep 0.05; done"
    await actor.call_function("run", [f"{until}; for n in 1 2 3 4 5 6 7 8 9; do echo $n; done"])
    await actor.pause()
    go.touch()
    await eventually(lambda: host.host.actors["r"].mailbox.enqueues >= 1)
    assert host.host.actors["r"].mailbox.enqueues <= 2
    await actor.resume()
    lines = await noted(actor, "x1 0")
    assert lines == [*(f"o1 {n}" for n in range(1, 10)), "x1 0"]


async def test_the_end_of_an_actor_ends_its_programs(start_host: Any, is_gone: Any) -> None:
    host = await start_host(installed=["process"])
    actor = await host.spawn(GUEST, id="r", state=b"")
    await actor.call_function("run", ["echo $$; exec sleep 1000"])
    while not (lines := (await actor.call_function("notes")).decode().splitlines()):
        continue
    running = host.host.actors["r"]
    assert not is_gone(int(lines[0].removeprefix("o1 ")))
    await actor.shutdown()
    await host.host.stopped(running)
    assert is_gone(int(lines[0].removeprefix("o1 ")))


async def test_an_actor_that_comes_back_hears_that_its_programs_are_gone(
    theater_server: Any, tmp_path: Path, is_gone: Any
) -> None:
    options: dict[str, Any] = {"installed": ["process"], "data_dir": tmp_path, "namespace": "programs-come-back"}
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST, id="r", state=b"", chain={"durability": "file"})
        await actor.call_function("run", ["echo $$; exec sleep 1000"])
        while not (lines := (await actor.call_function("notes")).decode().splitlines()):
            continue
    assert is_gone(int(lines[0].removeprefix("o1 ")))
    async with running_host(server=theater_server, **options) as host:
        actor = host.theater.actor("r")
        assert await noted(actor, "x1 -9") == [lines[0], "x1 -9"]
        assert await actor.call_function("run", ["true"]) == 2
        await noted(actor, "x2 0")


async def test_host_and_parent_cut_what_the_manifest_asks_for(start_host: Any) -> None:
    host = await start_host(Process, grants={"process": {"programs": ["/bin/sh", "/bin/ls"], "time_ms": 500}})
    asked = {"programs": ["/bin/sh", "/bin/ls", "/bin/cat"], "processes": 9, "time_ms": 9999}
    parent = {"programs": ["/bin/ls", "/bin/cat"], "processes": 1}
    await host.spawn(Process, id="parent", capabilities={"process": parent})
    await host.spawn(Process, id="child", parent="parent", capabilities={"process": asked})
    settings = capability(host, "child").settings
    assert (settings.programs, settings.processes, settings.time_ms) == (("/bin/ls",), 1, 500)
    with pytest.raises(SpawnRefused, match=r"Fix: add `\[capabilities.process\]` to the manifest"):
        await host.spawn(relay_guest(Process), capabilities={})


async def test_a_replay_starts_no_program(start_host: Any, tmp_path: Path) -> None:
    """What a program did is in the chain, as calls of the handlers; the replay answers os-spawn from the record."""
    asked: list[str] = []
    recorded: list[bytes] = []

    async def answer(context: HostCall, proceed: Any) -> bytes:
        asked.append(context.function)
        return recorded[len(asked) - 1]

    first = await start_host(installed=["process"])
    original = await first.spawn(GUEST, state=b"")
    await original.call_function("run", [f"echo a > {tmp_path}/ran"])
    await noted(original, "x1 0")
    events = await original.get_chain().all()
    recorded += [event.body.output for event in events if event.type == "host-call"]
    (tmp_path / "ran").unlink()
    hook = hookimpl(lambda: HostCallMiddleware(0, answer))
    plugin = SimpleNamespace(__name__="replay", theater_host_call_middleware=hook)
    second = await start_host(plugin, installed=["process"])
    again = await second.spawn(GUEST, id="again", state=b"")
    assert await again.call_function("run", [f"echo a > {tmp_path}/ran"]) == 1
    assert asked == ["os-spawn"]
    assert capability(second, "again").list_processes() == []
    assert list(tmp_path.iterdir()) == []
