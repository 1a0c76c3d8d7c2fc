"""What a call leaves behind is freed at once: the garbage collector, which stops everything, gets nothing to do."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

import pytest

from theater_bus import ActorHandle

Spawn = Callable[..., Awaitable[ActorHandle]]


@pytest.mark.parametrize("keyed", [False, True])
async def test_neither_client_nor_host_leaves_circles_behind_a_call(spawn: Spawn, keyed: bool) -> None:
    counter = await spawn()
    for _ in range(3):
        await counter.call_function("increment", [1], keyed=keyed)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await counter.call_function("increment", [1], keyed=keyed)
        assert gc.collect() < 50
    finally:
        gc.enable()
