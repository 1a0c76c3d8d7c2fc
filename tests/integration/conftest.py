"""Real servers for integration tests: one shared by the session, and as many of one's own as a test needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.testing.fixtures import StartHost, theater_server
from theater_bus.testing.fixtures import start_host as start_any_host
from theater_bus.testing.running import Relay

__all__ = ["start_any_host", "theater_server"]

StartServer = Callable[..., Awaitable[EmbeddedServer]]
Connect = Callable[..., Awaitable[Connection]]


@pytest.fixture
def start_host(start_any_host: StartHost, relay: Relay) -> StartHost:
    """As `start_host` of the fixtures for plugin authors, with actors of each kind in turn."""
    return partial(start_any_host, relay=relay)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server() -> AsyncIterator[EmbeddedServer]:
    """The session's server, with JetStream. Do not stop it; use names of your own on it."""
    async with EmbeddedServer() as server:
        yield server


@pytest.fixture
def nats_url(nats_server: EmbeddedServer) -> str:
    """Where the session's server listens."""
    return nats_server.url


@pytest_asyncio.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """`await start_server(config=…, jetstream=…)`: a server of the test's own, stopped at its end."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> EmbeddedServer:
            return await stack.enter_async_context(EmbeddedServer(**options))

        yield start


@pytest_asyncio.fixture
async def connect(nats_url: str) -> AsyncIterator[Connect]:
    """`await connect(url, user=…, light_subscriptions=…)`: a connection, by default to the session's server."""
    async with AsyncExitStack() as stack:

        async def open_connection(url: str | None = None, **options: Any) -> Connection:
            instrumentation = {key: options.pop(key) for key in ("instrumentation",) if key in options}
            settings = BusSettings(servers=(url or nats_url,), **options)
            return await stack.enter_async_context(await Connection.open(settings, **instrumentation))

        yield open_connection
