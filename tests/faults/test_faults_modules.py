"""Modules and manifests that cannot be actors: refused with what to do, leaving nothing, while others go on."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.lifecycle import StopReason
from theater_bus.errors import ActorError, ActorExists, ConfigurationError, SpawnRefused
from theater_bus.host.catalogue import KEPT_TYPES
from theater_bus.host.host import Host
from theater_bus.testing.broken import broken, broken_names

from .conftest import COUNTER, Scene, check, failure, manifest_of, packed

NAMED = 'name = "broken"\n'
REASONS = {
    "component": ("component",),
    "cut-short": ("ends in the middle",),
    "differing-import": ("theater:simple/runtime", "log"),
    "empty": ("not WebAssembly",),
    "fixed-base": ("env.memory",),
    "huge-memory": ("memory_bytes",),
    "lying-hash": ("hash",),
    "metadata-noise": ("metadata",),
    "metadata-outside": ("metadata", "outside guest memory"),
    "metadata-spin": ("metadata", "CPU time"),
    "metadata-trap": ("metadata", "unreachable"),
    "missing-export": ("`lost`",),
    "no-allocator": ("__pack_alloc",),
    "no-memory": ("memory",),
    "no-metadata": ("no metadata", "theater-bus build"),
    "not-wasm": ("not WebAssembly",),
    "nothing-to-call": ("no function that can be called",),
    "raw-import": ("host.log", "calling convention"),
    "shared-symbol": ("`get`",),
    "start-trap": ("unreachable",),
    "unknown-import": ("nobody:here/thing",),
}
MODULES = {name: broken(name) for name in broken_names()}
LYING = "lying-types"
"""Nothing tells before it is called."""


def test_every_broken_module_is_provoked() -> None:
    assert set(MODULES) == REASONS.keys() | {LYING}


async def test_a_module_that_cannot_be_an_actor_is_refused_and_leaves_nothing(scene: Scene) -> None:
    host = await scene.host()
    async with scene.bystander(host):
        before, instances = await scene.subscriptions(), host.engine.instances
        for name, says in REASONS.items():
            manifest = NAMED + ("[capabilities.runtime]\n" if name == "differing-import" else "")
            error = await failure(scene.spawn(host, "a", manifest, MODULES[name]))
            check(error, SpawnRefused, "never", *says)
            assert "Fix: " in error.message, f"{name}: {error.message}"
        await scene.settles_at(before)
        assert host.engine.instances == instances
        await scene.counter(host, "a")
        assert await scene.call("a", "increment", 5) == 5


async def test_a_module_whose_code_does_not_do_what_it_declares_fails_call_by_call(scene: Scene) -> None:
    host = await scene.host()
    async with scene.bystander(host):
        await scene.spawn(host, "a", NAMED, MODULES[LYING], state=5)
        for call in (scene.call("a", "increment", "by"), scene.call("a", "get")):
            error = await failure(call)
            assert error.ran == "rolled-back", error
            assert error.code in ("type-mismatch", "guest-trap", "serialization-error"), error
        assert (await scene.info("a"))["phase"] in ("running", "restarting")


async def test_an_import_that_nobody_declared_names_the_plugin_that_would_provide_it(
    scene: Scene, wasm_of: Any
) -> None:
    host = await scene.host()
    error = await failure(scene.spawn(host, "a", 'name = "x"\ninitial_state = 0\n', wasm_of("chaos")))
    check(error, SpawnRefused, "never", "theater:simple/runtime", "log", "[capabilities.runtime]", "Fix: ")


async def test_a_capability_that_no_plugin_offers_is_refused_with_the_nearest(scene: Scene) -> None:
    host = await scene.host()
    text = manifest_of(COUNTER.manifest_text, "[capabilities.runtme]\n")
    error = await failure(scene.spawn(host, "a", text, COUNTER.wasm))
    check(error, SpawnRefused, "never", "'runtme'", "Did you mean 'runtime'", "Fix: ")


async def test_what_is_not_installed_is_named_by_its_distribution(scene: Scene, wasm_of: Any) -> None:
    host = await scene.host(installed=())
    for more, says in (
        ("[capabilities.runtime]\n", "install theater-bus-runtime, or allow it"),
        ("", "install theater-bus-runtime where the host runs, and add `[capabilities.runtime]`"),
    ):
        error = await failure(scene.spawn(host, "a", f'name = "x"\ninitial_state = 0\n{more}', wasm_of("chaos")))
        check(error, SpawnRefused, "never", says)
        assert "Did you mean" not in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'x'", ("nmae", "name")),
        ("name = 'x'\n[limits]\ncpu_sm = 5", ("cpu_sm", "cpu_ms")),
        ("name = 'x'\n[limits]\ncpu_ms = 'much'", ("cpu_ms",)),
        ("name = 'x'\n[limits]\ncpu_ms = -1", ("cpu_ms",)),
        ("name = 'x'\n[chain]\ndurability = 'flie'", ("durability", "file")),
        ("name = 'x'\non_failure = 'explode'", ("on_failure",)),
        ("name = 'x", ("not TOML",)),
        ("name = 'x'\nid = 'a.b'", ("id",)),
        ("name = 'x'\nid = '>'", ("id",)),
        ("", ("name",)),
    ],
)
async def test_a_mistake_in_a_manifest_is_refused_over_the_wire_and_named(
    scene: Scene, text: str, says: tuple[str, ...]
) -> None:
    host = await scene.host()
    body = packed({"v": 1, "params": {"manifest": text, "package": "sha256:" + "00" * 32}})
    error = await failure(scene.ask(f"theater.{scene.namespace}.host.{host.id}.spawn", body))
    check(error, SpawnRefused, "never", *says)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"manifest": 5},
        {"manifest": {"name": "x"}, "package": "sha256:zz"},
        {"manifest": {"name": "x"}, "package": "/etc/passwd"},
        {"manifest": {"name": "x"}, "id": "a.>"},
        {"manifest": {"name": "x"}, "id": "x" * 65},
        {"manifest": {"name": "x"}, "idd": "a"},
        {"manifest": {"name": "x"}, "fresh": "yes"},
        {"manifest": {"name": "x"}, "fresh": True, "continue": True},
        {"manifest": {1: 2}},
    ],
    ids=range(10),
)
async def test_a_spawn_with_wrong_fields_is_answered_and_not_a_bug(scene: Scene, fields: dict[str, object]) -> None:
    host = await scene.host()
    body = packed({"v": 1, "params": fields})
    error = await failure(scene.ask(f"theater.{scene.namespace}.host.{host.id}.spawn", body))
    assert error.code in ("spawn-refused", "type-mismatch", "serialization-error"), error
    assert error.ran == "never"
    assert not host.actors


async def test_two_actors_cannot_have_one_id_and_the_first_goes_on(scene: Scene) -> None:
    first, second = await scene.host(), await scene.host()
    await scene.counter(first, "a")
    assert await scene.call("a", "increment", 5) == 5
    before = await scene.subscriptions()
    for host in (first, second):
        check(await failure(scene.counter(host, "a")), ActorExists, "never", "'a'", "Fix: ")
    await scene.settles_at(before)
    assert await scene.call("a", "increment", 1) == 6


async def test_a_thousand_spawns_at_once_of_which_half_fail(scene: Scene) -> None:
    host = await scene.host()

    async def one(number: int) -> str:
        wasm = COUNTER.wasm if number % 2 else MODULES["missing-export"]
        try:
            await scene.spawn(host, f"many-{number}", manifest_of(COUNTER.manifest_text), wasm)
        except ActorError as error:
            return error.code
        return "ok"

    async with scene.bystander(host, within_s=2.0):
        before = await scene.subscriptions()
        outcomes = await asyncio.gather(*(one(n) for n in range(1000)))
        assert outcomes == ["spawn-refused", "ok"] * 500
        assert len(host.actors) == 501
        await scene.settles_at(before + 3 * 500)
        assert await scene.call("many-999", "increment", 1) == 1
        await asyncio.gather(*(scene.control(f"many-{n}", "terminate", wait=True) for n in range(1, 1000, 2)))
        assert len(host.actors) == 1
        await scene.settles_at(before)


async def test_what_is_kept_of_packages_and_manifests_that_come_and_go_is_bounded(scene: Scene) -> None:
    host = await scene.host()
    for number in range(300):
        actor = await scene.counter(host, "a", f'on_failure = "pause"\n[limits]\ncpu_ms = {number + 1}\n')
        host.stop_actor(actor, StopReason.SHUTDOWN, grace_s=0.0)
        await host.stopped(actor)
    assert host.catalogue.kept_types == KEPT_TYPES


async def test_a_corrupt_file_in_the_compile_cache_is_replaced(scene: Scene, wasm_of: Any, tmp_path: Path) -> None:
    scene.counter_wasm = wasm_of("counter")
    cache = tmp_path / "cache"
    await _use(scene, await scene.host(cache_dir=cache), "a")
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    for number, damage in enumerate((b"", b"\x7fELF not what it was", None)):
        for path in files:
            good = path.read_bytes()
            path.chmod(0o600)
            path.write_bytes(good[: len(good) // 2] if damage is None else damage)
        await _use(scene, await scene.host(cache_dir=cache), f"b-{number}")


async def _use(scene: Scene, host: Host, actor_id: str) -> None:
    await scene.counter(host, actor_id)
    assert await scene.call(actor_id, "increment", 5) == 5
    await host.close(0.0)


async def test_a_cache_that_others_may_write_to_is_not_used(scene: Scene, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    with pytest.raises(ConfigurationError, match="cache"):
        await scene.host(cache_dir=cache)


async def test_a_package_on_disk_that_is_not_its_digest_is_refused(scene: Scene, tmp_path: Path) -> None:
    digest = hashlib.sha256(COUNTER.wasm).hexdigest()
    (tmp_path / f"{digest}.wasm").write_bytes(MODULES["not-wasm"])
    host = await scene.host(packages_dir=tmp_path)
    body = packed({"v": 1, "params": {"manifest": manifest_of(COUNTER.manifest_text), "package": f"sha256:{digest}"}})
    error = await failure(scene.ask(f"theater.{scene.namespace}.host.{host.id}.spawn", body))
    check(error, SpawnRefused, "never", digest)
