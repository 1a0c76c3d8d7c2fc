"""What holds between the lanes, the chain and the traces of an actor, whatever happens at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from socket import create_connection
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from theater_bus.bus.subscription import LightSubscription
from theater_bus.errors import ChannelClosed
from theater_bus.host.actor import Actor
from theater_bus.telemetry import Telemetry, TraceCollector

from .conftest import Stage, eventually, one_kind

FILE = "[chain]\ndurability = 'file'\n"


@one_kind
async def test_info_and_control_do_not_ride_with_operations(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    await host.bus.operations.drain()  # with a round trip: a server that has not noticed yet passes requests on
    with pytest.raises(ChannelClosed):
        await stage.call("a", "add", 1)
    assert (await stage.info("a"))["phase"] == "running"
    assert (await stage.control("a", "pause"))["phase"] == "paused"


async def test_info_shows_what_the_chain_has_acknowledged_and_an_answer_waits_for_that(
    stage: Stage, tmp_path: Path
) -> None:
    host = await stage.host(data_dir=tmp_path)
    actor = await stage.spawn(host, "a", guest_name="counter", manifest=FILE, state=5)
    before = await stage.info("a", "state")
    assert host.archive.files is not None
    go_on = Event()
    host.archive.files._writer.submit(go_on.wait)
    try:
        adding = stage.start(stage.call("a", "increment", 2))
        await eventually(lambda: actor.journal.ahead)
        assert actor.state is not actor.journal.settled.state
        assert await stage.info("a", "state") == before
        assert not adding.done()
    finally:
        go_on.set()
    assert await adding == 7
    after = await stage.info("a", "state")
    assert after["state"] == 7
    assert after["as_of"]["sequence"] == before["as_of"]["sequence"] + 2


async def test_init_does_not_run_again_when_a_chain_goes_on(stage: Stage, tmp_path: Path) -> None:
    host = await stage.host(data_dir=tmp_path)
    await stage.spawn(host, "a", manifest=FILE)
    assert await stage.call("a", "add", 4) == 4
    await stage.control("a", "shutdown", wait=True)
    await stage.spawn(host, "a", manifest=FILE, begin="continue")
    events = await stage.events("a")
    genesis = [event.seq for event in events if event.type == "genesis"]
    calls: list[Any] = [event.body for event in events if event.type == "call"]
    assert len(genesis) == 2
    assert [call.function for call in calls] == ["theater:simple/actor.init", "add"]
    assert await stage.call("a", "add", 1) == 5


class Raw:
    """A NATS client that blocks, so that nothing happens between what it sends and the server's having it."""

    def __init__(self, url: str) -> None:
        self._socket = create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 20)
        self._lines = self._socket.makefile("rb")
        self.send('CONNECT {"verbose":false,"headers":true,"protocol":1}\r\nSUB _INBOX.raw.* 1')

    def send(self, lines: str) -> None:
        """Returns when the server has passed on what is in `lines`."""
        self._socket.sendall(f"{lines}\r\nPING\r\n".encode())
        self.until(b"PONG")

    def until(self, end: bytes) -> bytes:
        """All up to a line that has `end`."""
        found = b""
        while end not in found:
            found = self._lines.readline()
        return found

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@one_kind
async def test_requests_that_the_server_passed_on_before_an_actor_ended_are_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    raw = await asyncio.to_thread(Raw, stage.url)
    withdraw = LightSubscription.withdraw
    sent: list[str] = []

    def late(subscription: LightSubscription) -> None:
        if subscription.subject.endswith(".ops.a.>") and not sent:
            sent.append(subscription.subject)
            subjects = stage.subject("a", "add"), stage.subject("a", "status", "info")
            requests = [f"PUB {subject} _INBOX.raw.{number} 2\r\n{{}}" for number, subject in enumerate(subjects)]
            thread = Thread(target=raw.send, args=("\r\n".join(requests),))
            thread.start()
            thread.join()
        withdraw(subscription)

    monkeypatch.setattr(LightSubscription, "withdraw", late)
    await stage.control("a", "shutdown", wait=True)
    assert sent
    answers = [await asyncio.wait_for(asyncio.to_thread(raw.until, b"MSG _INBOX.raw."), 20) for _ in range(2)]
    assert {answer.split()[1] for answer in answers} == {b"_INBOX.raw.0", b"_INBOX.raw.1"}
    assert "a" not in host.actors
    raw.close()


async def test_a_spawn_is_answered_when_its_genesis_is_kept(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no init runs, whose append would have waited for that of the genesis."""
    host = await stage.host(data_dir=tmp_path)
    await stage.spawn(host, "a", manifest=FILE)
    await stage.control("a", "shutdown", wait=True)
    made: list[Actor] = []
    keep = host.archive.keep_origin

    async def spy(actor: Actor, wasm: bytes) -> None:
        await keep(actor, wasm)
        made.append(actor)

    monkeypatch.setattr(host.archive, "keep_origin", spy)
    assert host.archive.files is not None
    go_on = Event()
    host.archive.files._writer.submit(go_on.wait)
    try:
        spawning = stage.start(stage.spawn(host, "a", manifest=FILE, begin="continue"))
        await eventually(lambda: made and hasattr(made[0], "calls"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert "a" not in host.actors
        assert not spawning.done()
    finally:
        go_on.set()
    actor = await spawning
    assert actor.journal.ahead == 0


@pytest.mark.parametrize(("sampler", "sampled"), [(ALWAYS_ON, True), (ALWAYS_OFF, False)])
async def test_a_segment_names_the_trace_of_its_operation_only_when_that_was_sampled(
    stage: Stage, sampler: Sampler, sampled: bool
) -> None:
    collector = TraceCollector()
    provider = collector.provider("host")
    provider.sampler = sampler
    telemetry = Telemetry(tracer_provider=provider)
    host = await stage.host(telemetry=telemetry)
    await stage.spawn(host, "a", guest_name="counter")
    await stage.call("a", "increment", 1)
    await telemetry.flush()
    operation = (await stage.info("a", "chain"))["segments"][-1]
    spans = [span.context for span in collector.spans() if span.name == "theater.Actor/increment"]
    expected = [[one.trace_id.to_bytes(16, "big"), one.span_id.to_bytes(8, "big")] for one in spans if one is not None]
    assert ([operation["trace"]] if "trace" in operation else []) == expected
    assert len(expected) == int(sampled)
    provider.shutdown()


async def test_a_cancelled_host_function_has_one_second_before_its_actor_goes_on(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    started = monotonic()
    try:
        assert (await stage.error(stage.call("a", "wait", "!stubborn", timeout_ms=100))).code == "operation-timeout"
        assert await stage.call("a", "add", 1) == 1
        assert 1.0 <= monotonic() - started < 3.0
    finally:
        stage.gates.enough.set()
