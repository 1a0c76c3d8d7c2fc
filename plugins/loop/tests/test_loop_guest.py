"""Loops through a real guest on a real host: fairness, stopping, failing, pausing, recovery, and who may iterate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, Internal
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, guest, running_host
from theater_bus_loop import Loop

HERE = Path(__file__).parent
GUEST = guest("looper", HERE / "guests")
TYPE = compile_capability("loop", Loop)
FOREVER = b"\0\0"


def actor_of(host: Any, id: str) -> Any:
    return host.host.actors[id]


async def iterated(actor: Any, count: int) -> None:
    """Wait until that many iterations ran; each question is an operation that takes its turn among them."""
    while await actor.call_function("count") < count:
        continue


def test_the_guest_imports_what_the_plugin_offers() -> None:
    declared = {one.interface: one.declared for one in GUEST.pact.imports}["theater:simple/loop"]
    assert declared is not None
    assert interface_hash(declared) == TYPE.hashes()["theater:simple/loop"]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "looper.c") == GUEST.wasm


async def test_a_loop_iterates_until_it_is_stopped(start_host: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST)
    await actor.call_function("begin", [FOREVER])
    with pytest.raises(GuestError, match="a loop is running already"):
        await actor.call_function("begin", [FOREVER])
    await iterated(actor, 5)
    await actor.call_function("halt")
    count = await actor.call_function("count")
    await asyncio.gather(*(actor.call_function("count") for _ in range(20)))
    assert await actor.call_function("count") == count
    with pytest.raises(GuestError, match="no loop is running"):
        await actor.call_function("halt")
    functions = [getattr(event.body, "function", "") for event in await actor.get_chain().all()]
    assert functions.count("theater:simple/loop-client.loop") >= count


async def test_others_get_their_turn_between_two_iterations(start_host: Any) -> None:
    """Calls that wait run before the next iteration: at most one iteration lies between two that came together."""
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, capabilities={"loop": {"rate": 1_000_000}})
    bystander = await host.spawn(GUEST)
    await actor.call_function("begin", [FOREVER])
    await iterated(actor, 10)
    counts = await asyncio.gather(*(actor.call_function("count") for _ in range(200)))
    assert counts == sorted(counts)
    assert counts[-1] - counts[0] <= 200
    assert await bystander.call_function("count") == 0
    assert (await actor.get_status()).phase == "running"


async def test_nobody_else_can_iterate(start_host: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST)
    with pytest.raises(FunctionNotFound):
        await actor.call_function("theater:simple/loop-client.loop", [FOREVER])


async def test_an_iteration_may_stop_its_own_loop(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, id="l")
    await actor.call_function("begin", [b"s\0"])
    await iterated(actor, 3)
    await eventually(lambda: actor_of(host, "l").capabilities["loop"]._running is None)
    assert actor_of(host, "l").failure_note is None
    await actor.call_function("begin", [b"s\0"])
    await iterated(actor, 6)


@pytest.mark.parametrize(("what", "error"), [(b"e", "enough"), (b"f", "enough"), (b"t", "unreachable"), (b"", "count")])
async def test_an_iteration_that_fails_is_the_last_one_and_is_seen_in_the_status(
    start_host: Any, eventually: Any, what: bytes, error: str
) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, id="l", on_failure={"action": "restart", "max_restarts": 10, "backoff_ms": 0})
    await actor.call_function("begin", [what + b"\0" if what else b""])
    await eventually(lambda: actor_of(host, "l").failure_note)
    note = actor_of(host, "l").failure_note
    assert note.startswith(f"loop: the loop ended after {2 if what else 0} iterations: ")
    assert error in note
    assert await actor.call_function("count") == (2 if what else 0)
    await actor.call_function("begin", [FOREVER])
    await iterated(actor, 5)


async def test_an_operation_that_fails_leaves_the_loop_as_it_was(start_host: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, id="l", on_failure={"action": "restart", "max_restarts": 10, "backoff_ms": 0})
    loop = actor_of(host, "l").capabilities["loop"]
    with pytest.raises(GuestError, match="as I was told"):
        await actor.call_function("begin-and-fail", [FOREVER])
    assert loop._running is None
    await actor.call_function("begin", [FOREVER])
    with pytest.raises(Internal):
        await actor.call_function("halt-and-trap")
    await iterated(actor, await actor.call_function("count") + 3)


async def test_a_paused_actor_has_one_iteration_waiting_and_goes_on(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, id="l")
    await actor.call_function("begin", [FOREVER])
    await actor.pause()
    await eventually(lambda: actor_of(host, "l").mailbox.enqueues == 1)
    await actor.resume()
    await iterated(actor, 5)


async def test_shutdown_ends_the_loop(start_host: Any) -> None:
    host = await start_host(installed=["loop"])
    actor = await host.spawn(GUEST, id="l")
    await actor.call_function("begin", [FOREVER])
    running = actor_of(host, "l")
    loop = running.capabilities["loop"]
    await actor.shutdown()
    await host.host.stopped(running)
    assert loop._running.is_over
    assert loop._running.handle is None
    assert running.failure_note is None


async def test_a_loop_comes_back_with_its_actor(start_host: Any, tmp_path: Path, theater_server: Any) -> None:
    options: dict[str, Any] = {"installed": ["loop"], "data_dir": tmp_path, "namespace": "loops-come-back"}
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST, id="l", chain={"durability": "file"})
        await actor.call_function("begin", [FOREVER])
        await iterated(actor, 3)
    async with running_host(server=theater_server, **options) as host:
        actor = host.theater.actor("l")
        count = await actor.call_function("count")
        assert count >= 3
        await iterated(actor, count + 2)
        # The value goes on where it was: its second byte has counted what the state did.
        running = actor_of(host, "l").capabilities["loop"]._running
        assert running.value[1] >= 5


async def test_a_host_that_grants_less_names_the_grant(start_host: Any) -> None:
    host = await start_host(installed=["loop"], grants={"loop": {"value_bytes": 1}})
    actor = await host.spawn(GUEST)
    with pytest.raises(GuestError, match=r"loop\.value_bytes = 1 allows"):
        await actor.call_function("begin", [FOREVER])
