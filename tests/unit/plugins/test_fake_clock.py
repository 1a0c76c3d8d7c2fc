"""The clock that tests move: nothing happens before its moment, everything in order, nothing twice."""

import asyncio

import pytest

from theater_bus.capability.clock import SystemTime
from theater_bus.testing import FakeClock


async def test_calls_come_at_their_moment_in_order() -> None:
    clock, came = FakeClock(monotonic_ns=0), list[tuple[str, int]]()

    def note(name: str) -> None:
        came.append((name, clock.monotonic_ns()))

    clock.call_later(2, note, "b")
    clock.call_later(1, note, "a")
    clock.call_later(2, note, "c")
    clock.call_later(3, note, "late")
    await clock.advance(2.5)
    assert came == [("a", 1_000_000_000), ("b", 2_000_000_000), ("c", 2_000_000_000)]
    assert (clock.monotonic_ns(), clock.waiting) == (2_500_000_000, 1)


async def test_what_is_asked_for_on_the_way_comes_on_the_way() -> None:
    clock, came = FakeClock(monotonic_ns=0), list[int]()

    def again() -> None:
        came.append(clock.monotonic_ns() // 1_000_000_000)
        clock.call_later(1, again)

    clock.call_later(1, again)
    await clock.advance(4)
    assert came == [1, 2, 3, 4]


async def test_a_cancelled_call_does_not_come() -> None:
    clock, came = FakeClock(), list[str]()
    call = clock.call_later(1, came.append, "never")
    at_once = clock.call_later(0, came.append, "neither")
    call.cancel()
    call.cancel()
    at_once.cancel()
    await clock.advance(2)
    assert came == []


async def test_what_is_due_at_once_needs_no_advance() -> None:
    clock, came = FakeClock(), list[str]()
    clock.call_later(-1, came.append, "at once")
    assert came == []
    await clock.settle()
    assert came == ["at once"]


async def test_sleepers_wake_in_order_and_a_cancelled_one_leaves_nothing() -> None:
    clock, woken = FakeClock(), list[str]()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)
        await clock.sleep(seconds)
        woken.append(f"{name} again")

    tasks = [asyncio.create_task(sleeper(name, seconds)) for name, seconds in (("slow", 3), ("fast", 2), ("off", 1))]
    await clock.settle()
    tasks[2].cancel()
    await clock.advance(4)
    assert woken == ["fast", "slow", "fast again"]
    assert clock.waiting == 1
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.waiting == 0


async def test_the_calendar_can_be_set_and_the_other_clock_does_not_notice() -> None:
    clock = FakeClock(unix_ns=5_000, monotonic_ns=1_000)
    await clock.advance(1e-6)
    assert (clock.unix_ns(), clock.monotonic_ns()) == (6_000, 2_000)
    clock.set_unix(10)
    assert (clock.unix_ns(), clock.monotonic_ns()) == (10, 2_000)


async def test_the_clock_of_a_host_goes_by_itself() -> None:
    clock = SystemTime()
    before, unix = clock.monotonic_ns(), clock.unix_ns()
    await clock.sleep(0.01)
    called = asyncio.Event()
    clock.call_later(0.001, called.set)
    await called.wait()
    assert clock.monotonic_ns() - before >= 9_000_000
    assert clock.unix_ns() == pytest.approx(unix, abs=3_600e9)
