"""Streams through a real guest: acknowledged with the chain, again after a failure, once after a crash, or given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from theater_bus.errors import GuestError
from theater_bus.testing import running_host
from theater_bus_nats import Nats
from theater_bus_nats.interest import Consumption, Interest, Listening, read_snapshot, write_snapshot


async def call(actor: Any, function: str, *params: Any) -> Any:
    """What a `result` of the relaying guest holds; raises `GuestError` for its `err`."""
    [answer] = await actor.call_function(function, list(params))
    if "err" in answer:
        raise GuestError(str(answer["err"]))
    return answer["ok"]


@pytest.fixture
async def stream(client: Any) -> str:
    """A stream of its own for every test, with the subjects `NAME.>`."""
    name = f"S{uuid4().hex}"
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
    return name


async def left(client: Any, stream: str, durable: str) -> tuple[int, int]:
    """Messages that nobody got yet, and those that wait for their acknowledgement."""
    info = await client.jetstream().consumer_info(stream, durable)
    return info.num_pending, info.num_ack_pending


def grants(stream: str, **more: Any) -> dict[str, Any]:
    return {"publish": [f"{stream}.>"], "subscribe": [f"{stream}.>"], "consumers": [f"{stream}/work"], **more}


async def until_settled(client: Any, stream: str) -> None:
    while await left(client, stream, "work") != (0, 0):
        pass


async def test_a_stream_is_consumed_once_and_acknowledged(spawn: Any, client: Any, handlers: Any, stream: str) -> None:
    _, actor = await spawn(**grants(stream, waiting=4))
    ack = await call(actor, "publish-to-stream", f"{stream}.a", [["x-a", "b"]], b"0")
    assert ack == [stream, 1, False]
    await call(actor, "consume", "jobs", stream, "work", None)
    for number in range(1, 30):
        await client.jetstream().publish(f"{stream}.a", str(number).encode())
    got = [await handlers.got.get() for _ in range(30)]
    assert [one["data"] for one in got] == [str(n).encode() for n in range(30)]
    assert (got[0]["id"], got[0]["subscription"], got[0]["wants-reply"]) == (f"{stream}/work/1", "jobs", False)
    assert ["x-a", "b"] in got[0]["headers"]
    await until_settled(client, stream)
    assert await actor.call_function("list-subscriptions") == [["jobs", f"{stream}/work"]]
    assert await actor.get_state() == 30
    with pytest.raises(GuestError, match=r"consumes .* already"):
        await call(actor, "consume", "more", stream, "work", None)


async def test_a_consumer_that_is_left_leaves_nothing_behind(
    spawn: Any, client: Any, handlers: Any, stream: str, eventually: Any
) -> None:
    host, actor = await spawn(**grants(stream))
    nats, bus = host.host.actors["a"].capabilities["nats"], host.host.actors["a"].contexts["nats"].bus
    for number in range(3):
        await client.jetstream().publish(f"{stream}.a", str(number).encode())
        await call(actor, "consume", "jobs", stream, "work", None)
        assert (await handlers.got.get())["data"] == str(number).encode()
        await until_settled(client, stream)
        [consumer] = bus._consumers
        await call(actor, "unsubscribe", "jobs")
        await eventually(lambda: not nats._leaving)
        assert not bus._consumers
        assert consumer._pull is None


async def test_what_fails_comes_again_and_is_given_up_at_last(
    spawn: Any, client: Any, handlers: Any, stream: str, eventually: Any
) -> None:
    async def fail(message: dict[str, Any]) -> None:
        if message["data"] == b"bad":
            raise ValueError("as I was told")

    handlers.handle = fail
    host, actor = await spawn(**grants(stream, deliveries=2))
    await client.jetstream().publish(f"{stream}.a", b"bad")
    await client.jetstream().publish(f"{stream}.a", b"good")
    await call(actor, "consume", "jobs", stream, "work", None)
    got = [(await handlers.got.get())["data"] for _ in range(3)]
    assert sorted(got) == [b"bad", b"bad", b"good"]
    await until_settled(client, stream)
    await eventually(lambda: "given up after 2 deliveries" in (host.host.actors["a"].failure_note or ""))


async def test_a_handler_decides_what_becomes_of_its_message(
    spawn: Any, client: Any, handlers: Any, stream: str
) -> None:
    host, actor = await spawn(**grants(stream))
    capability = host.host.actors["a"].capabilities["nats"]
    counts: list[int] = []

    async def judge(message: dict[str, Any]) -> None:
        counts.append(capability.deliveries(message["id"]))
        if message["data"] == b"later" and counts[-1] == 1:
            capability.nak(message["id"], 1)
            raise ValueError("later")
        if message["data"] == b"never":
            capability.term(message["id"])

    handlers.handle = judge
    await client.jetstream().publish(f"{stream}.a", b"later")
    await client.jetstream().publish(f"{stream}.a", b"never")
    await call(actor, "consume", "jobs", stream, "work", None)
    got = [(await handlers.got.get())["data"] for _ in range(3)]
    assert sorted(got) == [b"later", b"later", b"never"]
    assert sorted(counts) == [1, 1, 2]
    await until_settled(client, stream)
    for function, params in (("nak", ["x", 1]), ("term", ["x"]), ("deliveries", ["x"])):
        with pytest.raises(GuestError, match="is being handled"):
            await call(actor, function, *params)
    with pytest.raises(GuestError, match="too long to wait"):
        await call(actor, "nak", "x", 86_400_001)


async def test_a_message_that_the_chain_has_is_not_handled_again_after_a_crash(
    spawn: Any, client: Any, handlers: Any, stream: str, tmp_path: Path, theater_server: Any, monkeypatch: Any
) -> None:
    """The host dies between the append and the acknowledgement: the redelivery is answered from the record."""
    options: dict[str, Any] = {"data_dir": tmp_path, "namespace": f"crash-{stream}", "server": theater_server}
    await client.jetstream().publish(f"{stream}.a", b"once")
    durable = ConsumerConfig(durable_name="work", ack_policy=AckPolicy.EXPLICIT, ack_wait=1)
    await client.jetstream().add_consumer(stream, durable)
    async with running_host(Nats, handlers, **options) as host:
        _, actor = await spawn(host=host, chain="file", **grants(stream))
        # Nothing reaches the stream any more that settles a message: as if the host died at this point.
        publish = host.host.bus.services.publish

        def cut_off(subject: str, *rest: Any, **named: Any) -> None:
            if not subject.startswith("$JS.ACK"):
                publish(subject, *rest, **named)

        monkeypatch.setattr(host.host.bus.services, "publish", cut_off)
        await call(actor, "consume", "jobs", stream, "work", None)
        await handlers.got.get()
        await actor.call_function("list-subscriptions")
        assert await actor.get_state() == 1
    assert await left(client, stream, "work") == (0, 1)
    async with running_host(Nats, handlers, **options) as host:
        actor = host.theater.actor("a")
        await until_settled(client, stream)
        assert handlers.got.empty()
        await client.jetstream().publish(f"{stream}.a", b"next")
        assert (await handlers.got.get())["data"] == b"next"
        await actor.call_function("list-subscriptions")
        assert await actor.get_state() == 2


async def test_a_consumer_that_cannot_be_reached_is_named_and_comes_back(
    spawn: Any, client: Any, handlers: Any, stream: str, eventually: Any
) -> None:
    host, actor = await spawn(**grants(stream))
    await call(actor, "consume", "jobs", stream, "work", None)
    await call(actor, "unsubscribe", "jobs")
    await call(actor, "consume", "jobs", stream, "work", None)
    with pytest.raises(GuestError, match=r"nats\.consumers does not allow"):
        await call(actor, "consume", "other", stream, "other", None)
    await client.jetstream().delete_consumer(stream, "work")
    await eventually(lambda: "cannot be consumed just now" in (host.host.actors["a"].failure_note or ""))
    assert (await actor.get_status()).phase == "running"
    await client.jetstream().publish(f"{stream}.a", b"after all")
    assert (await handlers.got.get())["data"] == b"after all"
    await until_settled(client, stream)


@pytest.mark.parametrize("bad", ["a.b", "", "../../x", "a b", "*"])
async def test_a_stream_or_durable_that_is_no_name_is_refused(spawn: Any, stream: str, bad: str) -> None:
    _, actor = await spawn(**grants(stream, consumers=[f"{bad}/work", f"{stream}/{bad}"]))
    with pytest.raises(GuestError):
        await call(actor, "consume", "jobs", bad, "work", None)
    with pytest.raises(GuestError):
        await call(actor, "consume", "jobs", stream, bad, None)


def test_a_snapshot_holds_subscriptions_and_consumers() -> None:
    interests: list[Interest] = [Listening("a", "x.>", "q"), Consumption("b", "S", "d", "f")]
    written = write_snapshot(interests)
    assert written is not None
    assert read_snapshot(written) == interests
    assert write_snapshot([]) is None
    for broken in (b"", b"[1]", b'[{"name":1,"x":2}]', b'{"a":1}'):
        with pytest.raises(ValueError, match=r"snapshot|Expecting|argument"):
            read_snapshot(broken)


async def test_a_stream_that_was_made_anew_is_another_one(spawn: Any, client: Any, handlers: Any, stream: str) -> None:
    _, actor = await spawn(**grants(stream))
    jetstream = client.jetstream()
    for round in range(2):
        await call(actor, "consume", "jobs", stream, "work", None)
        for data in (b"same", str(round).encode()):
            await jetstream.publish(f"{stream}.a", data)
            assert (await handlers.got.get())["data"] == data
        await until_settled(client, stream)
        await call(actor, "unsubscribe", "jobs")
        await jetstream.delete_stream(stream)
        await jetstream.add_stream(name=stream, subjects=[f"{stream}.>"])
    assert await actor.get_state() == 4
