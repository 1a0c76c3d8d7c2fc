"""Deadlines of requests: none early, none forgotten, none for what has left."""

from __future__ import annotations

import asyncio
from time import monotonic

from theater_bus.bus.deadline import TICKS_PER_S, TimerWheel


async def test_everything_that_stays_expires_after_its_time_and_within_two_ticks() -> None:
    ended: dict[float, float] = {}
    done = asyncio.Event()

    def expire(due: float) -> None:
        ended[due] = monotonic()
        if len(ended) == 100:
            done.set()

    wheel: TimerWheel[float] = TimerWheel(asyncio.get_running_loop(), expire)
    # Latest first: a nearer deadline must shorten the timer that runs already.
    for number in reversed(range(200)):
        timeout_s = 0.002 * number
        due = monotonic() + timeout_s
        bucket = wheel.add(due, timeout_s)
        if number % 2:
            bucket.discard(due)
    async with asyncio.timeout(10):
        await done.wait()
    late_s = [at - due for due, at in ended.items()]
    assert min(late_s) >= -0.001
    assert max(late_s) < 2 / TICKS_PER_S + 0.2  # the machine may be busy


async def test_a_closed_wheel_expires_nothing() -> None:
    ended: list[str] = []
    loop = asyncio.get_running_loop()
    wheel: TimerWheel[str] = TimerWheel(loop, ended.append)
    wheel.add("closed", 0.01)
    wheel.close()
    other: asyncio.Future[str] = loop.create_future()
    TimerWheel(loop, other.set_result).add("open", 0.05)
    assert await asyncio.wait_for(other, 5) == "open"
    assert ended == []
