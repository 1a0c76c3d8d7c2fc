"""What every connection does, alike with light subscriptions and with nats-py's public API only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from theater_bus.bus import BusFailure, Connection, Message, Outcome
from theater_bus.errors import (
    ChannelClosed,
    ConfigurationError,
    ConnectionLost,
    OperationTimeout,
    OutcomeUnknown,
    TooLarge,
)

Open = Callable[..., Awaitable[Connection]]
NewInbox = Callable[[], Any]


@pytest.fixture(params=[True, False], ids=["light", "public"])
def open_connection(request: pytest.FixtureRequest, connect: Open) -> Open:
    async def opened(url: str | None = None, **options: object) -> Connection:
        return await connect(url, light_subscriptions=request.param, **options)

    return opened


async def test_a_message_arrives_with_subject_reply_body_and_headers(
    open_connection: Open, new_inbox: NewInbox
) -> None:
    connection, inbox = await open_connection(), new_inbox()
    connection.subscribe("contract.arrive.*", inbox)
    connection.publish("contract.arrive.one", b"body", "contract.reply", {"Name": "värde"})
    (message,) = await inbox.wait(1)
    assert (message.subject, message.reply, message.data) == ("contract.arrive.one", "contract.reply", b"body")
    assert message.headers == {"Name": "värde"}


async def test_messages_keep_their_order_and_none_is_lost(open_connection: Open, new_inbox: NewInbox) -> None:
    connection, inbox = await open_connection(), new_inbox()
    connection.subscribe("contract.order", inbox)
    for number in range(3000):
        connection.publish("contract.order", b"%d" % number)
    assert [int(m.data) for m in await inbox.wait(3000)] == list(range(3000))


async def test_more_subscriptions_than_the_flusher_queue_holds_can_be_made_in_one_go(
    open_connection: Open, new_inbox: NewInbox
) -> None:
    connection, inbox = await open_connection(), new_inbox()
    made = [connection.subscribe(f"contract.many.{number}", inbox) for number in range(1500)]
    await connection.ready()
    for number in range(1500):
        connection.publish(f"contract.many.{number}", b"")
    assert len(await inbox.wait(1500)) == 1500
    for subscription in made:
        subscription.unsubscribe()
    await connection.flush()
    with pytest.raises(ChannelClosed):
        await connection.request_one("contract.many.1499", b"", timeout_s=5)


async def test_ready_means_that_another_connection_reaches_the_subscription(open_connection: Open) -> None:
    listener, caller = await open_connection(), await open_connection()
    for number in range(50):
        subject = f"contract.ready.{number}"
        listener.subscribe(subject, lambda message: listener.publish(message.reply, b"here"))
        await listener.ready()
        assert (await caller.request_one(subject, b"", timeout_s=5)).data == b"here"


async def test_many_who_want_to_be_ready_at_once_share_a_few_echoes(open_connection: Open) -> None:
    listener, caller = await open_connection(), await open_connection()

    async def reached(number: int) -> bytes:
        subject = f"contract.together.{number}"
        listener.subscribe(subject, lambda message: listener.publish(message.reply, b"here"))
        await listener.ready()
        return (await caller.request_one(subject, b"", timeout_s=30)).data

    before = listener._client.stats["out_msgs"]
    assert set(await asyncio.gather(*(reached(number) for number in range(500)))) == {b"here"}
    assert listener._client.stats["out_msgs"] - before < 600, "500 replies, and some echoes"


async def test_who_gives_up_waiting_to_be_ready_takes_nobody_else_along(open_connection: Open) -> None:
    connection = await open_connection()
    waiting = [asyncio.create_task(connection.ready()) for _ in range(10)]
    await asyncio.sleep(0)
    for one in waiting[::2]:
        one.cancel()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, type(None)] * 5


async def test_a_queue_group_delivers_each_message_to_one_member(open_connection: Open, new_inbox: NewInbox) -> None:
    connection = await open_connection()
    first, second, outside = new_inbox(), new_inbox(), new_inbox()
    connection.subscribe("contract.group", first, queue="workers")
    connection.subscribe("contract.group", second, queue="workers")
    connection.subscribe("contract.group", outside)
    for _ in range(100):
        connection.publish("contract.group", b"")
    await outside.wait(100)
    await connection.ready()
    assert len(first.messages) + len(second.messages) == 100
    assert first.messages
    assert second.messages


async def test_after_unsubscribe_the_server_knows_no_listener(open_connection: Open, new_inbox: NewInbox) -> None:
    connection, inbox = await open_connection(), new_inbox()
    subscription = connection.subscribe("contract.gone", inbox)
    await connection.ready()
    subscription.unsubscribe()
    subscription.unsubscribe()
    with pytest.raises(ChannelClosed) as caught:
        await connection.request_one("contract.gone", b"", timeout_s=5)
    assert caught.value.ran == "never"
    assert inbox.messages == []


@pytest.mark.parametrize("problem", [ValueError("boom"), asyncio.CancelledError()], ids=["error", "cancelled"])
async def test_what_a_handler_raises_is_counted_logged_and_disturbs_nobody(
    open_connection: Open, new_inbox: NewInbox, caplog: pytest.LogCaptureFixture, problem: BaseException
) -> None:
    connection, inbox = await open_connection(), new_inbox()

    def broken(message: Message) -> None:
        raise problem

    connection.subscribe("contract.broken", broken)
    connection.subscribe("contract.fine", inbox)
    with caplog.at_level(logging.CRITICAL, "theater_bus.bus"):
        for _ in range(3):
            connection.publish("contract.broken", b"")
            connection.publish("contract.fine", b"")
        await inbox.wait(3)
        await connection.ready()
    assert connection.stats.handler_failures == 3


async def test_a_request_gets_its_reply_and_later_ones_are_dropped(open_connection: Open) -> None:
    connection = await open_connection()

    def twice(message: Message) -> None:
        connection.publish(message.reply, b"first")
        connection.publish(message.reply, b"second")

    connection.subscribe("contract.twice", twice)
    assert (await connection.request_one("contract.twice", b"", timeout_s=5)).data == b"first"
    await connection.ready()
    assert connection.stats.late_replies == 1
    assert connection.pending_requests == 0


async def test_a_stream_hands_over_every_reply_until_it_is_closed(open_connection: Open, new_inbox: NewInbox) -> None:
    connection, inbox = await open_connection(), new_inbox()

    def parts(message: Message) -> None:
        for number in range(5):
            connection.publish(message.reply, b"%d" % number)

    connection.subscribe("contract.parts", parts)
    token = connection.request("contract.parts", b"", timeout_s=5, on_reply=inbox, stream=True)
    assert [m.data for m in await inbox.wait(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert token.open
    token.close()
    token.close()
    connection.publish(token.reply_subject, b"late")
    await connection.ready()
    assert len(inbox.messages) == 5
    assert connection.pending_requests == 0


async def test_extending_a_stream_makes_its_deadline_an_inactivity_limit(open_connection: Open) -> None:
    connection = await open_connection()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Outcome] = loop.create_future()
    connection.subscribe("contract.silent", lambda message: None)
    started = loop.time()
    token = connection.request("contract.silent", b"", timeout_s=0.1, on_reply=ended.set_result, stream=True)
    token.extend(0.4)
    assert await asyncio.wait_for(ended, 5) is BusFailure.TIMEOUT
    assert loop.time() - started >= 0.39
    assert not token.open


async def test_silence_ends_in_a_timeout_that_is_never_early(open_connection: Open) -> None:
    connection = await open_connection()
    connection.subscribe("contract.mute", lambda message: None)
    started = asyncio.get_running_loop().time()
    with pytest.raises(OperationTimeout) as caught:
        await connection.request_one("contract.mute", b"", timeout_s=0.15)
    assert 0.149 <= asyncio.get_running_loop().time() - started < 1
    assert (caught.value.ran, caught.value.details["limit_ms"]) == ("unknown", 150)


async def test_a_cancelled_request_is_forgotten_and_its_reply_reaches_nobody(
    open_connection: Open, new_inbox: NewInbox
) -> None:
    connection, arrived, replies = await open_connection(), new_inbox(), new_inbox()
    connection.subscribe("contract.cancel", arrived)
    token = connection.request("contract.cancel", b"", timeout_s=5, on_reply=replies)
    (message,) = await arrived.wait(1)
    connection.cancel(token)
    connection.publish(message.reply, b"too late")
    waiting = asyncio.create_task(connection.request_one("contract.cancel", b"", timeout_s=5))
    await arrived.wait(2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (replies.messages, connection.pending_requests) == ([], 0)
    await connection.ready()
    assert connection.stats.late_replies == 1


async def test_an_outcome_that_cannot_be_handed_over_does_not_keep_the_others_from_theirs(
    open_connection: Open, new_inbox: NewInbox, caplog: pytest.LogCaptureFixture
) -> None:
    connection, inbox = await open_connection(), new_inbox()
    connection.subscribe("contract.void", lambda message: None)

    def broken(outcome: Outcome) -> None:
        raise RuntimeError("no")

    for handler in (broken, inbox, broken, inbox):
        connection.request("contract.void", b"", timeout_s=0.05, on_reply=handler)
    assert await inbox.wait(2) == [BusFailure.TIMEOUT, BusFailure.TIMEOUT]
    assert caplog.text.count("could not be handed over") == 2


async def test_everybody_who_listens_answers_a_request_to_many(open_connection: Open) -> None:
    connection = await open_connection()
    for number in range(3):
        connection.subscribe("contract.all", lambda m, n=number: connection.publish(m.reply, b"%d" % n))
    stalled = [m.data async for m in connection.request_many("contract.all", timeout_s=5, stall_s=0.1)]
    limited = [m.data async for m in connection.request_many("contract.all", timeout_s=5, limit=2)]
    timed = [m.data async for m in connection.request_many("contract.all", timeout_s=0.1)]
    nobody = [m async for m in connection.request_many("contract.nobody", timeout_s=5)]
    assert (sorted(stalled), len(limited), sorted(timed), nobody) == ([b"0", b"1", b"2"], 2, [b"0", b"1", b"2"], [])
    assert connection.pending_requests == 0


@pytest.mark.parametrize("headers", [None, {"Name": "é" * 10}], ids=["body", "headers"])
async def test_a_message_over_the_limit_is_refused_and_one_at_the_limit_arrives(
    open_connection: Open, new_inbox: NewInbox, headers: dict[str, str] | None
) -> None:
    connection, inbox = await open_connection(), new_inbox()
    connection.subscribe("contract.size", inbox)
    room = connection.max_payload - (0 if headers is None else len("NATS/1.0\r\nName: \r\n\r\n") + 20)
    with pytest.raises(TooLarge) as caught:
        connection.publish("contract.size", b"x" * (room + 1), headers=headers)
    assert caught.value.details["size_bytes"] == caught.value.details["limit_bytes"] + 1 == connection.max_payload + 1
    with pytest.raises(TooLarge):
        connection.request("contract.size", b"x" * (room + 1), timeout_s=1, on_reply=inbox, headers=headers)
    connection.publish("contract.size", b"x" * room, headers=headers)
    assert len((await inbox.wait(1))[0].data) == room
    assert (connection.connected, connection.pending_requests) == (True, 0)
    assert connection.stats.too_large == 2


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB evil 0\r\n\r\n", "a\tb", "a\x00b"])
async def test_what_is_not_a_subject_never_reaches_the_wire(open_connection: Open, subject: str) -> None:
    connection = await open_connection()
    with pytest.raises(ConfigurationError, match="is not a subject"):
        connection.publish(subject, b"")
    with pytest.raises(ConfigurationError, match="is not a subject"):
        connection.subscribe(subject, lambda message: None)
    with pytest.raises(ConfigurationError, match="is not a subject"):
        connection.request(subject, b"", timeout_s=1, on_reply=lambda outcome: None)
    if subject:
        with pytest.raises(ConfigurationError, match="is not a subject"):
            connection.publish("fine", b"", subject)
    await connection.ready()
    assert connection.pending_requests == 0


async def test_a_subject_too_long_for_a_protocol_line_is_refused(open_connection: Open) -> None:
    connection = await open_connection()
    with pytest.raises(TooLarge, match="protocol line"):
        connection.publish("a" * 4000, b"")
    with pytest.raises(TooLarge, match="protocol line"):
        connection.subscribe("a" * 4000, lambda message: None)
    connection.publish("a" * 3800, b"")
    await connection.ready()
    assert connection.connected


async def test_a_header_name_that_nats_refuses_is_the_callers_mistake(open_connection: Open) -> None:
    connection = await open_connection()
    with pytest.raises(ConfigurationError, match="header"):
        connection.publish("contract.header", b"", headers={"bad name": "x"})
    await connection.ready()


async def test_draining_delivers_what_is_on_its_way_and_lets_nested_calls_finish(open_connection: Open) -> None:
    caller, host = await open_connection(), await open_connection()
    backend = await open_connection()
    backend.subscribe("contract.drain.inner", lambda m: backend.publish(m.reply, b"inner"))
    started = asyncio.Event()
    running: set[asyncio.Task[None]] = set()

    def outer(message: Message) -> None:
        async def operation() -> None:
            started.set()
            await drained.wait()
            inner = await host.request_one("contract.drain.inner", b"", timeout_s=5)
            host.publish(message.reply, inner.data + b" and outer")

        running.add(asyncio.create_task(operation()))

    drained = asyncio.Event()
    host.subscribe("contract.drain.outer", outer)
    await asyncio.gather(host.ready(), backend.ready())
    reply = asyncio.create_task(caller.request_one("contract.drain.outer", b"", timeout_s=5))
    await started.wait()
    await host.drain_subscriptions()
    drained.set()
    with pytest.raises(ChannelClosed):
        await caller.request_one("contract.drain.outer", b"", timeout_s=5)
    await asyncio.gather(*running)
    await host.drain()
    assert (await reply).data == b"inner and outer"
    assert not host.connected


async def test_draining_waits_for_requests_but_not_for_ever(open_connection: Open, new_inbox: NewInbox) -> None:
    connection, inbox = await open_connection(), new_inbox()
    connection.subscribe("contract.never", lambda message: None)
    other = await open_connection()
    other.subscribe("contract.never", lambda message: None)
    await other.ready()
    connection.request("contract.never", b"", timeout_s=30, on_reply=inbox)
    await connection.drain(timeout_s=0.2)
    assert inbox.messages == [BusFailure.DISCONNECTED]


async def test_a_closed_connection_refuses_and_ends_what_waits(open_connection: Open) -> None:
    connection = await open_connection()
    connection.subscribe("contract.closing", lambda message: None)
    waiting = asyncio.create_task(connection.request_one("contract.closing", b"", timeout_s=30))
    await connection.ready()
    await connection.close()
    await connection.close()
    with pytest.raises(OutcomeUnknown):
        await waiting
    with pytest.raises(ConnectionLost):
        connection.publish("contract.closing", b"")
    with pytest.raises(ConnectionLost):
        connection.request("contract.closing", b"", timeout_s=1, on_reply=lambda outcome: None)
    with pytest.raises(ConnectionLost):
        await connection.ready()


async def test_one_subscription_with_slow_work_keeps_no_other_waiting(
    open_connection: Open, new_inbox: NewInbox
) -> None:
    connection, inbox = await open_connection(), new_inbox()
    release = asyncio.Event()
    tasks = []
    connection.subscribe("contract.slow", lambda message: tasks.append(asyncio.ensure_future(release.wait())))
    connection.subscribe("contract.quick", inbox)
    for _ in range(100):
        connection.publish("contract.slow", b"")
        connection.publish("contract.quick", b"")
    await inbox.wait(100)
    release.set()
    await connection.ready()
    await asyncio.gather(*tasks)
    assert len(tasks) == 100
