"""How an actor comes to life: state, init, what it exposes; and that a spawn that fails leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from theater_bus.errors import (
    ActorError,
    ActorExists,
    ChannelClosed,
    ConfigurationError,
    FunctionNotFound,
    HandlerError,
    Internal,
    OperationTimeout,
    ShuttingDown,
    SpawnRefused,
)
from theater_bus.host.host import Host
from theater_bus.host.spawning import NO_STATE

from .conftest import ABI, Stage, eventually, one_kind, packed, plugin


async def test_init_is_the_first_operation_and_ends_before_anything_is_answered(stage: Stage, kind: str) -> None:
    host = await stage.host()
    spawning = stage.start(stage.spawn(host, "a", state=904))
    gate = await stage.gates.arrival("held")
    with pytest.raises(ChannelClosed):
        await stage.call("a", "add", 1)
    gate.set_result("")
    await spawning
    assert await stage.call("a", "add", 1) == 905
    events = await stage.events("a")
    genesis: Any = events[0].body
    call: Any = events[1].body
    assert [event.type for event in events[:4]] == ["genesis", "call", "host-call", "result"]
    assert genesis.abi == ABI[kind]
    assert (call.function, call.proof) == ("theater:simple/actor.init", "host")


@pytest.mark.parametrize(
    ("state", "manifest", "cls"),
    [
        (901, "", SpawnRefused),
        (902, "", Internal),
        (903, "[limits]\ninit_timeout_ms = 50\n", OperationTimeout),
        (903, "[limits]\ncpu_ms = 20\n", Internal),
        (904, "[limits]\ninit_timeout_ms = 50\n", OperationTimeout),
    ],
)
async def test_a_failing_init_is_the_spawn_s_error_and_leaves_nothing(
    stage: Stage, state: int, manifest: str, cls: type[ActorError]
) -> None:
    host = await stage.host()
    error = await stage.error(stage.spawn(host, "a", state=state, manifest=manifest))
    assert type(error) is cls, error
    await nothing_left(stage, host, "a")
    await stage.spawn(host, "a")
    assert await stage.call("a", "add", 1) == 1


async def nothing_left(stage: Stage, host: Host, actor_id: str) -> None:
    for channel in ("ops", "info", "control"):
        with pytest.raises(ChannelClosed):
            await stage.ask(stage.subject(actor_id, "status", channel))
    assert actor_id not in host.actors
    assert all(tail.actor != actor_id for tail in host.archive.memory.tails())
    assert host.engine.instances == len([one for one in host.actors.values() if one.instance is not None])


@one_kind
async def test_a_plugin_and_a_capability_can_refuse_a_start(stage: Stage) -> None:
    def no(actor: Any) -> None:
        raise ValueError(f"not {actor.id}")

    host = await stage.host(extra=(("judge", plugin(theater_actor_starting=no)),))
    error = await stage.error(stage.spawn(host, "a"))
    assert isinstance(error, SpawnRefused)
    assert "'judge'" in error.message
    assert "not a" in error.message
    await nothing_left(stage, host, "a")


async def test_a_spawn_that_is_cancelled_leaves_nothing(stage: Stage) -> None:
    host = await stage.host()
    spawning = stage.start(stage.spawn(host, "a", state=904))
    await stage.gates.arrival("held")
    spawning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spawning
    await nothing_left(stage, host, "a")


@pytest.mark.parametrize("end", ["drain", "close"])
async def test_a_host_that_ends_takes_back_the_spawns_under_way(
    stage: Stage, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They would go on behind its back: into a chain that is not kept any more, or to an actor on a drained host."""
    host = await stage.host()
    spawns = [stage.start(stage.spawn(host, "held", state=904))]
    await stage.gates.arrival("held")
    spawns += [stage.start(stage.spawn(host, f"a-{number}")) for number in range(200)]
    await eventually(lambda: len(host.roster._reserved) == 201)
    await getattr(host, end)()
    ended = await asyncio.gather(*spawns, return_exceptions=True)
    assert {type(one) for one in ended} == {ShuttingDown}
    assert (host.actors, host.roster._reserved, list(host.archive.memory.tails())) == ({}, set(), [])
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


async def test_a_spawn_that_is_cancelled_while_its_host_ends_stays_cancelled(stage: Stage) -> None:
    host = await stage.host()
    spawning = stage.start(stage.spawn(host, "held", state=904))
    await stage.gates.arrival("held")
    spawning.cancel()
    await host.close()
    with pytest.raises(asyncio.CancelledError):
        await spawning


@pytest.mark.parametrize(
    ("guest_name", "given", "from_json", "expected"),
    [
        ("counter", NO_STATE, False, 0),
        ("counter", 7, False, 7),
        ("counter", "18446744073709551615", True, 2**64 - 1),
        ("counter", 5, True, 5),
    ],
)
async def test_the_initial_state_is_the_spawn_s_else_the_manifest_s(
    stage: Stage, guest_name: str, given: Any, from_json: bool, expected: int
) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", guest_name=guest_name, state=given, from_json=from_json)
    assert (await stage.info("a", "state"))["state"] == expected


@pytest.mark.parametrize(
    ("given", "path"), [("x", "value"), (-1, "value"), (1 << 64, "value"), (None, "value"), ([1], "value")]
)
async def test_a_wrong_initial_state_is_refused_with_its_path(stage: Stage, given: Any, path: str) -> None:
    host = await stage.host()
    error = await stage.error(stage.spawn(host, "a", guest_name="counter", state=given))
    assert isinstance(error, SpawnRefused)
    assert error.details["path"].startswith(path)
    await nothing_left(stage, host, "a")


@one_kind
async def test_a_missing_initial_state_is_refused(stage: Stage) -> None:
    host = await stage.host()
    error = await stage.error(stage.spawn(host, "a", manifest="initial_state = 'none'\n"))
    assert isinstance(error, SpawnRefused)
    assert "--state" in error.message


async def test_expose_narrows_what_callers_reach(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", manifest="expose = ['add']\n")
    assert await stage.call("a", "add", 1) == 1
    assert isinstance(await stage.error(stage.call("a", "wait", "x")), FunctionNotFound)
    assert [one["name"] for one in (await stage.info("a", "exports"))["functions"]] == ["add"]
    error = await stage.error(stage.spawn(host, "b", manifest="expose = ['ad']\n"))
    assert isinstance(error, SpawnRefused)
    for hidden in ("theater:simple/actor.init", "test:peer/peer-client.poke"):
        error = await stage.error(stage.spawn(host, "b", manifest=f"expose = ['{hidden}']\n"))
        assert isinstance(error, SpawnRefused)


async def test_callbacks_and_lifecycle_are_not_callable_from_outside(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    for tail in ("theater:simple/actor.init", "test:peer/peer-client.poke"):
        assert isinstance(await stage.error(stage.call("a", tail)), FunctionNotFound)
    listed = {one["name"] for one in (await stage.info("a", "exports"))["functions"]}
    assert not listed & {"theater:simple/actor.init", "test:peer/peer-client.poke"}


@one_kind
async def test_an_id_lives_once_on_a_host_however_many_ask_at_once(stage: Stage) -> None:
    host = await stage.host()
    results = await asyncio.gather(*(stage.spawn(host, "a") for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["Actor", *["ActorExists"] * 4]
    assert await stage.call("a", "add", 1) == 1


@one_kind
async def test_an_id_lives_once_in_a_namespace_however_many_hosts_start_it_at_once(stage: Stage) -> None:
    hosts = [await stage.host() for _ in range(3)]
    for number in range(8):
        actor_id = f"a{number}"
        results = await asyncio.gather(*(stage.spawn(host, actor_id) for host in hosts), return_exceptions=True)
        assert sorted(type(one).__name__ for one in results) == ["Actor", "ActorExists", "ActorExists"], results
        assert [await stage.call(actor_id, "add", 1) for _ in range(3)] == [1, 2, 3]
    late = await stage.error(stage.spawn(hosts[0], "a0"))
    assert isinstance(late, ActorExists)


async def test_spawn_over_the_wire_with_what_the_packages_directory_holds(stage: Stage, tmp_path: Any) -> None:
    wasm = stage.packages["counter"]
    (tmp_path / "c.wasm").write_bytes(wasm)
    host = await stage.host(packages_dir=tmp_path)
    import hashlib

    body = {"manifest": 'name = "counter"', "package": f"sha256:{hashlib.sha256(wasm).hexdigest()}", "state": 3}
    subject = f"theater.{stage.namespace}.host.{host.id}.spawn"
    answer = await stage.ask(subject, packed({"v": 1, "params": {**body, "id": "a"}}))
    assert (answer["id"], answer["host"]) == ("a", host.id)
    assert await stage.ask(subject, json.dumps({**body, "id": "b", "state": "4"}).encode()) is not None
    assert (await stage.info("b", "state"))["state"] == 4
    assert (await stage.ask(f"theater.{stage.namespace}.fleet.where", b'{"id":"b"}'))["host"] == host.id


async def test_a_capability_that_fails_in_the_middle_of_init_is_named(stage: Stage) -> None:
    host = await stage.host()
    spawning = stage.start(stage.spawn(host, "a", state=904))
    gate = await stage.gates.arrival("held")
    gate.set_exception(RuntimeError("gone"))
    assert isinstance(await stage.error(spawning), HandlerError)
    await nothing_left(stage, host, "a")


async def test_a_draining_host_takes_nothing_new_and_lets_what_runs_finish(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    drained = stage.start(
        stage.ask(f"theater.{stage.namespace}.host.{host.id}.drain", b'{"wait":true,"grace_ms":10000}')
    )
    await eventually(lambda: host.draining)
    assert isinstance(await stage.error(stage.spawn(host, "b")), SpawnRefused)
    gate.set_result("")
    assert await running == 1
    assert await drained == {"accepted": True, "actors": 1}
    assert host.actors == {}


@one_kind
async def test_a_host_whose_id_another_one_has_does_not_start(stage: Stage) -> None:
    first = await stage.host()
    with pytest.raises(ConfigurationError, match=f"a host '{first.id}' runs already"):
        await stage.host(host_id=first.id)
    await stage.spawn(first, "a")
    assert (await stage.info("a"))["host"] == first.id
    await first.close()
    assert (await stage.host(host_id=first.id)).id == first.id
