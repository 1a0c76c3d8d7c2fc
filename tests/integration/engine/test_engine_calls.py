"""Calls of well-behaved guests: input in, output out, host functions answered, contexts kept apart."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from theater_bus.engine import Budget, CallResult, HostImport, Limits
from theater_bus.errors import FunctionNotFound, IllegalTransition, SpawnRefused

LONG_SLICE_MS = 10_000
"""No call uses this up, also where the machine runs something else in the middle of one."""


async def test_a_short_call_returns_its_result_at_once_and_never_calls_done(make_engine: Any, guest_of: Any) -> None:
    guest = await guest_of(make_engine(slice_ms=LONG_SLICE_MS))
    instance = guest.make()
    guest.call(instance, "echo", b"first: the input buffer is made", Budget(), pytest.fail)
    await asyncio.sleep(0)
    later: list[CallResult] = []
    result = guest.call(instance, "echo", b"hello", Budget(), later.append)
    assert result is not None
    await asyncio.sleep(0.01)
    assert later == []
    assert (result.status, result.output, result.failure) == (0, b"hello", None)
    assert (result.slices, result.promoted) == (1, False)
    assert result.cpu_ns > 0


@pytest.mark.parametrize("size", [0, 1, 1008, 1009, 65_536, 1_000_000])
async def test_input_and_output_of_any_size_pass_unchanged(guest: Any, size: int) -> None:
    instance = guest.make()
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for _ in range(3):
        assert (await guest.run(instance, "echo", data)).output == data
    assert (await guest.run(instance, "echo", b"small again")).output == b"small again"


async def test_a_status_that_is_not_zero_is_returned_with_its_message_and_the_instance_lives_on(pack: Any) -> None:
    instance = pack.make()
    for _ in range(2):
        result = await pack.run(instance, "fail", b"decode error: no")
        assert (result.output, result.failure) == (b"decode error: no", None)
        assert result.status == -1
    assert (await pack.run(instance, "echo", b"alive")).output == b"alive"


@pytest.mark.parametrize("size", [0, 5, 1024, 1025, 300_000])
@pytest.mark.parametrize("way", ["value", "coroutine", "suspended"])
async def test_host_answers_of_any_size_reach_the_guest_however_they_are_made(guest: Any, size: int, way: str) -> None:
    answer = b"a" * size
    asked: list[bytes] = []

    async def coroutine(data: bytes) -> bytes:
        asked.append(data)
        if way == "suspended":
            await asyncio.sleep(0)
        return answer

    def value(data: bytes) -> bytes:
        asked.append(data)
        return answer

    instance = guest.make(value if way == "value" else coroutine)
    for _ in range(3):
        result = await guest.run(instance, "ask", b"what?")
        assert (result.failure, result.output) == (None, answer)
    assert asked == [b"what?"] * 3


async def test_many_host_calls_within_one_call_reuse_the_answer_buffer(guest: Any) -> None:
    instance = guest.make(lambda data: b"x" * 5000)
    result = await guest.run(instance, "flood", (200).to_bytes(4, "little"))
    assert int.from_bytes(result.output, "little") == 200 * 5000
    assert instance.memory_bytes == 65536


async def test_host_functions_run_in_the_context_of_their_call(guest: Any) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    seen: list[tuple[str, str]] = []

    async def ask(data: bytes) -> bytes:
        first = name.get()
        await asyncio.sleep(0)
        seen.append((first, name.get()))
        name.set(first + "!")
        return data

    contexts = []
    for who in ("a", "b"):
        context = contextvars.copy_context()
        context.run(name.set, who)
        contexts.append(context)
    await asyncio.gather(*(guest.start(guest.make(ask), "ask", b"", context=context) for context in contexts))
    assert sorted(seen) == [("a", "a"), ("b", "b")]
    assert [context[name] for context in contexts] == ["a!", "b!"]
    assert name.get(None) is None


async def test_a_context_that_is_made_on_demand_is_made_at_the_first_host_call_and_once(guest: Any) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody's")
    made: list[contextvars.Context] = []

    def make() -> contextvars.Context:
        context = contextvars.copy_context()
        context.run(name.set, "its own")
        made.append(context)
        return context

    seen = []

    async def ask(data: bytes) -> bytes:
        seen.append(name.get())
        await asyncio.sleep(0)
        seen.append(name.get())
        name.set("changed")
        return b"x" * 10

    instance = guest.make(ask)
    await guest.run(instance, "flood", (2).to_bytes(4, "little"), context=make)
    assert seen == ["its own", "its own", "changed", "changed"]
    assert len(made) == 1
    await guest.run(instance, "flood", (0).to_bytes(4, "little"), context=make)
    assert len(made) == 1


async def test_timeouts_and_task_groups_work_inside_a_host_coroutine(guest: Any) -> None:
    async def ask(data: bytes) -> bytes:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        first = asyncio.current_task()
        await asyncio.sleep(0)
        assert first is asyncio.current_task() is not None
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return b"timed out"
        return b"never"

    assert (await guest.run(guest.make(ask), "ask", b"")).output == b"timed out"


async def test_a_host_coroutine_that_cancels_itself_ends_its_call_only(guest: Any) -> None:
    async def ask(data: bytes) -> bytes:
        if data == b"cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return b"done"

    result = await guest.run(guest.make(ask), "ask", b"cancel")
    assert result.failure.reason == "host-call"
    assert isinstance(result.failure.exception, asyncio.CancelledError)
    assert (await guest.run(guest.make(ask), "ask", b"go on")).output == b"done"


async def test_calls_made_from_inside_a_host_function_are_queued_not_nested(guest: Any) -> None:
    other = guest.make()
    await guest.run(other, "echo")
    inner: list[asyncio.Future[Any]] = []

    def ask(data: bytes) -> bytes:
        future = guest.start(other, "echo", b"inner")
        assert not future.done()
        inner.append(future)
        return b"outer"

    assert (await guest.run(guest.make(ask), "ask", b"")).output == b"outer"
    assert (await inner[0]).output == b"inner"


async def test_calling_a_busy_instance_is_refused_also_from_its_own_host_function(guest: Any) -> None:
    async def ask(data: bytes) -> bytes:
        with pytest.raises(IllegalTransition):
            instance.call("echo", b"", Budget(), pytest.fail)
        await asyncio.sleep(0)
        return b"fine"

    instance = guest.make(ask)
    call = guest.start(instance, "ask")
    with pytest.raises(IllegalTransition):
        instance.call("echo", b"", Budget(), pytest.fail)
    assert (await call).output == b"fine"


async def test_more_calls_than_a_turn_allows_wait_for_the_next_turns_in_order(make_engine: Any, guest_of: Any) -> None:
    guest = await guest_of(make_engine(turn_ms=0.2, slice_ms=LONG_SLICE_MS))
    instances = [guest.make() for _ in range(300)]
    order: list[int] = []
    calls = []
    for number, instance in enumerate(instances):
        call = guest.start(instance, "echo", b"x" * 50)
        calls.append(call)
        if call.done():
            order.append(number)
        else:
            call.add_done_callback(lambda _done, number=number: order.append(number))
    assert not all(call.done() for call in calls)
    await asyncio.gather(*calls)
    await asyncio.sleep(0)
    assert order == sorted(order)


async def test_an_unknown_function_is_named_with_the_nearest_ones(guest: Any) -> None:
    with pytest.raises(FunctionNotFound) as caught:
        guest.make().call("ehco", b"", Budget(), pytest.fail)
    assert "echo" in caught.value.details["nearest"]


async def test_missing_host_functions_are_all_named(engine: Any, guest: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"test:host/api\.ask"):
        await engine.instantiate(guest.module, [HostImport("test:host/api", "other", bytes)], Limits())


async def test_floats_that_are_not_numbers_have_the_same_bits_everywhere(guest: Any) -> None:
    assert (await guest.run(guest.make(), "nan")).output == bytes.fromhex("0000c07f")
