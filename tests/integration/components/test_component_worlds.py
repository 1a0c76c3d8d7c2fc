"""Components that are not what they are taken for: another world, another version, async, too much, too little."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.errors import SpawnRefused

NEW = {"count": 0, "last": None}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


async def test_what_a_component_imports_must_be_granted(components: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"theater:simple/runtime.*\[capabilities\.runtime\]"):
        await components.spawn("counter-wat", state=NEW, capabilities={})


async def test_an_interface_of_another_version_is_named(components: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"theater:simple/runtime@2\.0\.0"):
        await components.spawn("counter-wat-other-version", state=NEW)


async def test_a_component_with_async_functions_is_refused_with_what_to_do(components: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"(?s)async .*Fix: build it for WASI 0\.2"):
        await components.spawn("later-javascript")


async def test_a_state_of_another_type_is_refused_with_its_place(components: Any) -> None:
    for state in (5, {"count": "0", "last": None}, {"count": 0}, None):
        with pytest.raises(SpawnRefused, match="state"):
            await components.spawn("counter-wat", state=state)


async def test_two_thousand_spawns_of_one_component_compile_it_once(components: Any) -> None:
    actors = await asyncio.gather(*(components.spawn("counter-c", state=NEW) for _ in range(2_000)))
    answers = await asyncio.gather(*(actor.call_function("increment", [1]) for actor in actors))
    assert answers == [1] * 2_000
    await asyncio.gather(*(actor.shutdown() for actor in actors))
