"""A whole host for one test: its own nats-server, a host with the plugins under test, and a client.

async with running_host(Clock, audit_plugin) as host:
    actor = await host.spawn(guest("counter"))
    assert await actor.call_function("increment", [5]) == 5
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from theater_bus.bus import EmbeddedServer
from theater_bus.capability import Capability, TimeSource, hookimpl
from theater_bus.client.actor import ActorHandle
from theater_bus.client.connecting import connect
from theater_bus.client.theater import Theater
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.manifest import Manifest
from theater_bus.core.manifest.reading import from_mapping
from theater_bus.host.host import Host
from theater_bus.host.replay import ReplayReport, replay
from theater_bus.host.settings import HostSettings
from theater_bus.host.spawning import NO_STATE, SpawnRequest
from theater_bus.plugins import PluginRegistry
from theater_bus.plugins.registry import HOOK_BOUND_S
from theater_bus.telemetry import Telemetry
from theater_bus.testing.guests import Guest
from theater_bus.testing.relay import relay_guest

__all__ = ["Relay", "RunningHost", "offering", "running_host"]

Relay = Callable[..., bytes]
"""Makes the guest that relays to a capability class, as `relay_guest` does."""


class RunningHost:
    """What `running_host` gives: `host` (the host itself), `theater` (a client), `url` (the server)."""

    def __init__(self, host: Host, theater: Theater, url: str, relay: Relay = relay_guest) -> None:
        self.host = host
        self.theater = theater
        self.url = url
        self._relay = relay
        self._spawned: dict[bytes, bytes] = {}

    async def spawn(
        self,
        package: Guest | bytes | type[Capability],
        *,
        id: str | None = None,
        state: Any = NO_STATE,
        parent: str | None = None,
        **manifest: Any,
    ) -> ActorHandle:
        """Start an actor and return its handle. Further arguments are tables and keys of its manifest, over a guest's.

        A capability class is called through a guest that relays to it (`relay`). Raises what the host refuses.
        """
        if isinstance(package, type):
            manifest.setdefault("capabilities", {package.name: {}})
            package = await asyncio.to_thread(self._relay, package)
        wasm = package if isinstance(package, bytes) else package.wasm
        tables = {"name": "under-test"} if isinstance(package, bytes) else tomllib.loads(package.manifest_text)
        tables.pop("package", None)
        request = SpawnRequest(_manifest(tables | manifest), wasm, id, state, self.host.parent(parent))
        actor = await self.host.spawn(request)
        for kept in (wasm, actor.type.manifest.canonical()):
            self._spawned[sha256(kept).digest()] = kept
        return self.theater.actor(actor.identity.id)

    async def replay(self, actor: ActorHandle, *, package: bytes | None = None) -> ReplayReport:
        """Run what the actor's chain records again, with every host call answered from the record and no capability.

            assert (await host.replay(actor)).is_identical

        `package` is run in place of the recorded one and compared with the record. Raises `ActorNotFound` for an actor
        whose chain is gone: one in memory ends with its actor.
        """
        return await replay(self.segments(actor), self._object, package=package, engine=self.host.engine)

    async def segments(self, actor: ActorHandle) -> AsyncIterator[Segment | Spilled]:
        """The actor's chain as the host keeps it; in files it outlives the actor. Raises `ActorNotFound`."""
        archive, live = self.host.archive, self.host.actors.get(actor.id)
        store = archive.files or archive.memory if live is None else archive.store_of(live)
        next_seq = 0
        while True:
            page = await store.read(actor.id, next_seq)
            for segment in page.segments:
                yield segment
            next_seq = page.next_seq
            if next_seq >= page.end_seq:
                return

    async def _object(self, digest: bytes) -> bytes | None:
        stores = [store for store in (self.host.archive.memory, self.host.archive.files) if store is not None]
        found = [self._spawned.get(digest), *[await store.payload(digest) for store in stores]]
        return next((data for data in found if data is not None), None)


@asynccontextmanager
async def running_host(
    *plugins: object,
    installed: Iterable[str] = (),
    server: EmbeddedServer | None = None,
    telemetry: Telemetry | None = None,
    hook_bound_s: float = HOOK_BOUND_S,
    clock: TimeSource | None = None,
    relay: Relay = relay_guest,
    **settings: Any,
) -> AsyncIterator[RunningHost]:
    """A host with these plugins, and a client of it; stopped at the end, the server too unless it is given.

    `plugins` are modules or objects with hooks, or capability classes; `installed` names installed plugins to load
    beside them. `clock` is the time that capabilities see, `relay` makes the guests that stand before capability
    classes (`relay_guest`, or `relay_component`), `settings` are those of `HostSettings`. Raises `PluginError` for a
    plugin that does not load.
    """
    extra = [_named(plugin) for plugin in plugins]
    registry = await asyncio.to_thread(PluginRegistry.discover, allow=installed, extra=extra, hook_bound_s=hook_bound_s)
    if registry.failures:
        raise registry.failures[0]
    async with AsyncExitStack() as stack:
        if server is None:
            server = await stack.enter_async_context(EmbeddedServer())
        chosen = HostSettings(servers=(server.url,), **settings)
        host = await Host.start(chosen, registry=registry, telemetry=telemetry, clock=clock)
        await stack.enter_async_context(host)
        theater = await stack.enter_async_context(connect(server.url, namespace=chosen.namespace))
        yield RunningHost(host, theater, server.url, relay)


def offering(*classes: type[Capability]) -> object:
    """A plugin that offers these capabilities and nothing else."""

    @hookimpl
    def theater_capabilities() -> Iterable[type[Capability]]:
        return classes

    return SimpleNamespace(theater_capabilities=theater_capabilities)


def _named(plugin: object) -> tuple[str, object]:
    if isinstance(plugin, type) and issubclass(plugin, Capability):
        return plugin.name, offering(plugin)
    name = getattr(plugin, "__name__", None) or type(plugin).__name__
    return str(name), plugin


def _manifest(tables: Mapping[str, Any]) -> Manifest:
    return from_mapping(tables, "the test's manifest")
