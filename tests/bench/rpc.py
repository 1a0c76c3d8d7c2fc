"""Request-reply in two processes: raw nats-py, FastStream, and actors untraced, sampled and unsampled."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import cycle

import nats
from rich.console import Console
from rich.table import Table

from tests.bench.measure import Call, Sample, ratio, sample
from tests.bench.responder import SUBJECT, telemetry
from theater_bus import connect
from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.bus.message import Outcome

ACTORS = 64
LABELS = {
    "host": "untraced",
    "host-sampled": "traced, sampled",
    "host-otlp": "traced, over OTLP",
    "host-unsampled": "traced, unsampled",
}
KINDS = tuple(LABELS)


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


@asynccontextmanager
async def _sink() -> AsyncIterator[str]:
    """A collector in a process of its own; gives its URL for spans."""
    command = [sys.executable, "-m", "tests.bench.sink"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield line.decode().removeprefix("READY").strip()
    finally:
        process.kill()
        await process.wait()


async def run(console: Console, rounds: int, calls: int, kinds: Sequence[str] = KINDS) -> None:
    """Print one table for each payload size; `kinds` are the hosts to measure."""
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
        connection = await Connection.open(BusSettings(servers=(url,)))
        stack.push_async_callback(connection.close)
        for size in (64, 1024):
            payload = b"x" * size
            ways: dict[str, tuple[Call, int]] = {
                "raw nats-py": (partial(client.request, SUBJECT, payload, timeout=10), pids["raw"]),
                # The same responder, asked through our reply mux: what the host adds, without what the client saves.
                "raw, our client": (partial(_request, connection, payload), pids["raw"]),
                "FastStream RPC": (
                    partial(broker.request, payload, f"{SUBJECT}.faststream", timeout=10),
                    pids["faststream"],
                ),
            }
            results = await _interleaved(url, ways, payload, rounds, calls, kinds)
            console.print(_table(size, results))


async def _interleaved(
    url: str, ways: dict[str, tuple[Call, int]], payload: bytes, rounds: int, calls: int, kinds: Sequence[str]
) -> dict[str, list[Sample]]:
    results: dict[str, list[Sample]] = {}
    async with AsyncExitStack() as stack:
        for kind in kinds:
            # A host of its own for each, so that what it keeps for one kind does not weigh on another.
            if kind == "host-otlp":
                os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = await stack.enter_async_context(_sink())
            pid = await stack.enter_async_context(responder(kind, url, ACTORS))
            reported = telemetry(kind)
            if reported._provider is not None:
                stack.callback(reported._provider.shutdown)  # while the sink is still there
            theater = await stack.enter_async_context(connect(url, telemetry=reported))
            one = _caller(theater, payload, [0])
            many = _caller(theater, payload, list(range(ACTORS)))
            label = LABELS[kind]
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


def _request(connection: Connection, payload: bytes) -> Awaitable[Outcome]:
    reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    connection.request(SUBJECT, payload, timeout_s=10, on_reply=reply.set_result)
    return reply


def _caller(theater, payload: bytes, numbers: list[int]) -> Call:  # type: ignore[no-untyped-def]
    handles = cycle([theater.actor(f"echo-{number}") for number in numbers])
    params = [payload]
    return lambda: next(handles).call_function("echo", params, keyed=False)


def _table(size: int, results: dict[str, list[Sample]]) -> Table:
    table = Table(title=f"request-reply, {size} B: ratios to raw nats-py in the same rounds", title_justify="left")
    for heading in ("way", "p50 x", "64 at once x", "client CPU µs", "server CPU µs", "calls/s at 64"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    baseline: list[Sample] = []
    for name, samples in results.items():
        if name.startswith("raw nats-py"):
            baseline = samples
        table.add_row(
            name,
            f"{ratio([s.p50_s for s in samples], [s.p50_s for s in baseline]):.2f}",
            f"{ratio([s.rate for s in samples], [s.rate for s in baseline]):.2f}",
            f"{statistics.median(s.client_us for s in samples):.0f}",
            f"{statistics.median(s.server_us for s in samples):.0f}",
            f"{statistics.median(s.rate for s in samples):,.0f}",
        )
    return table
