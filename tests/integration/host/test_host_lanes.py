"""The three lanes of an actor never wait on one another, and each answers everybody exactly once."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import pytest

from theater_bus.bus import Message
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import ActorNotFound, Cancelled, ChannelClosed, OperationTimeout, ShuttingDown
from theater_bus.host.actor import Actor

from .conftest import Stage, eventually, one_kind, packed

SPIN = "[limits]\ncpu_ms = 60_000\n"


async def test_info_and_control_answer_within_50_ms_while_an_operation_waits_in_a_host_call(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    took = await _probe(stage)
    gate.set_result("")
    assert await running == 1
    assert took < 0.05


async def test_info_and_control_answer_within_50_ms_while_an_operation_spins(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a", manifest=SPIN)
    running = stage.start(stage.call("a", "spin", op="k"))
    took = await _probe(stage)
    assert not running.done()
    assert (await stage.control("a", "cancel", op="k"))["cancelled"] == "running"
    assert isinstance(await stage.error(running), Cancelled)
    assert took < 0.05


async def _probe(stage: Stage) -> float:
    """The median time of an answer, over all queries, and a pause and a resume."""
    times = []
    for channel, verb, fields in (
        *(("info", query, {}) for query in ("status", "state", "chain", "metrics", "exports", "manifest")),
        ("info", "operation", {"op": "nothing"}),
        ("info", "watch", {"ttl_ms": 1000}),
        ("control", "pause", {}),
        ("control", "resume", {}),
        ("control", "cancel", {"op": "nothing"}),
    ):
        started = perf_counter()
        await stage.ask(stage.subject("a", verb, channel), packed({"v": 1, "params": fields}))
        times.append(perf_counter() - started)
    return sorted(times)[len(times) // 2]


async def test_a_running_operation_shows_in_the_status_and_its_state_does_not(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    await stage.call("a", "add", 2)
    running = stage.start(stage.call("a", "add-held", 1, op="k", path=["x"]))
    gate = await stage.gates.arrival("held")
    status = await stage.info("a")
    assert (status["running"]["function"], status["running"]["op"]) == ("add-held", "k")
    assert status["running"]["path"] == ["x"]
    assert (await stage.info("a", "state"))["state"] == 2
    assert (await stage.info("a", "operation", op="k"))["outcome"] == "running"
    gate.set_result("")
    assert await running == 3
    assert (await stage.info("a", "state"))["state"] == 3
    known = await stage.info("a", "operation", op="k")
    assert (known["outcome"], known["answer"]) == ("committed", {"value": 3})


async def test_pause_queues_and_resume_runs_in_order(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    await stage.control("a", "pause")
    waiting = []
    for by in (1, 10, 100):
        waiting.append(stage.start(stage.call("a", "add", by)))
        await eventually(lambda: len(actor.mailbox) == len(waiting))
    assert (await stage.info("a"))["queued"] == 3
    await stage.control("a", "resume")
    assert [await one for one in waiting] == [1, 11, 111]


async def test_pause_lets_the_running_operation_finish(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    await stage.control("a", "pause")
    queued = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(actor.mailbox) == 1)
    gate.set_result("")
    assert await running == 1
    assert not queued.done()
    await stage.control("a", "resume")
    assert await queued == 2


async def test_a_thousand_callers_on_one_paused_actor(stage: Stage) -> None:
    host = await stage.host()
    actor = await stage.spawn(host, "a")
    await stage.spawn(host, "b")
    await stage.control("a", "pause")
    calls = [stage.start(stage.call("a", "add", 1)) for _ in range(1000)]
    await eventually(lambda: len(actor.mailbox) == 1000)
    assert await stage.call("b", "add", 1) == 1
    expired = await stage.error(stage.call("a", "add", 1, timeout_ms=30))
    assert isinstance(expired, OperationTimeout)
    await stage.control("a", "resume")
    assert sorted(await asyncio.gather(*calls)) == list(range(1, 1001))


async def test_shutdown_lets_the_running_operation_finish_within_its_grace(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    stopped = stage.start(stage.control("a", "shutdown", wait=True, grace_ms=10_000))
    await eventually(lambda: stage.hosts[0].actors["a"].phases.is_ending)
    gate.set_result("")
    assert await running == 1
    assert (await stopped)["phase"] == "stopped"


async def test_shutdown_cuts_what_does_not_finish_within_its_grace(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a", manifest=SPIN)
    running = stage.start(stage.call("a", "spin"))
    await eventually(lambda: stage.hosts[0].actors["a"].current is not None)
    assert (await stage.control("a", "shutdown", wait=True, grace_ms=20))["phase"] == "stopped"
    error = await stage.error(running)
    assert isinstance(error, Cancelled)
    assert error.ran == "rolled-back"


async def test_without_a_grace_time_the_host_s_own_holds(stage: Stage) -> None:
    host = await stage.host(grace_ms=20)
    await stage.spawn(host, "a", manifest=SPIN)
    running = stage.start(stage.call("a", "spin"))
    await eventually(lambda: host.actors["a"].current is not None)
    async with asyncio.timeout(3):
        assert (await stage.control("a", "shutdown", wait=True))["phase"] == "stopped"
    assert isinstance(await stage.error(running), Cancelled)


async def test_terminate_cuts_at_once_and_overtakes_a_shutdown(stage: Stage) -> None:
    host = await stage.host()
    for actor_id in ("a", "b"):
        await stage.spawn(host, actor_id)
    calls = [stage.start(stage.call(actor_id, "add-held", 1)) for actor_id in ("a", "b")]
    for _ in calls:
        await stage.gates.arrival("held")
    patient = stage.start(stage.control("b", "shutdown", wait=True, grace_ms=60_000))
    await eventually(lambda: host.actors["b"].phases.is_ending)
    for actor_id in ("a", "b"):
        assert (await stage.control(actor_id, "terminate", wait=True))["phase"] == "stopped"
    assert (await patient)["phase"] == "stopped"
    errors = [await stage.error(call) for call in calls]
    assert [(type(error), error.ran) for error in errors] == [(Cancelled, "rolled-back")] * 2
    assert stage.gates.cancelled == ["held", "held"]


async def test_everything_queued_is_shutting_down(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    waiting = [stage.start(stage.call("a", "add", 1)) for _ in range(20)]
    await eventually(lambda: len(actor.mailbox) == 20)
    assert (await stage.control("a", "shutdown"))["phase"] == "stopping"
    errors = [await stage.error(one) for one in waiting]
    assert {(type(error), error.ran) for error in errors} == {(ShuttingDown, "never")}
    gate.set_result("")
    assert await running == 1


@one_kind
async def test_a_wait_is_answered_once_and_a_second_shutdown_joins_the_first(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    answers: list[Message] = []
    subject = f"_INBOX.{stage.namespace}.answers"
    stage.connection.subscribe(subject, answers.append)
    await stage.connection.ready()
    for _ in range(2):
        stage.connection.publish(stage.subject("a", "shutdown", "control"), b'{"wait":true}', reply=subject)
    await eventually(lambda: stage.hosts[0].actors["a"].phases.is_ending)
    assert (await stage.control("a", "shutdown"))["phase"] == "stopping"
    gate.set_result("")
    assert await running == 1
    await eventually(lambda: len(answers) == 2)
    assert [decode_reply(one.data, one.headers).value for one in answers] == [
        {"accepted": True, "phase": "stopped"}
    ] * 2
    with pytest.raises(ChannelClosed):
        await stage.control("a", "shutdown", wait=True)
    assert len(answers) == 2
    assert isinstance(await stage.error(stage.handle("a").shutdown()), ActorNotFound)


@one_kind
async def test_a_one_way_send_runs_and_a_refused_one_is_counted_and_not_recorded(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    await stage.handle("a").send("add", [5])
    stage.connection.publish(stage.subject("a", "add"), b"[6]")
    stage.connection.publish(stage.subject("a", "add"), b'["x"]')
    stage.connection.publish(stage.subject("a", "no-such"), b"[6]")
    await eventually(lambda: _refused(actor) == 2)
    await eventually(lambda: actor.journal.settled.seq == 7)
    assert (await stage.info("a", "state"))["state"] == 11
    assert [event.type for event in await stage.events("a")] == ["genesis", *["call", "result"] * 3]


def _refused(actor: Actor) -> int:
    counted: Any = actor.metrics.snapshot(0, actor.mailbox)["operation_metrics"]
    return int(counted["refused_operations"])


async def test_a_caller_that_goes_away_does_not_disturb_its_operation(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    with pytest.raises(OperationTimeout):
        await stage.connection.request_one(stage.subject("a", "add-held"), b"[3]", timeout_s=0.05)
    gate = await stage.gates.arrival("held")
    gate.set_result("")
    assert await stage.call("a", "add", 1) == 4


async def test_an_actor_that_asks_for_its_end_has_exited(stage: Stage) -> None:
    host = await stage.host()
    actor = await stage.spawn(host, "a")
    await stage.call("a", "add", 1)
    stage.gates.instances["a"].context.request_shutdown(b"bye")
    await eventually(lambda: "a" not in host.actors)
    assert actor.phases.reason is not None
    assert actor.phases.reason.value == "exited"
