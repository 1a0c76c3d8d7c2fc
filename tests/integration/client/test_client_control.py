"""Queries and control through the handle: typed answers, phases, and the end of an actor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from theater_bus import ActorHandle, Theater
from theater_bus.client import InterfaceHash
from theater_bus.errors import ActorNotFound, Cancelled, ConfigurationError, NotPaused, Paused, ShuttingDown
from theater_bus.testing.guests import guest

from .conftest import one_kind

Spawn = Callable[..., Awaitable[ActorHandle]]


async def test_status_says_what_the_actor_is(spawn: Spawn) -> None:
    counter = await spawn(id="c")
    status = await counter.get_status()
    assert (status.id, status.name, status.phase, status.host) == ("c", "counter", "running", "host-a")
    assert (status.durability, status.running, status.queued, status.reason) == ("memory", None, 0, None)
    assert len(status.incarnation) == 16
    assert len(status.package) == len(status.as_of.head) == 32


async def test_an_actor_known_to_be_in_memory_is_called_without_a_key(spawn: Spawn, theater: Theater) -> None:
    spawned = await spawn(id="c")
    await spawned.call.increment(1)
    other = theater.actor("c")
    await other.call.increment(1)
    await other.get_status()
    await other.call.increment(1)
    calls = [event.body for event in await other.get_chain().all() if event.type == "call"]
    assert [isinstance(call.identity, str) for call in calls[-3:]] == [False, True, False]  # type: ignore[union-attr]


async def test_metrics_are_filled(spawn: Spawn) -> None:
    counter = await spawn()
    await counter.call.increment(1)
    with pytest.raises(Exception, match="below"):
        await counter.call.decrement(5)
    metrics = await counter.get_metrics()
    assert metrics.operation_metrics.total_operations == 3
    assert metrics.operation_metrics.errors_by_code == {"guest-error": 1}
    assert metrics.operation_metrics.max_processing_time_ns > 0
    assert metrics.resource_metrics.memory_usage_bytes >= 65536
    assert metrics.last_update_ns is not None
    assert metrics.last_update_ns >= metrics.start_time_ns


async def test_exports_and_hashes_are_those_of_the_package(spawn: Spawn) -> None:
    counter = await spawn()
    exports = await counter.inspect.exports()
    assert [str(function) for function in exports.functions] == [
        "decrement(by: u64) -> result<tuple<u64, u64>, string>",
        "get() -> result<tuple<u64, u64>, string>",
        "increment(by: u64) -> result<tuple<u64, u64>, string>",
        "reset() -> result<tuple<u64>, string>",
    ]
    hashes = await counter.get_export_hashes()
    assert {(type(one), len(one.hash)) for one in hashes} == {(InterfaceHash, 32)}
    assert "theater:simple/actor" in [one.name for one in hashes]
    assert (await counter.inspect.manifest())["name"] == "counter"


async def test_pause_keeps_calls_until_resume(spawn: Spawn) -> None:
    counter = await spawn()
    assert await counter.pause() == "paused"
    with pytest.raises(Paused):
        await counter.pause()
    call = asyncio.create_task(counter.call.increment(1))
    async with asyncio.timeout(10):
        while (await counter.get_status()).queued == 0:
            await asyncio.sleep(0)
    assert not call.done()
    assert await counter.resume() == "running"
    assert await call == 1
    with pytest.raises(NotPaused):
        await counter.resume()


async def test_shutdown_waits_for_the_end_and_then_nobody_is_there(spawn: Spawn) -> None:
    counter = await spawn()
    assert await counter.shutdown(reason="done with it") == "stopped"
    with pytest.raises(ActorNotFound):
        await counter.shutdown()


@pytest.mark.parametrize("grace", [float("nan"), float("inf"), -1.0, 1e300])
async def test_a_grace_that_is_no_time_is_refused_before_anything_is_sent(spawn: Spawn, grace: float) -> None:
    counter = await spawn()
    with pytest.raises(ConfigurationError, match="grace"):
        await counter.shutdown(grace=grace)
    assert (await counter.get_status()).phase == "running"


async def test_shutdown_gives_the_running_operation_its_grace_and_refuses_the_queue(spawn: Spawn) -> None:
    chaos = await spawn("chaos")
    running = asyncio.create_task(chaos.call_function("spin"))
    queued = asyncio.create_task(chaos.call_function("count"))
    async with asyncio.timeout(10):
        while (await chaos.get_status()).queued == 0:
            await asyncio.sleep(0)
    started = monotonic()
    assert await chaos.shutdown(wait=False, grace=0.2) == "stopping"
    with pytest.raises(ShuttingDown):
        await queued
    with pytest.raises(Cancelled):
        await running
    assert 0.15 < monotonic() - started < 5


async def test_terminate_cuts_at_once_and_control_is_answered_meanwhile(spawn: Spawn) -> None:
    chaos = await spawn("chaos")
    running = asyncio.create_task(chaos.call_function("spin"))
    async with asyncio.timeout(10):
        while (await chaos.get_status()).running is None:
            await asyncio.sleep(0)
    assert await chaos.terminate() == "stopped"
    with pytest.raises(Cancelled) as caught:
        await running
    assert caught.value.ran == "rolled-back"


@one_kind
async def test_the_fleet_lists_hosts_and_actors_and_says_where_one_runs(
    spawn: Spawn, theater: Theater, start_host: Callable[..., Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus.client.theater.PAGE", 2)
    await start_host(host_id="host-b")
    made = guest("counter")
    for number in range(4):
        await spawn(id=f"c{number}")
    await theater.spawn(made.manifest_text, package=made.wasm, id="far", host="host-b")
    assert [(host.id, host.actors) for host in await theater.hosts()] == [("host-a", 2), ("host-b", 3)]
    listed = await theater.actors()
    assert [actor.id for actor in listed] == ["c0", "c1", "c2", "c3", "far"]
    assert {actor.host for actor in listed} == {"host-a", "host-b"}
    assert [actor.id for actor in await theater.actors(host="host-b")][-1] == "far"
    where = await theater.where("far")
    assert where is not None
    assert where.host == "host-b"
    assert await theater.where("nowhere", timeout=0.05) is None
    info = await theater.host_info("host-b")
    assert (info.id, info.namespace, info.phases) == ("host-b", theater.namespace, {"running": 3})
    assert await theater.drain("host-b", grace=1) == 3
    assert await theater.actors(host="host-b") == []
