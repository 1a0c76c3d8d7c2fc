"""Conversations: opened, accepted with a message, held both ways, closed by either side, purged when one is gone."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest

from theater_bus.errors import GuestError, Internal
from theater_bus.testing import FakeClock, running_host

from .conftest import GUEST, NAMES, capability_of, do, told


@pytest.fixture
async def client(theater_server: Any) -> AsyncIterator[Any]:
    """A plain NATS client."""
    connection = await nats.connect(theater_server.url)
    yield connection
    await connection.close()


def text(value: str) -> Any:
    return {"$bytes": b64encode(value.encode()).decode()}


async def test_a_conversation_goes_both_ways(pair: Any) -> None:
    a, b = pair
    channel = await do(a, "open b hello")
    assert channel.startswith("ch_")
    # What the other side says when it accepts arrives as a message.
    assert await told(a, "got:hello") == "message got:hello\n"
    await do(a, f"say {channel} one")
    await do(a, f"say {channel} two")
    await do(b, f"say {channel} three")
    assert await told(b, "two") == "open hello\nmessage one\nmessage two\n"
    await told(a, "message three")
    await do(b, f"close {channel}")
    await told(a, f"close {channel}")
    for actor in pair:
        with pytest.raises(GuestError, match="Channel not found"):
            await do(actor, f"say {channel} late")
        with pytest.raises(GuestError, match="Channel not found"):
            await do(actor, f"close {channel}")


async def test_a_conversation_may_be_refused(pair: Any) -> None:
    a, b = pair
    with pytest.raises(GuestError, match="Channel request rejected"):
        await do(a, "open b no")
    with pytest.raises(GuestError, match=r"guest-error: .*I fail"):
        await do(a, "open b fail")
    with pytest.raises(GuestError, match="guest-trap: "):
        await do(a, "open b trap")
    with pytest.raises(GuestError, match="actor-not-found: "):
        await do(a, "open nobody hello")
    with pytest.raises(GuestError, match="call-cycle: "):
        await do(a, "open a hello")
    assert await b.call_function("log") == "open no\n"


async def test_opens_that_cross_do_not_hang(pair: Any) -> None:
    a, b = pair
    for _ in range(5):
        answers = await asyncio.gather(do(a, "open b hush"), do(b, "open a hush"), return_exceptions=True)
        for answer in answers:
            assert (isinstance(answer, str) and answer.startswith("ch_")) or "call-cycle" in str(answer)
        assert any(isinstance(answer, str) for answer in answers)


async def test_a_handler_may_ask_and_write_while_a_conversation_is_opened(pair: Any) -> None:
    a, _b = pair
    with pytest.raises(GuestError, match=r"guest-error: .*call-cycle: "):
        await do(a, "open b !request a hello")
    await do(a, "open b !send a meanwhile")
    await told(a, "send meanwhile")


async def test_a_message_in_a_conversation_may_be_answered_from_its_handler(pair: Any) -> None:
    a, _b = pair
    channel = await do(a, "open b hush")
    await do(a, f"say {channel} !say {channel} pong")
    await told(a, "message pong")


async def test_an_operation_that_fails_opens_and_closes_nothing(pair: Any) -> None:
    a, b = pair
    with pytest.raises(Internal):
        await do(a, "open b hush", "do-and-trap")
    await told(b, "close ch_")
    channel = await do(a, "open b hush")
    with pytest.raises(Internal):
        await do(a, f"close {channel}", "do-and-trap")
    await do(a, f"say {channel} still here")
    assert (await told(b, "message still here")).count("close") == 1


async def test_an_actor_that_ends_ends_its_conversations(pair: Any) -> None:
    a, b = pair
    channel = await do(a, "open b hush")
    await a.shutdown()
    await told(b, f"close {channel}")
    with pytest.raises(GuestError, match="Channel not found"):
        await do(b, f"say {channel} anybody")


async def test_nobody_else_can_say_something_or_close(start_host: Any) -> None:
    host = await start_host(installed=["messages"], caller_subjects=True)
    a, b, c = [await host.spawn(GUEST, id=id) for id in "abc"]
    channel = await do(a, "open b hush")
    for command in (f"say {channel} x", f"close {channel}"):
        with pytest.raises(GuestError, match="Channel not found"):
            await do(c, command)
    base = f"theater.{host.host.namespace}.ops.b.theater:bus/messages"
    connection = host.host.bus.operations
    body = json.dumps({"channel": channel, "msg": text("x")}).encode()
    for caller in ("@actor.c", "@.a", ""):
        subject = f"{base}.message.{caller}".rstrip(".")
        reply = await connection.request_one(subject, body, timeout_s=5)
        assert reply.headers["Nats-Service-Error"] == "permission-denied"
        closed = await connection.request_one(
            subject.replace(".message", ".close"), json.dumps([channel]).encode(), timeout_s=5
        )
        assert "Nats-Service-Error" not in (closed.headers or {})
    await do(a, f"say {channel} mine")
    assert await told(b, "mine") == "open hush\nmessage mine\n"


async def test_conversations_have_a_bound_and_ids_of_their_own(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    a = await host.spawn(GUEST, id="a", capabilities={"messages": {"to": ["*"], "channels": 1}})
    b, c = await host.spawn(GUEST, id="b"), await host.spawn(GUEST, id="c")
    channel = await do(a, "open b hush")
    with pytest.raises(GuestError, match=r"grant messages\.channels = 1 is used up"):
        await do(a, "open b hush")
    with pytest.raises(GuestError, match=r"overloaded: .*messages\.channels"):
        await do(c, "open a hush")
    await do(b, f"close {channel}")
    await told(a, f"close {channel}")
    assert (await do(a, "open b hush")) != channel


async def test_the_other_side_of_one_that_is_gone_is_told(start_host: Any) -> None:
    clock, namespace = FakeClock(), f"gone-{next(NAMES)}"
    options: dict[str, Any] = {"installed": ["messages"], "namespace": namespace}
    first = await start_host(host_id="one", clock=clock, **options)
    second = await start_host(host_id="two", **options)
    b, a = await first.spawn(GUEST, id="b"), await second.spawn(GUEST, id="a")
    channel = await do(a, "open b hush")
    silent = await do(a, "open b hush")
    # As after a crash: the actor is gone, and another of its name knows nothing.
    second.host.actors["a"].capabilities.pop("messages")
    await a.terminate(wait=True)
    a = await second.spawn(GUEST, id="a")
    await do(b, f"say {channel} anybody")
    await told(b, f"close {channel}")
    await clock.advance(30)
    await told(b, f"close {silent}")
    assert len(capability_of(first, "b")._conversations) == 0


async def test_one_that_does_not_answer_twice_is_gone(start_host: Any, eventually: Any) -> None:
    clock = FakeClock()
    host = await start_host(installed=["messages"], clock=clock)
    b, a = await host.spawn(GUEST, id="b"), await host.spawn(GUEST, id="a")
    channel = await do(a, "open b hush")
    host.host.actors["a"].capabilities.pop("messages")
    await a.terminate(wait=True)
    (conversation,) = capability_of(host, "b")._conversations
    await clock.advance(30)
    await eventually(lambda: conversation.missed == 1)
    await clock.advance(30)
    await told(b, f"close {channel}")


async def test_a_conversation_survives_the_host_of_a_file_actor(
    start_host: Any, tmp_path: Path, theater_server: Any
) -> None:
    namespace = f"survives-{next(NAMES)}"
    other = await start_host(installed=["messages"], namespace=namespace, host_id="other")
    a = await other.spawn(GUEST, id="a")
    options: dict[str, Any] = {"installed": ["messages"], "data_dir": tmp_path, "namespace": namespace}
    async with running_host(server=theater_server, **options) as host:
        await host.spawn(GUEST, id="b", chain={"durability": "file"})
        channel = await do(a, "open b hush")
    await do(a, f"say {channel} are you there")
    async with running_host(server=theater_server, **options) as host:
        b = host.theater.actor("b")
        await told(b, "are you there")
        await do(b, f"say {channel} yes")
        await told(a, "message yes")
        await do(b, f"close {channel}")
        await told(a, f"close {channel}")


# -- clients on NATS ---------------------------------------------------------------------------------------------------


async def test_a_plain_nats_client_holds_a_conversation(start_host: Any, client: Any) -> None:
    host = await start_host(installed=["messages"])
    b = await host.spawn(GUEST, id="b")
    inbox = client.new_inbox()
    heard = await client.subscribe(inbox)
    base = f"theater.{host.host.namespace}.ops.b.theater:bus/messages"
    channel = "my-conversation-1"

    async def ask(function: str, fields: Any) -> Any:
        reply = await client.request(f"{base}.{function}", json.dumps(fields).encode(), timeout=10)
        return json.loads(reply.data)

    accept = await ask("open", {"channel": channel, "msg": text("hello"), "inbox": inbox})
    assert accept == {"accepted": True, "message": text("got:hello")}
    await ask("message", {"channel": channel, "msg": text("ping")})
    await told(b, "message ping")
    await do(b, f"say {channel} pong")
    message = await heard.next_msg(timeout=10)
    assert (message.data, message.headers["Theater-Channel"]) == (b"pong", channel)
    assert message.headers["Theater-Event"] == "message"
    await do(b, f"close {channel}")
    message = await heard.next_msg(timeout=10)
    assert message.headers["Theater-Event"] == "close"
    second = await ask("open", {"channel": "my-conversation-2", "msg": text("hush"), "inbox": inbox})
    assert second == {"accepted": True, "message": None}
    await ask("close", {"channel": "my-conversation-2"})
    await told(b, "close my-conversation-2")
    assert await ask("request", {"msg": text("hello")}) == text("got:hello")


async def test_a_client_that_listens_no_more_is_gone(
    start_host: Any, client: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus.host.outbox.INBOX_TTL_S", 0.2)
    clock = FakeClock()
    host = await start_host(installed=["messages"], clock=clock)
    b = await host.spawn(GUEST, id="b")
    subject = f"theater.{host.host.namespace}.ops.b.theater:bus/messages.open"
    for channel in ("conversation-1", "conversation-2"):
        inbox = client.new_inbox()
        heard = await client.subscribe(inbox)
        fields = {"channel": channel, "msg": text("hush"), "inbox": inbox}
        await client.request(subject, json.dumps(fields).encode(), timeout=10)
        await heard.unsubscribe()
        await client.flush()
    await do(b, "say conversation-1 hello")
    await told(b, "close conversation-1")
    (one,) = capability_of(host, "b")._conversations
    await clock.advance(30)
    await eventually(lambda: one.missed == 1)
    await clock.advance(30)
    await told(b, "close conversation-2")


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "c" * 8, "inbox": "theater.x.ops.b.do"},
        {"channel": "c" * 8, "inbox": "$SYS.x"},
        {"channel": "c" * 8, "inbox": None},
        {"channel": "../../etc/passwd", "inbox": "_INBOX.a.b"},
        {"channel": "c", "inbox": "_INBOX.a.b"},
        {"channel": "c" * 65, "inbox": "_INBOX.a.b"},
        {"channel": "c\0" * 8, "inbox": "_INBOX.a.b"},
    ],
)
async def test_a_client_cannot_point_a_conversation_somewhere_else(
    start_host: Any, client: Any, fields: dict[str, Any]
) -> None:
    host = await start_host(installed=["messages"])
    b = await host.spawn(GUEST, id="b")
    subject = f"theater.{host.host.namespace}.ops.b.theater:bus/messages.open"
    reply = await client.request(subject, json.dumps({**fields, "msg": text("hello")}).encode(), timeout=10)
    assert reply.headers["Nats-Service-Error"] == "permission-denied"
    assert await b.call_function("log") == ""
