"""What reaches the outside at once runs only when everything before its operation is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import Capability
from theater_bus.errors import ActorError, Unavailable
from theater_bus.host.chain import FileStore

PACT = """
@package: string = "test:effect"
@external: list<string> = ["effect"]

interface effect {
    exports {
        effect: func(number: u32) -> u32
        inside: func(number: u32) -> u32
    }
}
"""


class Effect(Capability):
    """Notes how many segments wait for their acknowledgement while each of its functions runs."""

    name = "effect"
    pact = PACT

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.journal: Any = None
        self.outside: list[int] = []
        self.within: list[int] = []

    def effect(self, number: int) -> int:
        self.outside.append(self.journal.ahead)
        return number

    async def inside(self, number: int) -> int:
        self.within.append(self.journal.ahead)
        return number


async def spawn(start_host: Any, tmp_path: Path) -> tuple[Any, Effect, Any]:
    host = await start_host(Effect, data_dir=tmp_path)
    actor = await host.spawn(Effect, id="a", chain={"durability": "file"})
    running = host.host.actors["a"]
    effect = running.capabilities["effect"]
    effect.journal = running.journal
    return host, effect, actor


async def test_an_external_call_waits_for_what_came_before_it(start_host: Any, tmp_path: Path) -> None:
    _, effect, actor = await spawn(start_host, tmp_path)
    calls = [actor.call_function(("inside", "effect")[n % 2], [n]) for n in range(64)]
    assert await asyncio.gather(*calls) == list(range(64))
    assert effect.outside == [0] * 32
    assert max(effect.within) > 0


async def test_an_external_call_of_an_operation_that_falls_does_not_happen(
    start_host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, effect, actor = await spawn(start_host, tmp_path)
    held: list[Any] = []

    def hold(self: FileStore, actor_id: str, segments: Any, done: Any) -> None:
        held.append(done)

    with monkeypatch.context() as patched:
        patched.setattr(FileStore, "append", hold)
        first = asyncio.create_task(actor.call_function("inside", [1]))
        second = asyncio.create_task(actor.call_function("effect", [2]))
        async with asyncio.timeout(10):
            while not held or effect.journal._quiet is None:
                await asyncio.sleep(0.002)
    assert effect.outside == []
    held[0](Unavailable("the disk is full"))
    for call in (first, second):
        with pytest.raises(ActorError) as failed:
            await call
        assert failed.value.code == "unavailable"
    assert effect.outside == []
    assert await actor.call_function("effect", [3]) == 3
    assert effect.outside == [0]
