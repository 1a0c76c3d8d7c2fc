"""What capabilities get back of an actor that goes on: their snapshot, and then their later calls."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import Capability, CapabilityError
from theater_bus.core.manifest.reading import from_mapping
from theater_bus.errors import GuestError
from theater_bus.host.checkpoint import Checkpoints
from theater_bus.host.spawning import SpawnRequest
from theater_bus.telemetry import Telemetry
from theater_bus.testing import RunningHost, running_host

LONG = "x" * 100_000
"""More than a chain keeps inline."""
Place = Callable[..., AbstractAsyncContextManager[RunningHost]]


class Sum(Capability):
    """Adds up what its actor says, and knows from where it has it."""

    name = "sum"
    pact = """
        interface sum {
            @package: string = "test:sum"
            exports {
                add: func(word: string, by: u64) -> result<u64, string>
                quiet: func()
            }
        }
    """

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.total = 0
        self.heard: list[tuple[str, list[Any], Any]] = []

    def add(self, word: str, by: int) -> int:
        if not by:
            raise CapabilityError("nothing to add")
        self.total += by
        return self.total

    def quiet(self) -> None:
        self.context.snapshot_changed()

    def snapshot(self) -> bytes:
        return str(self.total).encode()

    def restore(self, snapshot: bytes) -> None:
        self.total = int(snapshot)

    def recorded(self, function: str, args: list[Any], result: Any) -> None:
        self.heard.append((function, args, result))
        if function == "add" and "ok" in result:
            self.total = result["ok"]


class Lasting(Sum):
    """One whose sums outlive the end of the actor."""

    outlives_exit = True


class Refusing(Sum):
    """One that cannot go on."""

    def recorded(self, function: str, args: list[Any], result: Any) -> None:
        raise ValueError("this is not mine")


@pytest.fixture
def place(theater_server: Any, relay: Any) -> Callable[[type[Capability]], Place]:
    """`async with place(Sum)(directory) as host`: a host of this capability, over that data directory."""

    def of(cls: type[Capability]) -> Place:
        @asynccontextmanager
        async def start(directory: Path, telemetry: Telemetry | None = None) -> AsyncIterator[RunningHost]:
            async with running_host(
                cls, server=theater_server, relay=relay, data_dir=directory, namespace="recall", telemetry=telemetry
            ) as host:
                yield host

        return start

    return of


async def spawned(host: RunningHost, cls: type[Capability], relay: Any) -> Any:
    return await host.spawn(relay(cls), id="a", capabilities={"sum": {}}, chain={"durability": "file"})


async def crashed(place: Place, cls: type[Capability], relay: Any, tmp_path: Path, *calls: tuple[Any, ...]) -> Path:
    """What is on disk when the host dies behind these calls."""
    async with place(tmp_path / "first") as host:
        actor = await spawned(host, cls, relay)
        for function, *args in calls:
            try:
                await actor.call_function(function, args)
            except GuestError:
                continue
        await host.host.actors["a"].journal.quiet()
        shutil.copytree(tmp_path / "first", tmp_path / "crashed")
    return tmp_path / "crashed"


def capability(host: RunningHost) -> Any:
    return host.host.actors["a"].capabilities["sum"]


async def test_calls_that_no_checkpoint_covers_are_told_after_a_crash(
    place: Any, relay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "wanted", lambda self: None)
    calls = [("add", "a", 5), ("add", LONG, 7), ("add", "none", 0), ("quiet",)]
    directory = await crashed(place(Sum), Sum, relay, tmp_path, *calls)
    async with place(Sum)(directory) as host:
        assert capability(host).heard == [
            ("add", ["a", 5], {"ok": 5}),
            ("add", [LONG, 7], {"ok": 12}),
            ("add", ["none", 0], {"err": "nothing to add"}),
            ("quiet", [], None),
        ]
        assert capability(host).total == 12


async def test_calls_that_a_checkpoint_covers_are_not_told_again(place: Any, relay: Any, tmp_path: Path) -> None:
    async with place(Sum)(tmp_path) as host:
        actor = await spawned(host, Sum, relay)
        await actor.call_function("add", ["a", 5])
    async with place(Sum)(tmp_path) as host:
        assert (capability(host).total, capability(host).heard) == (5, [])


async def test_one_that_cannot_go_on_keeps_its_actor_from_coming_back(
    place: Any, relay: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Checkpoints, "wanted", lambda self: None)
    directory = await crashed(place(Refusing), Refusing, relay, tmp_path, ("add", "a", 5))
    with caplog.at_level(logging.INFO):
        async with place(Refusing)(directory, Telemetry(level="metrics")) as host:
            assert host.host.actors == {}
    assert "capability 'sum' cannot go on: ValueError: this is not mine" in caplog.text


@pytest.mark.parametrize(("cls", "total"), [(Sum, 0), (Lasting, 5)])
async def test_what_an_ended_actor_had_comes_back_where_it_is_to_outlive_the_end(
    place: Any, relay: Any, tmp_path: Path, cls: type[Sum], total: int
) -> None:
    async with place(cls)(tmp_path) as host:
        actor = await spawned(host, cls, relay)
        await actor.call_function("add", ["a", 5])
        await actor.shutdown(wait=True)
        tables = {"name": "under-test", "capabilities": {"sum": {}}, "chain": {"durability": "file"}}
        request = SpawnRequest(from_mapping(tables, "the test's"), relay(cls), "a", begin="continue")
        await host.host.spawn(request)
        assert (capability(host).total, capability(host).heard) == (total, [])
        await actor.shutdown(wait=True)
        await host.host.spawn(replace(request, begin="fresh"))
        assert capability(host).total == 0
