"""Guests that are components, in a whole host: built when a test needs them, compiled once for all runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.client.actor import ActorHandle
from theater_bus.testing import RunningHost, running_host

FOLDER = Path(__file__).resolve().parents[2] / "guests" / "components"
WITH_WASI = ("counter-go", "probe-javascript", "probe-python")
INSTALLED = ("http-client", "runtime", "timer", "wasi")
MEMORY_BYTES = 256 * 1024 * 1024


def _builder() -> ModuleType:
    name = "component_guests"
    if name not in sys.modules:
        spec = spec_from_file_location(name, FOLDER / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


class Components:
    """A host with the actors of this module's tests; `spawn` starts one from a component by its name."""

    def __init__(self, running: RunningHost) -> None:
        self.running = running
        self.theater = running.theater
        self._kept: dict[str, ActorHandle] = {}

    async def one(self, name: str) -> ActorHandle:
        """An actor of that component that the tests of a module share, since they leave nothing in it."""
        if name not in self._kept:
            state = {} if name.startswith("web") else {"state": {"count": 0, "last": None}}
            self._kept[name] = await self.spawn(name, on_failure={"action": "restart"}, **state)
        return self._kept[name]

    async def spawn(self, name: str, **manifest: Any) -> ActorHandle:
        """Start an actor; further arguments are those of `RunningHost.spawn`."""
        wasm = await asyncio.to_thread(component, name)
        limits = {"memory_bytes": MEMORY_BYTES, **manifest.pop("limits", {})}
        manifest.setdefault("capabilities", capabilities_of(name))
        if name == "web-javascript":
            manifest.setdefault("isolation", "operation")  # its engine serves one request
        return await self.running.spawn(wasm, limits=limits, **manifest)


def capabilities_of(name: str) -> dict[str, Any]:
    """What an actor of that component needs: Python and Go ask for random numbers when they start, Go for the time."""
    needed: dict[str, Any] = {} if name.startswith("web") else {"runtime": {}}
    if name.endswith("-python"):
        needed["wasi"] = {"random": True}
    if name == "counter-go":
        needed["wasi"] = {"random": True, "clocks": True}
    return needed


def compiled_components() -> Path:
    """Where hosts of these tests keep compiled components, so that each is compiled once for all runs."""
    cache: Path = _builder().CACHE / "compiled"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache


def component(name: str) -> bytes:
    """The component of that name."""
    built: Path = _builder().component(name)
    return built.read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def components() -> AsyncIterator[Components]:
    """One host for the tests of a module."""
    async with AsyncExitStack() as stack:
        host = running_host(installed=INSTALLED, cache_dir=compiled_components())
        yield Components(await stack.enter_async_context(host))


@pytest.fixture(scope="session")
def component_path() -> Any:
    """Where the component of a name lies, built."""
    return _builder().component
