"""Messages, queue groups and answers through a real guest, server and host; and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nats.errors
import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import FunctionNotFound, GuestError, Internal
from theater_bus.testing import running_host
from theater_bus_nats import Nats

OTHER = {"id": "0", "subscription": "", "subject": "", "headers": [], "data": b"", "wants-reply": False}


async def call(actor: Any, function: str, *params: Any) -> Any:
    """What a `result` of the relaying guest holds; raises `GuestError` for its `err`."""
    [answer] = await actor.call_function(function, list(params))
    if "err" in answer:
        raise GuestError(str(answer["err"]))
    return answer["ok"]


async def test_a_subscription_delivers_in_order_and_changes_the_state(spawn: Any, client: Any, handlers: Any) -> None:
    _, actor = await spawn(subscribe=["news.>"])
    await call(actor, "subscribe", "all", "news.*", None)
    for number in range(20):
        await client.publish("news.today", str(number).encode(), headers={"x-n": str(number)})
    got = [await handlers.got.get() for _ in range(20)]
    assert [one["data"] for one in got] == [str(n).encode() for n in range(20)]
    assert got[3] | {"id": ""} == {
        "id": "",
        "subscription": "all",
        "subject": "news.today",
        "headers": [["x-n", "3"]],
        "data": b"3",
        "wants-reply": False,
    }
    assert await actor.call_function("list-subscriptions") == [["all", "news.*"]]
    assert await actor.get_state() == 20
    await call(actor, "unsubscribe", "all")
    assert await actor.call_function("list-subscriptions") == []
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request("news.today", b"", timeout=5)


async def test_actors_of_one_queue_group_share_the_requests_and_answer_them(
    spawn: Any, client: Any, handlers: Any
) -> None:
    host, first = await spawn(subscribe=["prices"])
    _, second = await spawn(id="b", host=host, subscribe=["prices"])
    for actor in (first, second):
        await call(actor, "subscribe", "service", "prices", "group")
    asking = [asyncio.create_task(client.request("prices", str(n).encode(), timeout=10)) for n in range(10)]
    for _ in range(10):
        message = await handlers.got.get()
        assert message["wants-reply"] is True
        owner = first if message["id"] in host.host.actors["a"].capabilities["nats"]._inbound._replies else second
        await call(owner, "respond", message["id"], [["x-by", "actor"]], message["data"] + b"!")
    answers = await asyncio.gather(*asking)
    assert [one.data for one in answers] == [f"{n}!".encode() for n in range(10)]
    assert {one.headers["x-by"] for one in answers} == {"actor"}
    with pytest.raises(GuestError, match="waits for a reply"):
        await call(owner, "respond", message["id"], [], b"twice")


async def test_an_answer_that_is_refused_can_be_given_anew(spawn: Any, client: Any, handlers: Any) -> None:
    _, actor = await spawn(subscribe=["prices"])
    await call(actor, "subscribe", "service", "prices", None)
    asking = asyncio.create_task(client.request("prices", b"", timeout=20))
    id = (await handlers.got.get())["id"]
    for headers, data, why in (
        ([["Theater-Event", "close"]], b"", "is not for actors"),
        ([["nats-rollup", "all"]], b"", "is not for actors"),
        ([["a", "1"], ["a", "2"]], b"", "is there twice"),
        ([["a", "x" * 1_048_000]], b"", "can be sent"),
        ([], b"x" * 1_048_000, "can be sent"),
    ):
        with pytest.raises(GuestError, match=why):
            await call(actor, "respond", id, headers, data)
    await call(actor, "respond", id, [["a", "1"]], b"5")
    answer = await asking
    assert (answer.data, answer.headers["a"]) == (b"5", "1")


async def test_an_answer_that_left_with_an_err_is_the_one_answer(spawn: Any, client: Any, handlers: Any) -> None:
    class Answering(handlers):  # type: ignore[misc]
        """Answers a message and then fails, with an `err` of the guest."""

        pact = handlers.pact.replace("exports {", '@queued: list<string> = ["handle-message"]\n    exports {')
        got = handlers.got

        def handle_message(self, state: int, message: dict[str, Any]) -> list[int]:
            self.got.put_nowait(message)
            if message["subject"] == "fail":
                self.context.capability("nats").respond(message["data"].decode(), [], b"the answer")
                raise CapabilityError("as I was told")
            return [state + 1]

    _, actor = await spawn(cls=Answering, subscribe=["prices", "fail"])
    await call(actor, "subscribe", "service", "prices", None)
    await call(actor, "subscribe", "failing", "fail", None)
    asking = asyncio.create_task(client.request("prices", b"", timeout=20))
    id = (await handlers.got.get())["id"]
    await client.publish("fail", id.encode())
    assert (await asking).data == b"the answer"
    with pytest.raises(GuestError, match="waits for a reply"):
        await call(actor, "respond", id, [], b"twice")


async def test_a_publish_leaves_with_its_operation_and_not_without(spawn: Any, client: Any) -> None:
    heard = await client.subscribe("out.>")
    await client.flush()
    _, actor = await spawn(publish=["out.>"], subscribe=["back"], limits={"record_bytes": 4096})
    await call(actor, "publish", "out.first", "back", [["x-a", "b"]], b"1")
    first = await heard.next_msg(5)
    assert (first.subject, first.reply, first.headers["x-a"], first.data) == ("out.first", "back", "b", b"1")
    with pytest.raises(Internal) as failed:
        await call(actor, "publish", "out.never", None, [], bytes(3000))
    assert failed.value.details["reason"] == "record-limit"
    await call(actor, "publish", "out.second", None, [], b"2")
    assert (await heard.next_msg(5)).data == b"2"


@pytest.mark.parametrize("subject", ["\u202e\u200b", "\ufeff", "a\n", "out.a b", "out." + "x" * 4000])
async def test_what_is_no_subject_is_refused_at_once_and_not_when_it_leaves(
    spawn: Any, caplog: Any, subject: str
) -> None:
    _, actor = await spawn(publish=[">", "*"], subscribe=[">", "*"])
    for function, args in (
        ("publish", [subject, None, [], b"1"]),
        ("publish", ["out.a", subject, [], b"1"]),
        ("publish-to-stream", [subject, [], b"1"]),
        ("request", [subject, [], b"1", 100]),
    ):
        with pytest.raises(GuestError, match=r"is not a subject|is refused|does not allow") as refused:
            await call(actor, function, *args)
        assert len(str(refused.value)) < 600
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_request_is_answered_or_says_why_not(spawn: Any, client: Any) -> None:
    async def answer(message: Any) -> None:
        await message.respond(
            message.data + b"!",
        )

    await client.subscribe("ask.me", cb=answer)
    held = await client.subscribe("ask.nobody")
    await client.flush()
    _, actor = await spawn(publish=["ask.>"], timeout_ms=200)
    assert await call(actor, "request", "ask.me", [], b"hello", 10_000) == [[], b"hello!"]
    with pytest.raises(GuestError, match=r"no reply from ask\.nobody within 0\.2 s"):
        await call(actor, "request", "ask.nobody", [], b"", 10_000)
    assert (await held.next_msg(5)).data == b""
    with pytest.raises(GuestError, match="nobody listens"):
        await call(actor, "request", "ask.else", [], b"", 10_000)
    with pytest.raises(GuestError, match=r"nats\.publish does not allow 'other'"):
        await call(actor, "request", "other", [], b"", 100)


async def test_an_operation_that_fails_leaves_subscriptions_as_they_were(spawn: Any, client: Any) -> None:
    host, actor = await spawn(subscribe=["news.>"], subscriptions=2)
    await call(actor, "subscribe", "kept", "news.a", None)
    with pytest.raises(GuestError, match="there is a subscription 'kept' already"):
        await call(actor, "subscribe", "kept", "news.b", None)
    with pytest.raises(GuestError, match=r"nats\.subscribe does not allow 'other'"):
        await call(actor, "subscribe", "more", "other", None)
    await call(actor, "subscribe", "more", "news.b", None)
    with pytest.raises(GuestError, match=r"nats\.subscriptions = 2 is used up"):
        await call(actor, "subscribe", "most", "news.c", None)
    with pytest.raises(GuestError, match="nothing is subscribed"):
        await call(actor, "unsubscribe", "most")
    capability = host.host.actors["a"].capabilities["nats"]
    assert capability.list_subscriptions() == [("kept", "news.a"), ("more", "news.b")]


@pytest.mark.parametrize("name", ["", "x" * 257])
async def test_a_name_that_is_none_is_refused(spawn: Any, name: str) -> None:
    _, actor = await spawn(subscribe=["a"])
    with pytest.raises(GuestError, match="1 to 256 bytes"):
        await call(actor, "subscribe", name, "a", None)


async def test_what_does_not_fit_is_dropped_and_named(spawn: Any, client: Any, handlers: Any, eventually: Any) -> None:
    host, actor = await spawn(subscribe=["flood"], waiting=2, pending=3)
    await call(actor, "subscribe", "flood", "flood", None)
    await actor.pause()
    running = host.host.actors["a"]
    inbound = running.capabilities["nats"]._inbound
    for number in range(10):
        await client.publish("flood", bytes([number]))
    await client.flush()
    await eventually(lambda: inbound.dropped == 5)
    assert running.mailbox.enqueues == 2
    assert "nats.pending = 3" in running.failure_note
    await actor.resume()
    assert [(await handlers.got.get())["data"] for _ in range(5)] == [bytes([n]) for n in range(5)]
    await client.publish("flood", b"again")
    assert (await handlers.got.get())["data"] == b"again"


async def test_large_messages_are_bounded_together(spawn: Any, client: Any, handlers: Any, eventually: Any) -> None:
    host, actor = await spawn(subscribe=["flood"], waiting=1, pending_bytes=2_500)
    await call(actor, "subscribe", "flood", "flood", None)
    await actor.pause()
    running = host.host.actors["a"]
    inbound = running.capabilities["nats"]._inbound
    for number in range(5):
        await client.publish("flood", bytes([number]) * 1_000)
    await client.flush()
    await eventually(lambda: inbound.dropped == 3)
    assert "nats.pending_bytes = 2500" in running.failure_note
    await actor.resume()
    assert [(await handlers.got.get())["data"][0] for _ in range(2)] == [0, 1]
    await actor.call_function("list-subscriptions")
    # One alone is taken however large it is, and nothing of what is over counts.
    await client.publish("flood", bytes(9_000))
    assert len((await handlers.got.get())["data"]) == 9_000
    await actor.call_function("list-subscriptions")
    assert (inbound._bytes, inbound._sizes, inbound._calls) == (0, {}, {})


async def test_a_mailbox_that_is_full_drops_nothing_that_may_wait(
    spawn: Any, client: Any, handlers: Any, eventually: Any
) -> None:
    host, actor = await spawn(subscribe=["news"], mailbox={"enqueues": 1})
    await call(actor, "subscribe", "news", "news", None)
    running = host.host.actors["a"]
    inbound = running.capabilities["nats"]._inbound
    await actor.pause()
    take_back = running.contexts["handlers"].enqueue("theater:bus/nats-client.handle-message", [OTHER])
    for number in range(3):
        await client.publish("news", str(number).encode())
    await eventually(lambda: len(inbound._calls) == 3)
    assert take_back()
    await actor.resume()
    assert [(await handlers.got.get())["data"] for _ in range(3)] == [b"0", b"1", b"2"]
    assert inbound.dropped == 0


async def test_a_handler_that_fails_is_seen_and_the_next_message_comes(
    spawn: Any, client: Any, handlers: Any, eventually: Any
) -> None:
    async def fail(message: dict[str, Any]) -> None:
        if message["data"] == b"bad":
            raise ValueError("as I was told")

    handlers.handle = fail
    host, actor = await spawn(subscribe=["news"])
    await call(actor, "subscribe", "n", "news", None)
    await client.publish("news", b"bad")
    await client.publish("news", b"good")
    await eventually(lambda: host.host.actors["a"].failure_note)
    assert "as I was told" in host.host.actors["a"].failure_note
    await handlers.got.get()
    assert (await handlers.got.get())["data"] == b"good"
    assert (await actor.get_status()).phase == "running"


async def test_nobody_else_reaches_the_handler(spawn: Any) -> None:
    _, actor = await spawn()
    with pytest.raises(FunctionNotFound):
        await actor.call_function("theater:bus/nats-client.handle-message", [{}])


async def test_an_actor_without_a_handler_is_told_so(start_host: Any) -> None:
    host = await start_host(Nats)
    actor = await host.spawn(Nats, capabilities={"nats": {"subscribe": ["a"]}})
    with pytest.raises(GuestError, match=r"has no theater:bus/nats-client\.handle-message"):
        await call(actor, "subscribe", "n", "a", None)


async def test_subscriptions_come_back_with_their_actor(
    spawn: Any, client: Any, handlers: Any, tmp_path: Path, theater_server: Any
) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "namespace": "nats-comes-back", "server": theater_server}
    async with running_host(Nats, handlers, **options) as host:
        _, actor = await spawn(host=host, chain="file", subscribe=["news.>"])
        await call(actor, "subscribe", "n", "news.*", "group")
    async with running_host(Nats, handlers, **options) as host:
        actor = host.theater.actor("a")
        assert await actor.call_function("list-subscriptions") == [["n", "news.*"]]
        await client.publish("news.today", b"x")
        assert (await handlers.got.get())["data"] == b"x"
        await actor.call_function("list-subscriptions")
        assert await actor.get_state() == 1
    narrowed = {"nats": {"subscribe": ["other"]}, "handlers": {}}
    async with running_host(Nats, handlers, grants=narrowed, **options) as host:
        note = host.host.actors["a"].failure_note
        assert note is not None
        assert "does not hear news.* any more" in note
