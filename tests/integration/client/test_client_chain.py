"""The chain at the client: whole or in part, live behind it, without a gap and without a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from theater_bus import ActorHandle, EmbeddedServer, Theater
from theater_bus.capability import Capability
from theater_bus.client import chain as client_chain
from theater_bus.core.chain.events import Event, event_hash
from theater_bus.core.chain.segments import Segment
from theater_bus.errors import ActorNotFound, ChainTampered, SerializationError, TooLarge, Unavailable
from theater_bus.testing import running_host
from theater_bus.testing.guests import guest

Spawn = Callable[..., Awaitable[ActorHandle]]


both_kinds = pytest.mark.parametrize("kind", ["module", "component"])


@pytest.fixture
def kind() -> str:
    """How events are read does not depend on who caused them. Where whole chains are compared, both kinds do."""
    return "module"


def sequences(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


@both_kinds
async def test_all_events_come_in_order_over_many_pages(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_chain, "PAGE_SEGMENTS", 3)
    counter = await spawn()
    for _ in range(10):
        await counter.call.increment(1)
    events = await counter.get_chain().all()
    assert sequences(events) == list(range(len(events)))
    assert events[0].type == "genesis"
    assert [event.parent for event in events[1:]] == [event.hash for event in events[:-1]]
    assert (await counter.get_status()).as_of.head == events[-1].hash


async def test_reading_may_begin_in_the_middle_of_an_operation(spawn: Spawn) -> None:
    counter = await spawn()
    await counter.call.increment(1)
    last = sequences(await counter.get_chain().all())[-1]
    assert sequences(await counter.get_chain(last).all()) == [last]
    assert await counter.get_chain(last + 1).all() == []
    segments = [segment async for segment in counter.get_chain(last).segments()]
    assert isinstance(segments[0], Segment)
    assert segments[0].first == last - 1
    assert event_hash(segments[0].events[-1]) == segments[0].head


@both_kinds
async def test_following_gives_what_was_and_what_comes_until_the_exit(spawn: Spawn) -> None:
    counter = await spawn()
    await counter.call.increment(1)
    seen: list[Event] = []

    async def follow() -> None:
        async for event in counter.get_chain().follow():
            seen.append(event)

    following = asyncio.create_task(follow())
    for _ in range(20):
        await counter.call.increment(1)
    await counter.shutdown()
    await asyncio.wait_for(following, 10)
    assert sequences(seen) == list(range(len(seen)))
    assert seen[-1].type == "exit"
    assert sum(event.type == "call" for event in seen) == 22


async def test_following_needs_no_publishing_actor(start_host: Callable[..., Awaitable[Any]], theater: Theater) -> None:
    await start_host(mode="production")
    counter = await theater.spawn(guest("counter").manifest_text, package=guest("counter").wasm)
    following = counter.get_chain().follow()
    first = [await anext(following) for _ in range(3)]
    await counter.call.increment(1)
    assert sequences(first + [await anext(following) for _ in range(2)]) == [0, 1, 2, 3, 4]
    await following.aclose()  # type: ignore[attr-defined]


async def test_a_reader_that_is_too_slow_reads_the_rest_from_the_host(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_chain, "WAITING_MAX", 2)
    counter = await spawn()
    following = counter.get_chain().follow()
    seen = [await anext(following)]
    for _ in range(30):
        await counter.call.increment(1)
    async with asyncio.timeout(10):
        while seen[-1].seq < 62:
            seen.append(await anext(following))
    assert sequences(seen) == list(range(63))
    await counter.shutdown()
    assert [event.type async for event in following] == ["exit"]


async def test_what_the_chain_let_go_of_before_it_was_read_is_named(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_chain, "WAITING_MAX", 2)
    made = guest("counter")
    counter = await spawn(manifest=made.manifest_text + "\n[chain]\nkeep_events = 16\n")
    following = counter.get_chain().follow()
    assert (await anext(following)).seq == 0
    for _ in range(40):
        await counter.call.increment(1)
    with pytest.raises(Unavailable, match="not kept any more") as caught:
        async for _ in following:
            pass
    assert caught.value.details["next"] > caught.value.details["first"]
    kept = sequences(await counter.get_chain().all())
    assert kept == list(range(kept[0], 83))


async def test_events_that_never_arrived_are_noticed_when_the_lease_is_renewed(
    spawn: Spawn, theater: Theater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_chain, "WATCH_TTL_S", 1.0)
    counter = await spawn()
    monkeypatch.setattr(client_chain._Following, "_receive", lambda self, message: None)
    following = counter.get_chain().follow()
    seen = [await anext(following) for _ in range(3)]
    await counter.call.increment(1)
    async with asyncio.timeout(10):
        seen += [await anext(following) for _ in range(2)]
    assert sequences(seen) == [0, 1, 2, 3, 4]


async def test_watching_begins_now(spawn: Spawn, theater: Theater) -> None:
    counter = await spawn(id="watched")
    await counter.call.increment(1)
    watching = theater.watch("watched")
    first = asyncio.ensure_future(anext(watching))
    async with asyncio.timeout(10):
        while not first.done():
            await counter.call.increment(1)
    assert (await first).seq > 4
    await counter.shutdown()
    rest = sequences([event async for event in watching])
    assert rest == list(range((await first).seq + 1, rest[-1] + 1))


async def test_an_actor_that_is_gone_without_an_exit_ends_the_following(
    spawn: Spawn, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_chain, "WATCH_TTL_S", 1.0)
    monkeypatch.setattr(client_chain, "RETRY_S", 0.05)
    monkeypatch.setattr(client_chain, "GONE_S", 0.2)
    counter = await spawn()
    following = counter.get_chain().follow()
    assert (await anext(following)).seq == 0
    await host.bus.close()
    with pytest.raises(ActorNotFound):
        async for _ in following:
            pass


async def test_following_goes_on_over_a_lost_connection(
    start_server: Callable[..., Awaitable[Any]],
    start_host: Callable[..., Awaitable[Any]],
    open_theater: Callable[..., Awaitable[Theater]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_chain, "WATCH_TTL_S", 1.0)
    monkeypatch.setattr(client_chain, "RETRY_S", 0.05)
    server = await start_server(jetstream=False)
    made = guest("counter")
    host = await start_host(server.url)
    theater = await open_theater(server.url)
    digest = host.packages.hold(made.wasm)
    counter = await theater.spawn(made.manifest_text, package=made.wasm)
    assert digest
    following = counter.get_chain().follow()
    seen = [await anext(following) for _ in range(3)]
    coming = asyncio.ensure_future(anext(following))
    await server.restart()
    async with asyncio.timeout(15):
        while not coming.done():
            if theater.connected and host.bus.operations.connected:
                await counter.call_function("increment", [1], keyed=True)
            await asyncio.sleep(0.01)
        seen.append(await coming)
        assert sequences(seen) == [0, 1, 2, 3]


async def test_bytes_that_are_no_chain_are_refused(
    theater: Theater, fake: Callable[..., Awaitable[Any]], namespace: str
) -> None:
    host = await fake()
    host.connection.subscribe(host.subjects.info("a", "chain"), host.receive)
    await host.connection.ready()
    for broken in ({"segments": [{"first": 0}], "next": None}, {"segments": 5}, ["no map"]):
        reading = asyncio.create_task(theater.actor("a").get_chain().all())
        await host.wait(len(host.requests) + 1)
        host.answer(len(host.requests) - 1, broken)
        with pytest.raises((ChainTampered, SerializationError), match=r"segment|not what it should be"):
            await reading


class Echo(Capability):
    """Gives back what it gets, which a segment then holds four times."""

    name = "echo"
    pact = """
        @package: string = "test:echo"
        interface echo { exports { echo: func(data: list<u8>) -> list<u8> } }
    """

    def echo(self, data: bytes) -> bytes:
        return data


async def test_a_segment_that_no_message_takes_is_read_all_the_same() -> None:
    async with EmbeddedServer(config="max_payload: 65536") as server, running_host(Echo, server=server) as host:
        actor = await host.spawn(Echo)
        data = bytes(range(256)) * 160
        assert await actor.call_function("echo", [data]) == data
        assert await actor.call_function("echo", [b"small"]) == b"small"
        segments = [segment async for segment in actor.get_chain().segments()]
        assert all(isinstance(segment, Segment) for segment in segments)
        assert max(segment.size_bytes for segment in segments) > 2 * 65_536
        events = await actor.get_chain().all()
        assert sequences(events) == list(range(len(events)))
        assert sequences([event async for event in actor.get_chain(from_seq=2)]) == list(range(2, len(events)))
    async with (
        EmbeddedServer(config="max_payload: 65536", jetstream=False) as server,
        running_host(Echo, server=server) as host,
    ):
        actor = await host.spawn(Echo)
        await actor.call_function("echo", [data])
        with pytest.raises(TooLarge, match=r"the segment of events 1 to 3 has .* the object store cannot be used"):
            await actor.get_chain().all()
        assert (await actor.get_status()).phase == "running"
