"""Hosts with real guests on a real server, a capability that waits for the test, and callers with raw messages."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgpack
import pytest
import pytest_asyncio

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.capability import Capability, hookimpl
from theater_bus.client import ActorHandle, Theater, connect
from theater_bus.core.chain.events import Event, decode_event
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

GUESTS = Path(__file__).parent / "guests"
PEER_PACT = """
@package: string = "test:peer"
@calls: list<string> = ["test:peer/peer-client"]

interface peer {
    exports {
        call: func(actor: string, function: string, params: string) -> string
        hold: func(name: string) -> string
    }
}
"""
# Found and built before any loop runs: reading files is no business of a loop.
SHOWN = {"peer": guest("peer", GUESTS), "counter": guest("counter"), "chaos": guest("chaos"), "echo": guest("echo")}
_names = count(1)
ABI = {"module": "pack/2", "component": "component/0.2"}
one_kind = pytest.mark.parametrize("kind", ["module"])
"""For a test whose subject ends before a guest is reached: one kind of guest shows all that there is."""


def packed(value: object) -> bytes:
    """msgpack, as any library writes it."""
    return bytes(msgpack.packb(value))  # type: ignore[no-untyped-call]


async def eventually(holds: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until `holds()` is true; fails when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.002)


class Gates:
    """What guests wait for in `hold`. The test waits until one has come, and lets it go on with an answer."""

    def __init__(self) -> None:
        self._came: dict[str, asyncio.Queue[asyncio.Future[str]]] = {}
        self.cancelled: list[str] = []
        self.enough = asyncio.Event()
        self.failures: list[ActorError] = []
        self.instances: dict[str, Capability] = {}

    async def hold(self, name: str) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queue(name).put_nowait(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    async def refuse_to_end(self) -> str:
        """Go on in spite of every cancellation, until the test says that it is enough."""
        while not self.enough.is_set():
            with suppress(asyncio.CancelledError):
                await self.enough.wait()
        return ""

    async def arrival(self, name: str) -> asyncio.Future[str]:
        """A guest that has come to `name`; set the result to let it go on."""
        return await asyncio.wait_for(self._queue(name).get(), 10)

    def _queue(self, name: str) -> asyncio.Queue[asyncio.Future[str]]:
        return self._came.setdefault(name, asyncio.Queue())


def plugin(**hooks: Callable[..., Any]) -> ModuleType:
    """A plugin with these hooks."""
    module = ModuleType("a plugin of the test")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    return module


def peer_plugin(gates: Gates) -> ModuleType:
    """A plugin with the capability `peer`; what `call` meets with comes back as `code: message`."""

    class Peer(Capability):
        name = "peer"
        pact = PEER_PACT

        async def start(self) -> None:
            gates.instances[self.context.actor.id] = self

        async def call(self, actor: str, function: str, params: str) -> str:
            try:
                return json.dumps(await self.context.call_actor(actor, function, json.loads(params)))
            except ActorError as error:
                gates.failures.append(error)
                return f"{error.code}: {error.message}"

        async def hold(self, name: str) -> str:
            if name == "!raise":
                raise RuntimeError("broken on purpose")
            if name == "!stubborn":
                return await gates.refuse_to_end()
            return await gates.hold(name)

    return plugin(theater_capabilities=lambda: [Peer])


class Stage:
    """A namespace of the test's own, with hosts, actors and callers in it."""

    def __init__(self, url: str, stack: AsyncExitStack, packages: Mapping[str, bytes], namespace: str = "") -> None:
        self.url = url
        self.packages = packages
        self.namespace = namespace or f"stage-{next(_names)}"
        self.gates = Gates()
        self.plugin = peer_plugin(self.gates)
        self.hosts: list[Host] = []
        self._stack = stack
        self.connection: Connection
        self.theater: Theater

    async def open(self) -> None:
        """Connect the callers."""
        self.connection = await self._stack.enter_async_context(await Connection.open(BusSettings(servers=(self.url,))))
        self.theater = await self._stack.enter_async_context(connect(self.url, namespace=self.namespace))

    async def host(
        self, *, telemetry: Telemetry | None = None, extra: tuple[tuple[str, object], ...] = (), **settings: Any
    ) -> Host:
        """A host, closed at the end of the test."""
        plugins = [("peer", self.plugin), *extra]
        registry = await asyncio.to_thread(PluginRegistry.discover, extra=plugins)
        given = {"servers": (self.url,), "namespace": self.namespace, "host_id": f"host-{next(_names)}", **settings}
        host = await Host.start(HostSettings(**given), registry=registry, telemetry=telemetry)
        self._stack.push_async_callback(host.close, 0.0)
        self.hosts.append(host)
        return host

    async def spawn(
        self,
        host: Host,
        actor_id: str,
        *,
        guest_name: str = "peer",
        manifest: str = "",
        state: Any = NO_STATE,
        from_json: bool = False,
        begin: Literal["new", "fresh", "continue"] = "new",
    ) -> Actor:
        """An actor of a guest; `manifest` is put before the guest's own tables (`[limits] …` belongs into it too)."""
        text = merged(SHOWN[guest_name].manifest_text, manifest)
        wasm = self.packages[guest_name]
        return await host.spawn(SpawnRequest(parse_manifest(text), wasm, actor_id, state, None, from_json, begin))

    def handle(self, actor_id: str) -> ActorHandle:
        """The actor as the client sees it."""
        return self.theater.actor(actor_id)

    def subject(self, actor_id: str, function: str, channel: str = "ops") -> str:
        """`theater.<ns>.<channel>.<id>.<function>`."""
        return f"theater.{self.namespace}.{channel}.{actor_id}.{function}"

    async def call(self, actor_id: str, function: str, *params: Any, timeout_s: float = 20, **envelope: Any) -> Any:
        """Call by raw message: a msgpack envelope. Raises the error that comes back."""
        body = packed({"v": 1, "params": list(params), **envelope})
        return await self.ask(self.subject(actor_id, function), body, timeout_s=timeout_s)

    async def ask(self, subject: str, body: bytes = b"", *, timeout_s: float = 20, headers: Any = None) -> Any:
        """Request and decode the reply. Raises the error that comes back."""
        message = await self.connection.request_one(subject, body, timeout_s=timeout_s, headers=headers)
        return decode_reply(message.data, message.headers).value

    def start(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        """Begin a call; the test awaits it later."""
        return asyncio.ensure_future(awaitable)

    async def info(self, actor_id: str, query: str = "status", **fields: Any) -> Any:
        """Ask on the info channel."""
        return await self.ask(self.subject(actor_id, query, "info"), packed({"v": 1, "params": fields}))

    async def control(self, actor_id: str, verb: str, **fields: Any) -> Any:
        """Ask on the control channel."""
        return await self.ask(self.subject(actor_id, verb, "control"), packed({"v": 1, "params": fields}))

    async def error(self, awaitable: Awaitable[Any]) -> ActorError:
        """The `ActorError` that the awaitable ends with."""
        try:
            value = await awaitable
        except ActorError as error:
            return error
        raise AssertionError(f"it ended well, with {value!r}")

    async def events(self, actor_id: str) -> list[Event]:
        """The actor's chain."""
        page = await self.info(actor_id, "chain")
        return [decode_event(data) for segment in page["segments"] for data in segment["events"]]


def merged(own: str, given: str) -> str:
    """A guest's manifest with more: what `given` says replaces the guest's keys of the same name."""
    keys = {*tomllib.loads(given), "package"}
    mine, tables = _parted([line for line in own.splitlines() if line.partition("=")[0].strip() not in keys])
    more, more_tables = _parted(given.splitlines())
    return "\n".join([*mine, *more, *tables, *more_tables, ""])


def _parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines before the first table, and the rest."""
    at = next((number for number, line in enumerate(lines) if line.startswith("[")), len(lines))
    return lines[:at], lines[at:]


@pytest.fixture
def packages(kind: str, twin: Callable[[str], bytes]) -> Mapping[str, bytes]:
    """The guests by their names, all of the test's kind."""
    return {name: found.wasm if kind == "module" else twin(name) for name, found in SHOWN.items()}


@pytest_asyncio.fixture
async def stage(nats_server: EmbeddedServer, packages: Mapping[str, bytes]) -> AsyncIterator[Stage]:
    """A namespace on the session's server."""
    async with AsyncExitStack() as stack:
        made = Stage(nats_server.url, stack, packages)
        await made.open()
        yield made
