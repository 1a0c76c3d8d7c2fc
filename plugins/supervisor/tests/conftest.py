"""A guest with children, `boss`, the modules that its children are made of, and what tests ask of both."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from theater_bus.errors import Internal
from theater_bus.testing import guest
from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server

__all__ = [
    "BOSS",
    "CHAOS",
    "COUNTER",
    "FAILS",
    "FILE",
    "RUNTIME",
    "capability",
    "crash",
    "eventually",
    "heard_lines",
    "hears",
    "keeper",
    "manifest",
    "new",
    "spawned",
    "start_harness",
    "start_host",
    "started",
    "theater_server",
]

HERE = Path(__file__).parent
BOSS, CHAOS, RUNTIME, COUNTER = guest("boss", HERE / "guests"), guest("chaos"), guest("runtime"), guest("counter")
FILE = '[chain]\ndurability = "file"\n'


def manifest(module: bytes, id: str | None = None, more: str = "") -> str:
    """A child's manifest that names its module by digest."""
    capabilities = {COUNTER.wasm: "", BOSS.wasm: "[capabilities.supervisor]\n[capabilities.runtime]\n"}
    state = {BOSS.wasm: '{ heard = "", plan = "" }'}.get(module, "0")
    lines = ['name = "child"', f'package = "sha256:{sha256(module).hexdigest()}"', f"initial_state = {state}"]
    if id is not None:
        lines.append(f'id = "{id}"')
    return "\n".join([*lines, more, capabilities.get(module, "[capabilities.runtime]\n")])


FAILS = 'on_failure = "stop"'


async def started(start_host: Any, *, settings: Any = None, **options: Any) -> tuple[Any, Any]:
    """A host that has the modules of the tests, and a boss on it."""
    host = await start_host(installed=["supervisor", "runtime"], **options)
    for module in (BOSS, CHAOS, RUNTIME, COUNTER):
        host.host.packages.hold(module.wasm)
    return host, await host.spawn(BOSS, id="boss", capabilities={"supervisor": settings or {}, "runtime": {}})


async def spawned(boss: Any, module: bytes, id: str | None = None, more: str = "") -> str:
    found = await boss.call_function("spawn", [manifest(module, id, more), None, None])
    return str(found)


async def hears(boss: Any, *lines: str) -> None:
    """Wait until the guest has heard this and nothing else; each question is an operation behind what waits."""
    async with asyncio.timeout(30):
        while len((await boss.call_function("heard")).splitlines()) < len(lines):
            continue
    assert sorted((await boss.call_function("heard")).splitlines()) == sorted(lines)


def keeper(host: Any, id: str = "boss") -> Any:
    return host.host.actors[id].capabilities["supervisor"]._keeper


def capability(host: Any, id: str = "boss") -> Any:
    return host.host.actors[id].capabilities["supervisor"]


async def crash(host: Any, child: str) -> None:
    with pytest.raises(Internal):
        await host.theater.actor(child).call_function("trap", ["unreachable"])


async def new(host: Any, eventually: Any, before: dict[str, Any], *children: str) -> None:
    """Wait until these, and no others, are actors anew."""
    await eventually(
        lambda: all(
            one in host.host.actors
            and host.host.actors[one] is not before[one]
            and not keeper(host)._table[one].is_renewed
            for one in children
        )
    )
    assert [one for one in before if host.host.actors[one] is not before[one]] == list(children)


async def heard_lines(boss: Any, count: int) -> list[str]:
    async with asyncio.timeout(30):
        while len(found := (await boss.call_function("heard")).splitlines()) < count:
            continue
    return list(found)
