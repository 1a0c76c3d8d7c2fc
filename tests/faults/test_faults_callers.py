"""Callers that go away, never read, flood or watch too much: they harm themselves."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import KeyReused, OperationTimeout, Overloaded

from .conftest import OFTEN, Scene, check, eventually, failure, packed
from .test_faults_guests import resident_bytes

KIB = 1 << 10
MIB = 1 << 20


async def raw_client(scene: Scene, *lines: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A NATS client made of lines, which reads what the test reads for it: at first nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port, limit=1 << 16)
    writer.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n')
    for line in lines:
        writer.write(line.encode() + b"\r\n")
    await writer.drain()
    return reader, writer


def publication(subject: str, reply: str, body: bytes) -> bytes:
    return f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n"


async def test_a_thousand_callers_that_hang_up_leave_nothing_behind(scene: Scene) -> None:
    host = await scene.host()
    actor = await scene.counter(host, "a")
    await scene.control("a", "pause")
    async with scene.bystander(host):
        connection = await scene.connect()
        body = packed({"v": 1, "params": [1], "timeout_ms": 400})
        for number in range(1000):
            connection.publish(scene.subject("a", "increment"), body, reply=f"_INBOX.gone.{number}")
        await connection.close()
        await eventually(lambda: len(actor.mailbox) == 1000)
        await eventually(lambda: len(actor.mailbox) == 0)
    assert (await scene.info("a"))["queued"] == 0
    await scene.control("a", "resume")
    assert await scene.call("a", "increment", 1) == 1


async def test_one_more_than_the_mailbox_holds_is_refused_at_once_and_all_others_are_answered(scene: Scene) -> None:
    host = await scene.host()
    actor = await scene.counter(host, "a", "[mailbox]\noperations = 1000\n")
    await scene.control("a", "pause")
    async with scene.bystander(host):
        calls = [asyncio.ensure_future(scene.call("a", "increment", 1, op=f"k-{n}")) for n in range(1000)]
        await eventually(lambda: len(actor.mailbox) == 1000)
        error = await failure(scene.call("a", "increment", 1))
        check(error, Overloaded, "never", "mailbox.operations", "1,000", "Fix: ")
        joined = [asyncio.ensure_future(scene.call("a", "increment", 1, op=f"k-{n}")) for n in range(1000)]
        check(await failure(scene.call("a", "increment", 2, op="k-0")), KeyReused, "never")
        await scene.control("a", "resume")
        answers = await asyncio.gather(*calls)
    assert sorted(answers) == list(range(1, 1001))
    assert await asyncio.gather(*joined) == answers


async def test_a_client_that_never_reads_its_replies_is_cut_off_by_the_server(scene: Scene) -> None:
    host = await scene.host()
    await scene.chaos(host, "c", OFTEN + "[limits]\ncpu_ms = 60_000\n")
    reader, writer = await raw_client(scene, "SUB _INBOX.deaf.> 1")
    before = resident_bytes()
    async with scene.bystander(host, within_s=1.0):
        body = packed({"v": 1, "params": [MIB], "timeout_ms": 30_000})
        for number in range(120):
            writer.write(publication(scene.subject("c", "big"), f"_INBOX.deaf.{number}", body))
        await writer.drain()
        await eventually(lambda: host.actors["c"].journal.settled.seq >= 240, 20)
        assert await scene.call("c", "touch") > 100
    assert resident_bytes() - before < 250 * MIB
    writer.close()
    assert reader is not None
    assert host.bus.connected


async def test_a_watcher_that_never_reads_does_not_slow_the_actor(scene: Scene) -> None:
    host = await scene.host()
    await scene.chaos(host, "c")
    _, writer = await raw_client(scene, f"SUB theater.{scene.namespace}.events.> 1")
    await scene.info("c", "watch", ttl_ms=60_000)
    async with scene.bystander(host):
        for _ in range(30):
            assert len(await scene.call("c", "big", 500 * KIB)) == 500 * KIB
    page = await scene.info("c", "chain")
    assert page["segments"]
    writer.close()


async def test_ten_thousand_leases_on_one_actor_are_one_lease(scene: Scene) -> None:
    host = await scene.host(mode="production", plugins_allow=("runtime",))
    await scene.counter(host, "a")
    before = await scene.subscriptions()
    async with scene.bystander(host):
        for _ in range(20):
            await asyncio.gather(*(scene.info("a", "watch", ttl_ms=60_000) for _ in range(500)))
        assert await scene.call("a", "increment", 1) == 1
    assert len(host.watching._leases) == 1
    await scene.settles_at(before + 3)


@pytest.mark.parametrize("fields", [{"ttl_ms": -1}, {"ttl_ms": 2**62}, {"ttl_ms": "long"}, {"ttl": 5}])
async def test_a_lease_of_a_wrong_length_is_refused(scene: Scene, fields: dict[str, object]) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    error = await failure(scene.info("a", "watch", **fields))
    assert (error.code, error.ran) in {("type-mismatch", "never"), ("serialization-error", "never")}, error


async def test_a_flood_of_info_and_control_is_answered_or_refused(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    async with scene.bystander(host, within_s=1.5):
        asked = [scene.info("a", query) for query in ("status", "state", "chain", "metrics", "exports")] * 400
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(one) for one in answers} <= {dict, Overloaded}
    assert (await scene.info("a"))["phase"] == "running"


async def test_a_caller_that_floods_the_window_of_keys_takes_bounded_memory(scene: Scene) -> None:
    host = await scene.host()
    actor = await scene.chaos(host, "c", OFTEN + "[limits]\ncpu_ms = 60_000\n")
    assert await scene.call("c", "touch", op="mine") == 1
    async with scene.bystander(host):
        for begin in range(0, 6000, 500):
            await asyncio.gather(*(scene.call("c", "touch", op=f"flood-{n}") for n in range(begin, begin + 500)))
        assert await scene.call("c", "touch", op="mine") == 1
        for number in range(200):
            await scene.call("c", "big", 60 * KIB, op=f"large-{number}")
    assert actor.window is not None
    assert actor.window._bytes <= 8 * MIB


async def test_keys_of_unproven_callers_cannot_push_out_those_of_a_proven_one_within_the_window(scene: Scene) -> None:
    host = await scene.host(caller_subjects=True)
    await scene.counter(host, "a")
    mine = scene.subject("a", "increment.@.alice")
    assert await scene.ask(mine, packed({"v": 1, "params": [1], "op": "k"})) == 1
    for begin in range(0, 5000, 500):
        await asyncio.gather(*(scene.call("a", "increment", 1, op=f"f-{n}") for n in range(begin, begin + 500)))
    assert await scene.ask(mine, packed({"v": 1, "params": [1], "op": "k"})) == 1


async def test_a_deadline_that_is_over_before_it_begins_never_runs(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    check(await failure(scene.call("a", "increment", 1, timeout_ms=0)), OperationTimeout, "never")
    assert await scene.call("a", "get") == 0


async def test_requests_in_one_burst_are_answered_in_order_and_info_overtakes_them(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    order = count(1)
    got: list[int] = []
    scene.connection.subscribe(
        f"_INBOX.{scene.namespace}.burst", lambda m: got.append(decode_reply(m.data, m.headers).value)
    )
    await scene.connection.ready()
    async with scene.bystander(host):
        for _ in range(1000):
            scene.connection.publish(scene.subject("a", "increment"), b"[1]", f"_INBOX.{scene.namespace}.burst")
        assert (await scene.info("a"))["phase"] == "running"
        await eventually(lambda: len(got) == 1000)
    assert got == [next(order) for _ in got]
