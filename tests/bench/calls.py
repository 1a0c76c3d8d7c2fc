"""Host calls, and messages between actors: on one host, and on two in processes of their own.

A guest makes many calls within one operation; what the operation costs without them is measured apart and taken off.
`python -m tests.bench.calls URL ID…` is the other host.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
from rich.console import Console
from rich.table import Table

from tests.bench.measure import ratio, sample
from tests.bench.responder import SUBJECT
from tests.bench.rpc import responder
from theater_bus.bus import EmbeddedServer
from theater_bus.capability import Capability
from theater_bus.client.actor import ActorHandle
from theater_bus.testing import RunningHost, build_guest, running_host

SIZE = 64
SOURCE = Path(__file__).with_name("calls.c")
PACT = """
interface bench {
    @package: string = "test:bench"
    exports {
        plain: func() -> u64
        waiting: func() -> u64
        turn: func() -> u64
    }
}
"""


class Bench(Capability):
    """A function that returns, a coroutine that returns, and one that waits for a turn of the loop."""

    name = "bench"
    pact = PACT

    def plain(self) -> int:
        return 1

    async def waiting(self) -> int:
        return 1

    async def turn(self) -> int:
        await asyncio.sleep(0)
        return 1


@asynccontextmanager
async def host(url: str, host_id: str, ids: list[str]) -> AsyncIterator[RunningHost]:
    """A host with these actors."""
    wasm = await asyncio.to_thread(build_guest, SOURCE)
    server = _Given(url)
    async with running_host(Bench, installed=["messages"], server=server, host_id=host_id, mode="production") as found:  # type: ignore[arg-type]
        for id in ids:
            await found.spawn(
                wasm, id=id, state=0, capabilities={"bench": {}, "messages": {"to": ["*"]}}, name="bench", chain={}
            )
        yield found


class _Given:
    """A server that runs already."""

    def __init__(self, url: str) -> None:
        self.url = url


async def _seconds(actor: ActorHandle, function: str, count: int, *params: object) -> float:
    """What one call costs among `count` in one operation."""
    times = []
    for many in (0, count):
        started = time.perf_counter()
        done = await actor.call_function(function, [many, *params], keyed=False)
        times.append(time.perf_counter() - started)
        if done != many:
            raise RuntimeError(f"{function}: {done} of {many} calls were answered ok")
    return max(times[1] - times[0], 1e-9) / count


async def _sends(a: ActorHandle, b: ActorHandle, count: int, to: str) -> float:
    """What one send costs until it was taken."""
    before = await b.get_state()
    started = time.perf_counter()
    await a.call_function("send", [count, to, SIZE], keyed=False)
    while await b.get_state() < before + count:
        await asyncio.sleep(0.001)
    return (time.perf_counter() - started) / count


async def run(console: Console, rounds: int, calls: int) -> None:
    """Print a table; ratios are to a raw nats-py request in the same rounds, one after another."""
    found: dict[str, list[float]] = {}
    async with EmbeddedServer() as server, AsyncExitStack() as stack:
        raw_pid = await stack.enter_async_context(responder("raw", server.url, 0))
        client = await nats.connect(server.url)
        stack.push_async_callback(client.close)
        here = await stack.enter_async_context(host(server.url, "one", ["a", "b"]))
        await stack.enter_async_context(_other(server.url, ["c"]))
        a, b, c = (here.theater.actor(id) for id in "abc")
        payload = b"x" * SIZE

        async def raw() -> object:
            return await client.request(SUBJECT, payload, timeout=10)

        for number in range(rounds + 1):
            measured = {
                "raw nats-py request": (await sample(raw, raw_pid, calls)).p50_s,
                "host call, plain function": await _seconds(a, "plain", calls),
                "host call, coroutine that returns": await _seconds(a, "waiting", calls),
                "host call, coroutine that waits a turn": await _seconds(a, "turn", calls),
                "request, one host": await _seconds(a, "request", calls // 4, "b", SIZE),
                "request, two hosts": await _seconds(a, "request", calls // 4, "c", SIZE),
                "send, one host": await _sends(a, b, calls // 4, "b"),
                "send, two hosts": await _sends(a, c, calls // 4, "c"),
            }
            if number:  # the first round warms up
                for name, seconds in measured.items():
                    found.setdefault(name, []).append(seconds)
    table = Table(title=f"host calls and messages, {SIZE} B, one after another", title_justify="left")
    for heading in ("what", "µs", "x raw nats-py"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    baseline = found["raw nats-py request"]
    for name, times in found.items():
        table.add_row(name, f"{statistics.median(times) * 1e6:.0f}", f"{ratio(times, baseline):.2f}")
    console.print(table)


@asynccontextmanager
async def _other(url: str, ids: list[str]) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tests.bench.calls", url, *ids]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            line = await process.stdout.readline()
        if line.strip() != b"READY":
            raise RuntimeError("the other host did not start")
        yield
    finally:
        process.kill()
        await process.wait()


async def _serve(url: str, ids: list[str]) -> None:
    async with host(url, "two", ids):
        print("READY", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2:]))
