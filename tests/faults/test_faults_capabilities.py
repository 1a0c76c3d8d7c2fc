"""Capabilities and plugins that fail in every way Python knows: the operation ends, its actor and all others go on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from theater_bus.capability import Capability, CapabilityError, hookimpl
from theater_bus.errors import ActorNotFound, HandlerError, Internal, Overloaded, PluginError, SpawnRefused
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.plugins import PluginRegistry
from theater_bus.plugins.discovery import Found
from theater_bus.telemetry import Telemetry
from theater_bus.testing import build_component, build_wat
from theater_bus.testing.running import Relay

from .conftest import OFTEN, Scene, check, eventually, failure

MIB = 1 << 20
PACT = """
@package: string = "test:trouble"

interface trouble {
    exports {
        go: func(kind: string) -> string
        wait: func(kind: string) -> string
        give: func(count: u32) -> list<u8>
        take: func(items: list<string>) -> u32
    }
}
"""


class Custom(BaseException):
    """Nobody expects it."""


class Unprintable(Exception):
    """It cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


RAISED: dict[str, Any] = {
    "exception": lambda: RuntimeError("broken on purpose"),
    "unprintable": Unprintable,
    "cancelled": asyncio.CancelledError,
    "generator-exit": GeneratorExit,
    "custom": Custom,
    "stop": lambda: StopIteration(5),
    "stop-async": StopAsyncIteration,
    "recursion": RecursionError,
    "memory": MemoryError,
    "timeout": TimeoutError,
    "group": lambda: BaseExceptionGroup("several", [Custom(), ValueError()]),
    "not-declared": lambda: CapabilityError("nothing here has an err"),
    "theater": lambda: ActorNotFound("somebody else"),
    "theater-full": lambda: Overloaded("somebody else", bound="x"),
    "lookup": lambda: KeyError("x"),
}
RETURNED: dict[str, Any] = {
    "none": None,
    "number": 5,
    "bytes": b"x",
    "surrogate": "\ud800",
    "self": ...,
    "nested": [[[[]]]],
}


class Trouble(Capability):
    """Does what its argument says."""

    name = "trouble"
    pact = PACT

    def go(self, kind: str) -> str:
        if kind in RAISED:
            raise RAISED[kind]()
        if kind == "block":
            until = time.perf_counter() + 0.7  # what a capability must not do
            while time.perf_counter() < until:
                pass
        found: str = RETURNED.get(kind, kind)
        return found

    async def wait(self, kind: str) -> str:
        if kind.startswith("later-"):
            await asyncio.sleep(0)
        return self.go(kind.removeprefix("later-"))

    def give(self, count: int) -> bytes:
        return bytes(count)

    def take(self, items: list[str]) -> int:
        return len(items)


def offering() -> tuple[tuple[str, object], ...]:
    plugin = ModuleType("trouble")
    plugin.theater_capabilities = hookimpl(lambda: [Trouble])  # type: ignore[attr-defined]
    return (("trouble", plugin),)


@pytest.fixture
def guest(relay: Relay) -> bytes:
    """What passes calls on to the capability, as each kind in turn."""
    return relay(Trouble)


async def actor(scene: Scene, guest: bytes, more: str = "", telemetry: Telemetry | None = None) -> Host:
    host = await scene.host(plugins=offering(), telemetry=telemetry)
    head, bracket, tables = more.partition("[")
    text = f'name = "t"\n{head}[capabilities.trouble]\n{bracket}{tables}'
    await scene.spawn(host, "t", text, guest)
    return host


async def test_whatever_a_host_function_raises_ends_its_operation_alone(scene: Scene, guest: bytes) -> None:
    host = await actor(scene, guest)
    async with scene.bystander(host, within_s=1.0):
        for kind in RAISED:
            for function, argument in (("go", kind), ("wait", kind), ("wait", f"later-{kind}")):
                error = await failure(scene.call("t", function, argument))
                assert type(error) is HandlerError, (function, argument, error)
                check(error, HandlerError, "rolled-back", error.details["correlation"])
                assert await scene.call("t", "go", "fine") == "fine", (function, argument)
    assert (await scene.info("t"))["phase"] == "running"


async def test_whatever_a_host_function_returns_wrong_ends_its_operation_alone(scene: Scene, guest: bytes) -> None:
    host = await actor(scene, guest)
    async with scene.bystander(host):
        for kind in RETURNED:
            for function in ("go", "wait"):
                check(await failure(scene.call("t", function, kind)), HandlerError, "rolled-back")
                assert await scene.call("t", "wait", "later-fine") == "fine"


async def test_an_answer_that_its_guest_has_no_room_for_is_a_memory_limit(scene: Scene, guest: bytes) -> None:
    host = await actor(scene, guest, "[limits]\nmemory_bytes = 1_048_576\n")
    async with scene.bystander(host):
        error = await failure(scene.call("t", "give", 2 * MIB))
        check(error, Internal, "rolled-back")
        assert error.details["reason"] == "memory-limit"
        assert await scene.call("t", "give", 3) == b"\0\0\0"


GIVE_PACT = """
imports { test:trouble/trouble { give: func(count: u32) -> list<u8> } }
exports { give: func(count: u32) -> list<u8> }
"""
REENTRANT = """(module
  (import "test:trouble/trouble" "give" (func $give (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (func (export "__pack_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 4000))
      (then (drop (call $give (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12)))))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (i32.sub (global.get $top) (local.get $size)))
  (func (export "__pack_free") (param i32 i32))
  (func (export "give") (param i32 i32 i32 i32) (result i32)
    (call $give (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""
REENTRANT_COMPONENT = """(module
  (import "test:trouble/trouble" "give" (func $give (param i32 i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 4000)) (then (call $give (i32.const 3) (i32.const 8))))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (i32.sub (global.get $top) (local.get $size)))
  (func (export "give") (param i32) (result i32)
    (call $give (local.get 0) (i32.const 16))
    (i32.const 16)))"""


@pytest.fixture
def reentrant(kind: str) -> tuple[bytes, str]:
    """A guest whose allocator calls the host, and what is said of it, as each kind in turn."""
    if kind == "module":
        return build_wat(REENTRANT, GIVE_PACT), "allocator"
    return build_component(REENTRANT_COMPONENT, GIVE_PACT), "cannot leave component instance"


async def test_a_guest_that_calls_its_host_while_the_host_answers_it_fails_alone(
    scene: Scene, reentrant: tuple[bytes, str], kind: str
) -> None:
    host = await scene.host(plugins=offering())
    wasm, says = reentrant
    await scene.spawn(host, "t", f'name = "t"\n{OFTEN}[capabilities.trouble]\n', wasm)
    async with scene.bystander(host):
        assert await scene.call("t", "give", 100) == bytes(100)
        for _ in range(5):
            error = await failure(scene.call("t", "give", 5000))
            check(error, Internal, "rolled-back", says)
            assert error.details["reason"] == ("host-call" if kind == "module" else "trap")
        assert await scene.call("t", "give", 100) == bytes(100)


async def test_arguments_with_too_many_nodes_are_the_guest_s_fault(scene: Scene, guest: bytes) -> None:
    host = await actor(scene, guest, "[limits]\ndecode_nodes = 100_000\n")
    async with scene.bystander(host):
        error = await failure(scene.call("t", "take", ["x"] * 30_000))
        assert (error.code, error.ran) == ("type-mismatch", "rolled-back"), error
        assert await scene.call("t", "take", ["x"] * 1000) == 1000


async def test_a_capability_that_blocks_the_loop_is_measured(scene: Scene, guest: bytes) -> None:
    telemetry = Telemetry()
    host = await actor(scene, guest, telemetry=telemetry)
    started = time.perf_counter()
    assert await scene.call("t", "go", "block") == "block"
    assert time.perf_counter() - started >= 0.7
    await eventually(lambda: telemetry.prometheus() and _lag(telemetry) > 0.1)
    assert (await scene.info("t"))["phase"] == "running"
    assert host.actors


def _lag(telemetry: Telemetry) -> float:
    lines = telemetry.prometheus().splitlines()
    return max(float(line.rpartition(" ")[2]) for line in lines if line.startswith("theater_event_loop_lag_seconds"))


async def test_a_plugin_that_fails_at_its_import_is_named_and_hides_no_other(
    scene: Scene, guest: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {
        "raises": "raise RuntimeError('broken at import')",
        "exits": "import sys; sys.exit(3)",
        "typo": "def theater_capabilities(:",
        "missing": "import nothing_of_that_name",
        "unprintable": "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    }
    for name, source in sources.items():
        (tmp_path / f"faulty_{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    found = [Found(name, f"faulty_{name}", "faulty", "1") for name in sources]
    registry = await asyncio.to_thread(PluginRegistry.discover, found=found, extra=offering())
    assert {error.plugin for error in registry.failures} == sources.keys()
    assert all(error.fix for error in registry.failures)
    settings = HostSettings(servers=(scene.server.url,), namespace=scene.namespace)
    host = await Host.start(settings, registry=registry)
    try:
        await scene.spawn(host, "t", 'name = "t"\n[capabilities.trouble]\n', guest)
        assert await scene.call("t", "go", "fine") == "fine"
        text = 'name = "t"\n[capabilities.raises]\n'
        check(await failure(scene.spawn(host, "u", text, guest)), SpawnRefused, "never", "'raises'", "Fix: ")
    finally:
        await host.close(0.0)
    with pytest.raises(PluginError):
        await Host.start(settings.model_copy(update={"mode": "production"}), registry=registry)
