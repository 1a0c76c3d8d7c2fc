"""Request-reply in two processes: raw nats-py, FastStream, and actors untraced, sampled and unsampled."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle

import nats
from rich.console import Console
from rich.table import Table

from tests.bench.measure import Call, Sample, ratio, sample
from tests.bench.responder import SUBJECT, telemetry
from theater_bus import connect
from theater_bus.bus import EmbeddedServer

ACTORS = 64


@asynccontextmanager
async def responder(kind: str, url: str, actors: int) -> AsyncIterator[int]:
    """The other process; gives its pid."""
    command = [sys.executable, "-m", "tests.bench.responder", kind, url, str(actors)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            line = await process.stdout.readline()
        if line.strip() != b"READY":
            raise RuntimeError(f"{kind} did not start")
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def run(console: Console, rounds: int, calls: int) -> None:
    """Print one table for each payload size."""
    async with EmbeddedServer() as server, AsyncExitStack() as stack:
        url = server.url
        pids = {"raw": await stack.enter_async_context(responder("raw", url, 0))}
        pids["faststream"] = await stack.enter_async_context(responder("faststream", url, 0))
        client = await nats.connect(url)
        stack.push_async_callback(client.close)
        from faststream.nats import NatsBroker

        broker = NatsBroker(url, logger=None)
        await broker.start()
        stack.push_async_callback(broker.stop)
        for size in (64, 1024):
            payload = b"x" * size
            ways: dict[str, tuple[Call, int]] = {
                "raw nats-py": (lambda payload=payload: client.request(SUBJECT, payload, timeout=10), pids["raw"]),
                "FastStream RPC": (
                    lambda payload=payload: broker.request(payload, f"{SUBJECT}.faststream", timeout=10),
                    pids["faststream"],
                ),
            }
            results = await _interleaved(url, ways, payload, rounds, calls)
            console.print(_table(size, results))


async def _interleaved(
    url: str, ways: dict[str, tuple[Call, int]], payload: bytes, rounds: int, calls: int
) -> dict[str, list[Sample]]:
    results: dict[str, list[Sample]] = {}
    async with AsyncExitStack() as stack:
        for kind, sampled in (("host", None), ("host-sampled", True), ("host-unsampled", False)):
            # A host of its own for each, so that what it keeps for one kind does not weigh on another.
            namespace_url = url
            pid = await stack.enter_async_context(responder(kind, namespace_url, ACTORS))
            theater = await stack.enter_async_context(connect(url, telemetry=telemetry(sampled)))
            one = _caller(theater, payload, [0])
            many = _caller(theater, payload, list(range(ACTORS)))
            label = {"host": "untraced", "host-sampled": "traced, sampled", "host-unsampled": "traced, unsampled"}[kind]
            here = {**ways, f"{label}, one actor": (one, pid), f"{label}, {ACTORS} actors": (many, pid)}
            for call, _ in here.values():
                for _ in range(200):
                    await call()
            for _ in range(rounds):
                for name, (call, server_pid) in here.items():
                    found = await sample(call, server_pid, calls)
                    key = name if name not in ways else f"{name} (beside {label})"
                    results.setdefault(key, []).append(found)
            await stack.pop_all().aclose()
    return results


def _caller(theater, payload: bytes, numbers: list[int]) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    handles = cycle([theater.actor(f"echo-{number}") for number in numbers])
    params = [payload]
    return lambda: next(handles).call_function("echo", params, keyed=False)


def _table(size: int, results: dict[str, list[Sample]]) -> Table:
    table = Table(title=f"request-reply, {size} B: ratios to raw nats-py in the same rounds", title_justify="left")
    for heading in ("way", "p50 x", "64 at once x", "client CPU µs", "server CPU µs", "calls/s at 64"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    baseline: list[Sample] = []
    for name, samples in results.items():
        if name.startswith("raw"):
            baseline = samples
        middle = sorted(samples, key=lambda s: s.rate)[len(samples) // 2]
        table.add_row(
            name,
            f"{ratio([s.p50_s for s in samples], [s.p50_s for s in baseline]):.2f}",
            f"{ratio([s.rate for s in samples], [s.rate for s in baseline]):.2f}",
            f"{middle.client_us:.0f}",
            f"{middle.server_us:.0f}",
            f"{middle.rate:,.0f}",
        )
    return table
