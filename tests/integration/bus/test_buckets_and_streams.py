"""Key-value buckets, object buckets and streams of others, over a connection of ours: values, refusals, redelivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from uuid import uuid4

import nats
import pytest
from nats.js.client import JetStreamContext

from theater_bus.bus import Connection, EmbeddedServer
from theater_bus.bus.bucket import ObjectBucket
from theater_bus.bus.key_value import KeyValueBucket
from theater_bus.bus.streams import DurableConsumer, StreamPublisher
from theater_bus.errors import ConfigurationError, TooLarge, Unavailable

Connect = Callable[..., Awaitable[Connection]]
StartServer = Callable[..., Awaitable[EmbeddedServer]]


@pytest.fixture
def name() -> str:
    return f"b{uuid4().hex}"


async def make_stream(connection: Connection, name: str) -> None:
    client = await nats.connect(connection.settings.servers[0])
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    await client.close()


async def test_a_key_has_revisions_and_only_the_newest_can_be_updated(connect: Connect, name: str) -> None:
    bucket = KeyValueBucket(await connect(), name)
    await bucket.open(create=True)
    assert await bucket.get("a") is None
    first = await bucket.create("a", b"1")
    assert first is not None
    assert await bucket.create("a", b"2") is None
    second = await bucket.update("a", b"2", first)
    assert second is not None
    assert await bucket.update("a", b"3", first) is None
    assert await bucket.put("b/c.d", b"") > second
    assert (await bucket.get("a")).value == b"2"  # type: ignore[union-attr]
    assert await bucket.keys() == ["a", "b/c.d"]
    assert await bucket.keys("b/") == ["b/c.d"]
    assert await bucket.delete("a", first) is False
    assert await bucket.delete("a", second) is True
    assert await bucket.get("a") is None
    assert await bucket.create("a", b"again") is not None


async def test_a_watcher_sees_what_is_there_then_a_mark_then_every_change(connect: Connect, name: str) -> None:
    bucket = KeyValueBucket(await connect(), name)
    await bucket.open(create=True)
    await bucket.put("k.1", b"one")
    await bucket.put("other", b"no")
    seen = []
    watcher = bucket.watch("k.*")
    async for entry in watcher:
        seen.append(None if entry is None else (entry.key, entry.value))
        if entry is None:
            await bucket.put("k.2", b"two")
            await bucket.delete("k.1")
        if len(seen) == 4:
            break
    await watcher.aclose()  # type: ignore[attr-defined]
    assert seen == [("k.1", b"one"), None, ("k.2", b"two"), ("k.1", None)]


@pytest.mark.parametrize("key", ["", ".a", "a.", "a..b", "a b", "a\0", "*", ">", "ä", "x" * 513, "../../etc/passwd"])
async def test_what_is_no_key_is_refused_before_anything_is_sent(connect: Connect, name: str, key: str) -> None:
    bucket = KeyValueBucket(await connect(), name)
    for call in (bucket.get(key), bucket.put(key, b""), bucket.create(key, b""), bucket.delete(key)):
        with pytest.raises(ConfigurationError, match="is no key"):
            await call


async def test_keys_are_listed_by_prefix_as_far_as_they_are_wanted(connect: Connect, name: str) -> None:
    bucket = KeyValueBucket(await connect(), name)
    await bucket.open(create=True)
    assert await bucket.keys() == []
    keys = ["user", "user.a", "user.a.1", "user.a.2", "user.ab", "user.b.1", "users.a"]
    for key in keys:
        await bucket.put(key, b"1")
    for prefix in (
        "",
        "u",
        "user",
        "user.",
        "user.a",
        "user.a.",
        "user.a.2",
        "user.c",
        "v",
        "user.a.2.",
        "/",
        "users.a",
    ):
        assert await bucket.keys(prefix) == [key for key in keys if key.startswith(prefix)]
    for prefix in ("*", ">", "user.*", "user.>", ".", ".user", "user..a", "user. a", "user.\0", "ä", "u" * 513):
        assert await bucket.keys(prefix) == []
    assert await bucket.keys("user.", accept=lambda key: key.endswith("1"), most=2) == ["user.a.1", "user.b.1"]
    with pytest.raises(TooLarge, match=rf"more than 1 keys of {name} begin with 'user\.'"):
        await bucket.keys("user.", accept=lambda key: key.endswith("1"), most=1)
    with pytest.raises(TooLarge):
        await bucket.keys("users", most=0)
    await bucket.delete("user.a.1")
    assert await bucket.keys("user.a.", most=1) == ["user.a.2"]
    await bucket.delete("user.a.2")
    assert await bucket.keys("user.a.", most=0) == []


async def test_what_is_still_on_its_way_is_not_taken_for_nothing(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nats-py looks whether all has been sent, and whether anything has come; in between it may be on its way."""
    bucket = KeyValueBucket(await connect(), name)
    await bucket.open(create=True)
    monkeypatch.setattr(JetStreamContext.PushSubscription, "delivered", property(lambda self: 0))
    for number in range(3):
        assert await bucket.keys() == [f"k{n}" for n in range(number)]
        await bucket.put(f"k{number}", b"1")
    async with aclosing(bucket.watch()) as changes:
        seen = [await anext(changes) for _ in range(4)]
    assert [None if one is None else one.key for one in seen] == ["k0", "k1", "k2", None]
    for number in range(3):
        await bucket.delete(f"k{number}")
    assert await bucket.keys() == []


async def test_a_bucket_that_is_missing_and_a_value_that_is_too_large_say_what_to_do(
    connect: Connect, name: str
) -> None:
    connection = await connect()
    bucket = KeyValueBucket(connection, name)
    with pytest.raises(Unavailable, match=f"no key-value bucket '{name}'"):
        await bucket.get("a")
    await bucket.open(create=True)
    with pytest.raises(TooLarge, match="raise max_payload"):
        await bucket.put("a", bytes(connection.max_payload))
    assert await bucket.put("a", bytes(connection.max_payload - 1024)) > 0


async def test_objects_by_name_are_replaced_listed_and_deleted(connect: Connect, name: str) -> None:
    bucket = ObjectBucket(await connect(), name, "a test's", "look")
    assert await bucket.list() == []
    assert await bucket.get("a") is None
    await bucket.put("a", b"1")
    await bucket.put("a", b"22")
    await bucket.put("b/ä", bytes(300_000))
    assert await bucket.list() == [("a", 2), ("b/ä", 300_000)]
    assert await bucket.get("a") == b"22"
    with pytest.raises(TooLarge):
        await bucket.get("b/ä", max_bytes=299_999)
    await bucket.delete("a")
    assert await bucket.size("a") is None


async def test_a_stream_acknowledges_and_knows_a_repeat_by_its_id(connect: Connect, name: str) -> None:
    connection = await connect()
    await make_stream(connection, name)
    publisher = StreamPublisher(connection)
    first = await publisher.publish(f"{name}.x", b"1", {"a": "b"}, id="k")
    repeat = await publisher.publish(f"{name}.x", b"1", id="k")
    assert (first.stream, first.duplicate, repeat.duplicate) == (name, False, True)
    assert repeat.sequence == first.sequence
    with pytest.raises(Unavailable, match="no stream takes messages to nobody"):
        await publisher.publish("nobody.takes.it", b"")
    with pytest.raises(TooLarge):
        await publisher.publish(f"{name}.x", bytes(connection.max_payload))


async def test_a_consumer_delivers_until_a_message_is_settled(connect: Connect, name: str) -> None:
    connection = await connect()
    await make_stream(connection, name)
    publisher = StreamPublisher(connection)
    for number in range(3):
        await publisher.publish(f"{name}.{number}", str(number).encode(), {"n": str(number)})
    asked: list[str] = []
    consumer = DurableConsumer(connection, name, "work")
    await consumer.open(f"{name}.>", 64, asked.extend)
    found = {one.data: one for one in await consumer.fetch(10, 5)}
    assert [one.sequence for one in found.values()] == [1, 2, 3]
    assert found[b"1"].headers["n"] == "1"
    consumer.ack(found[b"0"].token)
    consumer.nak(found[b"1"].token)
    consumer.term(found[b"2"].token)
    [again] = await consumer.fetch(10, 5)
    assert (again.data, again.deliveries) == (b"1", 2)
    consumer.working(again.token)
    consumer.ack(again.token)
    await connection.flush()
    assert await consumer.fetch(1, 0.05) == []
    same = DurableConsumer(connection, name, "work")
    await same.open(f"{name}.other", 1, asked.extend)
    assert same.filters == (f"{name}.>",)
    assert asked == [f"{name}.>"] * 3
    await consumer.close()


async def test_a_consumer_of_no_stream_or_that_is_pushed_is_refused(connect: Connect, name: str) -> None:
    connection = await connect()
    with pytest.raises(ConfigurationError, match="is not a name"):
        DurableConsumer(connection, "a.b", "work")
    with pytest.raises(Unavailable, match="stream exists"):
        await DurableConsumer(connection, name, "work").open("", 1, list)
    await make_stream(connection, name)
    client = await nats.connect(connection.settings.servers[0])
    await client.jetstream().subscribe(f"{name}.>", durable="pushed", stream=name)
    with pytest.raises(Unavailable, match="cannot be pulled"):
        await DurableConsumer(connection, name, "pushed").open("", 1, list)
    await client.close()


async def test_without_jetstream_everything_says_so(start_server: StartServer, connect: Connect, name: str) -> None:
    connection = await connect((await start_server(jetstream=False)).url)
    bucket, objects = KeyValueBucket(connection, name), ObjectBucket(connection, name, "", "look")
    for call in (
        bucket.get("a"),
        objects.get("a"),
        StreamPublisher(connection).publish("a", b""),
        DurableConsumer(connection, name, "work").open("", 1, list),
    ):
        with pytest.raises(Unavailable, match="has no JetStream"):
            await call


async def test_a_watcher_goes_on_after_the_server_was_away(
    start_server: StartServer, connect: Connect, name: str
) -> None:
    server = await start_server()
    connection = await connect(server.url)
    bucket = KeyValueBucket(connection, name)
    await bucket.open(create=True)
    await bucket.put("a", b"1")
    seen = []
    async for entry in bucket.watch():
        seen.append(None if entry is None else (entry.key, entry.value))
        if entry is None:
            await server.restart()
            await back(connection)
            await bucket.put("b", b"2")
        if len(seen) == 3:
            break
    assert seen == [("a", b"1"), None, ("b", b"2")]


async def test_a_watcher_of_a_bucket_that_was_made_anew_is_told(
    connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for interval in ("LOOK_S", "CHECK_S"):
        monkeypatch.setattr(f"theater_bus.bus.key_value.{interval}", 0.05)
    connection = await connect()
    bucket = KeyValueBucket(connection, name)
    await bucket.open(create=True)
    before = await bucket.created_us()
    assert await bucket.created_us() == before
    client = await nats.connect(connection.settings.servers[0])
    watched = bucket.watch()
    assert await anext(watched) is None
    await client.jetstream().delete_key_value(name)
    await client.jetstream().create_key_value(bucket=name)
    with pytest.raises(Unavailable, match=f"bucket {name} was made anew"):
        await anext(watched)
    assert await bucket.created_us() > before
    await client.close()


async def back(connection: Connection) -> None:
    """Wait until the connection is there again."""
    async with asyncio.timeout(20):
        while not connection.connected:
            await asyncio.sleep(0.01)
