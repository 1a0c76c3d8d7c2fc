"""Servers that die and places that cannot be written to: named at the start, survived afterwards."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from theater_bus.client import connect
from theater_bus.errors import (
    ActorNotFound,
    ChainTampered,
    ChannelClosed,
    ConfigurationError,
    ConnectionLost,
    OperationTimeout,
    OutcomeUnknown,
)
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings

from .conftest import COUNTER, OpenScene, Scene, StartServer, eventually, failure, manifest_of

DURABLE = manifest_of(COUNTER.manifest_text, '[chain]\ndurability = "file"\n')


async def test_a_server_killed_under_load_comes_back_and_every_call_has_an_outcome(
    start_server: StartServer, open_scene: OpenScene
) -> None:
    server = await start_server()
    scene = await open_scene(server)
    host = await scene.host()
    for number in range(20):
        await scene.counter(host, f"a-{number}")
    answered, failed = 0, 0
    stop = asyncio.Event()

    async def work(actor_id: str) -> None:
        nonlocal answered, failed
        handle = scene.theater.actor(actor_id)
        while not stop.is_set():
            try:
                await handle.call_function("increment", [1], timeout=15)
                answered += 1
            except (OutcomeUnknown, ChannelClosed, OperationTimeout):
                failed += 1
                await asyncio.sleep(0.01)

    workers = [asyncio.ensure_future(work(f"a-{number}")) for number in range(20)]
    for _ in range(2):
        before = answered
        await eventually(lambda seen=before: answered > seen + 50)
        await asyncio.to_thread(server.kill)
        await server.restart()
        after = answered
        await eventually(lambda seen=after: answered > seen + 50, 20)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*workers), 20)
    await eventually(lambda: host.bus.connected)
    await host.bus.ready()
    assert sorted(host.actors) == sorted(f"a-{number}" for number in range(20))
    states = [await scene.theater.actor(f"a-{number}").get_state() for number in range(20)]
    assert answered <= sum(states) <= answered + failed


async def test_a_host_without_a_server_says_so_at_once(tmp_path: Path) -> None:
    settings = HostSettings(servers=("nats://127.0.0.1:1",), data_dir=tmp_path / "data")
    with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1"):
        await Host.start(settings)
    with pytest.raises(ConnectionLost):
        await connect("nats://127.0.0.1:1")
    assert not (tmp_path / "data").exists()


async def test_a_data_directory_of_another_host_is_locked_and_that_host_goes_on(scene: Scene, tmp_path: Path) -> None:
    first = await scene.host(data_dir=tmp_path)
    await scene.spawn(first, "a", DURABLE, COUNTER.wasm)
    async with scene.bystander(first):
        before = await scene.subscriptions()
        with pytest.raises(ConfigurationError, match=r"data.*") as refused:
            await scene.host(data_dir=tmp_path)
        assert str(tmp_path) in str(refused.value)
        assert "Fix: " in str(refused.value)
        await scene.settles_at(before)
        assert await scene.call("a", "increment", 1) == 1
    await first.close(0.0)
    await scene.host(data_dir=tmp_path)
    assert await scene.call("a", "increment", 1) == 2


async def test_a_data_directory_that_is_a_file_is_refused_by_name(scene: Scene, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("not a directory")
    for wrong in (place, place / "below"):
        with pytest.raises(ConfigurationError) as refused:
            await scene.host(data_dir=wrong)
        assert str(place) in str(refused.value)
        assert "Fix: " in str(refused.value)


async def test_a_data_directory_that_cannot_be_written_is_refused_by_name(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's answer is put in its place, because permissions do not bind those who run tests as root."""
    really = os.open

    def refuse(path: object, flags: int, *args: object, **options: object) -> int:
        if str(tmp_path) in os.fspath(path) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):  # type: ignore[call-overload]
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return really(path, flags, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigurationError) as refused:
        await scene.host(data_dir=tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert "Fix: " in str(refused.value)


async def test_damage_in_a_data_directory_is_named_and_nothing_is_served_from_it(scene: Scene, tmp_path: Path) -> None:
    first = await scene.host(data_dir=tmp_path)
    await scene.spawn(first, "a", DURABLE, COUNTER.wasm)
    for _ in range(20):
        await scene.call("a", "increment", 1)
    await first.close(0.0)
    log = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    logs = [path for path in tmp_path.rglob("*.log") if path.is_file()]
    damaged = logs[0] if logs else log
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    before = await scene.subscriptions()
    with pytest.raises((ChainTampered, ConfigurationError)) as refused:
        await scene.host(data_dir=tmp_path)
    assert damaged.name in str(refused.value)
    await scene.settles_at(before)


class Served:
    """`theater-bus serve` as a process of its own."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("THEATER_BUS_")}
        variables |= {"THEATER_BUS_SERVERS": self._scene.server.url, "THEATER_BUS_NAMESPACE": self._scene.namespace}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "theater_bus.cli.main", "serve", "--host-id", "served", "--data", str(self._folder),
            env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), 30)

    async def end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await asyncio.wait_for(self.process.communicate(), 20)
            await self._scene.forgets("served")


@pytest_asyncio.fixture
async def served(scene: Scene, tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(scene, tmp_path / "served")
    await made.start()
    yield made
    await made.end(signal.SIGKILL)


async def test_a_host_killed_with_9_loses_its_memory_actors_and_no_others(scene: Scene, served: Served) -> None:
    other = await scene.host()
    theater = scene.theater
    for actor_id, text in (("kept", DURABLE), ("gone", manifest_of(COUNTER.manifest_text))):
        await theater.spawn(text, package=COUNTER.wasm, id=actor_id, host="served")
        assert await theater.actor(actor_id).call_function("increment", [5]) == 5
    async with scene.bystander(other):
        before = asyncio.ensure_future(failure(theater.actor("gone").call_function("no-such", [1])))
        await before
        await served.end(signal.SIGKILL)
        for actor_id in ("kept", "gone"):
            with pytest.raises(ActorNotFound):
                await theater.actor(actor_id).call_function("increment", [1], timeout=2, keyed=False)
        await served.start()
        assert await theater.actor("kept").call_function("increment", [1]) == 6
        with pytest.raises(ActorNotFound):
            await theater.actor("gone").call_function("increment", [1], timeout=2)
        await theater.spawn(manifest_of(COUNTER.manifest_text), package=COUNTER.wasm, id="gone", host="served")
        assert await theater.actor("gone").call_function("increment", [1]) == 1


async def test_an_id_of_a_host_that_was_killed_is_free_on_another(scene: Scene, served: Served) -> None:
    other = await scene.host()
    await scene.theater.spawn(manifest_of(COUNTER.manifest_text), package=COUNTER.wasm, id="a", host="served")
    await served.end(signal.SIGKILL)
    await scene.counter(other, "a")
    assert await scene.call("a", "increment", 1) == 1
