"""An engine, the test guest, and ways to call it, for the engine's tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import ListOf, Scalar, TupleOf
from theater_bus.engine import (
    Budget,
    CallResult,
    Component,
    ComponentInstance,
    Engine,
    EngineSettings,
    HostImport,
    Instance,
    Limits,
    Module,
    wat2wasm,
)
from theater_bus.testing.components import component_around

GUEST = Path(__file__).parents[2] / "guests" / "wat" / "engine_guest.wat"
KINDS = ["module", "component"]
AnyInstance = Instance | ComponentInstance
_BYTES = value_codec(ListOf(Scalar.U8))
_PARAMS = value_codec(TupleOf((ListOf(Scalar.U8),)))


class Guest:
    """Instances of the test guest and calls of them, awaited; the guest is a Pack module or the component around it.

    Inputs and outputs are bytes: a component gets and gives them as `list<u8>`.
    """

    def __init__(self, engine: Engine, module: Module | Component) -> None:
        self.engine, self.module = engine, module
        self.is_component = isinstance(module, Component)

    def imports(self, ask: Callable[[bytes], Any] = bytes) -> list[HostImport]:
        """The host function."""
        return [HostImport("test:host/api", "ask", _as_list(ask) if self.is_component else ask)]

    def make(self, ask: Callable[[bytes], Any] = bytes, **limits: int) -> AnyInstance:
        """A fresh instance whose host function is `ask` (by default it answers with what it got)."""
        return self.engine.instantiate_now(self.module, self.imports(ask), Limits(**limits))

    def call(
        self,
        instance: AnyInstance,
        symbol: str,
        data: bytes,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: Any = None,
    ) -> CallResult | None:
        """As `Instance.call`, with plain bytes for both kinds."""
        if not self.is_component:
            return instance.call(symbol, data, budget, done, context)
        given = _PARAMS.encode([data]).standalone()
        result = instance.call(symbol.replace("_", "-"), given, budget, lambda result: done(_bytes_of(result)), context)
        return None if result is None else _bytes_of(result)

    def start(
        self, instance: AnyInstance, symbol: str, data: bytes = b"", *, cpu_ms: float = 1000, context: Any = None
    ) -> asyncio.Future[CallResult]:
        """Begin a call; the future gets its result, whichever way it comes, and fails if it comes twice."""
        future: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        result = self.call(instance, symbol, data, Budget(cpu_ms), future.set_result, context)
        if result is not None:
            future.set_result(result)
        return future

    async def run(self, instance: AnyInstance, symbol: str, data: bytes = b"", **options: Any) -> CallResult:
        """Call and wait."""
        return await self.start(instance, symbol, data, **options)


def _bytes_of(result: CallResult) -> CallResult:
    if result.failure is not None:
        return result
    value = _BYTES.decode(_BYTES.check(result.output or b""))
    assert isinstance(value, bytes)
    return replace(result, output=value)


def _as_list(ask: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A host function of bytes as one of `list<u8>`; what is neither bytes nor waits is handed on as it is."""

    def call(data: bytes) -> Any:
        (given,) = _PARAMS.decode(_PARAMS.check(data))  # type: ignore[misc]
        answer = ask(given)
        if asyncio.iscoroutine(answer):
            return later(answer)
        return _BYTES.encode(answer).standalone() if isinstance(answer, bytes) else answer

    async def later(answer: Any) -> Any:
        found = await answer
        return _BYTES.encode(found).standalone() if isinstance(found, bytes) else found

    return call


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
def pack_wasm() -> bytes:
    """The test guest as a Pack module."""
    return wat2wasm(GUEST.read_text())


@pytest.fixture(scope="session")
def component_wasm() -> bytes:
    """The same code as a component."""
    text = GUEST.read_text()
    symbols = re.findall(r'\(func \(export "([^"]+)"\) \(type \$call\)', text)
    return component_around(text, symbols, "test:host/api", "ask")


@pytest.fixture(params=KINDS)
def guest_wasm(request: Any, pack_wasm: bytes, component_wasm: bytes) -> bytes:
    """The test guest, as each kind in turn."""
    return pack_wasm if request.param == "module" else component_wasm


@pytest_asyncio.fixture
async def guest(engine: Engine, guest_wasm: bytes) -> Guest:
    """The test guest, as each kind in turn."""
    return Guest(engine, await engine.load(guest_wasm))


@pytest_asyncio.fixture
async def pack(engine: Engine, pack_wasm: bytes) -> Guest:
    """The test guest as a Pack module, for what only those can do."""
    return Guest(engine, await engine.load(pack_wasm))


@pytest_asyncio.fixture
async def guest_of(guest_wasm: bytes) -> Callable[[Engine], Any]:
    """`await guest_of(engine)`: the test guest in another engine."""

    async def load(engine: Engine) -> Guest:
        return Guest(engine, await engine.load(guest_wasm))

    return load
