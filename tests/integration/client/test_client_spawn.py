"""How an actor comes to life through the client: the manifest, the way of the package, the choice of the host."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from theater_bus import Theater
from theater_bus.bus.objects import ObjectStore
from theater_bus.errors import ActorExists, ChannelClosed, ConfigurationError, SerializationError, SpawnRefused
from theater_bus.testing.guests import guest

from .conftest import StartHost, one_kind

COUNTER = guest("counter")
NO_PACKAGE = COUNTER.manifest_text.replace('package = "counter.wasm"\n', "")


@pytest.fixture
def wasm(packages: Mapping[str, bytes]) -> bytes:
    """The counter."""
    return packages["counter"]


@pytest.fixture
def folder(tmp_path: Path, wasm: bytes) -> Path:
    """A folder with a manifest and the package that it names."""
    (tmp_path / "counter.toml").write_text(COUNTER.manifest_text, "utf-8")
    (tmp_path / "counter.wasm").write_bytes(wasm)
    return tmp_path


async def test_a_manifest_on_disk_brings_the_module_beside_it(host: Any, theater: Theater, folder: Path) -> None:
    by_path = await theater.spawn(folder / "counter.toml")
    by_text = await theater.spawn(str(folder / "counter.toml"), state=5)
    assert await by_path.call.increment(1) == 1
    assert await by_text.call.increment(1) == 6
    assert by_path.id != by_text.id
    assert len(by_path.id) == 26


async def test_tables_and_bytes_do_as_well(host: Any, theater: Theater, folder: Path, wasm: bytes) -> None:
    tables = {"name": "counter", "initial_state": 3}
    counter = await theater.spawn(tables, package=wasm, id="mine")
    assert (counter.id, await counter.get_state()) == ("mine", 3)
    other = await theater.spawn(tables, package=folder / "counter.wasm")
    assert await other.get_state() == 3


@one_kind
async def test_variables_are_replaced_before_the_manifest_travels(
    host: Any, theater: Theater, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "eu")
    (folder / "counter.toml").write_text(
        'name = "counter-${env.PLACE}"\nid = "${var.ID}"\npackage = "${var.FILE:-counter}.wasm"\n'
        'initial_state = "${var.STATE}"\n[limits]\ncpu_ms = "${var.CPU:-77}"\n',
        "utf-8",
    )
    counter = await theater.spawn(folder / "counter.toml", variables={"ID": "7", "STATE": 3})
    assert (counter.id, await counter.call.increment(1)) == ("7", 4)
    running = host.actors["7"].type.manifest
    assert (running.name, running.limits.cpu_ms, running.package) == ("counter-eu", 77, "counter.wasm")
    with pytest.raises(SpawnRefused, match=r"counter\.toml:2: id needs the variable ID\. Fix: give it"):
        await theater.spawn(folder / "counter.toml", variables={"STATE": 3})
    with pytest.raises(SpawnRefused, match=r"var\.OTHER is given, and the manifest has no such variable"):
        await theater.spawn(folder / "counter.toml", variables={"ID": "8", "STATE": 3, "OTHER": 1})


async def test_an_id_whose_chain_ended_goes_on_from_the_last_state_or_from_the_initial_one(
    start_host: StartHost, theater: Theater, folder: Path, tmp_path: Path, wasm: bytes
) -> None:
    await start_host(data_dir=tmp_path / "data")
    kept = COUNTER.manifest_text + '[chain]\ndurability = "file"\n'

    async def spawned(**begin: Any) -> int:
        actor = await theater.spawn(kept, package=wasm, id="kept", **begin)
        found = int(await actor.call.increment(1))
        await actor.shutdown()
        return found

    assert await spawned() == 1
    with pytest.raises(ActorExists, match="--continue"):
        await spawned()
    assert await spawned(begin="continue") == 2
    assert await spawned(begin="fresh") == 1


async def test_the_module_travels_through_the_object_store_once(host: Any, theater: Theater, wasm: bytes) -> None:
    await asyncio.gather(*(theater.spawn(NO_PACKAGE, package=wasm) for _ in range(8)))
    assert len(await theater.actors()) == 8
    digest = hashlib.sha256(wasm).digest()
    assert await theater._session.objects.exists(digest)
    by_digest = NO_PACKAGE + f'package = "sha256:{digest.hex()}"\n'
    assert await (await theater.spawn(by_digest)).get_state() == 0


async def test_a_package_that_is_nowhere_is_refused_with_the_places_that_were_searched(
    host: Any, theater: Theater
) -> None:
    with pytest.raises(SpawnRefused, match="object store theater_") as caught:
        await theater.spawn(NO_PACKAGE + f'package = "sha256:{"0" * 64}"\n')
    assert caught.value.details["package"] == "0" * 64


async def test_without_jetstream_the_host_needs_the_module_itself(
    start_server: Callable[..., Awaitable[Any]],
    start_host: Callable[..., Awaitable[Any]],
    open_theater: Callable[..., Awaitable[Theater]],
    folder: Path,
    wasm: bytes,
) -> None:
    server = await start_server(jetstream=False)
    await start_host(server.url, host_id="bare")
    theater = await open_theater(server.url)
    with pytest.raises(SpawnRefused, match="no JetStream to send it through") as caught:
        await theater.spawn(COUNTER.manifest_text, package=wasm)
    assert caught.value.ran == "never"
    await start_host(server.url, host_id="stocked", packages_dir=folder)
    counter = await theater.spawn(COUNTER.manifest_text, package=wasm, host="stocked")
    assert await counter.call.increment(1) == 1


@one_kind
async def test_the_host_with_the_fewest_actors_is_chosen(
    start_host: Callable[..., Awaitable[Any]], theater: Theater, wasm: bytes
) -> None:
    for name in ("host-a", "host-b"):
        await start_host(host_id=name)
    for _ in range(4):
        await theater.spawn(NO_PACKAGE, package=wasm)
    assert sorted(host.actors for host in await theater.hosts()) == [2, 2]


@one_kind
async def test_no_host_and_an_unknown_host_are_told_apart(
    theater: Theater, start_host: Callable[..., Awaitable[Any]], wasm: bytes
) -> None:
    with pytest.raises(ChannelClosed, match="no host answers in namespace"):
        await theater.spawn(NO_PACKAGE, package=wasm)
    await start_host()
    with pytest.raises(ChannelClosed, match="'elsewhere' does not answer"):
        await theater.spawn(NO_PACKAGE, package=wasm, host="elsewhere")


@one_kind
async def test_a_mistake_in_the_manifest_is_found_before_anything_is_sent(
    theater: Theater, tmp_path: Path, wasm: bytes
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "x"\npackge = "x.wasm"\n', "utf-8")
    with pytest.raises(SpawnRefused, match="did you mean") as caught:
        await theater.spawn(bad)
    assert str(bad) in str(caught.value)
    bad.write_text('name = "x"\npackage = "gone.wasm"\n', "utf-8")
    with pytest.raises(SpawnRefused, match=r"gone\.wasm cannot be read"):
        await theater.spawn(bad)
    with pytest.raises(SpawnRefused, match="cannot be read"):
        await theater.spawn(tmp_path / "missing.toml")
    module = tmp_path / "module.wasm"
    module.write_bytes(COUNTER.wasm)
    with pytest.raises(TypeError, match="not bytearray"):
        await theater.spawn(NO_PACKAGE, package=bytearray(COUNTER.wasm))  # type: ignore[arg-type]
    with pytest.raises(SpawnRefused, match=r"lost\.wasm cannot be read"):
        await theater.spawn(NO_PACKAGE, package=str(tmp_path / "lost.wasm"))
    with pytest.raises(SpawnRefused, match=r"module\.wasm is no manifest"):
        await theater.spawn(module)
    with pytest.raises(SpawnRefused, match="no package is named"):
        await theater.spawn({"name": "x"})
    with pytest.raises(SerializationError, match="id"):
        await theater.spawn(NO_PACKAGE, package=wasm, id="a b")
    with pytest.raises(ConfigurationError, match="timeout"):
        await theater.spawn(NO_PACKAGE, package=wasm, timeout=0)


async def test_the_host_refuses_an_id_that_lives_and_a_module_that_is_none(
    host: Any, theater: Theater, wasm: bytes
) -> None:
    await theater.spawn(NO_PACKAGE, package=wasm, id="taken")
    with pytest.raises(ActorExists):
        await theater.spawn(NO_PACKAGE, package=wasm, id="taken")
    with pytest.raises(SpawnRefused):
        await theater.spawn(NO_PACKAGE, package=b"not wasm", id="new")
    with pytest.raises(SpawnRefused, match="state"):
        await theater.spawn(NO_PACKAGE, package=wasm, state="not a number")


@one_kind
async def test_a_store_that_refuses_is_named_in_the_refusal(
    host: Any, theater: Theater, monkeypatch: pytest.MonkeyPatch, wasm: bytes
) -> None:
    monkeypatch.setattr("theater_bus.host.package_source.MAX_PACKAGE_BYTES", 10)
    assert isinstance(host.objects, ObjectStore)
    with pytest.raises(SpawnRefused, match="the limit is 10"):
        await theater.spawn(NO_PACKAGE, package=wasm)
