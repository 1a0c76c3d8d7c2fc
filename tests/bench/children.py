"""A supervisor with a thousand children: how long they take to be born, to be restarted all at once, and to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.turns import Turns
from theater_bus.errors import ActorError
from theater_bus.testing import RunningHost, guest, running_host

BOSS = guest("boss", Path(__file__).parents[2] / "plugins" / "supervisor" / "tests" / "guests")
CHAOS = guest("chaos")
MANIFEST = 'name = "child"\nid = "{}"\ninitial_state = 0\non_failure = "stop"\n[capabilities.runtime]\n'


async def run(console: Console, children: int) -> None:
    """Print what restarts cost: each child on its own, and all because of one."""
    logging.getLogger("theater_bus").setLevel(logging.ERROR)  # a trap is a warning with a backtrace
    table = Table(title=f"a supervisor with {children:,} children", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    table.add_column("longest turn of the loop", justify="right")
    for strategy in ("one-for-one", "one-for-all"):
        async with running_host(
            installed=["supervisor", "runtime"], max_actors=children + 10, mode="production"
        ) as host:
            await _measure(host, strategy, children, table)
    console.print(table)


async def _measure(host: RunningHost, strategy: str, children: int, table: Table) -> None:
    settings = {"strategy": strategy, "max_restarts": 1_000_000, "descendants": children, "backoff_ms": 0}
    boss = await host.spawn(
        BOSS,
        id="boss",
        capabilities={"supervisor": settings, "runtime": {}},
        limits={"timeout_ms": 600_000, "host_calls": 1_000_000},
    )
    digest = host.host.packages.hold(CHAOS.wasm).hex()

    async def born() -> None:
        for number in range(children):
            text = f'package = "sha256:{digest}"\n' + MANIFEST.format(f"boss-{number}")
            await boss.call_function("spawn", [text, None, None], keyed=False)

    if strategy == "one-for-one":
        table.add_row("born, one after another", *await _timed(born()))
    else:
        await born()
    first = dict(host.host.actors)
    failing = range(children) if strategy == "one-for-one" else range(1)
    what = "all fail at once, and are told and run again" if strategy == "one-for-one" else "one fails, all begin anew"
    table.add_row(f"{strategy}: {what}", *await _timed(_failed(host, failing, first)))
    if strategy == "one-for-one":
        table.add_row(
            "the supervisor ends, its children before it", *await _timed(boss.shutdown(wait=True, timeout=600))
        )


async def _failed(host: RunningHost, failing: range, first: dict[str, Any]) -> None:
    """Have these fail, and wait until every child is another and the supervisor has been told of all."""

    async def fail(number: int) -> None:
        with contextlib.suppress(ActorError):
            await host.theater.actor(f"boss-{number}").call_function("trap", ["unreachable"], keyed=False, timeout=600)

    await asyncio.gather(*(fail(number) for number in failing))
    keeper = host.host.actors["boss"].capabilities["supervisor"]._keeper
    names = [name for name in first if name != "boss"]
    while (
        keeper.teller.untold
        or len(host.host.actors) < len(first)
        or any(host.host.actors.get(name) in (None, first[name]) for name in names)
        or any(child.is_renewed for child in keeper._table.values())
    ):
        await asyncio.sleep(0.01)


async def _timed(work: Awaitable[object]) -> tuple[str, str]:
    started = time.perf_counter()
    async with Turns() as turns:
        await work
    return f"{time.perf_counter() - started:.2f}", f"{turns.longest_s * 1000:.0f} ms"
