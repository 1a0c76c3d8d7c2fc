"""The timer's functions alone: what is refused, how ticks follow one another, what survives."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from theater_bus import ActorError
from theater_bus.capability import CapabilityError
from theater_bus.errors import Cancelled, Internal, Overloaded, ShuttingDown, SpawnRefused
from theater_bus.testing import FakeClock
from theater_bus_timer import Timer

TICK = "theater:simple/timer.handle-tick"


def ticks(timer: Any) -> list[str]:
    assert all(function == TICK for function, _ in timer.context.enqueued)
    return [params[0] for _, params in timer.context.enqueued]


async def test_an_interval_ticks_at_once_and_again_when_its_tick_is_over(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer)
    assert await timer.call("set-interval", "a", 10) == "a"
    assert ticks(timer) == []
    await eventually(lambda: ticks(timer) == ["a"])
    timer.context.finish()
    assert ticks(timer) == []
    await eventually(lambda: ticks(timer) == ["a"])


async def test_ticks_coalesce_while_one_waits(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer, {"rate": 1000})
    await timer.call("set-interval", "slow", 1)
    await timer.call("set-interval", "watch", 1)
    for _ in range(20):
        await eventually(lambda: "watch" in ticks(timer))
        at = ticks(timer).index("watch")
        timer.context._finish(at, None)
    assert ticks(timer).count("slow") == 1


async def test_a_one_shot_ticks_once_and_frees_its_name(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer)
    assert await timer.call("set-timeout", "a", 1) == "a"
    assert await timer.call("list-timers") == [["a", None]]
    with pytest.raises(CapabilityError, match="a timer 'a' already"):
        await timer.call("set-interval", "a", 10)
    await eventually(lambda: ticks(timer) == ["a"])
    assert await timer.call("set-timeout", "a", 60_000) == "a"
    timer.context.finish()
    assert await timer.call("list-timers") == [["a", None]]
    await timer.call("clear-timeout", "a")
    assert await timer.call("list-timers") == []


async def test_a_one_shot_whose_tick_never_ran_comes_again(
    start_harness: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_timer.timer.AGAIN_S", 0.01)
    timer = await start_harness(Timer)
    await timer.call("set-timeout", "a", 1)
    await eventually(lambda: ticks(timer) == ["a"])
    timer.context.finish(Cancelled("in the mailbox"))
    assert timer.context.failures == []
    await eventually(lambda: ticks(timer) == ["a"])
    timer.context.finish()
    assert await timer.call("list-timers") == []


async def test_clearing_takes_a_waiting_tick_back(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer)
    await timer.call("set-interval", "a", 10)
    await eventually(lambda: ticks(timer) == ["a"])
    await timer.call("clear-interval", "a")
    assert ticks(timer) == []
    with pytest.raises(CapabilityError, match="no interval 'a'"):
        await timer.call("clear-interval", "a")


@pytest.mark.parametrize(
    ("function", "name", "ms", "why"),
    [
        ("set-interval", "a", 0, "0 ms is no time"),
        ("set-timeout", "a", 0, "0 ms is no time"),
        ("set-timeout", "a", 2**64 - 1, "ten years"),
        ("set-interval", "a", 9, r"timer\.rate = 100 allows\. Fix: 10 ms or more, or `rate = 112` in \[capabilities"),
        ("set-interval", "", 10, "1 to 256 bytes, this one has 0"),
        ("set-timeout", "ü" * 129, 10, "this one has 258"),
        ("set-interval", "taken", 10, "a timer 'taken' already"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_says_what_to_do(
    start_harness: Any, function: str, name: str, ms: int, why: str
) -> None:
    timer = await start_harness(Timer)
    await timer.call("set-interval", "taken", 1000)
    with pytest.raises(CapabilityError, match=why):
        await timer.call(function, name, ms)
    assert await timer.call("list-timers") == [["taken", 1000]]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\0b", "line\nline", "🕰" * 64])
async def test_any_text_is_a_name(start_harness: Any, eventually: Any, name: str) -> None:
    timer = await start_harness(Timer)
    assert await timer.call("set-timeout", name, 1) == name
    await eventually(lambda: ticks(timer) == [name])


async def test_the_number_of_timers_is_granted(start_harness: Any) -> None:
    timer = await start_harness(Timer, {"timers": 2})
    await timer.call("set-interval", "a", 1000)
    await timer.call("set-timeout", "b", 1000)
    with pytest.raises(
        CapabilityError, match=r"timer\.timers = 2 is used up\. Fix: .*`timers = 3` in \[capabilities\.timer\]"
    ):
        await timer.call("set-timeout", "c", 1000)
    await timer.call("clear-timeout", "b")
    await timer.call("set-timeout", "c", 1000)


@pytest.mark.parametrize("settings", [{"rate": 0}, {"timers": -1}, {"waiting": 0}, {"missed": "burst"}, {"speed": 1}])
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="timer"):
        await start_harness(Timer, settings)


async def test_an_actor_without_the_export_is_told_so(start_harness: Any) -> None:
    timer = await start_harness(Timer)
    timer.context.exports = {"increment"}
    with pytest.raises(CapabilityError, match=r"Fix: export `theater:simple/timer\.handle-tick"):
        await timer.call("set-interval", "a", 10)


async def test_only_so_many_ticks_wait_and_the_others_follow_in_the_order_of_their_time(
    start_harness: Any, eventually: Any
) -> None:
    timer = await start_harness(Timer, {"waiting": 2})
    for number, name in enumerate("abcde"):
        await timer.call("set-timeout", name, 1 + 2 * number)
    await eventually(lambda: len(timer.instance._late) == 3)
    assert ticks(timer) == ["a", "b"]
    await timer.call("clear-timeout", "d")
    timer.context.finish()
    assert ticks(timer) == ["b", "c"]
    timer.context.finish()
    assert ticks(timer) == ["c", "e"]


async def test_a_mailbox_that_others_fill_delays_ticks(
    start_harness: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_timer.timer.AGAIN_S", 0.01)
    timer = await start_harness(Timer)
    full = Overloaded("others")
    enqueue = timer.context.enqueue
    refusals: list[str] = []

    def refuse(*args: Any) -> None:
        refusals.append(args[0])
        raise full

    timer.context.enqueue = refuse
    await timer.call("set-interval", "a", 10)
    await eventually(lambda: len(refusals) > 2)
    timer.context.enqueue = enqueue
    await eventually(lambda: ticks(timer) == ["a"])
    assert timer.context.failures == []


async def test_failed_ticks_are_reported_once_and_do_not_end_a_timer(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer)
    await timer.call("set-interval", "a", 10)
    for error in (Internal("boom"), Internal("boom"), None, Internal("again")):
        await eventually(lambda: ticks(timer) == ["a"])
        timer.context.finish(error)
    assert [why.split(":")[0] for why in timer.context.failures] == ["tick of 'a' failed"] * 2


async def test_a_tick_that_the_actor_cannot_take_ends_its_timer_and_is_reported(
    start_harness: Any, eventually: Any
) -> None:
    timer = await start_harness(Timer)

    def refuse(*_: Any) -> None:
        raise ActorError("params[0]: expected u64")

    timer.context.enqueue = refuse
    await timer.call("set-interval", "a", 10)
    await eventually(lambda: timer.context.failures)
    assert timer.context.failures == ["timer 'a' is gone: params[0]: expected u64"]
    assert await timer.call("list-timers") == []


async def test_a_one_shot_that_the_end_of_the_actor_refuses_stays_in_the_snapshot(
    start_harness: Any, eventually: Any
) -> None:
    timer = await start_harness(Timer)
    await timer.call("set-timeout", "a", 1)
    await eventually(lambda: ticks(timer) == ["a"])
    timer.context.finish(ShuttingDown("moved"))
    snapshot = timer.instance.snapshot()
    assert timer.context.snapshots == 1
    other = await start_harness(Timer, snapshot=snapshot)
    await eventually(lambda: ticks(other) == ["a"])


async def test_what_is_restored_goes_on_and_what_was_due_ticks_once(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer, {"timers": 4})
    await timer.call("set-interval", "due", 100)
    await timer.call("set-timeout", "later", 60_000)
    await timer.call("set-timeout", "latest", 90_000)
    snapshot = timer.instance.snapshot()
    other = await start_harness(Timer, {"timers": 2, "rate": 5}, snapshot=snapshot)
    await eventually(lambda: ticks(other) == ["due"])
    assert await other.call("list-timers") == [["due", 200], ["later", None]]
    assert other.context.failures == ["1 of 3 timers did not come back: the grant timer.timers is 2 now"]
    with pytest.raises(ValueError, match="no snapshot of timers"):
        await start_harness(Timer, snapshot=b"[7]")


async def test_days_pass_by_the_clock_of_a_test(start_harness: Any) -> None:
    clock = FakeClock()
    timer = await start_harness(Timer, clock=clock)
    await timer.call("set-interval", "hourly", 3_600_000)
    await timer.call("set-timeout", "tomorrow", 86_400_000)
    came: list[tuple[str, int]] = []
    began_ms = await timer.call("now")
    await clock.advance(0)
    for _ in range(30):
        for name in ticks(timer):
            came.append((name, (await timer.call("now") - began_ms) // 3_600_000))
            timer.context.finish()
        await clock.advance(3_600)
    assert [at for name, at in came if name == "hourly"] == list(range(30))
    assert [at for name, at in came if name == "tomorrow"] == [24]
    await timer.instance.stop()
    assert clock.waiting == 0


async def test_stop_leaves_nothing_behind(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer, {"waiting": 1})
    before = asyncio.all_tasks()
    await timer.call("set-timeout", "a", 1)
    await timer.call("set-timeout", "b", 2)
    await timer.call("set-timeout", "c", 60_000)
    await eventually(lambda: len(timer.instance._late) == 1)
    await timer.instance.stop()
    timer.context.finish()
    assert ticks(timer) == []
    assert all(one.handle is None for one in timer.instance._timers.values())
    assert asyncio.all_tasks() == before


async def test_now_is_unix_time_in_milliseconds(start_harness: Any) -> None:
    timer = await start_harness(Timer)
    before = time.time() * 1000
    assert before - 1 <= await timer.call("now") <= time.time() * 1000


async def test_ten_thousand_timers_cost_the_loop_no_long_turn(start_harness: Any, eventually: Any) -> None:
    timer = await start_harness(Timer, {"timers": 10_000})
    for number in range(10_000):
        await timer.call("set-timeout", f"t{number}", 60_000)
    instance = timer.instance
    for one in instance._timers.values():
        one.due = instance._now()
        instance._arm(one)
    began, ran = time.perf_counter(), 0
    while instance._timers:
        await eventually(lambda: timer.context.enqueued)
        timer.context.finish()
        ran += 1
    assert ran == 10_000
    assert time.perf_counter() - began < 10
