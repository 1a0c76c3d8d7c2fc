"""Guests and host functions that misbehave: every way is named, and nothing but the call is lost."""

from __future__ import annotations

import asyncio
import faulthandler
import struct
from typing import Any

import pytest

from theater_bus.engine import Budget, CallResult, Engine, HostImport, Limits, wat2wasm
from theater_bus.engine.capacity import maps_of_component, maps_of_instance
from theater_bus.errors import IllegalTransition, Overloaded, SpawnRefused

TRAPS = [
    "unreachable",
    "out-of-bounds",
    "table-out-of-bounds",
    "indirect-call-to-null",
    "indirect-call-type-mismatch",
    "integer-divide-by-zero",
    "integer-overflow",
    "bad-conversion-to-integer",
    "stack-overflow",
]


@pytest.mark.parametrize("reason", TRAPS)
async def test_every_trap_has_its_reason_and_a_backtrace_and_ends_the_instance(guest: Any, reason: str) -> None:
    instance = guest.make()
    result = await guest.run(instance, reason)
    assert result.failure.reason == reason
    assert "wasm backtrace" in result.failure.backtrace
    assert (result.output, result.status) == (None, -1)
    assert instance.closed
    with pytest.raises(IllegalTransition):
        await guest.run(instance, "echo")


async def test_traps_stay_traps_when_faulthandler_is_enabled_after_the_engine(guest: Any) -> None:
    enabled = faulthandler.is_enabled()
    faulthandler.disable()
    faulthandler.enable(file=2)
    try:
        for reason in TRAPS:
            assert (await guest.run(guest.make(), reason)).failure.reason == reason
    finally:
        if not enabled:
            faulthandler.disable()


async def test_a_fresh_instance_after_a_trap_has_none_of_its_writes(guest: Any) -> None:
    instance = guest.make()
    assert (await guest.run(instance, "count")).output == b"\1\0\0\0"
    assert (await guest.run(instance, "count_then_trap")).failure.reason == "unreachable"
    assert (await guest.run(guest.make(), "count")).output == b"\1\0\0\0"


@pytest.mark.parametrize(
    ("pointer", "length"), [(0xFFFFFFF0, 8), (0, 65_537), (65_535, 2), (0xFFFFFFFF, 0xFFFFFFFF), (70_000, 1)]
)
async def test_a_result_outside_the_memory_is_out_of_bounds(pack: Any, pointer: int, length: int) -> None:
    instance = pack.make(result_bytes=1 << 31)
    result = await pack.run(instance, "answer_with", struct.pack("<III", pointer, length, 0))
    assert result.failure.reason in ("out-of-bounds", "result-limit")
    assert instance.closed


async def test_an_empty_result_may_point_anywhere(pack: Any) -> None:
    result = await pack.run(pack.make(), "answer_with", struct.pack("<III", 0xFFFFFFF0, 0, 0))
    assert (result.status, result.output) == (0, b"")


async def test_a_guest_that_leaves_its_result_slots_alone_has_an_empty_result(pack: Any) -> None:
    instance = pack.make()
    await pack.run(instance, "echo", b"what must not be seen again")
    assert (await pack.run(instance, "answer_nothing")).output == b""


async def test_a_result_over_the_limit_names_the_setting(guest: Any) -> None:
    result = await guest.run(guest.make(result_bytes=10), "echo", b"x" * 11)
    assert result.failure.reason == "result-limit"
    assert "result_bytes" in result.failure.message


@pytest.mark.parametrize(
    "numbers",
    [(0xFFFFFFF0, 64, 32, 36), (0, 0x7FFFFFFF, 32, 36), (0, 4, 65_534, 36), (0, 4, 32, 0xFFFFFFFE)],
)
async def test_host_calls_with_garbage_pointers_are_out_of_bounds(pack: Any, numbers: tuple[int, ...]) -> None:
    result = await pack.run(pack.make(), "ask_with", struct.pack("<IIII", *numbers))
    assert result.failure.reason == "out-of-bounds"
    assert "wasm backtrace" in result.failure.backtrace


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_host_function_raises_comes_out_of_the_call(guest: Any, is_async: bool) -> None:
    error = RuntimeError("no such key")

    def value(data: bytes) -> bytes:
        raise error

    async def coroutine(data: bytes) -> bytes:
        raise error

    instance = guest.make(coroutine if is_async else value)
    failure = (await guest.run(instance, "ask")).failure
    assert (failure.reason, failure.exception) == ("host-call", error)
    assert "no such key" in failure.message
    assert guest.is_component or "wasm backtrace" in failure.backtrace, "a component is not entered again for one"
    assert instance.closed


@pytest.mark.parametrize("answer", [None, "text", 5, bytearray(b"x")])
async def test_a_host_function_that_does_not_answer_with_bytes_fails_its_call(guest: Any, answer: Any) -> None:
    async def coroutine(data: bytes) -> Any:
        return answer

    for ask in (lambda data: answer, coroutine):
        failure = (await guest.run(guest.make(ask), "ask")).failure
        assert failure.reason == "host-call"
        assert isinstance(failure.exception, TypeError)


@pytest.mark.parametrize("is_async", [False, True])
def test_what_ends_the_process_ends_the_call_first_and_then_the_loop(guest_of: Any, is_async: bool) -> None:
    results: list[CallResult] = []

    def value(data: bytes) -> bytes:
        raise SystemExit(3)

    async def coroutine(data: bytes) -> bytes:
        raise SystemExit(3)

    async def main() -> None:
        guest = await guest_of(engine)
        instance = guest.make(coroutine if is_async else value)
        result = guest.call(instance, "ask", b"", Budget(), results.append)
        results.extend([result] if result is not None else [])
        await asyncio.Event().wait()

    engine = Engine()
    with asyncio.Runner() as runner:
        with pytest.raises(SystemExit):
            runner.run(main())
        assert [result.failure.reason for result in results if result.failure] == ["host-call"]
        runner.run(engine.close())


async def test_a_guest_that_spins_with_its_memory_full_reached_its_memory_limit(pack: Any) -> None:
    instance = pack.make(memory_bytes=4 * 65536)
    result = await pack.run(instance, "grow_then_spin", cpu_ms=20)
    assert result.failure.reason == "memory-limit"
    assert "memory_bytes" in result.failure.message
    assert instance.memory_bytes == 4 * 65536


async def test_growing_beyond_the_limit_is_refused_without_a_trap(guest: Any) -> None:
    instance = guest.make(memory_bytes=3 * 65536)
    assert (await guest.run(instance, "grow", struct.pack("<I", 2))).output == struct.pack("<I", 1)
    assert (await guest.run(instance, "grow", struct.pack("<I", 1))).output == b"\xff\xff\xff\xff"
    assert instance.memory_bytes == (1 if guest.is_component else 3) * 65536


async def test_memory_that_grew_and_moved_is_followed(guest: Any) -> None:
    instance = guest.make()
    for pages in (1, 50, 200):
        await guest.run(instance, "grow", struct.pack("<I", pages))
        assert (await guest.run(instance, "echo", b"still here")).output == b"still here"
    assert instance.memory_bytes == (1 if guest.is_component else 252) * 65536


async def test_input_or_an_answer_that_the_guest_cannot_allocate_is_a_memory_limit(pack: Any) -> None:
    big = bytes(500_000)
    result = await pack.run(pack.make(memory_bytes=2 * 65536), "echo", big)
    assert result.failure.reason == "memory-limit"
    result = await pack.run(pack.make(lambda data: big, memory_bytes=2 * 65536), "ask")
    assert result.failure.reason == "memory-limit"


async def test_a_module_whose_own_memory_exceeds_the_limit_is_refused_by_name(guest: Any) -> None:
    with pytest.raises(SpawnRefused, match="memory_bytes"):
        guest.make(memory_bytes=1000)


async def test_a_module_whose_table_exceeds_the_limit_is_refused_by_name(pack: Any) -> None:
    with pytest.raises(SpawnRefused, match="table_elements"):
        pack.make(table_elements=3)


async def test_one_instance_more_than_the_cap_is_overloaded_and_closing_one_makes_room(
    make_engine: Any, guest_of: Any
) -> None:
    guest = await guest_of(make_engine(max_instances=2))
    first, _second = guest.make(), guest.make()
    with pytest.raises(Overloaded) as caught:
        guest.make()
    assert caught.value.details["bound"] == "max_instances"
    assert guest.engine.max_instances == 2
    first.close()
    assert (await guest.run(guest.make(), "echo", b"x")).output == b"x"


async def test_instances_stop_before_the_kernels_memory_maps_run_out(make_engine: Any, guest_of: Any) -> None:
    engine = make_engine()
    guest = await guest_of(engine)
    each = maps_of_component(1, guest.module.bridges) if guest.is_component else maps_of_instance(1)
    engine._map_budget = 2 * each + 2
    made = [guest.make() for _ in range(2)]
    assert guest.is_component or engine.max_instances == 2
    with pytest.raises(Overloaded, match=r"vm\.max_map_count"):
        guest.make()
    await guest.run(made[0], "unreachable")
    guest.make()


def kernel_maps() -> int:
    with open("/proc/self/maps", "rb") as maps:
        return sum(1 for _ in maps)


async def test_an_instance_takes_no_more_kernel_maps_than_are_counted_for_it(guest: Any) -> None:
    memories = guest.module.memories
    each = maps_of_component(memories, guest.module.bridges) if guest.is_component else maps_of_instance(memories)
    before, instances = kernel_maps(), []
    for size in [1, 100_000] * 50:
        instance = guest.make()
        await guest.run(instance, "echo", bytes(size))
        instances.append(instance)
    assert kernel_maps() - before <= 100 * each + 20
    for instance in instances:
        instance.close()


ODD_ALLOCATOR = """(module
  (import "test:host/api" "ask" (func $ask (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (func (export "__pack_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 4000)) (then %s))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (i32.sub (global.get $top) (local.get $size)))
  (func (export "__pack_free") (param i32 i32))
  (func (export "echo") (param i32 i32 i32 i32) (result i32)
    (i32.store (local.get 2) (local.get 0)) (i32.store (local.get 3) (local.get 1)) (i32.const 0))
  (func (export "ask") (param i32 i32 i32 i32) (result i32)
    (call $ask (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""

ALLOCATORS = {
    "memory-limit": "(return (i32.const 0))",
    "memory-limit ": "(return (i32.const 65000))",
    "unreachable": "(unreachable)",
    "cpu-limit": "(loop $forever (br $forever))",
    "host-call": "(drop (call $ask (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12)))",
}


SEVENTEEN = '(memory (export "memory") 17)'


async def test_modules_of_one_page_and_of_seventeen_take_no_more_maps_than_are_counted(engine: Any, pack: Any) -> None:
    wide = await engine.load(wat2wasm(ODD_ALLOCATOR.replace('(memory (export "memory") 1)', SEVENTEEN) % "unreachable"))
    for module in (pack.module, wide):
        before, instances = kernel_maps(), []
        for _ in range(200):
            instance = engine.instantiate_now(module, [HostImport("test:host/api", "ask", bytes)], Limits())
            await pack.run(instance, "echo", b"x")
            instances.append(instance)
        assert kernel_maps() - before <= 200 * maps_of_instance(module.memories) + 20
        for instance in instances:
            instance.close()


@pytest.mark.parametrize("reason", ALLOCATORS)
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_allocator_that_fails_while_the_host_answers_fails_the_call(
    engine: Any, pack: Any, reason: str, is_async: bool
) -> None:
    module = await engine.load(wat2wasm(ODD_ALLOCATOR % ALLOCATORS[reason]))

    async def later(data: bytes) -> bytes:
        return bytes(5000)

    ask = later if is_async else (lambda data: bytes(5000))
    instance = engine.instantiate_now(module, [HostImport("test:host/api", "ask", ask)], Limits())
    result = await pack.run(instance, "ask", b"", cpu_ms=20)
    assert result.failure.reason == reason.strip()
    assert instance.closed


@pytest.mark.parametrize("reason", ["memory-limit", "memory-limit ", "unreachable", "cpu-limit"])
async def test_an_allocator_that_fails_for_the_input_fails_the_call(engine: Any, pack: Any, reason: str) -> None:
    module = await engine.load(wat2wasm(ODD_ALLOCATOR % ALLOCATORS[reason]))
    instance = engine.instantiate_now(module, [HostImport("test:host/api", "ask", bytes)], Limits())
    assert (await pack.run(instance, "echo", bytes(5000), cpu_ms=20)).failure.reason == reason.strip()
