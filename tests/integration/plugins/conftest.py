"""A host with the plugins of one test, and a capability whose guests wait until the test lets them go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from theater_bus.capability import Capability, Context, hookimpl
from theater_bus.client import ActorHandle
from theater_bus.core.chain.events import Event
from theater_bus.errors import Overloaded
from theater_bus.testing.fixtures import start_harness

__all__ = ["start_harness"]

PACT = """
@package: string = "test:tools"

interface tool {
    exports {
        echo: func(text: string) -> string
        wait: func(name: string) -> string
        fail: func(why: string) -> string
        leak: func(name: string) -> string
        note: func(why: string)
        again: func(times: u32) -> u32
        facts: func() -> list<string>
    }
}
"""


class Tool(Capability):
    """Functions that echo, wait for the test, fail, and use their context. State of a test lies in a subclass."""

    name = "tool"
    pact = PACT
    instances: ClassVar[list[Capability]] = []
    arrived: ClassVar[dict[str, asyncio.Future[str]]] = {}
    cancelled: ClassVar[list[str]] = []
    release: ClassVar[asyncio.Event]

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.instances.append(self)

    async def echo(self, text: str) -> str:
        return text

    async def wait(self, name: str) -> str:
        self.arrived[name] = answer = asyncio.get_running_loop().create_future()
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    def fail(self, why: str) -> str:
        raise RuntimeError(why)

    async def leak(self, name: str) -> str:
        """Ignores its cancellation until the test lets it go."""
        self.arrived[name] = asyncio.get_running_loop().create_future()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
        try:
            self.cancelled.append(f"deadline {self.context.deadline}")
        except LookupError as error:
            self.cancelled.append(str(error))
        return "late"

    def note(self, why: str) -> None:
        self.context.report_failure(why)

    def again(self, times: int) -> int:
        for done in range(times):
            try:
                self.context.enqueue("echo", ["again"])
            except Overloaded:
                return done
        return times

    async def facts(self) -> list[str]:
        context = self.context
        left = context.deadline - asyncio.get_running_loop().time()
        return [context.actor.id, str(context.call_id), context.effect_key, str(0 < left <= 30)]


@pytest.fixture
def tool() -> Iterator[type[Tool]]:
    """A class of its own for every test, so that nothing is shared."""
    release = asyncio.Event()
    shared = {"instances": [], "arrived": {}, "cancelled": [], "release": release}
    yield type("TestTool", (Tool,), shared)
    release.set()  # else a test that fails early is followed by a loop that waits for `leak` until it closes, for ever


@pytest.fixture
def plugin() -> Callable[..., SimpleNamespace]:
    """`plugin("audit", theater_authorizers=function)`: a plugin with these hooks."""

    def make(name: str, /, **hooks: Any) -> SimpleNamespace:
        return SimpleNamespace(__name__=name, **{hook: hookimpl(function) for hook, function in hooks.items()})

    return make


async def eventually(holds: Callable[[], Any], timeout_s: float = 30.0) -> None:
    """Wait until `holds()` is true; fails when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.002)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def bodies() -> Callable[..., Any]:
    """`await bodies(actor, "host-call")`: the bodies of the actor's events of these types."""

    async def read(actor: ActorHandle, *types: str) -> list[Any]:
        events: list[Event] = await actor.get_chain().all()
        return [event.body for event in events if event.type in types]

    return read
