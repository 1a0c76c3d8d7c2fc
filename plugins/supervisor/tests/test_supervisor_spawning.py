"""Children are born: from what is given or named, within the grants, with their operation; and waited for."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from theater_bus.capability import hookimpl
from theater_bus.errors import GuestError, SpawnRefused

from .conftest import BOSS, COUNTER, RUNTIME, capability, hears, keeper, manifest, spawned, started


async def test_a_child_lives_under_its_parent(start_host: Any) -> None:
    host, boss = await started(start_host)
    first = await spawned(boss, COUNTER.wasm)
    second = await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-2"), 7, None])
    third = await boss.call_function("spawn", ['name = "bare"\ninitial_state = 1', 9, COUNTER.wasm])
    assert second == "boss-2"
    assert await boss.call_function("list") == [first, second, third]
    assert [await host.theater.actor(one).call_function("get") for one in (first, second, third)] == [0, 7, 9]
    [genesis] = [one.body for one in await host.theater.actor(first).get_chain().all() if one.type == "genesis"]
    assert genesis.parent_actor == "boss"
    assert host.host.actors[first].parent is host.host.actors["boss"]
    above, below = await boss.get_status(), await host.theater.actor(first).get_status()
    assert (above.parent, above.children, below.parent, below.children) == (None, 3, "boss", 0)


async def test_a_manifest_may_be_named_by_its_digest(start_host: Any) -> None:
    host, boss = await started(start_host)
    digest = host.host.packages.hold(manifest(COUNTER.wasm, "boss-1").encode())
    assert await boss.call_function("spawn", [f"sha256:{digest.hex()}", None, None]) == "boss-1"
    junk = host.host.packages.hold(b"\xff\xfe")
    with pytest.raises(GuestError, match="is no manifest: it is not UTF-8"):
        await boss.call_function("spawn", [f"sha256:{junk.hex()}", None, None])
    large = host.host.packages.hold(b"x" * 65_537)
    with pytest.raises(GuestError, match="a manifest at most 65,536"):
        await boss.call_function("spawn", [f"sha256:{large.hex()}", None, None])


COUNTS = f'package = "sha256:{sha256(COUNTER.wasm).hexdigest()}"'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "an actor may name no path"),
        ("../../etc/passwd", "an actor may name no path"),
        ("/etc/passwd\0", "an actor may name no path"),
        ("child.toml", "an actor may name no path"),
        ("sha256:../../x", "is neither a digest nor a reference"),
        ("sha256:" + "0" * 64, "no package with SHA-256"),
        ("file:///etc/passwd", r'does not name .file.\. Fix: `schemes = \["file"\]` in \[capabilities.supervisor\]'),
        ("x = ", "not TOML"),
        (f"name = 1\n{COUNTS}", "the child's manifest:1: name"),
        (f'name = "x"\nnonsense = 1\n{COUNTS}', "the child's manifest:2: nonsense is no setting"),
        ('name = "x"\npackage = "../../x.wasm"', "an actor may name no path"),
        ('name = "x"', "there is no module"),
        ('name = "x"\nid = "payments"\npackage = "sha256:0"', r'`ids = \["payments"\]` in \[capabilities.supervisor\]'),
        ('name = "x"\nid = "boss"\npackage = "sha256:0"', "the grant supervisor.ids does not name 'boss'"),
        ("x = 1 #" + "x" * 65_536, "at most 65,536 bytes"),
    ],
)
async def test_a_hostile_manifest_is_an_err_that_says_why(start_host: Any, text: str, problem: str) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match=problem):
        await boss.call_function("spawn", [text, None, None])
    assert sorted(host.host.actors) == ["boss"]


async def test_junk_as_a_module_is_an_err_and_costs_no_room(start_host: Any) -> None:
    host, boss = await started(start_host, settings={"package_bytes": 100_000})
    for junk in (b"", b"\0asm", b"x" * 1000):
        with pytest.raises(GuestError):
            await boss.call_function("spawn", ['name = "x"', None, junk])
    for _ in range(2):
        await boss.call_function("spawn", ['name = "x"\ninitial_state = 0', None, COUNTER.wasm])
    with pytest.raises(GuestError, match=r"`package_bytes = \d+` in \[capabilities.supervisor\]"):
        await boss.call_function("spawn", ['name = "x"', None, b"\0asm" + b"x" * 100_000])
    assert list(keeper(host)._packages.values()) == [COUNTER.wasm]
    for child in await boss.call_function("list"):
        await boss.call_function("stop", [child])
    assert keeper(host)._packages == {}


async def test_granted_ids_and_schemes_are_granted(start_host: Any) -> None:
    class Resolver:
        @staticmethod
        async def resolve(reference: str) -> bytes:
            return COUNTER.wasm if reference == "box://counter" else b"junk"

    plugin = SimpleNamespace(__name__="box", theater_package_resolvers=hookimpl(lambda: {"box": Resolver.resolve}))
    host = await start_host(plugin, installed=["supervisor", "runtime"])
    settings = {"schemes": ["box"], "ids": ["payments"]}
    boss = await host.spawn(BOSS, id="boss", capabilities={"supervisor": settings, "runtime": {}})
    text = 'name = "x"\nid = "payments"\ninitial_state = 3\npackage = "box://counter"'
    assert await boss.call_function("spawn", [text, None, None]) == "payments"
    with pytest.raises(GuestError, match="not WebAssembly"):
        await boss.call_function("spawn", [text.replace("counter", "else").replace("payments", "boss-1"), None, None])


async def test_a_child_has_no_capability_that_its_parent_lacks(start_host: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    host.host.packages.hold(RUNTIME.wasm)
    boss = await host.spawn(BOSS, id="boss", capabilities={"supervisor": {}})
    with pytest.raises(GuestError, match=r"Fix: add \[capabilities.runtime\] to the parent's manifest"):
        await spawned(boss, RUNTIME.wasm)


async def test_a_child_of_an_operation_that_fails_is_undone_and_nobody_hears_of_it(
    start_host: Any, eventually: Any
) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match="as I was told"):
        await boss.call_function("spawn-and-fail", [manifest(COUNTER.wasm, "boss-1"), None, None])
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("stop", ["boss-1"])
    await hears(boss, "stopped boss-1")


async def test_init_may_spawn(start_host: Any) -> None:
    host, _ = await started(start_host)
    plan = manifest(COUNTER.wasm, "early-1")
    early = await host.spawn(BOSS, id="early", state={"heard": "", "plan": plan})
    assert await early.call_function("list") == ["early-1"]
    with pytest.raises(SpawnRefused, match="init refused: there is no module"):
        await host.spawn(BOSS, id="never", state={"heard": "", "plan": 'name = "x"'})
    middle = 'name = "m"\nid = "top-1"\ninitial_state = { heard = "", plan = \'\'\'' + manifest(COUNTER.wasm, "top-1-1")
    middle += f"''' }}\npackage = \"sha256:{sha256(BOSS.wasm).hexdigest()}\"\n"
    middle += "[capabilities.supervisor]\n[capabilities.runtime]"
    await host.spawn(BOSS, id="top", state={"heard": "", "plan": middle})
    assert {"top", "top-1", "top-1-1"} < host.host.actors.keys()
    await host.theater.actor("top").shutdown(wait=True)
    assert sorted(host.host.actors) == ["boss", "early", "early-1"]


async def test_an_init_that_fails_after_it_has_spawned_leaves_no_child(start_host: Any) -> None:
    host, _ = await started(start_host)
    with pytest.raises(SpawnRefused, match="init refused: as I was told"):
        await host.spawn(BOSS, id="never", state={"heard": "", "plan": "!" + manifest(COUNTER.wasm, "never-1")})
    assert (sorted(host.host.actors), host.host.roster._reserved) == (["boss"], set())


async def test_descendants_are_bounded_by_the_grant(start_host: Any) -> None:
    _, boss = await started(start_host, settings={"descendants": 1})
    await spawned(boss, COUNTER.wasm)
    with pytest.raises(GuestError, match=r"`descendants = 2` in \[capabilities.supervisor\] of boss"):
        await spawned(boss, COUNTER.wasm)


async def test_waiting_for_a_child_gives_its_result_and_tells_nothing_else(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    asked = asyncio.ensure_future(boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None]))
    await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
    assert capability(host).list_children() == []
    await host.theater.actor("boss-1").call_function("stop", [b"bye"])
    assert await asked == b"bye"
    assert await boss.call_function("heard") == ""
    for how, text in (("terminate", "boss-1 ended: terminated"), ("shutdown", "boss-1 ended: shutdown")):
        asked = asyncio.ensure_future(
            boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None])
        )
        await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
        await getattr(host.theater.actor("boss-1"), how)()
        with pytest.raises(GuestError, match=text):
            await asked
    assert (await boss.call_function("heard"), keeper(host)._table) == ("", {})


async def test_waiting_has_a_bound_after_which_the_child_is_stopped(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match="did not end within 20 ms; it is being stopped"):
        await boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, 20])
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    assert (await boss.call_function("heard"), keeper(host)._table) == ("", {})


async def test_a_wait_that_is_cut_ends_its_child(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    asked = asyncio.ensure_future(boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None]))
    await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
    host.host.actors["boss"].cancel(lambda _: True, "the test says so")
    await asyncio.gather(asked, return_exceptions=True)
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    assert await boss.call_function("heard") == ""


async def test_resume_goes_on_from_a_state_without_init(start_host: Any) -> None:
    host, boss = await started(start_host)
    await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-1"), 5, None])
    state = await boss.call_function("child-state", ["boss-1"])
    assert state[:4] == b"CGRF"
    assert await boss.call_function("resume", [manifest(COUNTER.wasm, "boss-2"), state]) == "boss-2"
    assert await host.theater.actor("boss-2").call_function("get") == 5
    events = await host.theater.actor("boss-2").get_chain().all()
    assert [getattr(one.body, "function", one.type) for one in events] == ["genesis", "get", "get"]
    for junk in (b"", b"junk", state[:-1], state + b"x"):
        with pytest.raises(GuestError, match="the initial state does not fit"):
            await boss.call_function("resume", [manifest(COUNTER.wasm), junk])


async def test_resume_goes_on_from_the_last_state_of_a_chain(start_host: Any, tmp_path: Path) -> None:
    host = await start_host(installed=["supervisor", "runtime"], data_dir=tmp_path)
    host.host.packages.hold(COUNTER.wasm)
    boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"})
    text = manifest(COUNTER.wasm, "boss-1", "[chain]\ndurability = 'file'")
    await boss.call_function("spawn", [text, 5, None])
    await host.theater.actor("boss-1").call_function("increment", [3])
    await boss.call_function("stop", ["boss-1"])
    with pytest.raises(GuestError, match="the chain of 'boss-1' is kept here; it ended"):
        await boss.call_function("spawn", [text, None, None])
    await boss.call_function("resume", [text, None])
    assert await host.theater.actor("boss-1").call_function("get") == 8
    assert (await host.host.archive.files.genesis("boss-1")).origin is not None
