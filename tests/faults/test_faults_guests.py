"""Guests that run wild: each is contained, named and rolled back, memory stays bounded, and others are answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from theater_bus.errors import ActorError, Cancelled, Internal, OperationTimeout, TooLarge, TypeMismatch

from .conftest import OFTEN, Scene, check, failure

NO_MEMORY = {("module", "trap"): "memory-limit", ("module", "spin"): "memory-limit",
             ("component", "trap"): "unreachable", ("component", "spin"): "cpu-limit"}  # fmt: skip
"""What becomes of a guest that ends for want of memory: how much a component has is not visible from outside."""

LIMITS = OFTEN + "[limits]\ncpu_ms = 60\nmemory_pages = 64\nhost_calls = 200\n"


@pytest.fixture
def scene(scene: Scene, wasm_of: Any) -> Scene:
    """The chaos guests of a namespace are of each kind in turn."""
    scene.chaos_wasm = wasm_of("chaos")
    return scene


def resident_bytes() -> int:
    """The memory of this process, which the host is part of."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize(
    ("function", "params", "reason"),
    [
        ("trap", ["unreachable"], "unreachable"),
        ("trap", ["divide"], "integer-divide-by-zero"),
        ("trap", ["outside"], "out-of-bounds"),
        ("trap", ["null-call"], "indirect-call-to-null"),
        ("trap", ["wrong-call"], "indirect-call-type-mismatch"),
        ("trap", ["recursion"], "stack-overflow"),
        ("spin", [], "cpu-limit"),
        ("eat", ["trap"], None),
        ("eat", ["spin"], None),
        ("flood", [], "record-limit"),
    ],
)
async def test_a_wild_guest_is_contained_again_and_again_while_a_bystander_is_answered(
    scene: Scene, kind: str, function: str, params: list[str], reason: str | None
) -> None:
    host = await scene.host()
    await scene.chaos(host, "c", LIMITS)
    async with scene.bystander(host):
        for _ in range(5):
            error = await failure(scene.call("c", function, *params))
            check(error, Internal, "rolled-back")
            assert error.details["reason"] == (reason or NO_MEMORY[kind, params[0]])
            assert (await scene.info("c"))["phase"] in ("running", "restarting")
    assert await scene.call("c", "touch") == 1
    assert host.engine.instances <= 3


async def test_ten_spinning_guests_leave_a_bystander_its_turn(scene: Scene) -> None:
    host = await scene.host()
    for number in range(10):
        await scene.chaos(host, f"c-{number}", LIMITS.replace("cpu_ms = 60", "cpu_ms = 20_000"))
    async with scene.bystander(host, within_s=1.0) as seen:
        spins = [asyncio.ensure_future(failure(scene.call(f"c-{n}", "spin", timeout_ms=700))) for n in range(10)]
        for error in await asyncio.gather(*spins):
            check(error, OperationTimeout, "rolled-back")
        assert seen.calls > 20
    assert [await scene.call(f"c-{n}", "count") for n in range(10)] == [0] * 10


async def test_memory_that_a_guest_took_is_given_back(scene: Scene) -> None:
    host = await scene.host()
    await scene.chaos(host, "c", OFTEN + "[limits]\nmemory_bytes = 134_217_728\n")
    before = resident_bytes()
    async with scene.bystander(host, within_s=1.0):
        for done in range(5):
            assert await scene.call("c", "allocate", 100_000_000) > 100_000_000
            check(await failure(scene.call("c", "trap", "unreachable")), Internal, "rolled-back")
            assert await scene.call("c", "count") == done + 1
    assert resident_bytes() - before < 150 << 20
    assert host.engine.memory_bytes < 16 << 20


async def test_memory_over_the_host_s_own_bound_is_not_given(scene: Scene, kind: str) -> None:
    host = await scene.host(max_memory_bytes=4 << 20)
    actor = await scene.chaos(host, "c", OFTEN + "[limits]\nmemory_bytes = 1_073_741_824\n")
    assert actor.type.manifest.limits.memory_bytes == 4 << 20
    error = await failure(scene.call("c", "eat", "trap"))
    check(error, Internal, "rolled-back")
    assert error.details["reason"] == NO_MEMORY[kind, "trap"]


@pytest.mark.parametrize(
    "garbage",
    [
        "overflowing", "past-end", "huge", "untouched", "input", "noise", "cut-short", "cycle", "bomb", "expansion",
        "deep", "bad-text", "lost-message", "bad-message", "odd-status",
    ],
)  # fmt: skip
async def test_garbage_pointers_and_bytes_never_get_out(scene: Scene, garbage: str) -> None:
    host = await scene.host()
    await scene.chaos(host, "c", LIMITS)
    async with scene.bystander(host):
        for _ in range(3):
            error = await failure(scene.call("c", "garbage", garbage))
            assert error.ran == "rolled-back", error
            assert type(error) in (Internal, TypeMismatch), error
            assert len(str(error)) < 1500
    assert await scene.call("c", "count") == 0


@pytest.mark.parametrize("kind", ["module"], indirect=True)
@pytest.mark.parametrize("wrong", ["state", "value", "no-state", "no-result"])
async def test_a_result_of_a_wrong_type_names_what_was_declared(scene: Scene, wrong: str) -> None:
    host = await scene.host()
    await scene.chaos(host, "c")
    async with scene.bystander(host):
        error = await failure(scene.call("c", "wrong", wrong))
        check(error, TypeMismatch, "rolled-back", "wrong", "result", "declared is")
    assert await scene.call("c", "touch") == 1


async def test_logging_without_end_is_cut_and_its_records_are_not_kept(scene: Scene) -> None:
    host = await scene.host()
    await scene.chaos(host, "c", OFTEN + "[limits]\nrecord_bytes = 65_536\n")
    before = resident_bytes()
    async with scene.bystander(host):
        for function, params in (("flood", []), ("log", [100_000, 1000])):
            error = await failure(scene.call("c", function, *params))
            check(error, Internal, "rolled-back", "host calls", "Fix: ")
            assert error.details["reason"] == "record-limit", error
        assert await scene.call("c", "log", 10, 1_000_000) is None
    page = await scene.info("c", "chain")
    assert sum(len(event) for segment in page["segments"] for event in segment["events"]) < 200_000
    assert resident_bytes() - before < 200 << 20


async def test_a_reply_larger_than_the_server_allows_is_refused_before_it_is_recorded(scene: Scene) -> None:
    host = await scene.host()
    more = "[limits]\nmemory_bytes = 268_435_456\nresult_bytes = 33_554_432\ncpu_ms = 5000\n"
    await scene.chaos(host, "c", OFTEN + more)
    async with scene.bystander(host, within_s=2.0):
        for size in (17_000_000, 16 * 1024 * 1024, 16 * 1024 * 1024 - 100):
            error = await failure(scene.call("c", "big", size))
            check(error, TooLarge, "rolled-back", "Fix: ")
            assert error.details["size_bytes"] > size
        assert await scene.call("c", "big", 1000) == bytes(n % 256 for n in range(1000))
    assert await scene.call("c", "count") == 1
    assert host.bus.connected


async def test_what_nobody_waits_for_can_be_cancelled_while_it_spins(scene: Scene) -> None:
    host = await scene.host()
    actor = await scene.chaos(host, "c", OFTEN + "[limits]\ncpu_ms = 20_000\n")
    async with scene.bystander(host):
        call = asyncio.ensure_future(scene.call("c", "spin", op="k"))
        while actor.current is None:
            await asyncio.sleep(0.002)
        assert (await scene.control("c", "cancel", op="k"))["cancelled"] == "running"
        check(await failure(call), Cancelled, "rolled-back")
    assert await scene.call("c", "count") == 0


async def test_more_failures_than_allowed_stop_one_actor_and_no_other(scene: Scene) -> None:
    host = await scene.host()
    text = 'on_failure = { action = "restart", max_restarts = 3, backoff_ms = 0 }\n'
    await scene.chaos(host, "c", text)
    async with scene.bystander(host):
        errors: list[ActorError] = [await failure(scene.call("c", "trap", "unreachable")) for _ in range(4)]
        assert {type(error) for error in errors} == {Internal}
        while "c" in host.actors:
            await asyncio.sleep(0.002)
        await scene.chaos(host, "c")
        assert await scene.call("c", "touch") == 1
