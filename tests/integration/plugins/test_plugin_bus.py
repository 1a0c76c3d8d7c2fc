"""NATS as a capability has it: within its grants and never beyond, with the operation's trace, gone with the actor."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import nats
import pytest
from nats.js.api import StreamSource
from nats.js.errors import NotFoundError

from theater_bus.capability import STRINGS, SUBJECTS, BusMessage, Capability, Settings, refusals
from theater_bus.errors import GuestError
from theater_bus.testing import capability_harness

PACT = """
@package: string = "test:reach"

interface reach {
    exports {
        publish: func(subject: string, reply: string, headers: list<tuple<string, string>>) -> result<_, string>
        ask: func(subject: string, timeout-ms: u64) -> result<string, string>
        listen: func(subject: string, queue: string) -> result<_, string>
        unlisten: func() -> u32
        put: func(bucket: option<string>, key: string, value: string) -> result<string, string>
        object: func(bucket: option<string>, name: string) -> result<u64, string>
        stream: func(subject: string, id: string) -> result<bool, string>
        consume: func(stream: string, durable: string, filter: string) -> result<list<string>, string>
        again: func(key: string, times: u32) -> list<string>
        echo: func(text: string) -> string
    }
}
"""


@pytest.fixture
def kind() -> str:
    """What a capability does on NATS does not depend on who asked for it."""
    return "module"


class Reach(Capability):
    """Does on NATS what it is told to."""

    name = "reach"
    pact = PACT

    class Settings(Settings):
        publish: Annotated[tuple[str, ...], SUBJECTS] = ()
        subscribe: Annotated[tuple[str, ...], SUBJECTS] = ()
        buckets: Annotated[tuple[str, ...], STRINGS] = ()
        consumers: Annotated[tuple[str, ...], STRINGS] = ()

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.heard: list[BusMessage] = []
        self.subscriptions: list[Any] = []
        self.answers: list[str] = []

    def publish(self, subject: str, reply: str, headers: list[list[str]]) -> None:
        with refusals():
            self.context.bus.publish(subject, b"data", reply=reply, headers={name: value for name, value in headers})  # noqa: C416  pairs are lists

    async def ask(self, subject: str, timeout_ms: int) -> str:
        return (await self._try(self.context.bus.request(subject, b"?", timeout_ms=timeout_ms))).data.decode()

    async def listen(self, subject: str, queue: str) -> None:
        self.subscriptions.append(await self._try(self.context.bus.subscribe(subject, self._hear, queue=queue)))

    def unlisten(self) -> int:
        for one in self.subscriptions:
            one.unsubscribe()
        return len(self.heard)

    async def put(self, bucket: str | None, key: str, value: str) -> str:
        async def run() -> str:
            kv = await self.context.bus.kv(bucket)
            await kv.put(key, value.encode())
            found = await kv.get(key)
            assert found is not None
            return (found.value or b"").decode()

        return await self._try(run())

    async def object(self, bucket: str | None, name: str) -> int:
        async def run() -> int:
            objects = await self.context.bus.objects(bucket)
            await objects.put(name, b"12345")
            assert await objects.exists(name)
            assert await objects.get(name) == b"12345"
            [entry] = await objects.list()
            await objects.delete(name)
            return entry.size_bytes

        return await self._try(run())

    async def stream(self, subject: str, id: str) -> bool:
        return (await self._try(self.context.bus.streams.publish(subject, b"data", id=id))).duplicate

    async def consume(self, stream: str, durable: str, filter: str) -> list[str]:
        async def run() -> list[str]:
            consumer = await self.context.bus.streams.consumer(stream, durable, filter)
            found = await consumer.fetch(10, 1)
            for one in found:
                consumer.ack(one)
            return [one.subject for one in found]

        return await self._try(run())

    def again(self, key: str, times: int) -> list[str]:
        for _ in range(times):
            self.context.enqueue("echo", [key], answered=self.answers.append, key=key)
        return self.answers

    def echo(self, text: str) -> str:
        return text

    def _hear(self, message: BusMessage) -> None:
        self.heard.append(message)
        self.context.bus.respond(message, b"heard")

    async def _try(self, doing: Any) -> Any:
        with refusals():
            return await doing


@pytest.fixture
async def client(theater_server: Any) -> Any:
    connection = await nats.connect(theater_server.url)
    yield connection
    await connection.close()


async def spawn(start_host: Any, id: str = "a", **settings: Any) -> tuple[Any, Reach, Any]:
    host = await start_host(Reach)
    actor = await host.spawn(Reach, id=id, capabilities={"reach": settings})
    return host, host.host.actors[id].capabilities["reach"], actor


async def call(actor: Any, function: str, *params: Any) -> Any:
    """What a `result` of the relaying guest holds; raises `GuestError` for its `err`."""
    [answer] = await actor.call_function(function, list(params))
    if "err" in answer:
        raise GuestError(str(answer["err"]))
    return answer["ok"]


async def test_messages_go_where_the_grant_allows_and_answers_come_back(start_host: Any, client: Any) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def answer(message: Any) -> None:
        got.put_nowait(message)
        if message.reply:
            await message.respond(b"pong")

    await client.subscribe("orders.*", cb=answer)
    await client.flush()
    _, _, actor = await spawn(start_host, publish=["orders.>"], subscribe=["answers.one"])
    await call(actor, "publish", "orders.new", "answers.one", [["x-kind", "test"]])
    message = await got.get()
    assert (message.data, message.reply, message.headers["x-kind"]) == (b"data", "answers.one", "test")
    assert await call(actor, "ask", "orders.price", 5_000) == "pong"
    with pytest.raises(GuestError, match="nobody listens to orders"):
        await call(actor, "ask", "orders.nobody.here", 5_000)


@pytest.mark.parametrize(
    "subject",
    [
        "theater.default.ops.b.f",
        "theater.x",
        "$JS.API.STREAM.DELETE.X",
        "$SYS.REQ.SERVER.PING",
        "_INBOX.somebody.1",
        "_INBOXES.x",
        "_R_.x",
        "_GR_.a.b._INBOX.x",
        "*.x",
        ">",
        "a.*",
        "a.>",
    ],
)
async def test_no_grant_opens_what_is_reserved_nor_wildcards(start_host: Any, subject: str) -> None:
    _, capability, actor = await spawn(start_host, publish=[">"], subscribe=[">"])
    with pytest.raises(GuestError, match=r"refused|wildcard"):
        await call(actor, "publish", subject, "", [])
    with pytest.raises(GuestError, match=r"refused|wildcard"):
        await call(actor, "publish", "orders.new", subject, [])
    with pytest.raises(GuestError, match=r"refused|wildcard"):
        await call(actor, "ask", subject, 100)
    if not subject.startswith("a."):
        with pytest.raises(GuestError, match="is refused"):
            await call(actor, "listen", subject, "")
    assert capability.heard == []


async def test_what_the_grant_leaves_out_names_it_and_the_line_to_add(start_host: Any) -> None:
    _, _, actor = await spawn(start_host, publish=["orders.>"], subscribe=["news.*"])
    with pytest.raises(GuestError, match=r'reach\.publish does not allow .*Fix: `publish = \["bills\.new"\]` in'):
        await call(actor, "publish", "bills.new", "", [])
    with pytest.raises(GuestError, match=r"reach\.subscribe does not allow 'news\.>'"):
        await call(actor, "listen", "news.>", "")
    for header in ("Nats-Rollup", "nats-expected-last-sequence", "Theater-Op"):
        with pytest.raises(GuestError, match="is not for actors"):
            await call(actor, "publish", "orders.new", "", [[header, "all"]])
    for subject in ("", "orders. x", "orders.\0", "orders.\r\nPUB x 0"):
        with pytest.raises(GuestError):
            await call(actor, "publish", subject, "", [])
    assert (await actor.get_status()).phase == "running"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (" Nats-Rollup", "all"),
        ("Nats-Rollup\t", "all"),
        ("\nTheater-Op", "all"),
        ("a\r\nNats-Rollup", "all"),
        ("a: b", ""),
        ("", ""),
        ("ü", ""),
        ("a", "b\r\nNats-Rollup: all"),
        ("a", "\n"),
        ("a", "\0"),
    ],
)
async def test_no_header_becomes_another_one_on_its_way(start_host: Any, client: Any, name: str, value: str) -> None:
    heard = await client.subscribe("orders.>")
    await client.flush()
    _, _, actor = await spawn(start_host, publish=["orders.>"])
    with pytest.raises(GuestError, match=r"headers: .*(is not a header name|holds a line end or a NUL)"):
        await call(actor, "publish", "orders.new", "", [[name, value]])
    await call(actor, "publish", "orders.last", "", [["x-a", "b"]])
    assert (await heard.next_msg(20)).subject == "orders.last"


async def test_a_subscription_hears_answers_and_ends_with_its_actor(start_host: Any, client: Any) -> None:
    host, capability, actor = await spawn(start_host, subscribe=["news.>"])
    await call(actor, "listen", "news.*", "group")
    assert (await client.request("news.today", b"hello", timeout=5)).data == b"heard"
    await client.publish("news.today", b"x", reply="theater.default.control.a.terminate")
    await client.flush()
    assert (await client.request("news.today", b"again", timeout=5)).data == b"heard"
    assert [one.data for one in capability.heard] == [b"hello", b"x", b"again"]
    assert (await actor.get_status()).phase == "running"
    running = host.host.actors["a"]
    await actor.shutdown()
    await host.host.stopped(running)
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request("news.today", b"gone", timeout=5)


async def test_a_capability_has_a_bucket_of_its_own_and_the_granted_ones(start_host: Any, client: Any) -> None:
    await client.jetstream().create_key_value(bucket="granted")
    host, _, actor = await spawn(start_host, buckets=["granted", "missing", "theater_x"])
    assert await call(actor, "put", None, "a", "1") == "1"
    assert await call(actor, "put", "granted", "a", "2") == "2"
    assert await call(actor, "object", None, "thing") == 5
    own = await client.jetstream().key_value(host.host.subjects.capability_bucket("reach"))
    assert (await own.get("a")).value == b"1"
    for bucket, why in (
        ("missing", "there is no key-value bucket 'missing'"),
        ("other", r"reach\.buckets does not allow 'other'"),
        ("theater_x", "theater's own"),
        ("../x", "not a bucket's name"),
    ):
        with pytest.raises(GuestError, match=why):
            await call(actor, "put", bucket, "a", "x")
    with pytest.raises(GuestError, match="is no key"):
        await call(actor, "put", "granted", "../../etc/passwd", "x")


async def test_streams_take_and_give_within_the_grants(start_host: Any, client: Any) -> None:
    await client.jetstream().add_stream(name="WORK", subjects=["work.>"])
    _, _, actor = await spawn(
        start_host, publish=["work.>"], subscribe=["work.a"], consumers=["WORK/all", "WORK/mine", "WORK/theirs"]
    )
    assert await call(actor, "stream", "work.a", "k") is False
    assert await call(actor, "stream", "work.a", "k") is True
    assert await call(actor, "consume", "WORK", "mine", "work.a") == ["work.a"]
    with pytest.raises(GuestError, match=r"reach\.consumers does not allow 'WORK/other'"):
        await call(actor, "consume", "WORK", "other", "work.a")
    with pytest.raises(GuestError, match=r"reach\.subscribe does not allow 'work\.>'"):
        await call(actor, "consume", "WORK", "all", "")
    with pytest.raises(NotFoundError):
        await client.jetstream().consumer_info("WORK", "all")
    await client.jetstream().pull_subscribe("work.b", durable="theirs", stream="WORK")
    with pytest.raises(GuestError, match=r"reach\.subscribe does not allow 'work\.b'"):
        await call(actor, "consume", "WORK", "theirs", "")


async def test_what_a_stream_has_from_others_needs_a_filter_of_its_own(start_host: Any, client: Any) -> None:
    """Its own subjects say nothing of those."""
    await client.jetstream().create_key_value(bucket="private")
    await client.jetstream().add_stream(name="BOTH", subjects=["both.>"], sources=[StreamSource(name="KV_private")])
    _, _, actor = await spawn(start_host, subscribe=["both.>"], consumers=["BOTH/all", "BOTH/keys", "BOTH/own"])
    with pytest.raises(GuestError, match="'>' is refused"):
        await call(actor, "consume", "BOTH", "all", "")
    with pytest.raises(GuestError, match=r"'\$KV\.private\.>' is refused"):
        await call(actor, "consume", "BOTH", "keys", "$KV.private.>")
    assert await call(actor, "consume", "BOTH", "own", "both.>") == []


async def test_calls_under_one_key_are_one(start_host: Any, eventually: Any) -> None:
    host, capability, actor = await spawn(start_host)
    await actor.call_function("again", ["k", 3])
    await eventually(lambda: len(capability.answers) == 3)
    await actor.call_function("again", ["k", 1])
    await eventually(lambda: len(capability.answers) == 4)
    assert capability.answers == ["k"] * 4
    calls = [event.body for event in await actor.get_chain().all() if event.type == "call"]
    [echoed] = [call for call in calls if call.function == "echo"]
    assert (echoed.caller, echoed.proof, echoed.identity) == ("reach", "host", "reach:k")
    assert host.host.actors["a"].mailbox.enqueues == 0


async def test_a_harness_says_that_it_has_no_bus() -> None:
    async with capability_harness(Reach, {"publish": ["a"]}) as reach:
        with pytest.raises(LookupError, match="running_host"):
            await reach.call("publish", "a", "", [])
