"""What the parts of one operation cost in one process, 64 B."""

from __future__ import annotations

import asyncio
from time import perf_counter

from rich.console import Console
from rich.table import Table

from tests.bench.guest import echo_wasm
from tests.bench.measure import best_us
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.core.values.codec import function_codec
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.wire.request import decode_request, encode_request
from theater_bus.core.wire.response import encode_value
from theater_bus.engine import Budget, CallResult, Engine, Limits
from theater_bus.host.package import read_package

PAYLOAD = b"x" * 64


async def run(console: Console) -> None:
    """Print the micro costs."""
    engine = Engine()
    module = await engine.load(echo_wasm())
    export = read_package(module).exports["echo"]
    codec = function_codec(export.function, export.stateful)
    state = codec_state()
    params = codec.encode_params([PAYLOAD])
    data = codec.call_input(state, params)
    instance = await engine.instantiate(module, [], Limits())
    output = await call(engine, module, data)
    codec.decode_result(output)
    outcome = codec.decode_result(output)
    body = encode_request([PAYLOAD], timeout_ms=30_000)
    writer = ChainWriter("bench", bytes(16))
    budget = Budget(1000)

    def guest() -> None:
        engine.turn.until = 1 << 62
        instance.call("echo", data, budget, _never)

    guest()
    await asyncio.sleep(0)  # the turn that armed the ticker ends here, and no other begins while parts are measured

    def segment() -> None:
        recording = writer.begin(1, "echo", params.standalone, bytes(16))
        recording.result(2, outcome.value.standalone(), state.standalone())
        recording.commit()

    costs = {
        "decode the envelope": best_us(lambda: decode_request(body)),
        "encode and check the parameters": best_us(lambda: codec.encode_params([PAYLOAD])),
        "splice the guest's input": best_us(lambda: codec.call_input(state, params)),
        "call the guest on its fiber": best_us(guest),
        "decode and check the result": best_us(lambda: codec.decode_result(output)),
        "record and hash two events": best_us(segment),
        "encode the reply": best_us(lambda: encode_value(outcome.plain())),
        "make an instance": await instances(engine, module),
    }
    table = Table(title="micro costs, 64 B", title_justify="left")
    table.add_column("part")
    table.add_column("µs", justify="right")
    for name, cost in costs.items():
        table.add_row(name, f"{cost:.2f}")
    console.print(table)
    instance.close()
    await engine.close()


def codec_state() -> Subtree:
    """The state 0 as a node."""
    from theater_bus.core.values.codec import value_codec
    from theater_bus.core.values.types import Scalar

    return value_codec(Scalar.U64).encode(0)


async def call(engine: Engine, module, data: bytes) -> bytes:  # type: ignore[no-untyped-def]
    """One output of the guest."""
    instance = await engine.instantiate(module, [], Limits())
    ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    result = instance.call("echo", data, Budget(1000), ended.set_result)
    if result is None:
        result = await ended
    instance.close()
    assert result.output is not None, result.failure
    return result.output


async def instances(engine: Engine, module) -> float:  # type: ignore[no-untyped-def]
    """Microseconds to make an instance, over a thousand that live at once."""
    started = perf_counter()
    made = [engine.instantiate_now(module, [], Limits()) for _ in range(1_000)]
    spent = perf_counter() - started
    for instance in made:
        instance.close()
    return spent / len(made) * 1e6


def _never(result: CallResult) -> None:
    raise RuntimeError(f"the guest did not end inline: {result}")
