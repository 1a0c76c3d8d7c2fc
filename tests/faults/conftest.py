"""A host on a real server with a bystander: an actor that is called all the time while things go wrong elsewhere."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from time import perf_counter, thread_time
from typing import Any

import msgpack
import pytest_asyncio

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.client import Theater, connect
from theater_bus.core.manifest import parse_manifest
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import ActorError
from theater_bus.host.actor import Actor
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.host.spawning import NO_STATE, SpawnRequest
from theater_bus.plugins import PluginRegistry
from theater_bus.telemetry import Telemetry
from theater_bus.testing.guests import guest

MAX_PAYLOAD = 16 * 1024 * 1024
# Found and built before any loop runs: reading files is no business of a loop.
COUNTER, CHAOS = guest("counter"), guest("chaos")
OFTEN = 'on_failure = { action = "restart", max_restarts = 100_000, backoff_ms = 0 }\n'
"""A manifest's first line: traps do not end the actor, however many there are."""
_numbers = count(1)


def packed(value: object) -> bytes:
    """msgpack, as any library writes it."""
    return bytes(msgpack.packb(value))  # type: ignore[no-untyped-call]


async def eventually(holds: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until `holds()` is true; fails when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.002)


async def failure(awaitable: Awaitable[Any]) -> ActorError:
    """The `ActorError` that the awaitable ends with."""
    try:
        value = await awaitable
    except ActorError as error:
        return error
    raise AssertionError(f"it ended well, with {value!r}")


def check(error: ActorError, cls: type[ActorError], ran: str, *says: str) -> None:
    """The class, what became of the operation, and the words that the message must have."""
    assert type(error) is cls, repr(error)
    assert (error.ran, error.details["ran"]) == (ran, ran)
    for words in says:
        assert words in error.message, error.message
    assert "Traceback" not in error.message


def manifest_of(text: str, more: str = "") -> str:
    """A guest's manifest without its package, and `more` lines and tables in front of its own tables."""
    lines = [line for line in text.splitlines() if not line.startswith("package =")]
    at = next((n for n, line in enumerate(lines) if line.startswith("[")), len(lines))
    top, bracket, tables = more.partition("[")
    return "\n".join([*lines[:at], top, *lines[at:], bracket + tables, ""])


class Scene:
    """A namespace of the test's own: hosts, actors, and a connection for raw messages."""

    def __init__(self, server: EmbeddedServer, stack: AsyncExitStack) -> None:
        self.server = server
        self.chaos_wasm = CHAOS.wasm
        self.counter_wasm = COUNTER.wasm
        self.namespace = f"faults-{next(_numbers)}"
        self._stack = stack
        self.connection: Connection
        self.theater: Theater

    async def open(self) -> None:
        """Connect the callers."""
        self.connection = await self.connect()
        self.theater = await self._stack.enter_async_context(connect(self.server.url, namespace=self.namespace))

    async def connect(self) -> Connection:
        """One more connection for raw messages."""
        settings = BusSettings(servers=(self.server.url,))
        return await self._stack.enter_async_context(await Connection.open(settings))

    async def host(
        self,
        *,
        plugins: tuple[tuple[str, object], ...] = (),
        installed: Collection[str] = ("runtime",),
        telemetry: Telemetry | None = None,
        **settings: Any,
    ) -> Host:
        """A host with these installed plugins and the given ones, closed at the end of the test."""
        registry = await asyncio.to_thread(PluginRegistry.discover, allow=installed, extra=plugins)
        own = {"servers": (self.server.url,), "namespace": self.namespace, "host_id": f"host-{next(_numbers)}"}
        host = await Host.start(HostSettings(**{**own, **settings}), registry=registry, telemetry=telemetry)
        self._stack.push_async_callback(host.close, 0.0)
        return host

    async def spawn(
        self, host: Host, actor_id: str | None, text: str, wasm: bytes, *, state: Any = NO_STATE, **more: Any
    ) -> Actor:
        """An actor of this manifest and module, started by the host itself."""
        return await host.spawn(SpawnRequest(parse_manifest(text), wasm, actor_id, state, **more))

    async def counter(self, host: Host, actor_id: str, more: str = "") -> Actor:
        """A counter."""
        return await self.spawn(host, actor_id, manifest_of(COUNTER.manifest_text, more), self.counter_wasm)

    async def chaos(self, host: Host, actor_id: str, more: str = OFTEN) -> Actor:
        """A guest that does on request what none must do."""
        return await self.spawn(host, actor_id, manifest_of(CHAOS.manifest_text, more), self.chaos_wasm)

    def subject(self, actor_id: str, function: str, channel: str = "ops") -> str:
        """`theater.<ns>.<channel>.<id>.<function>`."""
        return f"theater.{self.namespace}.{channel}.{actor_id}.{function}"

    async def ask(self, subject: str, body: bytes = b"", *, timeout_s: float = 20, headers: Any = None) -> Any:
        """Request and decode the reply. Raises the error that comes back."""
        message = await self.connection.request_one(subject, body, timeout_s=timeout_s, headers=headers)
        return decode_reply(message.data, message.headers).value

    async def call(self, actor_id: str, function: str, *params: Any, **envelope: Any) -> Any:
        """Call by raw message: a msgpack envelope. Raises the error that comes back."""
        body = packed({"v": 1, "params": list(params), **envelope})
        return await self.ask(self.subject(actor_id, function), body)

    async def info(self, actor_id: str, query: str = "status", **fields: Any) -> Any:
        """Ask on the info channel."""
        return await self.ask(self.subject(actor_id, query, "info"), packed({"v": 1, "params": fields}))

    async def control(self, actor_id: str, verb: str, **fields: Any) -> Any:
        """Ask on the control channel."""
        return await self.ask(self.subject(actor_id, verb, "control"), packed({"v": 1, "params": fields}))

    async def subscriptions(self) -> int:
        """How many subscriptions the server holds for hosts and actors of this namespace."""
        found = (await self._monitored("subsz?subs=1&limit=100000")).get("subscriptions_list") or []
        return sum(one["subject"].startswith(f"theater.{self.namespace}.") for one in found)

    async def _monitored(self, page: str) -> dict[str, Any]:
        def read() -> bytes:
            with urllib.request.urlopen(f"{self.server.monitoring_url}/{page}", timeout=5) as answer:
                return bytes(answer.read())

        found: dict[str, Any] = json.loads(await asyncio.to_thread(read))
        return found

    async def settles_at(self, subscriptions: int) -> None:
        """Wait until the server holds so many subscriptions: nothing was left behind, and nothing lost."""
        async with asyncio.timeout(10):
            while await self.subscriptions() != subscriptions:
                await asyncio.sleep(0.02)

    async def forgets(self, host_id: str) -> None:
        """Wait until the server has noticed that this host is gone; until then it passes requests on to nobody."""
        name = f"theater-bus host {host_id} "
        async with asyncio.timeout(10):
            while any(one.get("name", "").startswith(name) for one in (await self._monitored("connz"))["connections"]):
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def bystander(self, host: Host, within_s: float = 2.0) -> AsyncIterator[Bystander]:
        """Keep calling an actor of `host`; at the end every call was answered, and none waited for long.

        `within_s` is the CPU time that the thread of the event loop may have spent on others meanwhile, so that a busy
        machine is no failure; by the clock it may be ten times as long.
        """
        seen = Bystander()
        actor_id = f"bystander-{next(_numbers)}"
        await self.counter(host, actor_id)
        connection = await self.connect()
        subject, stop = self.subject(actor_id, "increment"), asyncio.Event()

        async def watch() -> None:
            while not stop.is_set():
                started, busy = perf_counter(), thread_time()
                message = await connection.request_one(subject, b"[1]", timeout_s=20)
                seen.calls += 1
                assert decode_reply(message.data, message.headers).value == seen.calls
                seen.busy_s = max(seen.busy_s, thread_time() - busy)
                seen.worst_s = max(seen.worst_s, perf_counter() - started)
                await asyncio.sleep(0.002)

        watching = asyncio.create_task(watch())
        await eventually(lambda: seen.calls or watching.done())
        seen.worst_s = seen.busy_s = 0.0
        try:
            yield seen
        finally:
            stop.set()
            await watching
        assert seen.busy_s < within_s, f"a bystander waited while others had the loop for {seen.busy_s:.3f} s"
        assert seen.worst_s < 10 * within_s, f"a bystander waited {seen.worst_s:.3f} s"


class Bystander:
    """What the caller of the bystander saw: answers, and the longest time to one, by the clock and of the loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.worst_s = 0.0
        self.busy_s = 0.0


StartServer = Callable[..., Awaitable[EmbeddedServer]]
OpenScene = Callable[[EmbeddedServer], Awaitable[Scene]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def faults_server() -> AsyncIterator[EmbeddedServer]:
    """A server that takes 16 MiB in one message, with JetStream and monitoring."""
    config = f"max_payload: {MAX_PAYLOAD}\nmax_pending: {4 * MAX_PAYLOAD}"
    async with EmbeddedServer(config=config, monitoring=True) as server:
        yield server


@pytest_asyncio.fixture
async def open_scene() -> AsyncIterator[OpenScene]:
    """`scene = await open_scene(server)`: a namespace on a server, closed at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(server: EmbeddedServer) -> Scene:
            scene = Scene(server, stack)
            await scene.open()
            return scene

        yield start


@pytest_asyncio.fixture
async def scene(open_scene: OpenScene, faults_server: EmbeddedServer) -> Scene:
    """A namespace on the session's server."""
    return await open_scene(faults_server)


@pytest_asyncio.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """`await start_server(config=…)`: a server of the test's own, stopped at its end."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> EmbeddedServer:
            return await stack.enter_async_context(EmbeddedServer(**options))

        yield start
