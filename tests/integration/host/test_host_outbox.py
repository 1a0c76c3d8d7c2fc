"""Functions marked `queued`: what they send leaves when their operation is kept, once, in order, and never else."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.capability import Capability, CapabilityError, HostCall, HostCallMiddleware
from theater_bus.core.chain.bodies import Checkpoint
from theater_bus.errors import ActorError, ActorExists, Cancelled, Internal, Overloaded, PluginError, Unavailable
from theater_bus.host import outbox
from theater_bus.host.actor import Actor
from theater_bus.host.chain import FileStore
from theater_bus.host.roster import Roster
from theater_bus.plugins import compile_capability
from theater_bus.telemetry import REGISTRY, Telemetry
from theater_bus.telemetry.conformance import LogCollector, emitted

from .conftest import Stage, eventually, packed, plugin
from .test_host_measures import points

PACT = """
@package: string = "test:peer"
@calls: list<string> = ["test:peer/peer-client"]
@queued: list<string> = ["call", "hold"]

interface peer {
    exports {
        call: func(actor: string, function: string, params: string) -> string
        hold: func(name: string) -> string
    }
}
"""
DURABLE = "[chain]\ndurability = 'file'\n"
SENDER = b"s" * 16


class Poster(Capability):
    """`call` sends a call, `hold` sends `add` with 1."""

    name = "peer"
    pact = PACT
    given_up: list[tuple[str, list[Any], str]]

    async def start(self) -> None:
        self.given_up = []

    def call(self, actor: str, function: str, params: str) -> str:
        if actor == "!nobody":
            return "nothing was sent"
        self.context.queue_call(actor, function, json.loads(params))
        return "accepted"

    def hold(self, name: str) -> str:
        self.context.queue_call(name, "add", [1])
        return "accepted"

    def undelivered(self, function: str, args: list[Any], error: ActorError) -> None:
        self.given_up.append((function, args, error.code))


@pytest_asyncio.fixture
async def post(stage: Stage) -> AsyncIterator[Stage]:
    """A stage whose guests send what they would call."""
    stage.plugin = plugin(theater_capabilities=lambda: [Poster])
    yield stage


def waiting(actor: Actor) -> int:
    assert actor.outbox is not None
    return actor.outbox.size


async def sum_of(stage: Stage, actor_id: str, least: int) -> int:
    """The actor's state, once it is at least so much."""
    async with asyncio.timeout(20):
        while (found := (await stage.info(actor_id, "state"))["state"]) < least:
            await asyncio.sleep(0.005)
    return int(found)


async def bodies(stage: Stage, actor_id: str, kind: str) -> list[Any]:
    return [event.body for event in await stage.events(actor_id) if event.type == kind]


async def test_a_send_leaves_after_its_operation_with_its_number_and_is_taken_once(post: Stage) -> None:
    host = await post.host(caller_subjects=True)
    sender = await post.spawn(host, "a")
    await post.spawn(await post.host(caller_subjects=True), "b")
    for by in (5, 7):
        assert await post.call("a", "relay", "b", "add", f"[{by}]") == "accepted"
    assert await sum_of(post, "b", 12) == 12
    calls = [one for one in await bodies(post, "b", "call") if one.outbox is not None]
    incarnation = sender.journal.writer.incarnation
    assert [(one.outbox.incarnation, one.outbox.number) for one in calls] == [(incarnation, 1), (incarnation, 2)]
    assert {(one.caller, one.proof) for one in calls} == {("a", "actor")}
    assert {one.outcome for one in await bodies(post, "a", "host-call")} == {"queued"}
    await eventually(lambda: waiting(sender) == 0)


async def test_an_operation_that_fails_sends_nothing_and_uses_no_number(post: Stage) -> None:
    host = await post.host()
    sender = await post.spawn(host, "a")
    await post.spawn(host, "b")
    with pytest.raises(Internal):
        await post.call("a", "wait-then-trap", "b")
    assert [one.outcome for one in await bodies(post, "a", "host-call")] == ["dropped"]
    assert waiting(sender) == 0
    await post.call("a", "relay", "b", "add", "[10]")
    assert await sum_of(post, "b", 10) == 10
    assert [one.outbox.number for one in await bodies(post, "b", "call") if one.outbox] == [1]


async def test_a_cancelled_operation_sends_nothing(post: Stage) -> None:
    host = await post.host()
    sender = await post.spawn(host, "a", manifest="[limits]\ncpu_ms = 60000\n")
    await post.spawn(host, "b")
    running = post.start(post.call("a", "relay-twice", "b", "add", "[1]", op="k1"))
    await eventually(lambda: sender.current is not None and sender.current.sends)
    assert await post.control("a", "cancel", op="k1") == {"cancelled": "running"}
    with pytest.raises(Cancelled):
        await running
    assert {one.outcome for one in await bodies(post, "a", "host-call")} == {"dropped"}
    assert await post.call("b", "add", 0) == 0


async def test_a_call_that_queues_nothing_is_recorded_as_returned(post: Stage) -> None:
    await post.spawn(await post.host(), "a")
    assert await post.call("a", "relay", "!nobody", "add", "[1]") == "nothing was sent"
    assert [one.outcome for one in await bodies(post, "a", "host-call")] == ["returned"]


async def test_a_repeated_number_is_answered_with_success_and_runs_nothing(post: Stage) -> None:
    await post.spawn(await post.host(), "b")
    for number, op in ((1, "k1"), (3, "k2"), (3, "k3"), (2, "k4"), (4, "k5")):
        subject = f"{post.subject('b', 'add')}.@actor.a"
        sent = {"v": 1, "params": [1], "reply": "none", "op": op, "outbox": [SENDER, number]}
        assert await post.ask(subject, packed(sent)) is None
    assert await sum_of(post, "b", 3) == 3
    other = {"v": 1, "params": [1], "reply": "none", "op": "k6", "outbox": [SENDER, 1]}
    await post.ask(f"{post.subject('b', 'add')}.@actor.c", packed(other))
    assert await sum_of(post, "b", 4) == 4


async def test_a_send_waits_for_an_actor_that_is_not_there_or_is_paused(post: Stage) -> None:
    host = await post.host()
    await post.spawn(host, "a")
    for by in (1, 2, 3):
        await post.call("a", "relay", "b", "add", f"[{by}]")
    await post.spawn(host, "b")
    assert await sum_of(post, "b", 6) == 6
    assert [one.outbox.number for one in await bodies(post, "b", "call") if one.outbox] == [1, 2, 3]
    await post.control("b", "pause")
    await post.call("a", "relay", "b", "add", "[4]")
    await post.control("b", "resume")
    assert await sum_of(post, "b", 10) == 10


async def test_a_send_that_can_never_arrive_is_given_up_and_hinders_no_other(post: Stage) -> None:
    host = await post.host()
    sender = await post.spawn(host, "a")
    await post.spawn(host, "b")
    await post.call("a", "relay", "b", "no-such-function", "[]")
    await post.call("a", "relay", "b", "refuse", "[]")
    await post.call("a", "relay", "b", "add", "[2]")
    assert await sum_of(post, "b", 2) == 2
    (undelivered,) = [one for one in await bodies(post, "a", "control") if one.KIND == "undelivered"]
    assert (undelivered.number, undelivered.target, undelivered.code) == (1, "b", "function-not-found")
    poster: Any = sender.capabilities["peer"]
    assert poster.given_up == [("call", ["b", "no-such-function", "[]"], "function-not-found")]


async def test_a_send_is_given_up_when_its_time_is_over(post: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "TTL_S", 0.2)
    telemetry = Telemetry(level="metrics", strict=True)
    with LogCollector() as logs:
        sender = await post.spawn(await post.host(telemetry=telemetry), "a")
        await post.call("a", "relay", "b", "add", "[1]")
        assert points(telemetry.snapshot(), "theater.outbox.depth") == {"": 1}
        poster: Any = sender.capabilities["peer"]
        await eventually(lambda: poster.given_up)
    assert poster.given_up[0][2] == "actor-not-found"
    assert points(telemetry.snapshot(), "theater.outbox.undelivered") == {"actor-not-found": 1}
    assert "outbox.undelivered" in emitted(REGISTRY, records=logs.records).logs


async def test_a_full_outbox_is_overloaded_for_its_actor_only(post: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CAPACITY", 2)
    host = await post.host()
    for actor_id in "abc":
        await post.spawn(host, actor_id)
    for _ in range(2):
        await post.call("a", "relay", "nobody", "add", "[1]")
    error = await post.error(post.call("a", "relay", "b", "add", "[1]"))
    assert isinstance(error, Overloaded)
    assert (error.details["bound"], error.ran) == ("outbox", "rolled-back")
    assert await post.call("a", "add", 1) == 1
    await post.call("c", "relay", "b", "add", "[3]")
    assert await sum_of(post, "b", 3) == 3
    await post.spawn(host, "nobody")
    assert await sum_of(post, "nobody", 2) == 2
    await eventually(lambda: waiting(host.actors["a"]) == 0)
    await post.call("a", "relay", "b", "add", "[1]")
    assert await sum_of(post, "b", 4) == 4


async def test_an_outbox_holds_so_many_bytes(post: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "CAPACITY_BYTES", 3_000)
    host = await post.host()
    actor = await post.spawn(host, "a")
    await post.spawn(host, "b")
    long = json.dumps(["x" * 3_000])
    await post.call("a", "relay", "nobody", "add", long)
    error = await post.error(post.call("a", "relay", "b", "add", "[1]"))
    assert (error.code, error.details["bound"]) == ("overloaded", "outbox")
    await post.spawn(host, "nobody")
    await eventually(lambda: waiting(actor) == 0)
    await post.call("a", "relay", "b", "add", "[1]")
    assert await sum_of(post, "b", 1) == 1


async def test_middleware_around_a_queued_call_changes_nothing(post: Stage) -> None:
    async def wrap(call: HostCall, proceed: Any) -> bytes:
        return bytes(await proceed())

    around = plugin(theater_host_call_middleware=lambda: HostCallMiddleware(0, wrap))
    host = await post.host(extra=(("around", around),))
    for actor_id in "ab":
        await post.spawn(host, actor_id)
    await post.call("a", "relay", "b", "add", "[1]")
    assert await sum_of(post, "b", 1) == 1
    assert [one.outcome for one in await bodies(post, "a", "host-call")] == ["queued"]


async def test_a_file_actor_sends_after_a_crash_what_was_not_delivered(post: Stage, tmp_path: Path) -> None:
    first = await post.host(data_dir=tmp_path / "one")
    await post.spawn(first, "a", manifest=DURABLE)
    for by in (1, 2):
        await post.call("a", "relay", "b", "add", f"[{by}]")
    # What lies on the disk while the host runs is what a crash would leave.
    await asyncio.to_thread(shutil.copytree, tmp_path / "one", tmp_path / "two")
    await first.close(0.0)
    await post.spawn(await post.host(), "b")
    second = await post.host(data_dir=tmp_path / "two")
    assert await sum_of(post, "b", 3) == 3
    assert [one.outbox.number for one in await bodies(post, "b", "call") if one.outbox] == [1, 2]
    await eventually(lambda: waiting(second.actors["a"]) == 0)
    await post.call("a", "relay", "b", "add", "[4]")
    assert await sum_of(post, "b", 7) == 7
    await eventually(lambda: waiting(second.actors["a"]) == 0)
    # What follows says how far the sends are settled.
    await post.call("a", "add", 1)
    assert second.archive.files is not None
    assert (await second.archive.files.recover("a")).unsent == []


async def test_a_recovery_that_fails_leaves_no_send_running(
    post: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await post.host(data_dir=tmp_path)
    await post.spawn(first, "a", manifest=DURABLE)
    await post.call("a", "relay", "nobody", "add", "[1]")
    await first.close(0.0)

    async def taken(self: Roster, actor: Actor, **options: Any) -> None:
        raise ActorExists("another host has the id")

    monkeypatch.setattr(Roster, "admit", taken)
    second = await post.host(data_dir=tmp_path)
    assert list(second.actors) == []
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("theater-bus outbox")] == []


async def test_nothing_leaves_before_the_chain_has_the_operation(
    post: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    append = FileStore.append

    def hold(self: FileStore, actor: str, segments: Any, on_done: Any) -> None:
        held.append((partial(append, self, actor, segments, on_done), on_done))

    host = await post.host(data_dir=tmp_path)
    actor = await post.spawn(host, "a", manifest=DURABLE)
    await post.spawn(host, "b")
    await eventually(lambda: actor.journal.ahead == 0)
    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "append", hold)
        for refused in (True, False):
            asked = post.start(post.call("a", "relay", "b", "add", "[5]"))
            await eventually(lambda: held)
            ((go_on, on_done),) = held
            held.clear()
            assert await post.call("b", "add", 0) == 0
            assert waiting(actor) == 1
            assert not asked.done()
            if refused:
                on_done(Unavailable("the disk is full"))
                assert (await post.error(asked)).code == "unavailable"
                assert waiting(actor) == 0
            else:
                go_on()
                assert await asked == "accepted"
    assert await sum_of(post, "b", 5) == 5
    assert [one.outbox.number for one in await bodies(post, "b", "call") if one.outbox] == [1]


async def test_an_orderly_stop_keeps_what_was_not_delivered_in_its_checkpoint(post: Stage, tmp_path: Path) -> None:
    first = await post.host(data_dir=tmp_path)
    await post.spawn(first, "a", manifest=DURABLE)
    await post.call("a", "relay", "b", "add", "[1]")
    await first.close(0.0)
    await post.spawn(await post.host(), "b")
    await post.host(data_dir=tmp_path)
    checkpoint = [one for one in await bodies(post, "a", "checkpoint") if isinstance(one, Checkpoint)][-1]
    assert [(one.number, one.function) for one in checkpoint.unsent] == [(1, "call")]
    assert checkpoint.next_outbox == 2
    assert await sum_of(post, "b", 1) == 1


async def test_a_recovered_receiver_knows_what_it_has_taken(post: Stage, tmp_path: Path) -> None:
    subject = f"{post.subject('b', 'add')}.@actor.a"
    sent = {"v": 1, "params": [1], "reply": "none", "outbox": [SENDER, 7]}
    for _ in range(2):
        host = await post.host(data_dir=tmp_path)
        if "b" not in host.actors:
            await post.spawn(host, "b", manifest=DURABLE)
        await post.ask(subject, packed(sent))
        await host.close(0.0)
    await post.host(data_dir=tmp_path)
    assert (await post.info("b", "state"))["state"] == 1


async def test_an_actor_that_ends_gives_up_what_it_cannot_deliver(post: Stage, tmp_path: Path) -> None:
    host = await post.host(data_dir=tmp_path)
    actor = await post.spawn(host, "a", manifest=DURABLE)
    await post.call("a", "relay", "b", "add", "[1]")
    await post.control("a", "terminate", wait=True)
    assert waiting(actor) == 0
    assert host.archive.files is not None
    assert (await host.archive.files.recover("a")).unsent == []


async def test_a_queued_function_cannot_wait_nor_send_twice(post: Stage) -> None:
    class Waiting(Poster):
        async def call(self, actor: str, function: str, params: str) -> str:  # type: ignore[override]
            return ""

    with pytest.raises(PluginError, match="names it in @queued, and it waits"):
        compile_capability("waiting", Waiting)

    class Twice(Poster):
        def hold(self, name: str) -> str:
            self.context.queue_call(name, "add", [1])
            self.context.queue_call(name, "add", [1])
            raise CapabilityError("not reached")

    post.plugin = plugin(theater_capabilities=lambda: [Twice])
    await post.spawn(await post.host(), "a")
    assert (await post.error(post.call("a", "wait", "b"))).code == "capability-failed"
