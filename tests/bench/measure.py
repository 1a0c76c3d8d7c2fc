"""Numbers that can be compared on a noisy machine: interleaved rounds, medians, CPU time beside the clock."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one way: seconds at the 50th percentile in sequence, calls a second at 64, CPU µs a call."""

    p50_s: float
    rate: float
    client_us: float
    server_us: float


def cpu_us(pid: int | str) -> float:
    """CPU time of all threads of a process so far, in microseconds (Linux schedstat)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


async def sample(call: Call, server_pid: int, calls: int, concurrency: int = 64) -> Sample:
    """Call in sequence, then `concurrency` at a time."""
    times = []
    for _ in range(max(50, calls // 20)):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)

    async def worker() -> None:
        for _ in range(calls // concurrency):
            await call()

    server, client = cpu_us(server_pid), cpu_us("self")
    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds = time.perf_counter() - started
    done = calls // concurrency * concurrency
    return Sample(
        statistics.median(times),
        done / seconds,
        (cpu_us("self") - client) / done,
        (cpu_us(server_pid) - server) / done,
    )


def ratio(ours: Sequence[float], baseline: Sequence[float]) -> float:
    """Median over rounds of ours / baseline in the same round."""
    return statistics.median(a / b for a, b in zip(ours, baseline, strict=True))


def best_us(work: Callable[[], object], number: int = 2_000, repeat: int = 9) -> float:
    """The best of several runs, in microseconds a call: for micro costs in one process."""
    best = float("inf")
    for _ in range(repeat):
        started = time.perf_counter()
        for _ in range(number):
            work()
        best = min(best, time.perf_counter() - started)
    return best / number * 1e6
