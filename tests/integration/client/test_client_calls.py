"""Calls through the handle reach a real actor and come back: values, errors with their class, keys, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import pytest

from theater_bus import ActorHandle, Theater
from theater_bus.core.values.codec import function_codec
from theater_bus.errors import (
    ActorNotFound,
    Cancelled,
    ConfigurationError,
    FunctionNotFound,
    GuestError,
    KeyReused,
    OperationTimeout,
    SerializationError,
    TypeMismatch,
)
from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.testing.guests import guest

Spawn = Callable[..., Awaitable[ActorHandle]]


async def test_a_call_returns_the_plain_value_and_the_state_goes_on(spawn: Spawn) -> None:
    counter = await spawn(state=40)
    assert await counter.call_function("increment", [1]) == 41
    assert await counter.call_function("increment", {"by": 1}) == 42
    assert await counter.call_function("increment", (8,), keyed=False) == 50
    assert await counter.call_function("get") == 50
    assert await counter.get_state() == 50


async def test_functions_are_methods_by_position_and_by_name(spawn: Spawn) -> None:
    counter = await spawn()
    assert await counter.call.increment(5) == 5
    assert await counter.call.increment(by=2) == 7
    assert await counter.call["get"]() == 7
    assert await counter.call(timeout=5, keyed=False).get() == 7
    with pytest.raises(TypeError, match="by position or by name"):
        await counter.call.increment(1, by=2)


async def test_a_python_name_finds_the_one_export_that_it_can_stand_for(spawn: Spawn) -> None:
    echo = await spawn("echo", state="nothing")
    assert await echo.call["test:echo/plain.u8"](5) == 5
    assert await echo.call.point({"x": 1, "y": 2}) == {"x": 1, "y": 2}
    assert await echo.call.list_string(["a", "b"]) == ["a", "b"]
    assert await echo.call.list_string([]) == []
    with pytest.raises(FunctionNotFound):
        await echo.call.no_such_thing()


async def test_what_the_guest_refuses_is_a_guest_error_of_that_actor_and_committed(spawn: Spawn) -> None:
    counter = await spawn(id="poor")
    with pytest.raises(GuestError, match="below zero") as caught:
        await counter.call.decrement(1)
    assert caught.value.actor == "poor"
    assert caught.value.ran == "committed"


async def test_what_the_caller_did_wrong_comes_back_as_its_class_and_ran_never(spawn: Spawn) -> None:
    counter = await spawn()
    with pytest.raises(FunctionNotFound) as unknown:
        await counter.call_function("incremet", [1])
    assert unknown.value.details["nearest"][0] == "increment"
    with pytest.raises(TypeMismatch) as wrong:
        await counter.call_function("increment", ["five"])
    assert unknown.value.ran == wrong.value.ran == "never"
    assert await counter.call.get() == 0


async def test_an_actor_that_nobody_runs_is_not_found_in_every_channel(host: object, theater: Theater) -> None:
    ghost = theater.actor("ghost")
    asked: list[Callable[[], Awaitable[Any]]] = [
        lambda: ghost.call_function("get"),
        ghost.get_state,
        ghost.get_status,
        ghost.pause,
        ghost.shutdown,
        lambda: ghost.cancel("key"),
        lambda: ghost.get_chain().all(),
    ]
    for ask in asked:
        with pytest.raises(ActorNotFound) as caught:
            await ask()
        assert (caught.value.actor, caught.value.ran) == ("ghost", "never")


async def test_misuse_is_refused_before_anything_is_sent(theater: Theater) -> None:
    with pytest.raises(ConfigurationError, match="actor id"):
        theater.actor("no dots.here")
    actor = theater.actor("a")
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="timeout"):
            await actor.call_function("get", timeout=timeout)
        with pytest.raises(ConfigurationError, match="timeout"):
            await actor.get_state(timeout=timeout)
    with pytest.raises(SerializationError, match=r"Fix: write \[5\]"):
        await actor.call_function("increment", 5)  # type: ignore[arg-type]
    with pytest.raises(SerializationError, match="neither a list nor a mapping"):
        await actor.call_function("increment", "text")
    with pytest.raises(SerializationError):
        await actor.call_function("increment", [object()])
    with pytest.raises(ConfigurationError, match="key"):
        await actor.call_function("increment", [1], key="with space")
    with pytest.raises(ConfigurationError, match="keyed"):
        await actor.call_function("increment", [1], key="k", keyed=False)
    with pytest.raises(FunctionNotFound):
        await actor.call_function("")


async def test_cgrf_goes_in_and_out_untouched(spawn: Spawn) -> None:
    counter = await spawn(state=7)
    exports = {f.name: f for item in guest("counter").pact.exports for f in getattr(item, "functions", [item])}
    increment = function_codec(exports["increment"], True)
    await counter.call_function_pack_void("increment", increment.encode_params([3]).standalone)
    assert await counter.get_state() == 10
    raw = await counter.call_function("get", raw=True)
    assert raw.startswith(b"CGRF")
    assert (await counter.get_state(raw=True)).startswith(b"CGRF")


async def test_a_one_way_send_runs_and_nobody_waits(spawn: Spawn, theater: Theater) -> None:
    counter = await spawn()
    await counter.send("increment", [4])
    assert await counter.call.get() == 4  # the same connection and lane: in order
    await theater.actor("ghost").send("increment", [4])


async def test_a_key_that_is_repeated_gets_the_first_answer_and_runs_once(spawn: Spawn) -> None:
    counter = await spawn()
    assert await counter.call_function("increment", [5], key="order-1") == 5
    assert await counter.call_function("increment", [5], key="order-1") == 5
    assert await counter.get_state() == 5
    with pytest.raises(KeyReused):
        await counter.call_function("increment", [6], key="order-1")
    outcome = await counter.inspect.operation("order-1")
    assert (outcome.outcome, outcome.value) == ("committed", 5)
    assert (await counter.inspect.operation("order-2")).outcome == "not-recorded"


async def test_the_deadline_is_the_hosts_and_says_what_became_of_the_operation(
    spawn: Spawn, theater: Theater, pending: Callable[[Theater], int]
) -> None:
    chaos = await spawn("chaos")
    started = monotonic()
    with pytest.raises(OperationTimeout) as caught:
        await chaos.call_function("spin", timeout=0.3)
    assert caught.value.ran == "rolled-back"
    assert monotonic() - started < 5
    assert await chaos.call.count() == 0
    assert pending(theater) == 0


async def test_a_running_and_a_queued_operation_are_cancelled_by_their_keys(spawn: Spawn) -> None:
    chaos = await spawn("chaos")
    running = asyncio.create_task(chaos.call_function("spin", key="spins"))
    queued = asyncio.create_task(chaos.call_function("count", key="waits"))
    async with asyncio.timeout(10):
        while (status := await chaos.get_status()).queued == 0 or status.running is None:
            await asyncio.sleep(0)
    assert status.running.op == "spins"
    assert await chaos.cancel("waits") == "queued"
    assert await chaos.cancel("spins") == "running"
    with pytest.raises(Cancelled) as cut:
        await running
    with pytest.raises(Cancelled) as never:
        await queued
    assert (cut.value.ran, never.value.ran) == ("rolled-back", "never")
    assert await chaos.cancel("spins") == "none"


async def test_giving_up_a_call_leaves_nothing_behind(
    spawn: Spawn, theater: Theater, pending: Callable[[Theater], int]
) -> None:
    chaos = await spawn("chaos")
    calls = [asyncio.create_task(chaos.call_function("spin", timeout=30, key=f"k{n}")) for n in range(3)]
    async with asyncio.timeout(10):
        while (await chaos.get_status()).queued < 2:
            await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert pending(theater) == 0
    await chaos.terminate()


async def test_a_caller_calls_under_its_name(spawn: Spawn, open_theater: Callable[..., Awaitable[Theater]]) -> None:
    await spawn(id="mine")
    named = (await open_theater(caller="alice")).actor("mine")
    assert await named.call_function("increment", [1], key="k") == 1
    assert await named.cancel("k") == "none"
    assert (await named.inspect.operation("k")).outcome == "committed"
    events = await named.get_chain().all()
    calls = [event.body for event in events if event.type == "call"]
    assert calls[-1].caller == "alice"  # type: ignore[union-attr]
    with pytest.raises(SerializationError, match="caller"):
        await open_theater(caller="not a name")


async def test_client_and_host_report_one_trace(
    start_host: Callable[..., Awaitable[Any]],
    open_theater: Callable[..., Awaitable[Theater]],
    packages: Mapping[str, bytes],
) -> None:
    collector = TraceCollector()
    providers = [collector.provider("client"), collector.provider("host")]
    try:
        at_host = Telemetry(tracer_provider=providers[1])
        await start_host(telemetry=at_host)
        telemetry = Telemetry(tracer_provider=providers[0])
        theater = await open_theater(telemetry=telemetry)
        counter = await theater.spawn(guest("counter").manifest_text, package=packages["counter"])
        await counter.call.increment(1)
        with pytest.raises(FunctionNotFound):
            await counter.call_function("nothing")
        assert await telemetry.flush()
        assert await at_host.flush()
        for provider in providers:
            provider.force_flush()
        spans = {span.context.span_id: span for span in collector.spans() if span.context is not None}
        client = [span for span in spans.values() if span.kind.name == "CLIENT" and span.name.endswith("/increment")]
        assert len(client) == 1
        server = [span for span in spans.values() if span.parent and span.parent.span_id == client[0].context.span_id]
        assert [span.kind.name for span in server] == ["SERVER"]
        assert "rpc_client_call_duration" in telemetry.prometheus()
        await telemetry.close()
    finally:
        for provider in providers:
            provider.shutdown()
