"""A call of a component against one of a Pack module and a plain coroutine behind raw NATS; HTTP; a thousand actors."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
from nats.aio.msg import Msg
from rich.console import Console
from rich.table import Table

from tests.bench.guest import echo_wasm
from theater_bus.capability import Capability
from theater_bus.client import ActorHandle
from theater_bus.engine import wat2wasm
from theater_bus.testing import RunningHost, running_host
from theater_bus.testing.components import component_around

WAT = Path(__file__).parents[1] / "guests" / "wat"
SIZES = {"64 B": 64, "1 KiB": 1024, "64 KiB": 65_536}
ASKED = {"runtime": {}, "clock": {}}


class Mirror(Capability):
    """What the guest of the engine's tests imports."""

    name = "mirror"
    pact = """
@package: string = "test:host"
interface api {
    exports {
        ask: func(data: list<u8>) -> list<u8>
    }
}
"""

    def ask(self, data: bytes) -> bytes:
        """Give it back."""
        return data


async def run(console: Console, rounds: int, calls: int, actors: int) -> None:
    """Print what calls cost, by payload, and what idle actors hold."""
    async with running_host(Mirror, installed=["runtime", "clock", "wasi"]) as host:
        pack = await host.spawn(echo_wasm(), initial_state=0)
        lists = await host.spawn(_around(), capabilities={"mirror": {}})
        texts = await host.spawn(_assembled("counter_component"), capabilities=ASKED, initial_state=0)
        web = await host.spawn(_assembled("web_component"))
        connection = await nats.connect(host.url)
        await connection.subscribe("bench.echo", cb=_respond)
        table = Table(title="one call after another, µs at the median (times raw NATS)", title_justify="left")
        for name in ("payload", "raw NATS", "Pack list<u8>", "component list<u8>", "component string", "HTTP"):
            table.add_column(name, justify="right")
        for label, size in SIZES.items():
            data, text = b"x" * size, "x" * size
            ways: list[Callable[[], Awaitable[Any]]] = [
                lambda data=data: connection.request("bench.echo", data),
                _call(pack, "echo", data),
                _call(lists, "echo", data),
                _call(texts, "same", text),
                lambda data=data: web.handle_wasi_http_request("POST", path_with_query="/", body=data),
            ]
            found = await _medians(ways, rounds, calls)
            table.add_row(label, *(f"{one:.0f} ({one / found[0]:.1f})" for one in found))
        console.print(table)
        await connection.close()
        console.print(await _idle(host, actors))


async def _respond(message: Msg) -> None:
    await message.respond(message.data)


def _around() -> bytes:
    return component_around((WAT / "engine_guest.wat").read_text("utf-8"), ["echo"], "test:host/api", "ask")


def _assembled(name: str) -> bytes:
    return wat2wasm((WAT / f"{name}.wat").read_text("utf-8"))


def _call(actor: ActorHandle, function: str, value: object) -> Callable[[], Awaitable[Any]]:
    return lambda: actor.call_function(function, [value])


async def _medians(ways: list[Callable[[], Awaitable[Any]]], rounds: int, calls: int) -> list[float]:
    """Median µs of each way, measured in turns."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for place, way in enumerate(ways):
            times = []
            for _ in range(calls):
                started = time.perf_counter()
                await way()
                times.append(time.perf_counter() - started)
            found[place].append(statistics.median(times) * 1e6)
    return [statistics.median(one) for one in found]


async def _idle(host: RunningHost, actors: int) -> str:
    wasm = _assembled("counter_component")
    before, started = _resident_kib(), time.perf_counter()
    for _ in range(actors):
        actor = await host.spawn(wasm, capabilities=ASKED, initial_state=0)
    spawned = time.perf_counter() - started
    await actor.call_function("get")
    held = (_resident_kib() - before) / actors
    return f"{actors} component actors after their init: {held:.0f} KiB resident, {spawned / actors * 1e3:.2f} ms each"


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text("utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found.group(1)) if found else 0
