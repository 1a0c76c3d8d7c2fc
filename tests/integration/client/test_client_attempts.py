"""What a call does when it hears nothing: repeats under its key, one attempt without, and an honest `ran`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from theater_bus import Theater
from theater_bus.bus import Connection, EmbeddedServer
from theater_bus.bus.exchange import Exchange
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import (
    ActorNotFound,
    ChannelClosed,
    OperationTimeout,
    OutcomeUnknown,
    Overloaded,
    TooLarge,
)

Fake = Callable[..., Awaitable[Any]]
Open = Callable[..., Awaitable[Theater]]
Pending = Callable[[Theater], int]


async def test_a_keyed_call_is_sent_again_under_the_same_key_until_it_is_answered(
    fake: Fake, theater: Theater, pending: Pending
) -> None:
    host = await fake()
    call = asyncio.create_task(theater.actor("a").call_function("f", [1], timeout=2))
    first, second, third = await host.wait(3)
    host.answer(1, "done")
    assert await call == "done"
    assert first.op == second.op == third.op is not None
    assert len(first.op or "") == 32
    assert first.timeout_ms is not None
    assert third.timeout_ms is not None
    assert first.timeout_ms > third.timeout_ms
    assert pending(theater) == 0


async def test_every_call_has_a_key_of_its_own_and_none_when_told_so(fake: Fake, theater: Theater) -> None:
    host = await fake()
    actor = theater.actor("a")
    for keyed in (None, True, False):
        call = asyncio.create_task(actor.call_function("f", keyed=keyed))
        await host.wait(len(host.requests) + 1)
        host.answer(len(host.requests) - 1, None)
        await call
    first, second, third = (request.op for _, request in host.requests)
    assert None not in (first, second)
    assert first != second
    assert third is None


async def test_a_call_without_a_key_is_sent_once(fake: Fake, theater: Theater, pending: Pending) -> None:
    host = await fake()
    with pytest.raises(OperationTimeout, match=r"within 0\.4 s") as caught:
        await theater.actor("a").call_function("f", timeout=0.4, keyed=False)
    assert (caught.value.ran, caught.value.actor, caught.value.details["limit_ms"]) == ("unknown", "a", 400)
    assert len(host.requests) == 1
    assert pending(theater) == 0


async def test_silence_until_the_deadline_is_a_timeout_with_outcome_unknown(
    fake: Fake, theater: Theater, pending: Pending
) -> None:
    host = await fake()
    with pytest.raises(OperationTimeout) as caught:
        await theater.actor("a").call_function("f", timeout=0.5)
    assert caught.value.ran == "unknown"
    assert len(host.requests) >= 3
    assert pending(theater) == 0


async def test_an_answer_at_the_deadline_is_still_heard(fake: Fake, theater: Theater) -> None:
    host = await fake()
    call = asyncio.create_task(theater.actor("a").call_function("f", timeout=0.2, keyed=False))
    await host.wait(1)
    await asyncio.sleep(0.22)  # the deadline itself is what is proved here
    host.answer(0, OperationTimeout("too late", ran="rolled-back", limit_ms=200))
    with pytest.raises(OperationTimeout, match="too late") as caught:
        await call
    assert caught.value.ran == "rolled-back"


async def test_an_error_that_is_answered_ends_the_call_whatever_the_attempt(fake: Fake, theater: Theater) -> None:
    host = await fake()
    call = asyncio.create_task(theater.actor("a").call_function("f", timeout=1))
    await host.wait(2)
    host.answer(1, Overloaded("full", bound="mailbox"))
    with pytest.raises(Overloaded) as caught:
        await call
    assert caught.value.details["bound"] == "mailbox"


async def test_nobody_there_after_an_attempt_says_that_the_outcome_is_unknown(
    fake: Fake, theater: Theater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus.bus.exchange.ABSENCE_S", 0.2)
    host = await fake()
    call = asyncio.create_task(theater.actor("a").call_function("f", timeout=4))
    await host.wait(1)
    await host.connection.close()
    with pytest.raises(ActorNotFound) as caught:
        await call
    assert caught.value.ran == "unknown"


async def test_an_actor_that_is_back_soon_gets_the_same_request_again(fake: Fake, theater: Theater) -> None:
    host = await fake()
    call = asyncio.create_task(theater.actor("a").call_function("f", timeout=4))
    (first,) = await host.wait(1)
    await host.connection.close()
    async with asyncio.timeout(10):
        while theater._session.exchange._stranded == set():
            await asyncio.sleep(0.01)
    host = await fake()
    (again, *_) = await host.wait(1)
    host.answer(0, "here")
    assert await call == "here"
    assert again.op == first.op


async def test_an_actor_that_a_host_knows_but_nobody_serves_is_a_closed_channel(
    fake: Fake, theater: Theater, namespace: str
) -> None:
    host = await fake(actor="other")
    host.connection.subscribe(
        Subjects(namespace).fleet("where"),
        lambda message: host.connection.publish(message.reply, b'{"id": "a"}'),
    )
    await host.connection.ready()
    with pytest.raises(ChannelClosed, match="exists") as caught:
        await theater.actor("a").call_function("f")
    assert caught.value.ran == "never"


async def test_a_lost_connection_costs_a_keyed_call_nothing_and_leaves_an_unkeyed_one_unknown(
    open_theater: Open, fake: Fake, pending: Pending
) -> None:
    async with EmbeddedServer(jetstream=False) as server:
        theater = await open_theater(server.url)
        host = await fake(server.url, reconnect_wait_s=0.05)
        actor = theater.actor("a")
        keyed = asyncio.create_task(actor.call_function("f", timeout=20))
        unkeyed = asyncio.create_task(actor.call_function("g", timeout=20, keyed=False))
        await host.wait(2)
        await server.restart()
        with pytest.raises(OutcomeUnknown) as caught:
            await unkeyed
        assert (caught.value.ran, caught.value.actor) == ("unknown", "a")
        await host.wait(3)
        assert host.requests[0][1].op == host.requests[-1][1].op
        host.answer(len(host.requests) - 1, 1)
        assert await keyed == 1
        assert pending(theater) == 0


async def test_without_a_connection_nothing_is_sent_and_ran_is_never(open_theater: Open, fake: Fake) -> None:
    async with EmbeddedServer(jetstream=False) as server:
        theater = await open_theater(server.url)
    async with asyncio.timeout(10):
        while theater.connected:
            await asyncio.sleep(0.01)
    actor = theater.actor("a")
    asked: list[Callable[[], Awaitable[Any]]] = [
        lambda: actor.call_function("f"),
        actor.get_state,
        theater.hosts,
        lambda: theater.where("a"),
        lambda: theater.host_info("h"),
        lambda: anext(actor.get_chain().follow()),
    ]
    for ask in asked:
        with pytest.raises(ChannelClosed, match="not connected") as caught:
            await ask()
        assert caught.value.ran == "never"


async def test_a_keyed_call_without_a_connection_ends_at_its_deadline(open_theater: Open, fake: Fake) -> None:
    async with EmbeddedServer(jetstream=False) as server:
        theater = await open_theater(server.url)
        host = await fake(server.url)
        call = asyncio.create_task(theater.actor("a").call_function("f", timeout=1))
        await host.wait(1)
    with pytest.raises(OperationTimeout) as caught:
        await call
    assert caught.value.ran == "unknown"


async def test_closing_the_client_ends_what_waits_at_once(open_theater: Open, fake: Fake) -> None:
    theater = await open_theater()
    host = await fake()
    calls = [asyncio.create_task(theater.actor("a").call_function("f", keyed=keyed)) for keyed in (True, False)]
    await host.wait(2)
    async with asyncio.timeout(5):
        await theater.close()
        await theater.close()
        for call in calls:
            with pytest.raises(OutcomeUnknown):
                await call
    with pytest.raises(ChannelClosed, match="it was closed here"):
        await theater.actor("a").call_function("f")


async def test_closing_ends_a_keyed_call_that_waits_for_the_server(open_theater: Open, fake: Fake) -> None:
    async with EmbeddedServer(jetstream=False) as server:
        theater = await open_theater(server.url)
        host = await fake(server.url)
        call = asyncio.create_task(theater.actor("a").call_function("f"))
        await host.wait(1)
    async with asyncio.timeout(5):
        while theater.connected:
            await asyncio.sleep(0.01)
        await theater.close()
        with pytest.raises(OutcomeUnknown):
            await call


async def test_what_no_message_holds_is_too_large_and_names_both_sizes(theater: Theater) -> None:
    with pytest.raises(TooLarge) as caught:
        await theater.actor("a").call_function("f", [b"x" * 2_000_000])
    assert caught.value.details["size_bytes"] > caught.value.details["limit_bytes"]
    assert (caught.value.actor, caught.value.ran) == ("a", "never")


async def test_giving_up_with_cancel_tells_the_actor(
    fake: Fake, connect: Callable[..., Awaitable[Connection]], namespace: str
) -> None:
    subjects = Subjects(namespace)
    host = await fake()
    host.connection.subscribe(subjects.control("a", "cancel"), host.receive)
    await host.connection.ready()
    connection = await connect()
    exchange = Exchange(connection, subjects)
    asked = asyncio.create_task(
        exchange.request("a", subjects.ops("a", "f"), lambda left: encode_request([left]), 5, cancel=True)
    )
    await host.wait(1)
    asked.cancel()
    (_, told) = await host.wait(2)
    assert isinstance(told.params, dict)
    assert told.params["reply"].startswith("_INBOX")
    exchange.close()
