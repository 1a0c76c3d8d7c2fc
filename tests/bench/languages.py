"""Components by language: a call beside a Pack call and plain nats-py, HTTP, start, memory, many in one host."""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
from rich.console import Console
from rich.table import Table

from tests.bench.component_guests import compiled_folder, component, component_manifest, component_state
from tests.bench.idle import resident_bytes
from tests.bench.measure import Call, Sample, ratio, sample
from tests.bench.responder import COMPONENTS, SUBJECT
from tests.bench.rpc import responder
from theater_bus import connect
from theater_bus.bus import EmbeddedServer
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.host.spawning import SpawnRequest

SIZES = (64, 1024, 64 * 1024)
LANGUAGES = ("counter-c", "counter-go-alone", "probe-javascript", "probe-python")
MANY = {"counter-c": 1_000, "probe-javascript": 1_000, "probe-python": 1_000}


async def run(console: Console, quick: bool) -> None:
    """Print everything."""
    await calls(console, 3 if quick else 7, quick)
    await web(console, 3 if quick else 7)
    await starts(console, 1 if quick else 3)
    await memory(console, 20 if quick else 50)
    await many(console, 10 if quick else 1)


async def calls(console: Console, rounds: int, quick: bool) -> None:
    """One call, by payload, as list and as string; every way in turn, round by round."""
    async with EmbeddedServer() as server, AsyncExitStack() as stack:
        raw = await stack.enter_async_context(responder("raw", server.url, 0))
        host = await stack.enter_async_context(responder("components", server.url, 0))
        client = await nats.connect(server.url)
        stack.push_async_callback(client.close)
        theater = await stack.enter_async_context(connect(server.url))
        for size in SIZES:
            data, text = b"x" * size, "x" * size
            ways: dict[str, tuple[Call, int]] = {
                "raw nats-py": (partial(client.request, SUBJECT, data, timeout=10), raw),
                "Pack, list<u8>": (_call(theater, "pack", "test:echo/plain.bytes", data), host),
                "Pack, string": (_call(theater, "pack", "test:echo/plain.string", text), host),
            }
            for name in COMPONENTS:
                ways[f"{name}, list<u8>"] = (_call(theater, name, "echo-bytes", data), host)
                ways[f"{name}, string"] = (_call(theater, name, "echo", text), host)
            results: dict[str, list[Sample]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, (call, pid) in ways.items():
                    results[name].append(await sample(call, pid, 640 if quick or size > 1024 else 1_920))
            console.print(_table(f"one call, {size:,} B: ratios to raw nats-py in the same rounds", results))


async def web(console: Console, rounds: int) -> None:
    """HTTP through the handle, one request after another and 64 at a time."""
    async with EmbeddedServer() as server, AsyncExitStack() as stack:
        host = await stack.enter_async_context(responder("web", server.url, 0))
        theater = await stack.enter_async_context(connect(server.url))
        results: dict[str, list[Sample]] = {}
        for _ in range(rounds):
            for name in ("web-python", "web-javascript"):
                for size in (0, 4_096, 65_536):
                    call = _request(theater, name, b"x" * size)
                    found = await sample(call, host, 192)
                    results.setdefault(f"{name}, {f'POST {size:,} B' if size else 'GET'}", []).append(found)
        table = Table(title="HTTP through the handle", title_justify="left")
        for heading in ("request", "p50 ms", "client CPU ms", "host CPU ms", "requests/s at 64"):
            table.add_column(heading, justify="left" if heading == "request" else "right")
        for name, samples in results.items():
            table.add_row(
                name,
                f"{statistics.median(one.p50_s for one in samples) * 1e3:.2f}",
                f"{statistics.median(one.client_us for one in samples) / 1e3:.2f}",
                f"{statistics.median(one.server_us for one in samples) / 1e3:.2f}",
                f"{statistics.median(one.rate for one in samples):,.0f}",
            )
        console.print(table)


async def starts(console: Console, rounds: int) -> None:
    """From a host that has just started to the first answer, without and with what an earlier host compiled."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name in LANGUAGES:
            with TemporaryDirectory() as folder:
                cold, warm = [await _first_answer(name, Path(folder)) for _ in range(2)]
            found.setdefault(name, []).append((cold, warm))
    table = Table(title="from a new host to the first answer", title_justify="left")
    for heading in ("component", "size", "nothing cached, s", "compiled before, ms"):
        table.add_column(heading, justify="left" if heading == "component" else "right")
    for name, times in found.items():
        cold, warm = (statistics.median(side) for side in zip(*times, strict=True))
        table.add_row(name, f"{len(component(name)) / 1e6:.2f} MB", f"{cold:.2f}", f"{warm * 1e3:.1f}")
    console.print(table)


async def memory(console: Console, actors: int) -> None:
    """What an idle actor holds, before and after its first call."""
    table = Table(title=f"memory per idle actor, {actors} of each", title_justify="left")
    for heading in ("component", "spawned, KiB", "after one call, KiB", "spawn, ms"):
        table.add_column(heading, justify="left" if heading == "component" else "right")
    for name in LANGUAGES:
        spawned, called, spawning, _ = await _actors(name, actors)
        table.add_row(name, f"{spawned / 1024:,.0f}", f"{called / 1024:,.0f}", f"{spawning * 1e3:.2f}")
    console.print(table)


async def many(console: Console, divisor: int) -> None:
    """A thousand in one host, and a call among them."""
    table = Table(title="component actors in one host", title_justify="left")
    for heading in ("component", "actors", "spawns/s", "memory each, KiB", "call p50, µs", "call p99, µs"):
        table.add_column(heading, justify="left" if heading == "component" else "right")
    for name, count in MANY.items():
        actors = count // divisor
        _, called, spawning, times = await _actors(name, actors)
        p50, p99 = (times[len(times) * part // 100] * 1e6 for part in (50, 99))
        row = (f"{actors:,}", f"{1 / spawning:,.0f}", f"{called / 1024:,.0f}", f"{p50:,.0f}", f"{p99:,.0f}")
        table.add_row(name, *row)
    console.print(table)


async def _actors(name: str, actors: int) -> tuple[float, float, float, list[float]]:
    """Bytes each when spawned and when called, seconds to spawn one, and the times of calls among them, in order."""
    wasm, manifest = component(name), component_manifest(name)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedServer())
        settings = HostSettings(servers=(server.url,), cache_dir=compiled_folder())
        host = await stack.enter_async_context(await Host.start(settings))
        await host.spawn(SpawnRequest(manifest, wasm, "first", component_state(name)))
        gc.collect()
        before, started = resident_bytes(), time.perf_counter()
        for number in range(actors):
            await host.spawn(SpawnRequest(manifest, wasm, f"idle-{number}", component_state(name)))
        spawning = (time.perf_counter() - started) / actors
        spawned = (resident_bytes() - before) / actors
        times = []
        async with connect(server.url) as theater:
            for number in range(actors):
                began = time.perf_counter()
                await theater.actor(f"idle-{number}").call_function("get", [], keyed=False)
                times.append(time.perf_counter() - began)
        return spawned, (resident_bytes() - before) / actors, spawning, sorted(times)


async def _first_answer(name: str, cache: Path) -> float:
    async with EmbeddedServer() as server:
        wasm, manifest = component(name), component_manifest(name)
        started = time.perf_counter()
        async with await Host.start(HostSettings(servers=(server.url,), cache_dir=cache)) as host:
            await host.spawn(SpawnRequest(manifest, wasm, "first", component_state(name)))
            async with connect(server.url) as theater:
                await theater.actor("first").call_function("get", [])
                return time.perf_counter() - started


def _call(theater, actor: str, function: str, payload: bytes | str) -> Call:  # type: ignore[no-untyped-def]
    handle = theater.actor(actor)
    return lambda: handle.call_function(function, [payload], keyed=False)


def _request(theater, actor: str, body: bytes) -> Call:  # type: ignore[no-untyped-def]
    handle = theater.actor(actor)
    method, path = ("POST", "/echo") if body else ("GET", "/")
    return lambda: handle.handle_wasi_http_request(method, "http", "localhost", path, [], body)


def _table(title: str, results: dict[str, list[Sample]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("way", "p50 x", "p50 µs", "64 at once x", "client CPU µs", "server CPU µs"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    baseline = results["raw nats-py"]
    for name, samples in results.items():
        table.add_row(
            name,
            f"{ratio([s.p50_s for s in samples], [s.p50_s for s in baseline]):.2f}",
            f"{statistics.median(s.p50_s for s in samples) * 1e6:.0f}",
            f"{ratio([s.rate for s in samples], [s.rate for s in baseline]):.2f}",
            f"{statistics.median(s.client_us for s in samples):.0f}",
            f"{statistics.median(s.server_us for s in samples):.0f}",
        )
    return table
