"""Ten thousand idle actors in one host: memory each, time to spawn, latency of a call among them."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.guest import echo_manifest, echo_wasm
from theater_bus import connect
from theater_bus.bus import EmbeddedServer
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.host.spawning import SpawnRequest


def resident_bytes() -> int:
    """What this process holds in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


async def run(console: Console, actors: int) -> None:
    """Print what the actors cost."""
    async with EmbeddedServer() as server:
        host = await Host.start(HostSettings(servers=(server.url,), host_id="bench"))
        wasm, manifest = echo_wasm(), echo_manifest()
        await host.spawn(SpawnRequest(manifest, wasm, "first"))
        before, started = resident_bytes(), time.perf_counter()
        for base in range(0, actors, 64):
            await asyncio.gather(
                *(
                    host.spawn(SpawnRequest(manifest, wasm, f"idle-{number}"))
                    for number in range(base, min(base + 64, actors))
                )
            )
        spawning = time.perf_counter() - started
        each = (resident_bytes() - before) / actors
        async with connect(server.url) as theater:
            times = []
            for _ in range(2_000):
                handle = theater.actor(f"idle-{random.randrange(actors)}")
                began = time.perf_counter()
                await handle.call_function("echo", [b"x" * 64], keyed=False)
                times.append(time.perf_counter() - began)
        after = (resident_bytes() - before) / actors
        table = Table(title=f"{actors:,} idle actors in one host", title_justify="left")
        table.add_column("what")
        table.add_column("value", justify="right")
        table.add_row("memory each, all included", f"{each / 1024:.1f} KB")
        table.add_row("memory each, after 2,000 calls among them", f"{after / 1024:.1f} KB")
        table.add_row("spawns a second, module cached", f"{actors / spawning:,.0f}")
        table.add_row("call among them, p50", f"{statistics.median(times) * 1e6:.0f} µs")
        table.add_row("call among them, p99", f"{sorted(times)[len(times) * 99 // 100] * 1e6:.0f} µs")
        console.print(table)
        await host.close()
