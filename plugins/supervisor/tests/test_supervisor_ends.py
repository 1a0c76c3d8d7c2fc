"""Children are one's own only, each of their ends is told once, and nothing hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import CapabilityError, ChildSpec
from theater_bus.errors import FunctionNotFound, GuestError, Internal
from theater_bus.testing import build_wat

from .conftest import BOSS, CHAOS, COUNTER, FAILS, RUNTIME, capability, hears, keeper, manifest, spawned, started


@pytest.mark.parametrize("function", ["restart", "stop", "child-state", "child-events", "subscribe", "unsubscribe"])
async def test_a_name_that_is_no_child_of_this_actor_is_refused(start_host: Any, function: str) -> None:
    host, boss = await started(start_host)
    other = await host.spawn(BOSS, id="other")
    await host.spawn(COUNTER, id="stranger")
    await spawned(other, COUNTER.wasm, "other-1")
    for name in ("other-1", "stranger", "boss", "other", "", "../../etc/passwd", "a\0b", "x" * 10_000, "*", ">"):
        with pytest.raises(GuestError, match="is no child of this actor, or it has ended"):
            await boss.call_function(function, [name])
    assert (await boss.call_function("list"), await other.call_function("list")) == ([], ["other-1"])
    assert sorted(host.host.actors) == ["boss", "other", "other-1", "stranger"]


async def test_ends_reach_the_parent_and_no_other(start_host: Any) -> None:
    host, boss = await started(start_host)
    other = await host.spawn(BOSS, id="other")
    await spawned(boss, RUNTIME.wasm, "boss-1")
    await spawned(other, RUNTIME.wasm, "other-1")
    await host.theater.actor("other-1").call_function("stop", [b"theirs"])
    await host.theater.actor("boss-1").call_function("stop", [b"mine"])
    await hears(boss, "exit boss-1 mine")
    await hears(other, "exit other-1 theirs")


async def test_a_child_that_an_operator_gave_the_actor_is_its_child(start_host: Any) -> None:
    host, boss = await started(start_host)
    await host.spawn(COUNTER, id="given", parent="boss", state=4)
    assert await boss.call_function("list") == ["given"]
    assert (await boss.call_function("child-state", ["given"]))[:4] == b"CGRF"
    with pytest.raises(GuestError, match="was spawned by others"):
        await boss.call_function("restart", ["given"])
    await boss.call_function("subscribe", ["given"])
    await boss.call_function("unsubscribe", ["given"])
    await boss.call_function("stop", ["given"])
    await hears(boss, "stopped given")


MUTE = """(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 16384))
  (data (i32.const 64) "CGRF\\02\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 80) "\\0b\\00\\00\\00\\04\\00\\00\\00\\00\\00\\00\\00")
  (func (export "__pack_alloc") (param i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get 0) (i32.const 7)) (i32.const -8)))))
  (func (export "__pack_free") (param i32 i32))
  (func (export "NAME") (param i32 i32 i32 i32) (result i32)
    (i32.store (local.get 2) (i32.const 64))
    (i32.store (local.get 3) (i32.const 28))
    (i32.const 0)))"""


async def mute(host: Any, export: str, params: str) -> Any:
    """An actor with one export, which answers with nothing, and with a child; its capability."""
    wasm = build_wat(MUTE.replace("NAME", export), f"exports {{ {export}: func({params}) }}")
    await host.spawn(wasm, id="mute", capabilities={"supervisor": {}})
    found = capability(host, "mute")
    await found.context.children.spawn(ChildSpec('name = "x"\ninitial_state = 0', COUNTER.wasm), "mute-1")
    return found


async def test_each_way_to_end_is_told_once(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    theater = host.theater
    for module, id, more in (
        (RUNTIME.wasm, "boss-exit", ""),
        (RUNTIME.wasm, "boss-bare", ""),
        (CHAOS.wasm, "boss-fail", FAILS),
        (COUNTER.wasm, "boss-shutdown", ""),
        (COUNTER.wasm, "boss-terminate", ""),
        (COUNTER.wasm, "boss-stop", ""),
    ):
        await spawned(boss, module, id, more)
    await theater.actor("boss-exit").call_function("stop", [b"bye"])
    await theater.actor("boss-bare").call_function("stop", [None])
    with pytest.raises(Internal):
        await theater.actor("boss-fail").call_function("trap", ["unreachable"])
    await theater.actor("boss-shutdown").shutdown(wait=True)
    await theater.actor("boss-terminate").terminate(wait=True)
    await boss.call_function("stop", ["boss-stop"])
    assert await boss.call_function("list") == []
    await eventually(lambda: not keeper(host)._table and not keeper(host).teller.untold)
    found = (await boss.call_function("heard")).splitlines()
    assert next(one for one in found if one.startswith("error")).startswith("error boss-fail internal ")
    assert sorted(one for one in found if not one.startswith("error")) == [
        "exit boss-bare -",
        "exit boss-exit bye",
        "stopped boss-shutdown",
        "stopped boss-stop",
        "stopped boss-terminate",
    ]
    assert len(found) == 6


async def test_nobody_else_can_call_the_handlers(start_host: Any) -> None:
    _, boss = await started(start_host)
    with pytest.raises(FunctionNotFound):
        await boss.call_function("theater:simple/supervisor-handlers.handle-child-exit", ["x", None])


async def test_a_guest_without_handlers_hears_nothing_and_misses_nothing(start_host: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    found = await mute(host, "nothing", "")
    with pytest.raises(
        CapabilityError, match=r"the actor has no theater:simple/supervisor-handlers\.handle-child-event"
    ):
        found.subscribe_to_child("mute-1")
    await found.stop_child("mute-1")
    assert keeper(host, "mute").teller.untold == {}


async def test_a_guest_of_0_3_12_hears_of_events_without_the_childs_id(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    handler = "theater:simple/supervisor-handlers.handle-child-event"
    found = await mute(host, handler, "event-type: string, event-data: list<u8>")
    child = keeper(host, "mute").meet("mute-1")
    keeper(host, "mute").watch(child)
    await host.theater.actor("mute-1").call_function("increment", [1])
    await eventually(lambda: found._keeper.teller._waiting == 0)
    events = await host.theater.actor("mute").get_chain().all()
    assert [one.body.function for one in events if one.type == "result"] == [handler] * 2
    assert host.host.actors["mute"].failure_note is None


async def test_state_and_events_are_given_while_the_child_is_busy(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, BOSS.wasm, "boss-m")
    middle = host.theater.actor("boss-m")
    busy = asyncio.ensure_future(
        middle.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-m-1"), None, None])
    )
    await eventually(lambda: "boss-m-1" in host.host.actors and host.host.actors["boss-m-1"].phases.is_running)
    assert (await boss.call_function("child-state", ["boss-m"]))[:4] == b"CGRF"
    assert await boss.call_function("child-events", ["boss-m"]) > 0
    assert await boss.call_function("list") == ["boss-m"]
    await host.theater.actor("boss-m-1").call_function("stop", [None])
    assert await busy is None


async def test_of_a_childs_events_the_parent_gets_as_many_bytes_as_granted(start_host: Any) -> None:
    host, boss = await started(start_host, settings={"event_bytes": 300})
    await spawned(boss, COUNTER.wasm, "boss-1")
    children = host.host.actors["boss"].contexts["supervisor"].children
    everything = await children.events("boss-1", 1 << 20)
    assert sum(map(len, everything)) > 300
    last = await capability(host).get_child_events("boss-1")
    assert 0 < sum(map(len, last)) <= 300
    assert last == everything[-len(last) :]


async def test_a_busy_child_is_stopped_within_the_parents_own_time(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host, settings={"stop_ms": 50}, grace_ms=3_600_000)
    await spawned(boss, BOSS.wasm, "boss-m")
    busy = asyncio.ensure_future(
        host.theater.actor("boss-m").call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-m-1"), None, None])
    )
    await eventually(lambda: "boss-m-1" in host.host.actors and host.host.actors["boss-m-1"].phases.is_running)
    await boss.call_function("stop", ["boss-m"])
    assert sorted(host.host.actors) == ["boss"]
    await asyncio.gather(busy, return_exceptions=True)
    await hears(boss, "stopped boss-m")
