"""Ten thousand timers in one process: what they take at rest, and how soon their ticks are done when all are due."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.idle import resident_bytes
from tests.bench.measure import cpu_us
from tests.bench.turns import Turns
from theater_bus.testing import guest, running_host

TICKER = guest("ticker", Path(__file__).parents[2] / "plugins" / "timer" / "tests" / "guests")
EACH = 500
REST_S = 20.0


async def run(console: Console, timers: int) -> None:
    """Print what the timers cost. All are intervals of 20 s, set within a few seconds of one another."""
    table = Table(title=f"{timers:,} intervals of 20 s, {EACH} for each actor", title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    async with running_host(installed=["timer"], mode="production") as host:
        capabilities = {"timer": {"timers": EACH, "waiting": 64}}
        actors = [
            await host.spawn(TICKER, id=f"ticker-{number}", capabilities=capabilities)
            for number in range(timers // EACH)
        ]
        before, started = resident_bytes(), time.perf_counter()
        for number in range(EACH):
            await asyncio.gather(
                *(actor.call_function("every", [f"t{number}", 20_000], keyed=False) for actor in actors)
            )
        table.add_row("set, and ticked once, each", f"{(time.perf_counter() - started) / timers * 1e6:.0f} µs")
        table.add_row("memory each", f"{(resident_bytes() - before) / timers / 1024:.1f} KB")
        cpu = cpu_us("self")
        await asyncio.sleep(REST_S)
        table.add_row("share of a core over a whole interval", f"{(cpu_us('self') - cpu) / 1e6 / REST_S:.1%}")
        loop, done = asyncio.get_running_loop(), [await actor.call_function("ticks") for actor in actors]
        for actor in actors:
            for timer in host.host.actors[actor.id].capabilities["timer"]._timers.values():
                timer.due = loop.time()
                host.host.actors[actor.id].capabilities["timer"]._arm(timer)
        started = time.perf_counter()
        async with Turns() as turns:
            for actor, ticks in zip(actors, done, strict=True):
                while await actor.call_function("ticks") < ticks + EACH:
                    await asyncio.sleep(0.005)
        table.add_row("all due at the same moment, done after", f"{time.perf_counter() - started:.2f} s")
        table.add_row("longest turn of the loop meanwhile", f"{turns.longest_s * 1000:.0f} ms")
    console.print(table)
