"""A thousand TCP connections to one actor that sends back what it gets, beside asyncio's own streams doing the same."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.idle import resident_bytes
from theater_bus.testing import guest, running_host

GUESTS = Path(__file__).resolve().parents[2] / "plugins" / "tcp" / "tests" / "guests"
MESSAGE = b"x" * 64


async def run(console: Console, connections: int, rounds: int) -> None:
    """Print what opening them takes, and a round in which each sends and gets 64 bytes."""
    _allow_files(2 * connections + 256)
    peer = await asyncio.to_thread(guest, "peer", GUESTS)
    granted = {"listen": ["127.0.0.1:*"], "connections": connections, "backlog": 256, "waiting": 64}
    async with running_host(installed=["tcp"]) as host:
        actor = await host.spawn(peer, id="server", capabilities={"tcp": granted})
        await actor.call_function("plan", ["quiet", ""])
        listener = await actor.call_function("listen", ["127.0.0.1:0"])
        address = await actor.call_function("local-address", [listener])
        ours = await _measure(address, connections, rounds)
        tcp: Any = host.host.actors["server"].capabilities["tcp"]
        async with asyncio.timeout(60):
            while tcp.list_connections():
                await asyncio.sleep(0.01)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(_echo, "127.0.0.1", 0, backlog=256))
        host_name, port = server.sockets[0].getsockname()
        theirs = await _measure(f"{host_name}:{port}", connections, rounds)
    table = Table(title=f"{connections:,} TCP connections to one actor", title_justify="left")
    for column in ("what", "actor", "asyncio streams"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, mine, other in zip(("all open", "a round, each 64 bytes both ways"), ours[:2], theirs[:2], strict=True):
        table.add_row(what, f"{mine:.2f} s", f"{other:.2f} s")
    table.add_row("memory each, both ends", f"{ours[2] / 1024:.1f} KB", "")
    console.print(table)


async def _measure(address: str, connections: int, rounds: int) -> tuple[float, float, float]:
    """Seconds until all are open, seconds for the median round, bytes for each."""
    host, port = address.split(":")
    before, began = resident_bytes(), time.perf_counter()
    streams = []
    for at in range(0, connections, 100):
        some = (asyncio.open_connection(host, int(port)) for _ in range(min(100, connections - at)))
        streams += await asyncio.gather(*some)
    await _round(streams)
    opened, held = time.perf_counter() - began, (resident_bytes() - before) / connections
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await _round(streams)
        times.append(time.perf_counter() - began)
    for _, writer in streams:
        writer.close()
    await asyncio.gather(*(reader.read() for reader, _ in streams))
    await asyncio.gather(*(writer.wait_closed() for _, writer in streams))
    return opened, sorted(times)[len(times) // 2], held


async def _round(streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    for _, writer in streams:
        writer.write(MESSAGE)
    for answer in await asyncio.gather(*(reader.readexactly(len(MESSAGE)) for reader, _ in streams)):
        assert answer == MESSAGE


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )
