"""Real servers for integration tests: one shared by the session, and as many of one's own as a test needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.testing import relay_component, relay_guest
from theater_bus.testing.fixtures import StartHost, theater_server
from theater_bus.testing.fixtures import start_host as start_any_host
from theater_bus.testing.guests import Guest, guest
from theater_bus.testing.running import Relay

__all__ = ["start_any_host", "theater_server"]

StartServer = Callable[..., Awaitable[EmbeddedServer]]
Connect = Callable[..., Awaitable[Connection]]

COMPONENT_GUESTS = Path(__file__).parents[1] / "guests" / "components" / "build.py"


@pytest.fixture(scope="session")
def twin() -> Callable[[str], bytes]:
    """`twin("counter")`: the component with the exports of that Pack guest, built once per checkout."""
    build = run_path(str(COMPONENT_GUESTS))["component"]
    return cache(lambda name: bytes(build(f"twin-{name}").read_bytes()))


@pytest.fixture(params=["module", "component"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of guest in turn, for tests whose subject is a guest."""
    return str(request.param)


@pytest.fixture
def wasm_of(kind: str, twin: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """`wasm_of("counter")`: that guest, as each kind in turn."""
    return lambda name: guest(name).wasm if kind == "module" else twin(name)


@pytest.fixture
def guest_of(wasm_of: Callable[[str], bytes]) -> Callable[[str], Guest]:
    """`guest_of("counter")`: the same, with its manifest."""
    return lambda name: replace(guest(name), wasm=wasm_of(name))


@pytest.fixture
def relay(kind: str) -> Relay:
    """What makes the guests that stand before capabilities, as each kind in turn."""
    return relay_guest if kind == "module" else relay_component


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
