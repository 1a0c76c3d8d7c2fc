"""Values of every type go into a component and come back, through the bindings of Python and JavaScript."""

from __future__ import annotations

import math
from typing import Any

import pytest

from theater_bus.errors import ActorError

NAMES = ("probe-javascript", "probe-python")
NEW = {"count": 0, "last": None}
PERSON = {"name": "Ada", "age": 36, "at": {"x": -(2**31), "y": 2**31 - 1}, "tags": ["a", ""]}
VALUES = {
    "bool": [True, False],
    "u8": [0, 255],
    "u16": [0, 65_535],
    "u32": [0, 2**32 - 1],
    "u64": [0, 2**53 - 1, 2**64 - 1],
    "s8": [-128, 127],
    "s16": [-32_768, 32_767],
    "s32": [-(2**31), 2**31 - 1],
    "s64": [-(2**53) + 1, 2**53 - 1, -(2**63), 2**63 - 1],
    "f32": [0.0, -1.5, math.inf],
    "f64": [0.1, -0.0, 1.7976931348623157e308, -math.inf],
    "char": ["a", "é", "😀", "\0"],
    "level": ["debug", "warn"],
    "access": [[], ["read"], ["read", "write", "execute"]],
    "shape": [{"circle": 2.5}, {"rectangle": [1.0, 2.0]}, "nothing"],
    "person": [PERSON, {**PERSON, "age": None, "tags": []}],
    "numbers": [[], [-32_768, 0, 32_767], list(range(-500, 500))],
    "strings": [[], ["", "é", "x" * 10_000]],
    "points": [[{"x": n, "y": -n} for n in range(300)]],
    "lists": [[], [[]], [[1, 2], [], [3]]],
    "option": [None, 0, 7],
    "options": [{"some": None}, {"some": "x"}, None],
    "tuple": [[1, "x", True]],
    "results": [[{"ok": 1}, {"err": "why"}, {"ok": 2}]],
    "map": [[], [["a", 1], ["b", 2]]],
}
BEYOND_DOUBLES = (2**64 - 1, -(2**63), 2**63 - 1)

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
    pytest.mark.parametrize("name", NAMES),
]


@pytest.mark.parametrize("kind", VALUES)
async def test_a_value_comes_back_as_it_went_in(components: Any, name: str, kind: str) -> None:
    actor = await components.one(name)
    for value in VALUES[kind]:
        if name.startswith("probe-javascript") and value in BEYOND_DOUBLES:
            continue  # numbers of this engine are doubles
        found = await actor.call_function(f"test:component/values.echo-{kind}", [value])
        assert found == value
        assert math.copysign(1, found) == math.copysign(1, value) if kind == "f64" else True


async def test_what_is_no_value_of_the_type_is_refused_with_its_place(components: Any, name: str) -> None:
    actor = await components.one(name)
    for kind, wrong in (
        ("bool", 1),
        ("u8", 256),
        ("s8", -129),
        ("char", "ab"),
        ("char", ""),
        ("level", "loud"),
        ("access", ["read", "fly"]),
        ("shape", {"square": 1.0}),
        ("person", {"name": "Ada"}),
        ("points", [{"x": 1}]),
        ("tuple", [1, "x"]),
        ("map", [["a", 1], ["a", "2"]]),
    ):
        with pytest.raises(ActorError) as refused:
            await actor.call_function(f"test:component/values.echo-{kind}", [wrong])
        assert refused.value.code == "type-mismatch", kind
