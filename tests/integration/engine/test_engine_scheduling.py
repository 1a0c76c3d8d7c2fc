"""Long, waiting and cancelled guests: the loop stays free, budgets are real, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import struct
import threading
import time
from collections import Counter
from random import Random
from typing import Any

import pytest


async def work_of(guest: Any, milliseconds: float) -> bytes:
    """Input for `work` that keeps this machine busy for about that long."""
    rounds = 2_000_000
    instance = guest.make()
    result = await guest.run(instance, "work", struct.pack("<I", rounds), cpu_ms=60_000)
    instance.close()
    return struct.pack("<I", max(1, int(rounds * milliseconds * 1e6 / result.cpu_ns)))


async def test_a_long_call_leaves_the_loop_and_finishes_in_the_pool(guest: Any) -> None:
    data = await work_of(guest, 60)
    result = await guest.run(guest.make(), "work", data, cpu_ms=10_000)
    assert (result.failure, result.output) == (None, data)
    assert result.promoted
    assert result.slices > 3


async def test_the_loop_turns_while_guests_spin(guest: Any) -> None:
    spinners = [guest.start(guest.make(), "spin", cpu_ms=150) for _ in range(3)]
    turns = 0
    while not all(spinner.done() for spinner in spinners):
        await asyncio.sleep(0)
        turns += 1
    assert turns > 50
    results = await asyncio.gather(*spinners)
    assert {result.failure.reason for result in results} == {"cpu-limit"}
    assert all("cpu_ms" in result.failure.message for result in results)
    assert all(150e6 <= result.cpu_ns < 1500e6 for result in results)


async def test_other_calls_go_on_while_a_guest_spins(guest: Any) -> None:
    spinner = guest.start(guest.make(), "spin", cpu_ms=100)
    calls = 0
    while not spinner.done():
        assert (await guest.run(guest.make(), "echo", b"quick")).output == b"quick"
        await asyncio.sleep(0)
        calls += 1
    assert calls > 5


async def test_time_spent_waiting_for_the_host_is_not_cpu_time(guest: Any) -> None:
    async def ask(data: bytes) -> bytes:
        await asyncio.sleep(0.05)
        return data

    result = await guest.run(guest.make(ask), "ask", b"x", cpu_ms=25)
    assert result.output == b"x"
    assert result.cpu_ns < 25e6


async def test_a_promoted_guest_can_ask_its_host_and_the_answer_is_made_on_the_loop(guest: Any) -> None:
    threads: list[threading.Thread] = []

    async def ask(data: bytes) -> bytes:
        threads.append(threading.current_thread())
        await asyncio.sleep(0)
        return data * 1000

    data = await work_of(guest, 40)
    result = await guest.run(guest.make(ask), "work_and_ask", data, cpu_ms=10_000)
    assert (result.failure, result.output) == (None, data * 1000)
    assert result.promoted
    assert threads == [threading.main_thread()]


async def test_a_guest_that_floods_its_host_with_calls_lets_the_loop_turn(guest: Any) -> None:
    flood = guest.start(guest.make(lambda data: b""), "flood", struct.pack("<I", 5000), cpu_ms=10_000)
    turns = 0
    while not flood.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 5
    assert flood.result().failure is None


async def test_a_flood_of_host_calls_counts_against_the_cpu_budget(guest: Any) -> None:
    result = await guest.run(guest.make(lambda data: b""), "flood", struct.pack("<I", 0x7FFFFFFF), cpu_ms=20)
    assert result.failure.reason == "cpu-limit"


@pytest.mark.parametrize("after_ms", [0, 20])
async def test_cancelling_a_spinning_guest_ends_it_within_a_slice_or_two(guest: Any, after_ms: int) -> None:
    instance = guest.make()
    call = guest.start(instance, "spin", cpu_ms=60_000)
    await asyncio.sleep(after_ms / 1000)
    started = time.monotonic()
    instance.cancel("operation-timeout", "the deadline passed")
    result = await call
    assert time.monotonic() - started < 5  # of the 60 seconds that it had left
    assert (result.failure.reason, result.failure.message) == ("operation-timeout", "the deadline passed")
    assert instance.closed


async def test_cancelling_a_call_that_waits_for_its_host_cancels_and_awaits_the_coroutine_first(guest: Any) -> None:
    steps: list[str] = []
    started = asyncio.Event()

    async def ask(data: bytes) -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")
            await asyncio.sleep(0)
            steps.append("cleaned up")
        return b""

    instance = guest.make(ask)
    call = guest.start(instance, "ask")
    call.add_done_callback(lambda _done: steps.append("done"))
    await started.wait()
    instance.cancel("cancelled")
    instance.cancel("twice")
    result = await call
    await asyncio.sleep(0)
    assert result.failure.reason == "cancelled"
    assert steps == ["cancelled", "cleaned up", "done"]
    assert instance.closed


async def test_a_coroutine_that_refuses_to_be_cancelled_holds_its_call_for_the_grace_time_only(
    make_engine: Any, guest_of: Any
) -> None:
    guest = await guest_of(make_engine(cancel_grace_ms=20))
    started, release, stubborn = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask(data: bytes) -> bytes:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                stubborn.set()
        return b"too late"

    instance = guest.make(ask)
    call = guest.start(instance, "ask")
    await started.wait()
    instance.cancel("operation-timeout")
    assert (await call).failure.reason == "operation-timeout"
    assert stubborn.is_set()
    release.set()
    await asyncio.sleep(0.01)
    assert instance.closed


async def test_cancelling_from_inside_the_host_function_ends_the_call(guest: Any) -> None:
    def value(data: bytes) -> bytes:
        instance.cancel("cancelled")
        return b""

    async def coroutine(data: bytes) -> bytes:
        instance.cancel("cancelled")
        await asyncio.Event().wait()
        return b""

    for ask in (value, coroutine):
        instance = guest.make(ask)
        assert (await guest.run(instance, "ask")).failure.reason == "cancelled"


async def test_cancelling_a_call_that_waits_for_its_turn_ends_it_before_it_ran(make_engine: Any, guest_of: Any) -> None:
    # A slice that no call uses up, also where the machine runs something else in the middle of one.
    guest = await guest_of(make_engine(turn_ms=0.2, slice_ms=10_000))
    asked: list[bytes] = []

    def ask(data: bytes) -> bytes:
        asked.append(data)
        return b""

    calls = []
    for _ in range(300):
        instance = guest.make(ask)
        call = guest.start(instance, "ask", b"x")
        if not call.done():
            instance.cancel("shutting-down")
            calls.append(call)
    ran = len(asked)
    results = await asyncio.gather(*calls)
    assert calls
    assert {result.failure.reason for result in results} == {"shutting-down"}
    assert len(asked) == ran


async def test_a_promoted_guest_that_waits_for_its_host_can_be_cancelled(guest: Any) -> None:
    waiting = asyncio.Event()

    async def ask(data: bytes) -> bytes:
        waiting.set()
        await asyncio.Event().wait()
        return b""

    instance = guest.make(ask)
    call = guest.start(instance, "work_and_ask", await work_of(guest, 40), cpu_ms=10_000)
    await waiting.wait()
    instance.cancel("cancelled")
    result = await call
    assert (result.failure.reason, result.promoted) == ("cancelled", True)


async def test_closing_an_instance_ends_its_call(guest: Any) -> None:
    instance = guest.make()
    call = guest.start(instance, "spin", cpu_ms=60_000)
    instance.close()
    assert (await call).failure.reason == "closed"
    assert instance.closed
    instance.close()


async def test_closing_the_engine_ends_spinning_waiting_and_queued_calls(make_engine: Any, guest_of: Any) -> None:
    engine = make_engine()
    guest = await guest_of(engine)

    async def ask(data: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    calls = [guest.start(guest.make(), "spin", cpu_ms=60_000) for _ in range(3)]
    calls += [guest.start(guest.make(ask), "ask") for _ in range(3)]
    calls += [guest.start(guest.make(), "echo") for _ in range(3)]
    await engine.close()
    results = await asyncio.gather(*calls)
    assert {result.failure.reason for result in results if result.failure} == {"closed"}
    assert engine.instances == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("theater-bus-guest")]


async def test_thousands_of_guests_wait_for_their_host_at_once(guest: Any) -> None:
    gate = asyncio.Event()
    waiting = 0

    async def ask(data: bytes) -> bytes:
        nonlocal waiting
        waiting += 1
        await gate.wait()
        return data

    count = 3_000 if guest.is_component else 10_000
    calls = []
    for number in range(count):
        calls.append(guest.start(guest.make(ask), "ask", b"%d" % number))
        if number % 100 == 0:
            await asyncio.sleep(0)
    while waiting < count:
        await asyncio.sleep(0)
    assert guest.engine.instances == count
    gate.set()
    results = await asyncio.gather(*calls)
    assert [result.output for result in results] == [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("kernel_timer", [True, False])
async def test_a_turn_after_the_end_of_the_engine_starts_no_clock(
    make_engine: Any, guest_of: Any, kernel_timer: bool
) -> None:
    engine = make_engine(kernel_timer=kernel_timer)
    await (await guest_of(engine)).run((await guest_of(engine)).make(), "echo")
    ticker = engine._bind().ticker
    await engine.close()
    ticker.arm()
    assert "theater-bus-ticker" not in [thread.name for thread in threading.enumerate()]
    ticker.disarm()


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def test_ten_thousand_calls_failures_and_instances_leave_no_memory_behind(guest: Any) -> None:
    async def ask(data: bytes) -> bytes:
        if data == b"wait":
            await asyncio.sleep(0)
        return data * 600

    async def round_of(count: int) -> None:
        instance = guest.make(ask)
        for number in range(count):
            if instance.closed:
                instance = guest.make(ask)
            kind = number % 5
            if kind == 0:
                await guest.run(instance, "unreachable")
            elif kind == 1:
                call = guest.start(instance, "ask", b"wait")
                if number % 2:
                    instance.cancel("cancelled")
                await call
            else:
                await guest.run(instance, "ask", b"now")
        instance.close()

    await round_of(2000)
    gc.collect()
    before = resident_bytes()
    await round_of(10_000)
    gc.collect()
    assert resident_bytes() - before < 4_000_000
    assert guest.engine.instances == 0


async def test_calls_of_every_kind_cancelled_at_any_time_all_end_and_leave_nothing(
    make_engine: Any, guest_of: Any
) -> None:
    engine = make_engine(promoted_threads=3, turn_ms=0.5)
    guest = await guest_of(engine)
    random = Random(4711)
    work = await work_of(guest, 4)

    async def ask(data: bytes) -> bytes:
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)
        if random.random() < 0.1:
            raise LookupError("not there")
        return bytes(random.choice((0, 10, 3000, 100_000)))

    async def one() -> str:
        instance = guest.make(ask)
        symbol = random.choice(("echo", "ask", "work", "work_and_ask", "spin", "unreachable", "flood", "grow"))
        data = work if symbol.startswith("work") else struct.pack("<I", random.randrange(20))
        call = guest.start(instance, symbol, data, cpu_ms=10)
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        if random.random() < 0.3:
            instance.cancel("cancelled")
        result = await call
        assert instance.closed == (result.failure is not None)
        instance.close()
        return result.failure.reason if result.failure else "ok"

    reasons: Counter[str] = Counter()
    for _ in range(6):
        reasons.update(await asyncio.gather(*(one() for _ in range(50))))
    assert set(reasons) <= {"ok", "cancelled", "cpu-limit", "unreachable", "host-call"}
    assert reasons["ok"] > 50
    assert reasons["cancelled"] > 10
    assert engine.instances == 0


async def test_the_sleeping_clock_stops_when_nothing_runs_and_starts_again_for_a_spinning_guest(
    make_engine: Any, guest_of: Any
) -> None:
    engine = make_engine(slice_ms=0.5, kernel_timer=False)
    guest = await guest_of(engine)
    await guest.run(guest.make(), "echo")
    ticker = engine._bind().ticker
    deadline = time.monotonic() + 5
    while not ticker.parked and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    epoch = ticker.epoch
    await asyncio.sleep(0.02)
    assert (ticker.parked, ticker.epoch) == (True, epoch)
    assert (await guest.run(guest.make(), "spin", cpu_ms=10)).failure.reason == "cpu-limit"
    assert ticker.epoch > epoch


async def test_the_alarm_wakes_nobody_for_short_calls_and_goes_off_for_a_spinning_guest(
    make_engine: Any, guest_of: Any
) -> None:
    engine = make_engine(turn_ms=1000)  # the alarm is set to half of it
    guest = await guest_of(engine)
    ticker = engine._bind().ticker
    instance = guest.make()
    for _ in range(20):
        await guest.run(instance, "echo")
    await asyncio.sleep(0.6)
    assert ticker.epoch == 0
    assert (await guest.run(guest.make(), "spin", cpu_ms=10)).failure.reason == "cpu-limit"
    epoch = 0
    async with asyncio.timeout(10):
        while ticker.epoch != epoch:  # a thread that was woken before the alarm was set off may tick once more
            epoch = ticker.epoch
            await asyncio.sleep(0.05)
    assert epoch > 0


@pytest.mark.parametrize("kernel_timer", [True, False])
async def test_guests_that_spin_at_once_are_all_ended_and_others_go_on_under_either_clock(
    make_engine: Any, guest_of: Any, kernel_timer: bool
) -> None:
    engine = make_engine(kernel_timer=kernel_timer)
    guest = await guest_of(engine)
    spinning = [asyncio.create_task(guest.run(guest.make(), "spin", cpu_ms=20)) for _ in range(4)]
    instance = guest.make()
    for _ in range(50):
        assert (await guest.run(instance, "echo")).failure is None
        await asyncio.sleep(0)
    assert {(await each).failure.reason for each in spinning} == {"cpu-limit"}
