"""Events of children come when they are asked for, as references, and never as more than there is room for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from .conftest import BOSS, COUNTER, heard_lines, keeper, spawned, started


async def test_events_come_only_when_asked_for_and_as_references(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    child = host.theater.actor("boss-1")
    await child.call_function("increment", [1])
    assert await boss.call_function("heard") == ""
    for _ in range(2):
        await boss.call_function("subscribe", ["boss-1"])
    await child.call_function("increment", [1])
    found = await heard_lines(boss, 2)
    recorded = {one.seq: one for one in await child.get_chain().all()}
    for line, type_ in zip(found, ("call", "result"), strict=True):
        word, child_id, told, data = line.split(" ", 3)
        reference = json.loads(data)
        assert (word, child_id, told) == ("event", "boss-1", type_)
        assert recorded[reference["seq"]].hash.hex() == reference["hash"]
        assert len(data) < 220
    for _ in range(2):
        await boss.call_function("unsubscribe", ["boss-1"])
    await child.call_function("increment", [1])
    assert await boss.call_function("child-events", ["boss-1"]) == len(await child.get_chain().all())
    assert (await boss.call_function("heard")).splitlines() == found
    operations = [one.body.function for one in await boss.get_chain().all() if one.type == "call"]
    assert operations.count("theater:simple/supervisor-handlers.handle-child-event") == 2


async def test_an_event_is_not_more_at_every_level(start_host: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, BOSS.wasm, "boss-m")
    middle = host.theater.actor("boss-m")
    await spawned(middle, COUNTER.wasm, "boss-m-1")
    await middle.call_function("subscribe", ["boss-m-1"])
    await boss.call_function("subscribe", ["boss-m"])
    await host.theater.actor("boss-m-1").call_function("increment", [1])
    await heard_lines(middle, 2)
    told = [one.split(" ")[2] for one in await heard_lines(boss, 1)]
    assert "host-call" not in told
    calls = [one.body.function for one in await middle.get_chain().all() if one.type == "call"]
    handled = calls.count("theater:simple/supervisor-handlers.handle-child-event")
    asked = len(calls) - handled - 2
    assert (handled, len([one for one in told if one == "call"]) <= asked + 1) == (2, True)


async def test_a_flood_of_events_leaves_a_gap_and_room_for_callers(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    child = host.theater.actor("boss-1")
    await boss.pause()
    for _ in range(200):
        await child.call_function("increment", [1])
    teller = keeper(host).teller
    assert (teller._waiting, list(teller._gaps)) == (256, ["boss-1"])
    assert host.host.actors["boss"].mailbox.enqueues == 16
    await boss.resume()
    found = await heard_lines(boss, 257)
    gap = json.loads(found[-1].split(" ", 3)[3])
    assert found[-1].split(" ")[2] == "gap"
    assert json.loads(found[-2].split(" ", 3)[3])["seq"] == gap["from"] - 1
    assert gap["to"] == (await child.get_chain().all())[-1].seq


async def test_a_subscription_changes_with_its_operation_and_ends_with_its_child(start_host: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    await boss.call_function("restart", ["boss-1"])
    assert keeper(host)._table["boss-1"].unwatch is not None
    await boss.call_function("stop", ["boss-1"])
    assert "boss-1" not in host.host.watching._hearing


async def test_a_parent_that_serves_the_child_it_watches_does_not_hang(start_host: Any) -> None:
    """The subscriber is the parent of the producer, and stops it while its events wait."""
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    child = host.theater.actor("boss-1")
    await asyncio.gather(*(child.call_function("increment", [1]) for _ in range(50)))
    await boss.call_function("stop", ["boss-1"])
    assert await boss.call_function("list") == []
