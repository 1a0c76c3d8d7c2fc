"""Bytes through a component with a bridge and without: calls by payload, load, and what instances hold."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from tests.bench.component_guests import component
from tests.bench.idle import resident_bytes
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import ListOf, Scalar, TupleOf
from theater_bus.engine import Budget, CallResult, Component, Engine, EngineSettings, HostImport, Limits
from theater_bus.engine.component import factory
from theater_bus.engine.component.instance import ComponentInstance

GUESTS = ("counter-c", "probe-javascript-alone")
SIZES = (64, 1024, 64 * 1024, 1 << 20, 4 << 20)
LIMITS = Limits(memory_bytes=1 << 28, result_bytes=1 << 26)
BUDGET = Budget(60_000)
WAYS = {"list<u8>": ("echo-bytes", ListOf(Scalar.U8)), "string": ("echo", Scalar.STRING)}


async def run(console: Console, quick: bool) -> None:
    """Print everything; CPU time of the process, medians."""
    for guest in GUESTS:
        wasm = component(guest)
        calls = Table(title=f"{guest}: a call that gives back what it gets, µs of CPU time", title_justify="left")
        for name in ("payload", "no bridge", "bridge", "string"):
            calls.add_column(name, justify="right")
        plain, bridged = Engine(EngineSettings()), Engine(EngineSettings())
        with without_bridges():
            without = await loaded(plain, wasm)
        with_ = await loaded(bridged, wasm)
        for size in SIZES:
            rounds = (3 if quick else 9) if size > 1 << 16 else (20 if quick else 200)
            found = [
                await median(plain, without, "list<u8>", size, rounds),
                await median(bridged, with_, "list<u8>", size, rounds),
                await median(bridged, with_, "string", size, rounds),
            ]
            calls.add_row(f"{size:,}", *("refused" if one is None else f"{one:,.0f}" for one in found))
        console.print(calls)
        await plain.close()
        await bridged.close()
        console.print(f"{guest}: loading, nothing cached: {await load(wasm, quick)}")
        console.print(f"{guest}: an instance after its first call: {await memory(wasm, 50 if quick else 300)}")


@contextmanager
def without_bridges() -> Iterator[None]:
    """Components that are loaded meanwhile get no bridges."""
    kept = factory.compile_bridged
    factory.compile_bridged = lambda *_: None
    try:
        yield
    finally:
        factory.compile_bridged = kept


async def loaded(engine: Engine, wasm: bytes) -> Component:
    """The component, compiled."""
    found = await engine.load(wasm)
    assert isinstance(found, Component)
    return found


def instance_of(engine: Engine, guest: Component) -> ComponentInstance:
    """An instance whose host functions are never called."""
    imports = [HostImport(interface, function, bytes) for interface, function in guest.imports]
    made = engine.instantiate_now(guest, imports, LIMITS)
    assert isinstance(made, ComponentInstance)
    return made


async def call(instance: ComponentInstance, way: str, value: object) -> CallResult:
    """One call."""
    function, type_ = WAYS[way]
    ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    data = value_codec(TupleOf((type_,))).encode([value]).standalone()
    return instance.call(function, data, BUDGET, ended.set_result) or await ended


async def median(engine: Engine, guest: Component, way: str, size: int, rounds: int) -> float | None:
    """Microseconds of CPU time of a call; None where it fails."""
    instance = instance_of(engine, guest)
    value: object = os.urandom(size) if way == "list<u8>" else "x" * size
    if (await call(instance, way, value)).failure is not None:
        return None
    found = []
    for _ in range(rounds):
        before = time.process_time()
        await call(instance, way, value)
        found.append(time.process_time() - before)
    instance.close()
    return statistics.median(found) * 1e6


async def load(wasm: bytes, quick: bool) -> str:
    """CPU time of compiling, without bridges and with them."""
    found: dict[str, list[float]] = {"no bridge": [], "bridge": []}
    for _ in range(1 if quick else 5):
        for name, times in found.items():
            engine = Engine(EngineSettings())
            before = time.process_time()
            if name == "bridge":
                await loaded(engine, wasm)
            else:
                with without_bridges():
                    await loaded(engine, wasm)
            times.append(time.process_time() - before)
            await engine.close()
    return ", ".join(f"{name} {statistics.median(times) * 1e3:,.0f} ms" for name, times in found.items())


async def memory(wasm: bytes, count: int) -> str:
    """Resident memory of one of many instances, without bridges and with them, and after 64 KiB through the bridge."""
    found = []
    for name, size in (("no bridge", 64), ("bridge", 64), ("bridge, 64 KiB passed", 65_536)):
        engine = Engine(EngineSettings())
        if name == "no bridge":
            with without_bridges():
                guest = await loaded(engine, wasm)
        else:
            guest = await loaded(engine, wasm)
        await call(instance_of(engine, guest), "list<u8>", bytes(size))
        before = resident_bytes()
        instances = [instance_of(engine, guest) for _ in range(count)]
        for one in instances:
            await call(one, "list<u8>", bytes(size))
        found.append(f"{name} {(resident_bytes() - before) / count / 1024:,.0f} KiB")
        await engine.close()
    return ", ".join(found)
