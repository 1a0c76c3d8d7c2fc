"""Guests called directly in the engine, with plain values in and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.core.values.codec import function_codec, value_codec
from theater_bus.core.values.codec_function import FunctionCodec
from theater_bus.core.values.codec_outcome import Outcome
from theater_bus.core.values.export_table import Export
from theater_bus.core.values.subtree import Subtree
from theater_bus.engine import Budget, CallResult, ComponentInstance, Engine, HostImport, Instance, Limits
from theater_bus.host.package import read_package

Load = Callable[..., Awaitable["LoadedGuest"]]


class LoadedGuest:
    """An instance and its state (given as a plain value), advanced by every call that succeeds."""

    def __init__(
        self, instance: Instance | ComponentInstance, exports: dict[str, Export], budget: Budget, state: Any
    ) -> None:
        self.instance, self.exports, self.budget = instance, exports, budget
        self._tupled = isinstance(instance, ComponentInstance)
        declared = [one.function.params[0].type for one in exports.values() if one.stateful]
        self.state: Subtree | None = None if state is None else value_codec(declared[0]).encode(state)

    async def raw(self, symbol: str, data: bytes) -> CallResult:
        """Bytes in, bytes out."""
        ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        result = self.instance.call(symbol, data, self.budget, ended.set_result)
        return result if result is not None else await asyncio.wait_for(ended, 30)

    async def run(self, name: str, *params: Any) -> CallResult:
        """Call an export with plain parameters and give what the engine says."""
        export = self.exports[name]
        codec = self._codec(export)
        return await self.raw(export.symbol, codec.call_input(self.state, codec.encode_params(list(params))))

    async def outcome(self, name: str, *params: Any) -> Outcome:
        """What an export answers, checked against its declaration; an ok takes its state over."""
        export = self.exports[name]
        result = await self.run(name, *params)
        assert result.failure is None, result.failure
        assert result.output is not None
        assert result.status == 0, result.output
        outcome = self._codec(export).decode_result(result.output)
        if outcome.ok and outcome.state is not None:
            self.state = outcome.state
        return outcome

    def _codec(self, export: Export) -> FunctionCodec:
        return function_codec(export.function, export.stateful, self._tupled)

    async def call(self, name: str, *params: Any) -> Any:
        """The plain value of an ok."""
        outcome = await self.outcome(name, *params)
        assert outcome.ok, outcome.error
        return outcome.plain()

    async def error(self, name: str, *params: Any) -> Any:
        """The plain value of an err."""
        outcome = await self.outcome(name, *params)
        assert not outcome.ok, outcome.plain()
        return outcome.error


@pytest.fixture
def unbound_engine() -> Engine:
    """Made outside of the loop: looking at the installed wasmtime reads files."""
    return Engine()


@pytest_asyncio.fixture
async def engine(unbound_engine: Engine) -> AsyncIterator[Engine]:
    yield unbound_engine
    await unbound_engine.close()


@pytest_asyncio.fixture
async def load(engine: Engine) -> AsyncIterator[Load]:
    """`await load(wasm, state=…, imports=…, limits=…, cpu_ms=…)`: a guest that can be called."""
    async with AsyncExitStack() as stack:

        async def load_guest(
            wasm: bytes,
            *,
            state: Any = None,
            imports: Sequence[HostImport] = (),
            limits: Limits | None = None,
            cpu_ms: float = 2000,
        ) -> LoadedGuest:
            package = read_package(await engine.load(wasm))
            instance = await engine.instantiate(package.module, imports, limits or Limits())
            stack.callback(instance.close)
            return LoadedGuest(instance, dict(package.exports), Budget(cpu_ms), state)

        yield load_guest
