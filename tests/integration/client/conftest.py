"""A namespace of each test's own on the session's server: hosts, clients, and a host played by the test itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from theater_bus import ActorHandle, Host, HostSettings, Theater, connect
from theater_bus.bus import BusSettings, Connection, Message
from theater_bus.core.wire.request import Request, decode_request
from theater_bus.core.wire.response import encode_error, encode_value
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import ActorError
from theater_bus.plugins import PluginRegistry
from theater_bus.telemetry import Telemetry
from theater_bus.testing.guests import guest

StartHost = Callable[..., Awaitable[Host]]
OpenTheater = Callable[..., Awaitable[Theater]]
Spawn = Callable[..., Awaitable[ActorHandle]]

one_kind = pytest.mark.parametrize("kind", ["module"])
"""For a test whose subject is not the guest: one kind of guest shows all that there is."""


class FakeHost:
    """A host played by the test: it keeps the requests that come, and answers when the test says so."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self.connection = connection
        self.subjects = subjects
        self.requests: list[tuple[str, Request]] = []
        self._replies: list[str] = []
        self._came = asyncio.Event()

    def receive(self, message: Message) -> None:
        headers = message.headers
        self.requests.append((message.subject, decode_request(message.data, None, headers)))
        self._replies.append(message.reply)
        self._came.set()

    async def wait(self, count: int) -> list[Request]:
        """The requests, once there are `count`."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._came.clear()
                await self._came.wait()
        return [request for _, request in self.requests]

    def answer(self, number: int, value: Any) -> None:
        """Answer request `number`, counted from 0, with a value or an error."""
        body, headers = encode_error(value) if isinstance(value, ActorError) else encode_value(value)
        self.connection.publish(self._replies[number], body, headers=headers)


@pytest.fixture
def namespace() -> str:
    return f"client-{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    """The plugins that are installed, found once."""
    return PluginRegistry.discover()


@pytest_asyncio.fixture
async def start_host(nats_url: str, namespace: str, registry: PluginRegistry) -> AsyncIterator[StartHost]:
    """`await start_host(url, host_id=…, …)`: a host in the test's namespace, closed at the end."""
    async with AsyncExitStack() as stack:

        async def start(url: str | None = None, *, telemetry: Telemetry | None = None, **settings: Any) -> Host:
            given: dict[str, Any] = {"namespace": namespace, "grace_ms": 200} | settings
            made = HostSettings(servers=(url or nats_url,), **given)
            host = await Host.start(made, registry=registry, telemetry=telemetry)
            return await stack.enter_async_context(host)

        yield start


@pytest_asyncio.fixture
async def open_theater(nats_url: str, namespace: str) -> AsyncIterator[OpenTheater]:
    """`await open_theater(url, …)`: a client in the test's namespace, by default on the session's server."""
    async with AsyncExitStack() as stack:

        async def open_one(url: str | None = None, **options: Any) -> Theater:
            options = {"namespace": namespace} | options
            return await stack.enter_async_context(connect(url or nats_url, **options))

        yield open_one


@pytest_asyncio.fixture
async def host(start_host: StartHost) -> Host:
    return await start_host(host_id="host-a")


@pytest_asyncio.fixture
async def theater(open_theater: OpenTheater) -> Theater:
    return await open_theater()


@pytest.fixture
def packages(wasm_of: Callable[[str], bytes]) -> Mapping[str, bytes]:
    """The guests by their names, all of the test's kind; found and built before any loop runs."""
    return {name: wasm_of(name) for name in ("counter", "chaos", "echo")}


@pytest.fixture
def spawn(host: Host, theater: Theater, packages: Mapping[str, bytes]) -> Spawn:
    """`await spawn("counter", id=…, state=…)`: one of the project's guests, through the client."""

    async def spawn_guest(name: str = "counter", manifest: str = "", **options: Any) -> ActorHandle:
        text = manifest or guest(name).manifest_text
        return await theater.spawn(text, package=packages[name], **options)

    return spawn_guest


@pytest_asyncio.fixture
async def fake(nats_url: str, namespace: str) -> AsyncIterator[Callable[..., Awaitable[FakeHost]]]:
    """`await fake(url, actor="a")`: a host played by the test, listening to that actor's operations."""
    async with AsyncExitStack() as stack:

        async def play(url: str | None = None, actor: str = "a", **options: Any) -> FakeHost:
            connection = await Connection.open(BusSettings(servers=(url or nats_url,), **options))
            await stack.enter_async_context(connection)
            played = FakeHost(connection, Subjects(namespace))
            connection.subscribe(played.subjects.ops_lane(actor), played.receive)
            await connection.ready()
            return played

        yield play


@pytest.fixture
def pending() -> Callable[[Theater], int]:
    """How many requests of a client still wait for their outcome."""
    return lambda theater: theater._session.connection.pending_requests
