"""The echo: every value type goes into a guest and comes out again, the same to the bit."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from theater_bus.core.values.codec import Err, Ok, value_codec
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.values.types import Dynamic
from theater_bus.engine import Limits
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


NOT_IN_WIT = {"tuple-none"}


def given(kind: str, value: Any) -> Any:
    """Any value as a guest of that kind takes it: WIT has no type for it, and a component gets JSON text."""
    return value if kind == "module" else json.dumps(value)


def any_value(kind: str, value: Any) -> Subtree:
    """The same as a state."""
    return value_codec(Dynamic()).encode(given(kind, value))


def given_to(kind: str, name: str, value: Any) -> Any:
    """A sample as it goes into the function of that name."""
    if name == "list-value":
        return [given(kind, one) for one in value if kind == "module" or not isinstance(one, bytes)]
    return given(kind, value) if name == "tree" else value


CASES = [
    (kind, name, [given_to(kind, name, value) for value in values])
    for kind in ("module", "component")
    for name, values in SAMPLES.items()
    if kind == "module" or name not in NOT_IN_WIT
]


@pytest.fixture
async def echo(load: Any, wasm_of: Any) -> Any:
    return await load(wasm_of("echo"))


def test_there_are_samples_for_every_export() -> None:
    plain = next(one for one in ECHO.pact.exports if one.name == "test:echo/plain")
    assert [one.name for one in plain.functions if one.params] == list(SAMPLES)


@pytest.mark.parametrize(("kind", "name", "values"), CASES, indirect=["kind"])
async def test_a_value_comes_back_as_it_went_in(echo: Any, name: str, values: list[Any]) -> None:
    export = echo.exports[f"test:echo/plain.{name}"]
    assert not export.stateful
    declared = value_codec(export.function.params[0].type)
    for value in values:
        outcome = await echo.outcome(export.name, value)
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
async def test_a_value_comes_back_beside_a_state(echo: Any, kind: str, name: str, params: list[Any]) -> None:
    if name in ("value", "pair"):
        params = [given(kind, params[0]), *params[1:]]
    echo.state = state = any_value(kind, {"kept": [1, 2, 3]})
    value = await echo.call(f"test:echo/actor.{name}", *params)
    assert value == (params[0] if len(params) == 1 else params)
    assert echo.state.standalone() == state.standalone()


async def test_the_state_may_be_any_value(echo: Any, kind: str) -> None:
    echo.state = any_value(kind, "first")
    await echo.call("theater:simple/actor.init")
    assert await echo.call("test:echo/actor.state") == given(kind, "first")
    for state in (None, "text", [1, "two"], {"a": {"b": [True]}}, -5):
        assert await echo.call("test:echo/actor.become", given(kind, state)) is None
        assert await echo.call("test:echo/actor.state") == given(kind, state)


async def test_a_module_may_begin_without_a_state(load: Any) -> None:
    echo = await load(ECHO.wasm)
    await echo.call("theater:simple/actor.init")
    assert await echo.call("test:echo/actor.state") is None


async def test_echoes_do_not_use_up_memory(echo: Any, load: Any, kind: str, wasm_of: Any) -> None:
    room = 4 * 65536
    small = await load(wasm_of("echo"), limits=Limits(memory_bytes=echo.instance.memory_bytes + room))
    small.state = any_value(kind, "state")
    for _ in range(20):
        await small.call("test:echo/plain.bytes", bytes(100_000))
        await small.call("test:echo/actor.u64", 1)
