"""Calls that actors make: cycles, deadlines, cancellation, identity, and one trace through all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from theater_bus.errors import CallCycle, Cancelled, OperationTimeout
from theater_bus.telemetry import Telemetry, TraceCollector

from .conftest import Stage, eventually


def relayed(*route: str, then: tuple[str, list[Any]]) -> list[str]:
    """The parameters of `relay` that pass a call through the actors of `route`, the last of which runs `then`."""
    *middle, last = route
    function, params = then
    for actor in reversed(middle):
        function, params = "relay", [last, function, json.dumps(params)]
        last = actor
    return [last, function, json.dumps(params)]


async def test_an_actor_calls_another_in_its_own_name(stage: Stage) -> None:
    host = await stage.host(caller_subjects=True)
    for actor_id in "ab":
        await stage.spawn(host, actor_id)
    assert await stage.call("a", "relay", "b", "add", "[5]") == "5"
    body: Any = [event.body for event in await stage.events("b") if event.type == "call"][-1]
    assert (body.caller, body.proof, len(body.identity)) == ("a", "actor", 64)


async def test_calls_between_hosts(stage: Stage) -> None:
    for actor_id in "ab":
        await stage.spawn(await stage.host(), actor_id)
    assert await stage.call("a", "relay", *relayed("b", then=("add", [7]))) == "7"


async def test_a_self_call_is_a_cycle(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    assert (await stage.call("a", "relay", "a", "add", "[1]")).startswith("call-cycle")
    (error,) = stage.gates.failures
    assert isinstance(error, CallCycle)
    assert error.details["path"] == ["a", "a"]


async def test_two_actors_that_call_each_other_are_a_cycle(stage: Stage) -> None:
    host = await stage.host()
    for actor_id in "ab":
        await stage.spawn(host, actor_id)
    answer = await stage.call("a", "relay", *relayed("b", "a", then=("add", [1])))
    assert "call-cycle" in answer
    assert [error.details["path"] for error in stage.gates.failures] == [["a", "b", "a"]]


async def test_three_actors_in_a_ring_are_a_cycle_and_each_goes_on(stage: Stage) -> None:
    hosts = [await stage.host(), await stage.host()]
    for number, actor_id in enumerate("abc"):
        await stage.spawn(hosts[number % 2], actor_id)
    answer = await stage.call("a", "relay", *relayed("b", "c", "a", then=("add", [1])))
    assert "call-cycle" in answer
    assert [error.details["path"] for error in stage.gates.failures] == [["a", "b", "c", "a"]]
    for actor_id in "abc":
        assert await stage.call(actor_id, "add", 1) == 1


async def test_a_nested_call_gets_no_more_time_than_its_operation_has(stage: Stage) -> None:
    host = await stage.host()
    for actor_id in "ab":
        await stage.spawn(host, actor_id)
    try:
        ended = await stage.call("a", "relay", "b", "add-held", "[1]", timeout_ms=150)
    except OperationTimeout as error:  # the nested call ends 5 ms earlier, which is little on a busy machine
        ended = error.code
    assert ended.startswith("operation-timeout")
    await eventually(lambda: stage.gates.cancelled == ["held"])
    assert await stage.call("b", "add", 1) == 1


async def test_cancelling_an_operation_cancels_the_calls_it_waits_for(stage: Stage) -> None:
    host = await stage.host()
    for actor_id in "abc":
        await stage.spawn(host, actor_id)
    call = stage.start(stage.call("a", "relay", *relayed("b", "c", then=("add-held", [1])), op="k"))
    await stage.gates.arrival("held")
    assert (await stage.control("a", "cancel", op="k"))["cancelled"] == "running"
    assert isinstance(await stage.error(call), Cancelled)
    await eventually(lambda: stage.gates.cancelled == ["held"])
    await eventually(lambda: all(host.actors[one].current is None for one in "abc"))
    for actor_id in "abc":
        assert await stage.call(actor_id, "add", 1) == 1


async def test_a_capability_enqueues_a_callback_that_nobody_else_reaches(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    stage.gates.instances["a"].context.enqueue("test:peer/peer-client.poke")
    await eventually(lambda: actor.journal.settled.seq == 5)
    assert (await stage.info("a", "state"))["state"] == 100
    body: Any = [event.body for event in await stage.events("a") if event.type == "call"][-1]
    assert (body.caller, body.proof) == ("peer", "host")


async def test_a_deadline_during_a_host_call_a_spin_and_in_the_queue(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a", manifest="[limits]\ncpu_ms = 60_000\n")
    for function, params in (("add-held", [1]), ("spin", [])):
        error = await stage.error(stage.call("a", function, *params, timeout_ms=60))
        assert (type(error), error.ran) == (OperationTimeout, "rolled-back")
    running = stage.start(stage.call("a", "spin", op="k"))
    await eventually(lambda: actor.current is not None)
    queued = await stage.error(stage.call("a", "add", 1, timeout_ms=60))
    assert (type(queued), queued.ran) == (OperationTimeout, "never")
    await stage.control("a", "cancel", op="k")
    await stage.error(running)
    assert await stage.call("a", "add", 1) == 1


# -- traces ------------------------------------------------------------------------------------------------------------


def tree(spans: list[ReadableSpan]) -> dict[str, list[str]]:
    """Names of children by the name of the parent, in order of their start; whether anything waited is left out."""
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    found: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda one: one.start_time or 0):
        if span.name == "theater.queue":
            continue
        parent = None if span.parent is None else by_id.get(span.parent.span_id)
        found.setdefault("" if parent is None else parent.name, []).append(span.name)
    return found


async def test_two_host_calls_of_a_promoted_guest_are_children_of_its_guest_span(stage: Stage) -> None:
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider, strict=True)
    host = await stage.host(telemetry=telemetry)
    for actor_id in "ab":
        await stage.spawn(host, actor_id)
    await telemetry.flush()
    collector.clear()
    assert await stage.call("a", "relay-twice", "b", "add", "[5]", timeout_ms=20_000) == "10"
    await telemetry.flush()
    spans = collector.spans()
    assert len({span.context.trace_id for span in spans if span.context is not None}) == 1
    found = tree(spans)
    assert found[""] == ["theater.Actor/relay-twice"]
    assert found["theater.Actor/relay-twice"] == ["theater.guest relay-twice"]
    assert found["theater.guest relay-twice"] == ["test:peer/peer/call"] * 2
    assert found["test:peer/peer/call"] == ["theater.Actor/add"] * 2
    events = {event.name for span in spans for event in span.events if span.name == "theater.guest relay-twice"}
    assert "theater.guest.promoted" in events
    provider.shutdown()


async def test_what_an_unsampled_operation_causes_is_not_sampled_either(stage: Stage) -> None:
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider, strict=True)
    hosts = [await stage.host(telemetry=telemetry), await stage.host(telemetry=telemetry)]
    for host, actor_id in zip(hosts, "ab", strict=True):
        await stage.spawn(host, actor_id)
    await telemetry.flush()
    collector.clear()
    unsampled = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    body = b'["b","add","[5]"]'
    assert await stage.ask(stage.subject("a", "relay"), body, headers=unsampled) == "5"
    sampled = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert await stage.ask(stage.subject("a", "relay"), body, headers=sampled) == "10"
    await telemetry.flush()
    names = [span.name for span in collector.spans()]
    assert sorted(name for name in names if name.startswith("theater.Actor")) == [
        "theater.Actor/add",
        "theater.Actor/relay",
    ]
    provider.shutdown()


async def test_without_any_tracing_a_nested_call_passes_the_caller_s_context_on(stage: Stage) -> None:
    host = await stage.host(telemetry=Telemetry(level="traces", strict=True))
    for actor_id in "ab":
        await stage.spawn(host, actor_id)
    seen: list[Any] = []
    stage.connection.subscribe(stage.subject("b", "add.@actor.a"), lambda message: seen.append(message.headers))
    await stage.connection.ready()
    given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert await stage.ask(stage.subject("a", "relay"), b'["b","add","[5]"]', headers=given) == "5"
    await eventually(lambda: seen)
    assert seen[0]["traceparent"] == given["traceparent"]


async def in_a_ring(stage: Stage, ring: str) -> list[str]:
    """Have each actor of `ring` call the next one, all of them at once, each from an operation of its own."""
    hosts = [await stage.host(), await stage.host()]
    for number, actor_id in enumerate(ring):
        await stage.spawn(hosts[number % 2], actor_id)
    running = []
    for number, actor_id in enumerate(ring[1:], 1):
        await stage.control(actor_id, "pause")
        following = ring[(number + 1) % len(ring)]
        running.append(stage.start(stage.call(actor_id, "relay", following, "add", f"[{number}]")))
        await eventually(lambda actor=hosts[number % 2].actors[actor_id]: len(actor.mailbox) == 1)
    first = stage.start(stage.call(ring[0], "relay", ring[1], "add", "[10]"))
    for number, actor_id in enumerate(ring[1:], 1):
        await eventually(lambda actor=hosts[number % 2].actors[actor_id]: len(actor.mailbox) == 2)
        await stage.control(actor_id, "resume")
    return [await first, *[await one for one in running]]


async def test_two_operations_that_cross_end_in_one_cycle_and_one_success(stage: Stage) -> None:
    answers = await in_a_ring(stage, "ab")
    assert answers[0].startswith("call-cycle: actors wait for one another: a → b → a")
    assert answers[1:] == ["1"]
    assert [error.details["path"] for error in stage.gates.failures] == [["a", "b", "a"]]
    assert await stage.call("b", "add", 0) == 0


async def test_the_same_call_fails_whoever_closes_the_circle(stage: Stage) -> None:
    answers = await in_a_ring(stage, "ba")
    assert answers[0] == "10"
    assert answers[1].startswith("call-cycle: actors wait for one another: a → b → a")


@pytest.mark.parametrize("ring", ["abcd", "bcad", "dcba"])
async def test_a_ring_of_operations_on_two_hosts_is_found(stage: Stage, ring: str) -> None:
    answers = await in_a_ring(stage, ring)
    failed = [actor_id for actor_id, answer in zip(ring, answers, strict=True) if "call-cycle" in answer]
    assert failed == ["a"]
    for actor_id in ring:
        assert await stage.call(actor_id, "add", 0) >= 0


async def test_actors_that_wait_for_one_that_is_busy_are_no_circle(stage: Stage) -> None:
    host = await stage.host()
    for actor_id in "abc":
        await stage.spawn(host, actor_id)
    held = stage.start(stage.call("c", "wait", "x"))
    gate = await stage.gates.arrival("x")
    calls = [stage.start(stage.call(one, "relay", "c", "add", "[1]")) for one in "ab"]
    calls.append(stage.start(stage.call("b", "add", 1)))
    await eventually(lambda: len(host.actors["c"].mailbox) == 2)
    gate.set_result("")
    await held
    assert sorted([str(await one) for one in calls]) == ["1", "1", "2"]
    assert all(actor.waits == [] for actor in host.actors.values())
