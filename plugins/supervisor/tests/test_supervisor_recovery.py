"""A supervisor that comes back with its host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from theater_bus.testing import running_host

from .conftest import BOSS, CHAOS, COUNTER, FAILS, FILE, RUNTIME, crash, heard_lines, hears, keeper, manifest, spawned


async def test_a_recovered_supervisor_has_its_children_and_hears_of_those_that_are_lost(
    theater_server: Any, tmp_path: Path, eventually: Any
) -> None:
    options: dict[str, Any] = {
        "installed": ["supervisor", "runtime"],
        "data_dir": tmp_path,
        "namespace": "supervisor-comes-back",
        "server": theater_server,
    }
    async with running_host(**options) as host:
        settings = {"supervisor": {"strategy": "one-for-one"}, "runtime": {}}
        boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"}, capabilities=settings)
        for id, more, module in (("boss-1", FILE, COUNTER), ("boss-2", "", COUNTER), ("boss-3", FILE, CHAOS)):
            text = re.sub("package = .*\n", "", manifest(module.wasm, id, more if module is COUNTER else FAILS))
            text += more if module is not COUNTER else ""
            await boss.call_function("spawn", [text, 5, module.wasm])
        await boss.call_function("subscribe", ["boss-1"])
        await host.theater.actor("boss-1").call_function("increment", [1])
        await heard_lines(boss, 2)
    async with running_host(**options) as host:
        boss = host.theater.actor("boss")
        await eventually(lambda: not keeper(host)._table["boss-2"].is_renewed)
        assert sorted(await boss.call_function("list")) == ["boss-1", "boss-2", "boss-3"]
        found = await heard_lines(boss, 3)
        assert found[2] == "error boss-2 internal it did not come back with its host"
        await host.theater.actor("boss-1").call_function("increment", [1])
        assert len(await heard_lines(boss, 5)) == 5
        await boss.call_function("restart", ["boss-1"])
        assert await host.theater.actor("boss-1").call_function("get") == 5
        before = host.host.actors["boss-3"]
        await crash(host, "boss-3")
        await eventually(lambda: host.host.actors.get("boss-3") not in (None, before))
        await eventually(lambda: not keeper(host).teller.untold)


async def test_an_end_that_was_not_told_is_told_after_the_recovery(
    theater_server: Any, tmp_path: Path, eventually: Any
) -> None:
    options: dict[str, Any] = {
        "installed": ["supervisor", "runtime"],
        "data_dir": tmp_path,
        "namespace": "untold",
        "server": theater_server,
    }
    async with running_host(**options) as host:
        boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"})
        host.host.packages.hold(RUNTIME.wasm)
        await spawned(boss, RUNTIME.wasm, "boss-1")
        await boss.pause()
        await host.theater.actor("boss-1").call_function("stop", [b"late"])
        await eventually(lambda: keeper(host).teller.untold)
    async with running_host(**options) as host:
        boss = host.theater.actor("boss")
        await boss.resume()
        await hears(boss, "exit boss-1 late")
        await eventually(lambda: not keeper(host).teller.untold)
    async with running_host(**options) as host:
        await hears(host.theater.actor("boss"), "exit boss-1 late")
