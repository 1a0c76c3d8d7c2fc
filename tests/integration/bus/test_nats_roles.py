"""The permission files of infra/nats, held against a real server: what each role can do, and what it cannot."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.bus import Connection, EmbeddedServer
from theater_bus.errors import ChannelClosed, PermissionDenied

AS = Callable[[str], Awaitable[Connection]]
ROLES = ("alice", "observer", "operator", "host", "init")
FOLDER = Path(__file__).parents[3] / "infra" / "nats"


@pytest_asyncio.fixture
async def as_user(monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Any]) -> AsyncIterator[AS]:
    """`await as_user("alice")`: a connection to a server that includes the shipped users.conf."""
    for role in ROLES:
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", f"{role}-secret")
    server = EmbeddedServer()
    # NATS reads includes relative to the file that has them.
    server.reconfigure(f'include "{os.path.relpath(FOLDER, server.store_dir.parent)}/users.conf"')
    async with server:

        async def open_as(role: str) -> Connection:
            return await connect(
                server.url, user=role, password=f"{role}-secret", inbox_prefix=f"_INBOX.{role}", connect_timeout_s=5
            )

        yield open_as


async def allowed(connection: Connection, subject: str) -> None:
    """Prove that NATS lets the request through: it ends in no-responders, not in a denial."""
    with pytest.raises(ChannelClosed):
        await connection.request_one(subject, b"", timeout_s=5)


async def denied(connection: Connection, *subjects: str) -> None:
    for subject in subjects:
        with pytest.raises(PermissionDenied):
            await connection.request_one(subject, b"", timeout_s=5)


async def test_a_caller_calls_its_actor_and_nothing_else(as_user: AS) -> None:
    alice = await as_user("alice")
    for tail in ("refund", "shop:pay@1%2E0.refund", "refund.@.alice", "shop:pay.refund.@.alice"):
        await allowed(alice, f"theater.default.ops.payments.{tail}")
    await denied(
        alice,
        "theater.default.ops.other.refund",
        "theater.other.ops.payments.refund",
        "theater.default.control.payments.terminate",
        "theater.default.info.payments.state",
        "theater.default.chain.payments",
        "theater.default.host.h1.spawn",
        "theater.default.fleet.ping",
        "$JS.API.STREAM.DELETE.THEATER_default_CHAIN",
        "$SRV.PING",
    )


async def test_a_caller_cannot_take_another_name(as_user: AS) -> None:
    alice = await as_user("alice")
    for forged in ("@.bob", "@actor.boss", "@.alice.x", "@", "@actor"):
        await denied(alice, f"theater.default.ops.payments.refund.{forged}")
        await denied(alice, f"theater.default.ops.payments.shop:pay.refund.{forged}")


async def test_nobody_hears_the_replies_of_another(as_user: AS) -> None:
    for role in ("alice", "observer", "operator", "host"):
        connection = await as_user(role)
        for subject in ("_INBOX.someone.>", "_INBOX.>", "_INBOX.*.x"):
            listening = connection.subscribe(subject, lambda message: None)
            with pytest.raises(PermissionDenied, match="subscribe"):
                await connection.ready()
            listening.unsubscribe()


async def test_a_caller_gets_the_hosts_answer_in_its_own_inbox(as_user: AS) -> None:
    alice, host = await as_user("alice"), await as_user("host")
    host.subscribe("theater.default.ops.payments.>", lambda message: host.publish(message.reply, b"paid"))
    await host.ready()
    reply = await alice.request_one("theater.default.ops.payments.refund.@.alice", b"", timeout_s=5)
    assert reply.data == b"paid"
    assert reply.subject.startswith("_INBOX.alice.")


async def test_a_caller_cannot_listen_to_operations_events_or_chains(as_user: AS) -> None:
    alice = await as_user("alice")
    for subject in ("theater.default.ops.payments.>", "theater.default.events.*", "theater.default.chain.>", ">"):
        listening = alice.subscribe(subject, lambda message: None)
        with pytest.raises(PermissionDenied):
            await alice.ready()
        listening.unsubscribe()


async def test_an_observer_asks_and_watches_but_changes_nothing(as_user: AS, new_inbox: Callable[[], Any]) -> None:
    observer, host, inbox = await as_user("observer"), await as_user("host"), new_inbox()
    await allowed(observer, "theater.default.info.payments.status")
    await allowed(observer, "$SRV.INFO.theater")
    observer.subscribe("theater.default.events.*", inbox)
    observer.subscribe("theater.default.beat.*", inbox)
    await observer.ready()
    host.publish("theater.default.events.payments", b"event")
    host.publish("theater.default.beat.h1", b"beat")
    assert [m.data for m in await inbox.wait(2)] == [b"event", b"beat"]
    await denied(
        observer,
        "theater.default.ops.payments.refund",
        "theater.default.control.payments.pause",
        "theater.default.host.h1.spawn",
        "theater.default.fleet.bid",
        "theater.default.events.payments",
        "theater.default.beat.h1",
    )


async def test_an_operator_controls_everything_but_calls_under_no_name(as_user: AS) -> None:
    operator = await as_user("operator")
    for subject in (
        "theater.default.control.payments.terminate",
        "theater.default.host.h1.spawn",
        "theater.default.ops.payments.refund",
        "theater.default.ops.payments.shop:pay.refund",
        "theater.default.info.payments.state",
    ):
        await allowed(operator, subject)
    for kind in ("ops", "pool"):
        for tail in ("refund.@.alice", "shop:pay.refund.@.alice", "refund.@actor.boss", "shop:pay.refund.@actor.boss"):
            await denied(operator, f"theater.default.{kind}.payments.{tail}")
    await denied(operator, "theater.other.control.payments.terminate", "theater.default.chain.payments")


async def test_a_host_appends_and_reads_its_chain_and_cannot_damage_any_stream(as_user: AS) -> None:
    init, host = await as_user("init"), await as_user("host")
    for name, subjects in (("THEATER_default_CHAIN", "theater.default.chain.*"), ("SOMEONES", "someones.*")):
        create = b'{"name":"%s","subjects":["%s"],"allow_direct":true}' % (name.encode(), subjects.encode())
        made = await init.request_one(f"$JS.API.STREAM.CREATE.{name}", create, timeout_s=5)
        assert b'"error"' not in made.data
    acknowledged = await host.request_one("theater.default.chain.payments", b"segment", timeout_s=5)
    assert b'"seq":1' in acknowledged.data
    read = await host.request_one(
        "$JS.API.DIRECT.GET.THEATER_default_CHAIN.theater.default.chain.payments", b"", timeout_s=5
    )
    assert read.data == b"segment"
    for stream in ("THEATER_default_CHAIN", "SOMEONES", "KV_other", "OBJ_other"):
        await denied(host, *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("DELETE", "PURGE", "UPDATE", "CREATE")))
        await denied(host, f"$JS.API.STREAM.MSG.DELETE.{stream}")
    await denied(
        host, "$JS.API.CONSUMER.DELETE.SOMEONES.c", "someones.x", "theater.other.ops.a.b", "$KV.other.x", "$SYS.REQ.X"
    )
    # Its own names may be purged where the design needs it, and consumed from.
    for subject in ("$JS.API.STREAM.PURGE.OBJ_theater_default_objects", "$JS.API.STREAM.NAMES"):
        assert (await host.request_one(subject, b"", timeout_s=5)).data


async def test_a_host_may_answer_inboxes_only_within_its_namespace(as_user: AS) -> None:
    host = await as_user("host")
    await allowed(host, "_INBOX.alice.x.1")
    await allowed(host, "theater.default.ops.payments.refund.@actor.boss")
    await denied(host, "some.other.service")
