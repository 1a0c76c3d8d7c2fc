"""The counter: state in, state out, checked arithmetic, and messages for what it cannot read."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.core.values.cgrf import decode, encode
from theater_bus.core.values.model import Kind, ScalarValue, TupleValue
from theater_bus.engine import Limits
from theater_bus.testing.guests import guest

COUNTER = guest("counter")
MOST = (1 << 64) - 1


@pytest.fixture
def wasm(wasm_of: Any) -> Any:
    """The counter, as each kind in turn."""
    return wasm_of("counter")


@pytest.fixture
async def counter(load: Any, wasm: bytes) -> Any:
    return await load(wasm, state=0)


@pytest.fixture
async def module(load: Any) -> Any:
    """As the kind that reads its input itself."""
    return await load(COUNTER.wasm, state=0)


async def test_a_counter_starts_from_the_given_state(load: Any, wasm: bytes) -> None:
    counter = await load(wasm, state=41)
    await counter.call("theater:simple/actor.init")
    assert await counter.call("get") == 41
    assert await counter.call("increment", 1) == 42


async def test_a_counter_adds_subtracts_and_resets(counter: Any) -> None:
    assert [await counter.call("increment", n) for n in (5, 0, MOST - 5)] == [5, 5, MOST]
    assert await counter.call("decrement", 6) == MOST - 6
    assert await counter.call("get") == MOST - 6
    assert await counter.call("reset") is None
    assert await counter.call("get") == 0


async def test_overflow_is_an_error_of_the_guest_and_changes_nothing(counter: Any) -> None:
    await counter.call("increment", MOST)
    assert await counter.error("increment", 1) == "overflow"
    assert await counter.call("get") == MOST


async def test_going_below_zero_is_an_error_of_the_guest_and_changes_nothing(counter: Any) -> None:
    await counter.call("increment", 2)
    assert await counter.error("decrement", 3) == "below zero"
    assert await counter.call("get") == 2


@pytest.mark.parametrize("symbol", ["increment", "decrement", "get", "reset", "theater:simple/actor.init"])
@pytest.mark.parametrize(
    "value",
    [
        ScalarValue(Kind.U64, 7),
        TupleValue(()),
        TupleValue((ScalarValue(Kind.STRING, "7"), ScalarValue(Kind.U64, 7))),
        TupleValue((ScalarValue(Kind.U32, 7), ScalarValue(Kind.U64, 7))),
    ],
)
async def test_input_of_other_types_is_refused_with_a_message(module: Any, symbol: str, value: Any) -> None:
    result = await module.raw(symbol, encode(value))
    assert result.failure is None
    assert result.status != 0
    assert result.output == b"decode error: a tuple of u64 is expected"


async def test_the_nodes_of_an_input_may_be_in_any_order(module: Any) -> None:
    u64 = b"\x0f\0\0\0\x08\0\0\0"
    backwards = (
        b"CGRF\x02\0\0\0\x03\0\0\0\0\0\0\0"
        b"\x0b\0\0\0\x0c\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\0\0" + u64 + (3).to_bytes(8, "little")
    ) + (u64 + (40).to_bytes(8, "little"))
    result = await module.raw("decrement", backwards)
    assert decode(result.output).value == TupleValue((ScalarValue(Kind.U64, 37), ScalarValue(Kind.U64, 37)))


async def test_calls_do_not_use_up_memory(counter: Any, load: Any, wasm: bytes) -> None:
    page = 65536
    small = await load(wasm, state=0, limits=Limits(memory_bytes=counter.instance.memory_bytes + page))
    assert [await small.call("increment", 1) for _ in range(3000)] == list(range(1, 3001))


async def test_an_input_that_is_refused_does_not_use_up_memory(module: Any) -> None:
    before = module.instance.memory_bytes
    result = await module.raw("increment", bytes(100_000))
    assert result.status != 0
    assert module.instance.memory_bytes <= before + 3 * 65536
