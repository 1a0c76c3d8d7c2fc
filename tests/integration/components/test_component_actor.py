"""A component as an actor: state, capabilities, chain and failures are those of a Pack module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.client import ActorHandle
from theater_bus.engine import wat2wasm
from theater_bus.errors import (
    ActorError,
    FunctionNotFound,
    GuestError,
    Internal,
    OperationTimeout,
    SpawnRefused,
    TypeMismatch,
)
from theater_bus.testing import RunningHost, running_host

TEXT = (Path(__file__).parents[2] / "guests" / "wat" / "counter_component.wat").read_text("utf-8")
WASM = wat2wasm(TEXT)
CAPABILITIES = {"runtime": {}, "clock": {"sleep_max_ms": 1000}}


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[RunningHost]:
    async with running_host(installed=["runtime", "clock"], data_dir=tmp_path) as running:
        yield running


async def spawned(host: RunningHost, wasm: bytes = WASM, **manifest: Any) -> ActorHandle:
    given = {"capabilities": CAPABILITIES, "initial_state": 0} | manifest
    return await host.spawn(wasm, **given)


async def test_a_component_keeps_its_state_and_answers_like_a_pack_module(host: RunningHost) -> None:
    actor = await spawned(host, initial_state=40)
    assert [await actor.call_function("increment", [n]) for n in (1, 2)] == [41, 43]
    assert await actor.call_function("decrement", {"by": 3}) == 40
    assert await actor.call_function("get") == 40
    with pytest.raises(GuestError, match="below zero"):
        await actor.call_function("decrement", [41])
    assert await actor.call_function("reset") is None
    assert await actor.get_state() == 0


async def test_a_parameter_called_state_is_none_where_the_result_is_no_state(host: RunningHost) -> None:
    actor = await spawned(host)
    assert await actor.call_function("add", [2, 3]) == 5
    assert await actor.call_function("same", ["héllo"]) == "héllo"


async def test_wrong_parameters_never_enter_a_component(host: RunningHost) -> None:
    actor = await spawned(host)
    wrong: list[list[Any]] = [[-1], ["1"], [], [1, 2], [True]]
    for params in wrong:
        with pytest.raises(TypeMismatch):
            await actor.call_function("increment", params)
    with pytest.raises(FunctionNotFound, match="increment"):
        await actor.call_function("incremnt", [1])
    assert await actor.call_function("get") == 0


async def test_capabilities_answer_a_component_and_every_call_is_recorded(host: RunningHost) -> None:
    actor = await spawned(host)
    assert await actor.call_function("time") > 1_700_000_000 * 10**9
    assert await actor.call_function("doze", [2_000_000]) == 2_000_000
    with pytest.raises(GuestError, match="sleep_max_ms = 2000"):
        await actor.call_function("doze", [2_000_000_000])
    await actor.call_function("say", ["to the log"])
    types = [event.type async for event in actor.get_chain()]
    assert types == [
        "genesis",
        *("call", "result"),
        *("call", "host-call", "result"),
        *("call", "host-call", "result"),
        *("call", "host-call", "error"),
        *("call", "host-call", "result"),
    ]


async def test_a_components_chain_replays_to_the_same_hashes_without_any_capability(host: RunningHost) -> None:
    actor = await spawned(host)
    await actor.call_function("increment", [7])
    await actor.call_function("time")
    await actor.call_function("say", ["again"])
    with pytest.raises(ActorError):
        await actor.call_function("crash")
    report = await host.replay(actor)
    assert report.is_identical, report


async def test_a_trap_gives_a_fresh_instance_and_the_state_before(host: RunningHost) -> None:
    actor = await spawned(host, on_failure={"action": "restart"})
    assert [await actor.call_function("touch") for _ in range(2)] == [1, 2]
    await actor.call_function("increment", [5])
    with pytest.raises(Internal) as caught:
        await actor.call_function("crash")
    assert caught.value.details["reason"] == "unreachable"
    assert await actor.call_function("get") == 5
    assert await actor.call_function("touch") == 1, "what the instance held besides the state is gone"


async def test_a_component_that_spins_ends_at_its_deadline_or_its_limit_and_others_go_on(host: RunningHost) -> None:
    spinning, other = await spawned(host), await spawned(host)
    running = asyncio.create_task(spinning.call_function("spin", timeout=1.5))
    assert await other.call_function("increment", [1]) == 1
    with pytest.raises(ActorError) as caught:
        await running
    assert isinstance(caught.value, OperationTimeout | Internal)
    assert await spinning.call_function("get") == 0


async def test_a_component_is_kept_between_operations_unless_its_manifest_says_otherwise(host: RunningHost) -> None:
    kept = await spawned(host, chain={"durability": "file"})
    assert [await kept.call_function("touch") for _ in range(2)] == [1, 2]
    fresh = await spawned(host, isolation="operation")
    assert [await fresh.call_function("touch") for _ in range(2)] == [1, 1]


async def test_exports_are_described_with_their_types(host: RunningHost) -> None:
    actor = await spawned(host)
    described = {one.name: one for one in (await actor.inspect.exports()).functions}
    assert [(one.name, one.type) for one in described["increment"].params] == [("by", "u64")]
    assert "theater:simple/actor.init" not in described


# -- what is refused ---------------------------------------------------------------------------------------------------


async def refusal(host: RunningHost, text: str, **manifest: Any) -> str:
    with pytest.raises(SpawnRefused) as caught:
        await spawned(host, wat2wasm(text), **manifest)
    return caught.value.message


async def test_a_missing_capability_is_named_with_the_line_to_add(host: RunningHost) -> None:
    message = await refusal(host, TEXT, capabilities={"runtime": {}})
    assert "theater:bus/clock" in message
    assert "[capabilities.clock]" in message


async def test_an_import_that_nobody_offers_is_named(host: RunningHost) -> None:
    message = await refusal(host, TEXT.replace("theater:bus/clock", "acme:shop/prices"))
    assert "acme:shop/prices" in message
    assert "no installed plugin offers it" in message


async def test_a_wit_package_of_another_version_is_named_with_the_one_that_is_offered(host: RunningHost) -> None:
    message = await refusal(host, TEXT.replace('"theater:bus/clock"', '"theater:bus/clock@2.0.0"'))
    assert "theater:bus/clock@2.0.0" in message
    assert "offers `theater:bus/clock`" in message


async def test_an_import_of_another_type_shows_both_declarations(host: RunningHost) -> None:
    message = await refusal(
        host,
        TEXT.replace('"now" (func (result u64))', '"now" (func (result u32))')
        .replace('(func $time (result u64) (canon lift (core func $i "time")))', "")
        .replace('(export "time" (func $time))', "")
        .replace("(func $now (result i64))", "(func $now (result i32))")
        .replace('(func (export "time") (result i64) (call $now))', ""),
    )
    assert "theater:bus/clock.now" in message
    assert "u32" in message
    assert "u64" in message


async def test_more_memory_than_the_limit_is_refused_at_the_first_operation_by_name(host: RunningHost) -> None:
    message = await refusal(host, TEXT.replace('(memory (export "memory") 1)', '(memory (export "memory") 2000)'))
    assert "limits.memory_bytes" in message


async def test_two_kinds_of_state_in_one_component_are_refused(host: RunningHost) -> None:
    message = await refusal(
        host,
        TEXT.replace(
            '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))',
            '(func (export "add") (param i32 i32) (result i32) unreachable)',
        ).replace(
            '(func $add (param "state" u32) (param "by" u32) (result u32) (canon lift (core func $i "add")))',
            '(func $add (param "state" u32) (param "by" u32) (result (result (tuple u32) (error string)))'
            ' (canon lift (core func $i "add") (memory $mem) (realloc (core func $realloc))))',
        ),
    )
    assert "states of different types" in message


async def test_a_component_for_another_world_is_refused_before_anything_runs(host: RunningHost) -> None:
    message = await refusal(host, '(component (import "other:world/things" (instance (export "f" (func)))))')
    assert "exports no function" in message


async def test_two_thousand_spawns_at_once_compile_once(host: RunningHost) -> None:
    actors = await asyncio.gather(*(spawned(host) for _ in range(2000)))
    assert host.host.engine.modules == 1
    answers = await asyncio.gather(*(actor.call_function("increment", [n]) for n, actor in enumerate(actors)))
    assert answers == list(range(2000))


def padded(size: int) -> bytes:
    """The component with a custom section at its end that makes it `size` bytes long."""
    name = b"\7padding"
    content = name + bytes(size - len(WASM) - 5 - len(name))
    length = bytes((len(content) >> shift & 0x7F) | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    return WASM + b"\0" + length + content


async def test_a_component_of_forty_megabytes_runs_and_one_over_the_bound_is_refused(host: RunningHost) -> None:
    large = padded(40_000_000)
    assert len(large) == 40_000_000
    assert await (await spawned(host, large)).call_function("increment", [2]) == 2
    with pytest.raises(SpawnRefused, match="max_module_bytes") as caught:
        await spawned(host, padded(70_000_000))
    assert "70000000" in caught.value.message
    assert await (await spawned(host)).call_function("increment", [3]) == 3
