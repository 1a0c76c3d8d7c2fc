"""`file` durability: what was answered is there after a crash, keys replay, and a full disk rolls back and recovers."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.core.chain.bodies import Checkpoint, Genesis
from theater_bus.errors import ActorError, ActorExists, ActorNotFound, Unavailable
from theater_bus.host import checkpoint
from theater_bus.host.chain import FileStore
from theater_bus.host.host import Host

from .conftest import ABI, SHOWN, Stage, eventually, merged, one_kind, packed

DURABLE = "[chain]\ndurability = 'file'\n"


class Outside:
    """A host process that can be killed and started again over the same data."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.host_id = stage, f"outside-{stage.namespace}"
        self._data, self._packages = folder / "data", folder / "packages"
        self._packages.mkdir()
        (self._packages / "counter.wasm").write_bytes(stage.packages["counter"])
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        arguments = (self.stage.url, self.stage.namespace, self.host_id, str(self._data), str(self._packages))
        script = str(Path(__file__).with_name("host_process.py"))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, script, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 30) == b"ready\n"

    async def end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await asyncio.wait_for(self._process.communicate(), 20)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def spawn(self, actor_id: str, manifest: str = DURABLE) -> None:
        digest = hashlib.sha256(self.stage.packages["counter"]).hexdigest()
        fields = {"manifest": merged(SHOWN["counter"].manifest_text, manifest), "package": f"sha256:{digest}"}
        subject = f"theater.{self.stage.namespace}.host.{self.host_id}.spawn"
        await self.stage.ask(subject, packed({"v": 1, "params": {**fields, "id": actor_id}}))


@pytest_asyncio.fixture
async def outside(stage: Stage, tmp_path: Path) -> AsyncIterator[Outside]:
    made = Outside(stage, tmp_path)
    await made.start()
    yield made
    await made.end(signal.SIGKILL)


async def test_after_kill_9_under_load_every_answered_operation_is_there_and_keys_replay(outside: Outside) -> None:
    stage = outside.stage
    await outside.spawn("kept")
    await outside.spawn("gone", manifest="")
    answered: dict[str, int] = {}
    refused: set[str] = set()
    halfway = asyncio.Event()

    async def work(worker: int) -> None:
        for number in range(40):
            key = f"{worker}-{number}"
            while key not in answered:
                try:
                    call = stage.handle("kept").call_function("increment", [1], key=key, timeout=10)
                    answered[key] = await call
                except ActorError as error:
                    refused.add(error.ran)
            if len(answered) > 120:
                halfway.set()

    workers = [asyncio.ensure_future(work(worker)) for worker in range(8)]
    await asyncio.wait_for(halfway.wait(), 20)
    await outside.end(signal.SIGKILL)
    before = dict(answered)
    await outside.start()
    await asyncio.gather(*workers)
    assert "committed" not in refused
    assert sorted(answered.values()) == list(range(1, 321))
    assert await stage.handle("kept").get_state() == 320
    for key, value in list(before.items())[:20]:
        assert await stage.handle("kept").call_function("increment", [1], key=key) == value
    assert await stage.handle("kept").get_state() == 320
    with pytest.raises(ActorNotFound):
        await stage.handle("gone").call_function("increment", [1], timeout=5)
    assert "recovered" in [getattr(event.body, "KIND", "") async for event in stage.handle("kept").get_chain()]


@one_kind
async def test_a_full_disk_is_unavailable_and_rolled_back_and_goes_on_when_there_is_room(outside: Outside) -> None:
    stage = outside.stage
    await outside.spawn("a")
    assert await stage.call("a", "increment", 1) == 1
    outside.signal(signal.SIGUSR1)
    await stage.info("a")
    first = await _until_unavailable(stage)
    assert first.ran == "rolled-back"
    second = await stage.error(stage.call("a", "increment", 1))
    assert (type(second), second.ran) == (Unavailable, "never")
    state = (await stage.info("a", "state"))["state"]
    outside.signal(signal.SIGUSR2)
    async with asyncio.timeout(10):
        while True:
            try:
                assert await stage.call("a", "increment", 1) == state + 1
                break
            except Unavailable:
                await asyncio.sleep(0.02)
    await outside.end(signal.SIGKILL)
    await outside.start()
    assert (await stage.info("a", "state"))["state"] == state + 1


async def _until_unavailable(stage: Stage) -> Unavailable:
    """The first error that comes once the signal has been taken."""
    while True:
        try:
            await stage.call("a", "increment", 1)
        except Unavailable as error:
            return error


async def test_a_host_that_is_closed_and_opened_again_goes_on(outside: Outside) -> None:
    stage = outside.stage
    await outside.spawn("a")
    for number in range(1, 6):
        assert await stage.call("a", "increment", 1, op=f"k{number}") == number
    await stage.control("a", "pause")
    await outside.end(signal.SIGTERM)
    await outside.start()
    assert (await stage.info("a"))["phase"] == "paused"
    waiting = stage.start(stage.call("a", "increment", 1))
    await stage.control("a", "resume")
    assert await waiting == 6
    assert await stage.call("a", "increment", 1, op="k3") == 3
    assert (await stage.info("a", "operation", op="k3"))["answer"] == {"value": 3}


# -- within this process -----------------------------------------------------------------------------------------------


async def spawn_kept(stage: Stage, host: Host, actor_id: str = "a", **request: Any) -> None:
    await stage.spawn(host, actor_id, guest_name="counter", manifest=DURABLE, **request)


async def test_checkpoints_come_every_so_many_operations_and_recovery_reads_from_the_last(
    stage: Stage, tmp_path: Path
) -> None:
    host = await stage.host(data_dir=tmp_path)
    await spawn_kept(stage, host)
    count = checkpoint.EVERY_OPERATIONS + 50
    for begin in range(0, count, 200):
        numbers = range(begin, min(begin + 200, count))
        await asyncio.gather(*(stage.call("a", "increment", 1, op=f"k{number}") for number in numbers))
    await host.close()
    store = await FileStore.start(tmp_path)
    try:
        events = [event async for event in _events(store)]
        kinds = [type(event.body) for event in events]
        assert kinds.count(Genesis) == 1
        assert kinds.count(Checkpoint) == 2
        assert kinds[-1] is Checkpoint
        found = await store.recover("a")
        assert found.answers == {}
        assert len(found.window) == count
        assert (await store.verify("a")).problem is None
    finally:
        await store.close()
    again = await stage.host(data_dir=tmp_path)
    assert (await stage.info("a", "state"))["state"] == count
    assert await stage.call("a", "increment", 1, op="k7") <= 200
    assert again.actors["a"].phases.is_running


async def _events(store: FileStore) -> AsyncIterator[Any]:
    from theater_bus.core.chain.events import decode_event

    at = 0
    while True:
        page = await store.read("a", at)
        for segment in page.segments:
            for data in getattr(segment, "events", ()):
                yield decode_event(data)
        at = page.next_seq
        if at >= page.end_seq:
            return


async def test_a_pause_is_followed_by_a_checkpoint_once_the_running_operation_is_acknowledged(
    stage: Stage, kind: str, tmp_path: Path
) -> None:
    host = await stage.host(data_dir=tmp_path)
    actor = await stage.spawn(host, "a", manifest=DURABLE)
    running = stage.start(stage.call("a", "add-held", 5))
    gate = await stage.gates.arrival("held")
    await stage.control("a", "pause")
    gate.set_result("")
    assert await running == 5
    await eventually(lambda: actor.journal.ahead == 0)
    await stage.control("a", "resume")
    assert await stage.call("a", "add", 1) == 6
    bodies: list[Any] = [event.body for event in await stage.events("a")]
    (found,) = [body for body in bodies if isinstance(body, Checkpoint)]
    before = bodies[: bodies.index(found)]
    assert getattr(before[-4], "KIND", "") == "paused"
    assert (found.phase, found.abi) == ("paused", ABI[kind])
    assert actor.type.state_codec is not None
    assert isinstance(found.state, bytes)
    assert actor.type.state_codec.decode(actor.type.state_codec.check(found.state)) == 5


async def test_an_id_whose_chain_ended_needs_fresh_or_continue(stage: Stage, tmp_path: Path) -> None:
    host = await stage.host(data_dir=tmp_path)
    await spawn_kept(stage, host)
    await stage.call("a", "increment", 5)
    await stage.control("a", "shutdown", wait=True)
    error = await stage.error(spawn_kept(stage, host))
    assert isinstance(error, ActorExists)
    assert "--fresh" in error.message
    await spawn_kept(stage, host, begin="continue")
    assert await stage.call("a", "increment", 1) == 6
    await stage.control("a", "shutdown", wait=True)
    await spawn_kept(stage, host, begin="fresh")
    assert await stage.call("a", "increment", 1) == 1
    origins = [e.body.origin for e in await stage.events("a") if isinstance(e.body, Genesis)]
    assert [origin is not None and origin.mode == "continue" for origin in origins] == [False, True, False]
    assert host.archive.files is not None
    assert (await host.archive.files.verify("a")).problem is None


@one_kind
async def test_an_actor_that_cannot_come_back_hinders_no_other(stage: Stage, tmp_path: Path) -> None:
    host = await stage.host(data_dir=tmp_path)
    await spawn_kept(stage, host, "a")
    await stage.spawn(host, "b", manifest=DURABLE)
    await host.close()
    (wasm,) = [one for one in (tmp_path / "objects").rglob("*") if one.is_file() and _is(one, "counter")]
    wasm.unlink()
    again = await stage.host(data_dir=tmp_path)
    assert set(again.actors) == {"b"}
    assert isinstance(await stage.error(spawn_kept(stage, again, "a")), ActorExists)


def _is(file: Path, name: str) -> bool:
    return file.read_bytes() == SHOWN[name].wasm


# -- watching ----------------------------------------------------------------------------------------------------------


@one_kind
async def test_a_watcher_sees_every_event_once_while_its_lease_lives(stage: Stage) -> None:
    host = await stage.host(mode="production", plugins_allow=("peer", "runtime"))
    actor = await stage.spawn(host, "a")
    seen: list[int] = []
    subject = (await stage.info("a", "watch", ttl_ms=60_000))["subject"]
    follow = stage.start(_follow(stage, seen))
    await eventually(lambda: len(seen) == 3)
    for _ in range(50):
        await stage.call("a", "add", 1)
    await eventually(lambda: len(seen) == 103)
    assert seen == list(range(103))
    follow.cancel()
    assert subject == f"theater.{stage.namespace}.events.a"
    assert actor.journal.settled.seq == 103


async def _follow(stage: Stage, seen: list[int]) -> None:
    async for event in stage.handle("a").get_chain().follow():
        seen.append(event.seq)


@one_kind
async def test_nothing_is_published_without_a_watcher_nor_after_its_lease(stage: Stage) -> None:
    host = await stage.host(mode="production", plugins_allow=("peer", "runtime"))
    await stage.spawn(host, "a")
    batches: list[bytes] = []
    stage.connection.subscribe(f"theater.{stage.namespace}.events.a", lambda message: batches.append(message.data))
    await stage.connection.ready()
    await stage.call("a", "add", 1)
    await stage.info("a", "watch", ttl_ms=1_000)
    await stage.call("a", "add", 1)
    await eventually(lambda: len(batches) == 1)
    await eventually(_watched(host, "a", False))
    await stage.call("a", "add", 1)
    await stage.info("a", "watch", ttl_ms=60_000)
    await stage.call("a", "add", 1)
    await eventually(lambda: len(batches) == 2)


def _watched(host: Host, actor_id: str, expected: bool) -> Callable[[], bool]:
    return lambda: (host.archive.memory._ring(actor_id).watcher is not None) is expected
