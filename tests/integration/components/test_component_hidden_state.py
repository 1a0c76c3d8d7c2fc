"""State that a component hides in its memory is found: operations are repeated in fresh instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.client import ActorHandle
from theater_bus.core.chain.control import HiddenState
from theater_bus.engine import wat2wasm
from theater_bus.errors import ActorError, GuestError
from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.conformance import LogCollector
from theater_bus.testing import RunningHost, running_host

from .conftest import capabilities_of, compiled_components, component

TEXT = (Path(__file__).parents[2] / "guests" / "wat" / "counter_component.wat").read_text("utf-8")
WASM = wat2wasm(TEXT)
CAPABILITIES = {"runtime": {}, "clock": {"sleep_max_ms": 1000}}
COUNTED = "theater.guest.repeats"
FORGETFUL = TEXT.replace(
    "(call $log (local.get 1) (local.get 2))",
    "(if (i64.eqz (global.get $touched)) (then (call $log (local.get 1) (local.get 2))))"
    "(global.set $touched (i64.const 1))",
)
"""It logs once in an instance's life."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(level="metrics", strict=True)


@pytest.fixture
def logs() -> Iterator[LogCollector]:
    with LogCollector() as collector:
        yield collector


@pytest_asyncio.fixture
async def host(telemetry: Telemetry, tmp_path: Path) -> AsyncIterator[RunningHost]:
    async with running_host(
        installed=["runtime", "clock", "wasi"],
        telemetry=telemetry,
        repeat_one_in=1,
        data_dir=tmp_path / "data",
        cache_dir=compiled_components(),
    ) as running:
        yield running


def results(telemetry: Telemetry) -> dict[str, float]:
    return {
        point.attributes["theater.repeat.result"]: point.value
        for metric in telemetry.snapshot().metrics
        if metric.metric.name == COUNTED
        for point in metric.points
    }


async def repeated(telemetry: Telemetry, count: int) -> dict[str, float]:
    """What the repetitions were like, as soon as there have been so many."""
    while sum(results(telemetry).values()) < count:
        await asyncio.sleep(0.01)
    return results(telemetry)


def said(logs: LogCollector) -> list[str]:
    lines = [record.getMessage() for record in logs.records]
    return [line for line in lines if line.startswith("guest.hidden-state")]


async def found(actor: ActorHandle, count: int) -> list[Any]:
    """What was found by repetitions, as soon as the chain has it so many times."""
    while True:
        hidden = [one.body for one in await actor.get_chain().all() if isinstance(one.body, HiddenState)]
        if len(hidden) >= count:
            return hidden
        await asyncio.sleep(0.01)


async def test_a_component_with_its_state_in_the_open_is_the_same_in_a_fresh_instance(
    host: RunningHost, telemetry: Telemetry, logs: LogCollector
) -> None:
    actor = await host.spawn(WASM, state=0, capabilities=CAPABILITIES)
    calls: list[tuple[str, list[Any]]] = [
        ("increment", [5]), ("time", []), ("say", ["hello"]), ("doze", [1000]), ("add", [1, 2]), ("get", []),
        ("same", ["x" * 200_000]),
    ]  # fmt: skip
    for count, (function, params) in enumerate(calls, 1):
        await actor.call_function(function, params)
        assert await repeated(telemetry, count) == {"same": count}
    with pytest.raises(GuestError, match="below zero"):
        await actor.call_function("decrement", [100])
    assert await repeated(telemetry, 8) == {"same": 8}
    assert await found(actor, 0) == []
    assert said(logs) == []


@pytest.mark.parametrize("durability", ["memory", "file"])
async def test_what_is_kept_in_memory_is_found_and_said_in_the_chain_and_the_log(
    host: RunningHost, telemetry: Telemetry, logs: LogCollector, durability: str
) -> None:
    actor = await host.spawn(WASM, id="hides", state=0, capabilities=CAPABILITIES, chain={"durability": durability})
    assert await actor.call_function("touch") == 1
    assert await repeated(telemetry, 1) == {"same": 1}, "the first time it says what a fresh instance would say"
    assert await actor.call_function("touch") == 2
    assert await repeated(telemetry, 2) == {"same": 1, "different": 1}
    (hidden,) = await found(actor, 1)
    assert hidden.difference == "different-end"
    events = {one.seq: one async for one in actor.get_chain()}
    assert events[hidden.seq].body.function == "touch"
    (line,) = said(logs)
    assert "actor='hides'" in line
    assert f"function='touch' reason='different-end at event {hidden.seq + 1} in a fresh instance'" in line
    assert await actor.call_function("get") == 0, "the actor goes on"
    assert (await host.replay(actor)).is_identical


async def test_a_host_call_that_a_fresh_instance_would_make_is_a_difference_too(
    host: RunningHost, telemetry: Telemetry
) -> None:
    actor = await host.spawn(wat2wasm(FORGETFUL), state=0, capabilities=CAPABILITIES)
    for count in (1, 2):
        await actor.call_function("say", [f"{count}"])
        await repeated(telemetry, count)
    assert results(telemetry) == {"same": 1, "different": 1}
    assert [one.difference for one in await found(actor, 1)] == ["surplus-call"]


async def test_a_fresh_instance_each_time_hides_nothing_and_a_trap_leaves_nothing(
    host: RunningHost, telemetry: Telemetry
) -> None:
    isolated = await host.spawn(WASM, state=0, capabilities=CAPABILITIES, isolation="operation")
    assert [await isolated.call_function("touch") for _ in range(3)] == [1, 1, 1]
    trapping = await host.spawn(WASM, state=0, capabilities=CAPABILITIES, on_failure={"action": "restart"})
    for _ in range(3):
        with pytest.raises(ActorError):
            await trapping.call_function("crash")
        await trapping.call_function("touch")
    kept = await host.spawn(WASM, state=0, capabilities=CAPABILITIES)
    await kept.call_function("get")
    assert await repeated(telemetry, 1) == {"same": 1}


@pytest.mark.parametrize("name", ["counter-go", "probe-javascript", "probe-python"])
async def test_the_calls_with_which_a_language_s_runtime_starts_are_no_hidden_state(
    host: RunningHost, telemetry: Telemetry, name: str
) -> None:
    wasm = await asyncio.to_thread(component, name)
    state, limits = {"count": 0, "last": None}, {"memory_bytes": 256 * 1024 * 1024}
    actor = await host.spawn(wasm, state=state, limits=limits, capabilities=capabilities_of(name))
    for count in range(1, 4):
        await actor.call_function("increment", [1])
        assert await repeated(telemetry, count) == {"same": count}
    assert await found(actor, 0) == []


async def test_a_host_that_is_told_so_repeats_nothing() -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    async with running_host(installed=["runtime", "clock"], telemetry=telemetry, repeat_one_in=0) as host:
        actor = await host.spawn(WASM, state=0, capabilities=CAPABILITIES)
        assert host.host.actors[actor.id].watch is None
        assert [await actor.call_function("touch") for _ in range(3)] == [1, 2, 3]
        assert await found(actor, 0) == []
    assert results(telemetry) == {}
