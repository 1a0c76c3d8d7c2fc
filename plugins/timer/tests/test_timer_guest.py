"""Timers through a real guest on a real host: ticks, clearing, failing, pausing, recovery, and who may tick."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, Internal
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, guest, running_host
from theater_bus_timer import Timer

HERE = Path(__file__).parent
GUEST = guest("ticker", HERE / "guests")
TYPE = compile_capability("timer", Timer)


def actor_of(host: Any, id: str) -> Any:
    return host.host.actors[id]


async def ticked(actor: Any, count: int) -> None:
    """Wait until that many ticks ran; each question is an operation behind the ticks that wait."""
    while await actor.call_function("ticks") < count:
        continue


def test_the_guest_imports_what_the_plugin_offers() -> None:
    declared = {one.interface: one.declared for one in GUEST.pact.imports}
    original = declared["theater:simple/timer"]
    assert original is not None
    assert interface_hash(original) == TYPE.hashes()["theater:simple/timer"]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "ticker.c") == GUEST.wasm


async def test_an_interval_and_a_one_shot_tick(start_host: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST)
    assert await actor.call_function("every", ["a", 10]) == "a"
    await ticked(actor, 3)
    assert await actor.call_function("last") == "a"
    await actor.call_function("stop", ["a"])
    count = await actor.call_function("ticks")
    assert await actor.call_function("once", ["b", 1]) == "b"
    await ticked(actor, count + 1)
    assert await actor.call_function("last") == "b"
    with pytest.raises(GuestError, match="no one-shot 'b'"):
        await actor.call_function("drop", ["b"])
    assert abs(await actor.call_function("time") - time.time() * 1000) < 5000


async def test_nobody_else_can_tick(start_host: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST)
    with pytest.raises(FunctionNotFound):
        await actor.call_function("theater:simple/timer.handle-tick", ["a"])


async def test_ticks_and_host_calls_are_in_the_chain(start_host: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST)
    await actor.call_function("once", ["a", 1])
    await ticked(actor, 1)
    events = await actor.get_chain().all()
    called = [event.body for event in events if event.type == "host-call"]
    assert [(one.interface, one.function) for one in called] == [("theater:bus/timer", "set-timeout")]
    functions = [getattr(event.body, "function", "") for event in events]
    assert "theater:simple/timer.handle-tick" in functions


async def test_a_tick_may_clear_its_own_timer_and_set_itself_again(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST, id="t")
    await actor.call_function("every", ["stop", 10])
    await ticked(actor, 1)
    assert await actor.call_function("every", ["stop", 10_000]) == "stop"
    await actor.call_function("once", ["again", 1])
    await ticked(actor, 6)
    timer = actor_of(host, "t").capabilities["timer"]
    assert [name for name, _ in timer.list_timers()] == ["again"]


async def test_an_operation_that_fails_leaves_timers_as_they_were(start_host: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST, id="t")
    for _ in range(2):
        with pytest.raises(GuestError, match="as I was told"):
            await actor.call_function("every-and-fail", ["a", 10])
    timer = actor_of(host, "t").capabilities["timer"]
    assert timer.list_timers() == []
    await actor.call_function("every", ["kept", 10])
    with pytest.raises(Internal):
        await actor.call_function("stop-and-trap", ["kept"])
    assert timer.list_timers() == [("kept", 10)]
    await ticked(actor, await actor.call_function("ticks") + 2)


@pytest.mark.parametrize(("name", "error"), [("fail", "this tick fails"), ("trap", "unreachable")])
async def test_a_failing_tick_is_seen_in_the_status_and_the_others_go_on(
    start_host: Any, eventually: Any, name: str, error: str
) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST, id="t", on_failure={"action": "restart", "max_restarts": 1000})
    await actor.call_function("once", [name, 1])
    await actor.call_function("every", ["good", 10])
    await ticked(actor, 2)
    await eventually(lambda: actor_of(host, "t").failure_note)
    assert actor_of(host, "t").failure_note.startswith(f"timer: tick of '{name}' failed:")
    assert error in actor_of(host, "t").failure_note
    assert (await actor.get_status()).phase == "running"


async def test_a_paused_actor_accumulates_no_ticks_and_has_room_for_callers(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST, id="t", capabilities={"timer": {"rate": 1000, "waiting": 3}})
    running = actor_of(host, "t")
    for name in "abcde":
        await actor.call_function("every", [name, 1])
    await actor.pause()
    timer = running.capabilities["timer"]
    await eventually(lambda: running.mailbox.enqueues == 3 and len(timer._late) == 2)
    due = [one.due for one in timer._timers.values()]
    assert all(one.handle is None for one in timer._timers.values())
    await timer.context.clock.sleep(0.03)
    assert (running.mailbox.enqueues, len(timer._late)) == (3, 2)
    assert [one.due for one in timer._timers.values()] == due
    await actor.resume()
    count = await actor.call_function("ticks")
    await ticked(actor, count + 10)


async def test_the_end_of_an_actor_ends_its_timers(start_host: Any) -> None:
    host = await start_host(installed=["timer"])
    actor = await host.spawn(GUEST, id="t")
    await actor.call_function("every", ["a", 10])
    await actor.call_function("once", ["b", 60_000])
    running = actor_of(host, "t")
    timer = running.capabilities["timer"]
    await actor.shutdown()
    await host.host.stopped(running)
    assert all(one.handle is None and one.is_over for one in timer._timers.values())


async def test_timers_come_back_with_their_actor(start_host: Any, tmp_path: Path, theater_server: Any) -> None:
    options: dict[str, Any] = {"installed": ["timer"], "data_dir": tmp_path, "namespace": "timers-come-back"}
    chain = {"durability": "file"}
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST, id="t", chain=chain)
        await actor.call_function("once", ["later", 60_000])
        await actor.call_function("every", ["a", 10])
        await ticked(actor, 1)
        count = await actor.call_function("ticks")
    async with running_host(server=theater_server, **options) as host:
        actor = host.theater.actor("t")
        await ticked(actor, count + 2)
        timer = actor_of(host, "t").capabilities["timer"]
        assert timer.list_timers() == [("a", 10), ("later", None)]


async def test_a_host_that_grants_less_names_the_grant(start_host: Any) -> None:
    host = await start_host(installed=["timer"], grants={"timer": {"timers": 1, "rate": 10}})
    actor = await host.spawn(GUEST)
    with pytest.raises(GuestError, match=r"timer\.rate = 10 allows"):
        await actor.call_function("every", ["a", 50])
    await actor.call_function("every", ["a", 100])
    with pytest.raises(GuestError, match=r"timer\.timers = 1 is used up"):
        await actor.call_function("every", ["b", 100])
