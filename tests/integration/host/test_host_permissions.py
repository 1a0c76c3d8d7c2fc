"""What an attacker tries against the permissions of infra/nats: redirected replies, aliases, forged names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import FunctionNotFound, PermissionDenied, SerializationError
from theater_bus.host.host import Host
from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.conformance import LogCollector

from .conftest import Stage, eventually, one_kind

pytestmark = one_kind
ROLES = ("alice", "observer", "operator", "host", "init")
FOLDER = Path(__file__).parents[3] / "infra" / "nats"
OPS = "theater.default.ops"


class Guarded:
    """A host with the actors `payments` and `victim`, and users as NATS knows them."""

    def __init__(self, stage: Stage, server: EmbeddedServer, stack: AsyncExitStack) -> None:
        self.stage, self.server, self._stack = stage, server, stack
        self.telemetry = Telemetry(level="metrics", strict=True)
        self.host: Host

    async def user(self, role: str) -> Connection:
        settings = BusSettings(
            servers=(self.server.url,), user=role, password=f"{role}-secret", inbox_prefix=f"_INBOX.{role}"
        )
        return await self._stack.enter_async_context(await Connection.open(settings))

    async def open(self) -> None:
        self.host = await self.stage.host(
            telemetry=self.telemetry,
            user="host",
            password="host-secret",
            inbox_prefix="_INBOX.host",
            caller_subjects=True,
        )
        for actor_id in ("payments", "victim"):
            await self.stage.spawn(self.host, actor_id)

    def refused_replies(self) -> float:
        return sum(
            point.value
            for metric in self.telemetry.snapshot().metrics
            if metric.metric.name == "theater.requests.refused"
            for point in metric.points
            if point.attributes["theater.refusal.reason"] == "reply-subject"
        )

    def state(self, actor_id: str) -> int:
        actor = self.host.actors[actor_id]
        assert actor.state is not None
        codec = actor.type.state_codec
        assert codec is not None
        value = codec.decode(actor.state)
        assert isinstance(value, int)
        return value


@pytest_asyncio.fixture
async def guarded(monkeypatch: pytest.MonkeyPatch, packages: Mapping[str, bytes]) -> AsyncIterator[Guarded]:
    for role in ROLES:
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", f"{role}-secret")
    server = EmbeddedServer()
    server.reconfigure(f'include "{os.path.relpath(FOLDER, server.store_dir.parent)}/users.conf"')
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        made = Guarded(Stage(server.url, stack, packages, "default"), server, stack)
        await made.open()
        yield made


async def ask(connection: Connection, subject: str, body: bytes = b"[1]", **options: Any) -> Any:
    message = await connection.request_one(subject, body, timeout_s=5, **options)
    return decode_reply(message.data, message.headers).value


@pytest.mark.parametrize(
    "reply",
    [
        "theater.default.ops.victim.add",
        "theater.default.control.victim.terminate",
        "theater.default.host.x.drain",
        "$JS.API.STREAM.DELETE.THEATER_default_CHAIN",
        "_INBOXED",
        "_GR_.a.b.theater.default.control.victim.terminate",
        "_GR_.a._INBOX.c",
    ],
)
async def test_a_reply_subject_that_is_no_inbox_runs_nothing_and_publishes_nothing(
    guarded: Guarded, reply: str
) -> None:
    alice = await guarded.user("alice")
    with LogCollector() as logs:
        alice.publish(f"{OPS}.payments.add", b"[1]", reply=reply)
        assert await ask(alice, f"{OPS}.payments.add", b"[10]") == 10
    if not reply.startswith("_GR_"):  # those of gateways the server itself takes away from clients
        assert guarded.refused_replies() == 1
        assert any(getattr(record, "theater_event", "") == "request.refused" for record in logs.records)
    assert guarded.state("victim") == 0
    assert set(guarded.host.actors) == {"payments", "victim"}


async def test_the_stream_of_the_chain_outlives_a_reply_subject_that_would_delete_it(guarded: Guarded) -> None:
    init, alice = await guarded.user("init"), await guarded.user("alice")
    create = b'{"name":"THEATER_default_CHAIN","subjects":["theater.default.chain.*"]}'
    await init.request_one("$JS.API.STREAM.CREATE.THEATER_default_CHAIN", create, timeout_s=5)
    for function in ("add", "refuse", "no-such"):
        alice.publish(f"{OPS}.payments.{function}", b"{}", reply="$JS.API.STREAM.DELETE.THEATER_default_CHAIN")
    await ask(alice, f"{OPS}.payments.add")
    info = await init.request_one("$JS.API.STREAM.INFO.THEATER_default_CHAIN", b"", timeout_s=5)
    assert b'"error"' not in info.data


async def test_the_same_holds_for_info_control_host_and_fleet(guarded: Guarded) -> None:
    operator = await guarded.user("operator")
    for subject in (
        "theater.default.info.payments.status",
        "theater.default.control.payments.pause",
        f"theater.default.host.{guarded.host.id}.drain",
        "theater.default.fleet.ping",
    ):
        operator.publish(subject, b"", reply="theater.default.control.victim.terminate")
    await eventually(lambda: guarded.refused_replies() == 4)
    assert set(guarded.host.actors) == {"payments", "victim"}
    assert guarded.host.actors["payments"].phases.is_running
    assert not guarded.host.draining


@pytest.mark.parametrize("alias", ["%61dd", "a%64d", "add%2E", "%2E.add", ".add".replace(".", "%2e"), "ADD"])
async def test_an_alias_of_a_function_is_refused_not_decoded(guarded: Guarded, alias: str) -> None:
    operator = await guarded.user("operator")
    with pytest.raises(FunctionNotFound):
        await ask(operator, f"{OPS}.payments.{alias}")
    assert guarded.state("payments") == 0


async def test_an_alias_does_not_slip_past_a_denial_of_its_function(packages: Mapping[str, bytes]) -> None:
    config = """authorization { users = [
      {user: host, password: host, permissions: {publish: ">", subscribe: ">"}}
      {user: eve, password: eve, permissions: {
        publish: {allow: ["theater.default.ops.payments.*"], deny: ["theater.default.ops.payments.refuse"]}
        subscribe: ["_INBOX.eve.>"]}}
    ] }"""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedServer(config=config))
        stage = Stage(server.url, stack, packages, "default")
        await stage.spawn(await stage.host(user="host", password="host"), "payments")
        login = BusSettings(servers=(server.url,), user="eve", password="eve", inbox_prefix="_INBOX.eve")
        eve = await stack.enter_async_context(await Connection.open(login))
        assert await ask(eve, f"{OPS}.payments.add") == 1
        with pytest.raises(PermissionDenied):
            await ask(eve, f"{OPS}.payments.refuse", b"")
        for alias in ("%72efuse", "refus%65", "%52EFUSE", "refuse%20"):
            with pytest.raises(FunctionNotFound):
                await ask(eve, f"{OPS}.payments.{alias}", b"")


async def test_a_bare_name_never_reaches_an_interface_nor_an_interface_its_bare_symbol(guarded: Guarded) -> None:
    operator = await guarded.user("operator")
    for tail in ("poke", "init", "test:peer/peer-client.poke", "theater:simple/actor.init", "test:peer/peer.add"):
        with pytest.raises(FunctionNotFound):
            await ask(operator, f"{OPS}.payments.{tail}", b"")
    assert guarded.state("payments") == 0


async def test_alice_calls_as_alice_and_the_chain_says_so(guarded: Guarded) -> None:
    alice = await guarded.user("alice")
    assert await ask(alice, f"{OPS}.payments.add.@.alice") == 1
    calls = [event.body for event in await _events(guarded, "payments") if event.type == "call"]
    assert (calls[-1].caller, calls[-1].proof) == ("alice", "subject")


@pytest.mark.parametrize("forged", ["@.bob", "@actor.boss", "@.alice.x", "@"])
async def test_alice_cannot_take_another_name(guarded: Guarded, forged: str) -> None:
    alice = await guarded.user("alice")
    with pytest.raises(PermissionDenied):
        await ask(alice, f"{OPS}.payments.add.{forged}")
    assert guarded.state("payments") == 0


@pytest.mark.parametrize("forged", ["@.bob", "@actor.boss"])
async def test_an_operator_calls_under_no_name(guarded: Guarded, forged: str) -> None:
    operator = await guarded.user("operator")
    with pytest.raises(PermissionDenied):
        await ask(operator, f"{OPS}.payments.add.{forged}")
    assert await ask(operator, f"{OPS}.payments.add") == 1


async def test_a_name_in_a_header_or_in_the_envelope_proves_nothing(guarded: Guarded) -> None:
    alice = await guarded.user("alice")
    with pytest.raises(SerializationError):
        await ask(alice, f"{OPS}.payments.add", headers={"Theater-Caller": "boss"})
    headers = {"Nats-User": "boss", "X-Caller": "boss"}
    assert await ask(alice, f"{OPS}.payments.add", headers=headers) == 1
    calls = [event.body for event in await _events(guarded, "payments") if event.type == "call"]
    assert (calls[-1].caller, calls[-1].proof) == ("", "none")


async def _events(guarded: Guarded, actor_id: str) -> list[Any]:
    from theater_bus.core.chain.events import decode_event

    actor = guarded.host.actors[actor_id]
    return [decode_event(data) for data in await guarded.host.archive.recent_events(actor, 1000)]
