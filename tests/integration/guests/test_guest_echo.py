"""The echo: every value type goes into a guest and comes out again, the same to the bit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from theater_bus.core.values.codec import Err, Ok, value_codec
from theater_bus.core.values.types import Dynamic
from theater_bus.testing.guests import guest

ECHO = guest("echo")
PERSON = {"name": "Ada", "age": 36, "at": {"x": -1, "y": 2}, "tags": ["math", ""]}
SAMPLES: dict[str, list[Any]] = {
    "bool": [True, False],
    **{f"u{bits}": [0, 1, (1 << bits) - 1] for bits in (8, 16, 32, 64)},
    **{f"s{bits}": [-(1 << (bits - 1)), -1, 0, (1 << (bits - 1)) - 1] for bits in (8, 16, 32, 64)},
    "f32": [0.0, -0.0, 1.5, math.inf, -math.inf],
    "f64": [0.1, -0.0, 1e300, 5e-324, math.inf],
    "char": ["a", "\0", "ß", "漢", "\U0010ffff"],
    "string": ["", "héllo", "\0", "漢字 🙂" * 500],
    "flags": [0, 1, 7],
    "enum": ["debug", "warn"],
    "variant": [{"circle": 1.5}, {"rectangle": [1.0, 2.0]}, "nothing"],
    "tree": [{"leaf": "x"}, {"node": [{"leaf": "a"}, {"node": []}]}],
    "point": [{"x": 1, "y": -2}],
    "person": [PERSON, {**PERSON, "age": None, "tags": []}],
    "bytes": [b"", b"\0\xff" * 5000],
    "list-bool": [[], [True, False, True]],
    "list-s16": [[], [-1, 2, 300]],
    "list-f32": [[], [0.5, -0.0, math.inf]],
    "list-f64": [[], [0.1, 2.0]],
    "list-char": [[], ["a", "漢"]],
    "list-string": [[], ["", "a", "b" * 1000]],
    "list-point": [[], [{"x": 1, "y": 2}, {"x": 3, "y": 4}]],
    "list-list": [[], [[], [1, 2], []]],
    "list-result": [[], [Ok(1), Err("no")]],
    "list-value": [[], [1, "two", [3], {"four": 4}, None, b"six"]],
    "option": [None, 5],
    "option-option": [None],
    "tuple": [[1, "two", True]],
    "tuple-one": [[1]],
    "tuple-none": [[]],
    "map": [[], [["a", 1], ["b", 2]]],
    "set": [[], [1, 2, 3]],
}


@pytest.fixture
async def echo(load: Any) -> Any:
    return await load(ECHO.wasm)


def test_there_are_samples_for_every_export() -> None:
    plain = next(one for one in ECHO.pact.exports if one.name == "test:echo/plain")
    assert [one.name for one in plain.functions if one.params] == list(SAMPLES)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in SAMPLES for value in SAMPLES[name]])
async def test_a_value_comes_back_as_it_went_in(echo: Any, name: str, value: Any) -> None:
    export = echo.exports[f"test:echo/plain.{name}"]
    assert not export.stateful
    outcome = await echo.outcome(export.name, value)
    declared = value_codec(export.function.params[0].type)
    assert outcome.cgrf() == declared.encode(value).standalone()
    assert outcome.plain() == declared.decode(declared.encode(value))


async def test_a_function_without_parameters_or_result_answers_with_nothing(echo: Any) -> None:
    assert await echo.call("test:echo/plain.nothing") is None


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("value", [{"any": ["thing", 1, None]}]),
        ("u64", [1 << 63]),
        ("string", ["text"]),
        ("bytes", [b"\0" * 3000]),
        ("person", [PERSON]),
        ("result", [{"ok": 5}]),
        ("result", [{"err": "no"}]),
        ("pair", [[1, 2], "b"]),
    ],
)
async def test_a_value_comes_back_beside_a_state(echo: Any, name: str, params: list[Any]) -> None:
    echo.state = state = value_codec(Dynamic()).encode({"kept": [1, 2, 3]})
    value = await echo.call(f"test:echo/actor.{name}", *params)
    assert value == (params[0] if len(params) == 1 else params)
    assert echo.state.standalone() == state.standalone()


async def test_the_state_may_be_any_value_or_none(echo: Any) -> None:
    await echo.call("theater:simple/actor.init")
    assert await echo.call("test:echo/actor.state") is None
    for state in ("text", [1, "two"], {"a": {"b": [True]}}, b"bytes", -5):
        assert await echo.call("test:echo/actor.become", state) is None
        assert await echo.call("test:echo/actor.state") == state


async def test_echoes_do_not_use_up_memory(echo: Any) -> None:
    await echo.call("test:echo/plain.bytes", bytes(100_000))
    size = echo.instance.memory_bytes
    for _ in range(300):
        await echo.call("test:echo/plain.bytes", bytes(100_000))
        await echo.call("test:echo/actor.u64", 1)
    assert echo.instance.memory_bytes == size
