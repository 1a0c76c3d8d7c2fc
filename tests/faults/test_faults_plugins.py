"""Capabilities that fail where they are made, started and stopped: each is named, and nobody waits for it for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import pytest

from theater_bus.capability import Capability, Context, hookimpl
from theater_bus.core.lifecycle import Phase
from theater_bus.errors import ShuttingDown, SpawnRefused
from theater_bus.host import equipping, stopping
from theater_bus.host.actor import Actor
from theater_bus.host.host import Host
from theater_bus.plugins.bounded import PluginFailed, bounded
from theater_bus.testing.relay import relay_guest

from .conftest import Scene, check, failure


class Custom(BaseException):
    """Nobody expects it."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "exception": lambda: RuntimeError("broken on purpose"),
    "custom": lambda: Custom("broken on purpose"),
    "exit": lambda: SystemExit(3),
    "cancelled": asyncio.CancelledError,
    "generator-exit": GeneratorExit,
}


class Faulty(Capability):
    """Does in each phase of its life what the test says; `release` lets go of what never ends."""

    name = "faulty"
    pact = """
@package: string = "test:faulty"

interface faulty {
    exports {
        go: func() -> string
        leak: func() -> string
    }
}
"""
    plan: ClassVar[dict[str, str]] = {}
    release: ClassVar[asyncio.Event]
    leaked: ClassVar[list[asyncio.Task[str]]] = []
    made: ClassVar[list[Context]] = []

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.made.append(context)
        what = self.plan.get("init")
        if what:
            raise RAISED[what]()

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def _do(self, phase: str) -> None:
        what = self.plan.get(phase)
        if what == "never":
            while not self.release.is_set():
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    continue
        elif what:
            raise RAISED[what]()

    def go(self) -> str:
        return "fine"

    def leak(self) -> str:
        self.leaked.append(asyncio.get_running_loop().create_task(self._outlive()))
        return "leaked"

    async def _outlive(self) -> str:
        await self.release.wait()
        try:
            self.context.enqueue("go")
        except ShuttingDown as error:
            return error.code
        return "enqueued"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """A class of its own for every test, and short bounds."""
    monkeypatch.setattr(stopping, "CAPABILITY_STOP_S", 0.1)
    monkeypatch.setattr(equipping, "CAPABILITY_START_S", 0.1)
    monkeypatch.setattr(import_module("theater_bus.plugins.bounded"), "GRACE_S", 0.1)
    release = asyncio.Event()
    yield type("TestFaulty", (Faulty,), {"plan": {}, "release": release, "leaked": [], "made": []})
    release.set()


def offering(cls: type[Faulty]) -> tuple[tuple[str, object], ...]:
    plugin = ModuleType("faulty")
    plugin.theater_capabilities = hookimpl(lambda: [cls])  # type: ignore[attr-defined]
    return (("faulty", plugin),)


async def spawn(scene: Scene, host: Host, actor_id: str, cls: type[Faulty]) -> Actor:
    wasm = await asyncio.to_thread(relay_guest, cls)
    return await scene.spawn(host, actor_id, 'name = "f"\n[capabilities.faulty]\n', wasm)


@pytest.mark.parametrize("what", [*RAISED, "never"])
async def test_a_capability_that_does_not_stop_well_is_named_and_holds_up_no_end(
    scene: Scene, faulty: type[Faulty], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = await scene.host(plugins=offering(faulty))
    async with scene.bystander(host):
        for actor_id in ("shut", "killed"):
            actor = await spawn(scene, host, actor_id, faulty)
            faulty.plan["stop"] = what
            await scene.control(actor_id, "shutdown" if actor_id == "shut" else "terminate")
            async with asyncio.timeout(20):
                await host.stopped(actor)
            faulty.plan.clear()
            assert f"faulty of {actor_id}" in caplog.text
    assert actor.phases.phase is Phase.STOPPED
    await spawn(scene, host, "shut-again", faulty)
    faulty.plan["stop"] = what
    async with asyncio.timeout(20):
        await host.close(0.0)


@pytest.mark.parametrize(
    ("phase", "what"), [*(("init", what) for what in RAISED), *(("start", what) for what in RAISED), ("start", "never")]
)
async def test_a_capability_that_does_not_start_refuses_its_actor_alone(
    scene: Scene, faulty: type[Faulty], phase: str, what: str
) -> None:
    host = await scene.host(plugins=offering(faulty))
    async with scene.bystander(host):
        faulty.plan[phase] = what
        error = await failure(spawn(scene, host, "f", faulty))
        check(error, SpawnRefused, "never", "capability 'faulty'")
        faulty.plan.clear()
        await spawn(scene, host, "f", faulty)
        assert await scene.call("f", "go") == "fine"


async def test_a_task_that_outlives_its_actor_reaches_nobody(scene: Scene, faulty: type[Faulty]) -> None:
    host = await scene.host(plugins=offering(faulty))
    async with scene.bystander(host):
        actor = await spawn(scene, host, "f", faulty)
        assert await scene.call("f", "leak") == "leaked"
        await scene.control("f", "shutdown")
        await host.stopped(actor)
        again = await spawn(scene, host, "f", faulty)
        faulty.release.set()
        async with asyncio.timeout(10):
            assert await faulty.leaked[0] == "shutting-down"
        assert again.mailbox.enqueues == 0
        with pytest.raises(LookupError):
            _ = faulty.made[0].deadline
        assert await scene.call("f", "go") == "fine"


# -- the bound itself --------------------------------------------------------------------------------------------------


async def test_what_ends_in_time_gives_its_value_or_its_exception() -> None:
    async def value() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("mine")

    assert await bounded(value, 10) == 7
    with pytest.raises(ValueError, match="mine"):
        await bounded(fail, 10)


@pytest.mark.parametrize("what", ["custom", "exit", "cancelled", "generator-exit"])
async def test_what_is_no_exception_becomes_one(what: str) -> None:
    async def fail() -> None:
        raise RAISED[what]()

    with pytest.raises(PluginFailed, match=type(RAISED[what]()).__name__):
        await bounded(fail, 10)


async def test_what_is_late_is_cancelled_and_that_is_waited_for() -> None:
    ends: list[str] = []

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("cleaned up")

    with pytest.raises(TimeoutError, match=r"did not end within 0\.01 s"):
        await bounded(late, 0.01)
    assert ends == ["cleaned up"]


async def test_a_caller_that_is_cancelled_takes_the_code_along() -> None:
    began, ends = asyncio.Event(), list[str]()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    caller = asyncio.create_task(bounded(wait, 10))
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ends == ["cancelled"]
