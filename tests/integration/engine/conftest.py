"""An engine, the test guest, and ways to call it, for the engine's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.engine import (
    Budget,
    CallResult,
    Engine,
    EngineSettings,
    HostImport,
    Instance,
    Limits,
    Module,
    wat2wasm,
)

GUEST = Path(__file__).parents[2] / "guests" / "wat" / "engine_guest.wat"


class Guest:
    """Instances of the test guest and calls of them, awaited."""

    def __init__(self, engine: Engine, module: Module) -> None:
        self.engine, self.module = engine, module

    def make(self, ask: Callable[[bytes], Any] = bytes, **limits: int) -> Instance:
        """A fresh instance whose host function is `ask` (by default it answers with what it got)."""
        return self.engine.instantiate_now(self.module, [HostImport("test:host/api", "ask", ask)], Limits(**limits))

    def start(
        self, instance: Instance, symbol: str, data: bytes = b"", *, cpu_ms: float = 1000, context: Any = None
    ) -> asyncio.Future[CallResult]:
        """Begin a call; the future gets its result, whichever way it comes, and fails if it comes twice."""
        future: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        result = instance.call(symbol, data, Budget(cpu_ms), future.set_result, context)
        if result is not None:
            future.set_result(result)
        return future

    async def run(self, instance: Instance, symbol: str, data: bytes = b"", **options: Any) -> CallResult:
        """Call and wait."""
        return await self.start(instance, symbol, data, **options)


@pytest_asyncio.fixture
async def make_engine() -> AsyncIterator[Callable[..., Engine]]:
    """`make_engine(settings…)`: engines that are closed at the end of the test."""
    engines: list[Engine] = []

    def make(instrumentation: Any = None, **settings: Any) -> Engine:
        more = {} if instrumentation is None else {"instrumentation": instrumentation}
        engines.append(Engine(EngineSettings(**settings), **more))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.close()


@pytest_asyncio.fixture
async def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine()


@pytest.fixture(scope="session")
def guest_wasm() -> bytes:
    return wat2wasm(GUEST.read_text())


@pytest_asyncio.fixture
async def guest(engine: Engine, guest_wasm: bytes) -> Guest:
    return Guest(engine, await engine.load(guest_wasm))


@pytest_asyncio.fixture
async def guest_of(guest_wasm: bytes) -> Callable[[Engine], Any]:
    """`await guest_of(engine)`: the test guest in another engine."""

    async def load(engine: Engine) -> Guest:
        return Guest(engine, await engine.load(guest_wasm))

    return load
