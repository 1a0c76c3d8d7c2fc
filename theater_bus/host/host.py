"""A host: one process, one event loop, one engine, many actors, two connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib.metadata import version
from pathlib import Path
from time import time
from typing import Any, Self

from theater_bus.bus import Bus, Subscription
from theater_bus.bus.objects import ObjectStore
from theater_bus.capability import Children, TimeSource
from theater_bus.capability.clock import SystemTime
from theater_bus.core.grants import Grants
from theater_bus.core.lifecycle import StopReason
from theater_bus.core.wire.reply import ReplyRule
from theater_bus.core.wire.subjects import Channel, Subjects
from theater_bus.engine import ComponentInstance, Engine, EngineSettings, Instance, Turn
from theater_bus.errors import ActorError, ShuttingDown, SpawnRefused
from theater_bus.host.access import Access
from theater_bus.host.actor import Actor
from theater_bus.host.archive import Archive
from theater_bus.host.binding import renew_foreign
from theater_bus.host.calling import ActorCalls
from theater_bus.host.capability_bus import Reserved
from theater_bus.host.catalogue import Catalogue
from theater_bus.host.children import ActorChildren
from theater_bus.host.configuration import HostConfiguration
from theater_bus.host.granting import read_policy
from theater_bus.host.heartbeat import Heartbeat
from theater_bus.host.hidden_state import HiddenStateChecks
from theater_bus.host.household import household_of
from theater_bus.host.loan import Loans
from theater_bus.host.middleware import Middleware
from theater_bus.host.operation import Operation
from theater_bus.host.package_source import PackageSource
from theater_bus.host.recovery import recover_all
from theater_bus.host.roster import Roster
from theater_bus.host.settings import HostSettings
from theater_bus.host.shared import Shared, Tally
from theater_bus.host.spawning import Spawner, SpawnRequest
from theater_bus.host.starting import ask_plugins, check_own_id, load_plugins, register_gauges, register_telemetry
from theater_bus.host.verb_lane import VerbLane
from theater_bus.host.verbs import fleet_handlers, host_handlers
from theater_bus.host.watching import Watching
from theater_bus.plugins import PluginRegistry
from theater_bus.telemetry import Telemetry

__all__ = ["Host"]

log = logging.getLogger("theater_bus.host")

CANCEL_GRACE_MS = 1000.0
"""What a cancelled host function has for its clean-up before it is abandoned."""


class Host:
    """Runs actors. Made by `Host.start`; ended by `close`, which stops the actors in order.

    Attributes are for reading: `settings`, `engine`, `registry`, `telemetry`, `actors` (by id), `bus`; and the parts
    that it is made of: `roster` (who lives here), `archive` (what is kept), `catalogue` (types of actors), `packages`,
    `watching`, `heartbeat`.
    """

    def __init__(
        self,
        settings: HostSettings,
        registry: PluginRegistry,
        telemetry: Telemetry,
        bus: Bus,
        grants: Grants,
        configuration: HostConfiguration,
        clock: TimeSource,
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.telemetry = telemetry
        self.bus = bus
        self.loop = asyncio.get_running_loop()
        self.id = settings.host_id
        self.namespace = settings.namespace
        self.limits = settings.host_limits()
        self.grants = grants
        self.configuration = configuration
        self.clock = clock
        self.subjects = Subjects(settings.namespace)
        self.engine = Engine(
            EngineSettings(turn_ms=settings.turn_ms, cache_dir=settings.cache_dir, cancel_grace_ms=CANCEL_GRACE_MS),
            telemetry,
        )
        self.hidden_state = HiddenStateChecks(self.engine, telemetry, settings.repeat_one_in)
        self.engine_name = f"wasmtime {version('wasmtime')}"
        self.started_ms = int(time() * 1000)
        self.draining = False
        self.tally = Tally()
        self.archive = Archive()
        self.roster = Roster(self)
        self.actors = self.roster.actors
        items = registry.operation_middleware
        self.middleware = Middleware(items) if items else None
        self.objects = ObjectStore(bus.services, self.subjects.objects_bucket)
        self.packages = PackageSource(
            settings.packages_dir, registry.package_resolvers, self.objects, settings.package_hosts
        )
        self.watching = Watching(bus.services, self.subjects, self.archive.store_of, settings.mode == "dev")
        self.replies = ReplyRule(settings.reply_prefixes)
        self.reserved = Reserved(settings.reply_prefixes)
        access = None
        if registry.authorizers or settings.authorize_default == "deny":
            access = Access(registry.authorizers, settings.authorize_default)
        self.shared = Shared(
            self,
            telemetry=telemetry,
            replies=self.replies,
            caller_subjects=settings.caller_subjects,
            max_timeout_ms=settings.max_timeout_ms,
            access=access,
            loans=Loans(self.objects),
        )
        self._blocking = ThreadPoolExecutor(settings.blocking_threads, "theater-bus-blocking")
        self.catalogue = Catalogue(self)
        self._spawner = Spawner(self)
        peers = {function: one.name for one in registry.capabilities.values() for function in one.peers}
        self.calls = ActorCalls(bus.services, self.subjects, self.shared, peers)
        self.heartbeat = Heartbeat(self)
        self._own_lanes: list[Subscription] = []

    @classmethod
    async def start(
        cls,
        settings: HostSettings,
        *,
        registry: PluginRegistry | None = None,
        telemetry: Telemetry | None = None,
        clock: TimeSource | None = None,
    ) -> Self:
        """Connect, load the plugins, recover what the data directory holds, and begin to answer. `clock` is the time
        that capabilities see.

        Raises `ConnectionLost`, `ConfigurationError` (also for an id that another host has), or `PluginError` for a
        plugin that refuses the start; in production also for one that is allowed and cannot be loaded.
        """
        registry = await load_plugins(settings, registry, telemetry)
        telemetry = telemetry if telemetry is not None else Telemetry.silent()
        register_telemetry(registry, telemetry)
        grants = read_policy(settings.grants, registry.capabilities)
        configuration = HostConfiguration.read(settings.config, registry.capabilities)
        await configuration.check()
        bus = await Bus.open(settings.bus(), instrumentation=telemetry)
        try:
            host = cls(settings, registry, telemetry, bus, grants, configuration, clock or SystemTime())
        except BaseException:
            await bus.close()
            raise
        try:
            await host._begin()
        except BaseException:
            await host.close()
            raise
        return host

    async def _begin(self) -> None:
        await check_own_id(self)
        await self.telemetry.start()
        register_gauges(self)
        await ask_plugins(self)
        if self.settings.data_dir is not None:
            files = await self.archive.open(self.settings.data_dir, self.settings, self.telemetry)
            await recover_all(self, files)
        services = self.bus.services
        host_lane = VerbLane(Channel.HOST, self.id, host_handlers(self), services, self.shared)
        fleet_lane = VerbLane(Channel.FLEET, self.id, fleet_handlers(self), services, self.shared)
        self._own_lanes = [
            services.subscribe(self.subjects.host(self.id, "*"), host_lane.receive),
            services.subscribe(self.subjects.fleet("*"), fleet_lane.receive),
        ]
        self.heartbeat.start()
        await self.bus.ready()
        self.telemetry.event(
            "host.started", host=self.id, namespace=self.namespace, server=",".join(self.settings.servers)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def spawn(self, request: SpawnRequest) -> Actor:
        """Start an actor; returns when it answers. Raises `SpawnRefused`, `ActorExists`, or what init ended with."""
        if self.draining:
            if request.parent is not None:
                raise ShuttingDown("this host is draining and takes no new actors")
            raise SpawnRefused("this host is draining and takes no new actors. Fix: spawn on another host")
        try:
            return await self._spawner.spawn(request)
        except ActorError as error:
            actor_id = request.id or request.manifest.id or ""
            if request.parent is None:  # what a child is refused with, its parent's chain says
                self.telemetry.event(
                    "spawn.refused", actor=actor_id, host=self.id, code=error.code, reason=error.message
                )
            raise

    def parent(self, actor_id: str | None) -> Actor | None:
        """The actor that a spawn names as its parent. Raises `SpawnRefused` where it does not run here."""
        if actor_id is None:
            return None
        found = self.actors.get(actor_id)
        if found is None:
            raise SpawnRefused(
                f"the parent {actor_id!r} does not run on this host, so what it may pass on is not known",
                parent=actor_id,
            )
        return found

    async def drain(self, grace_s: float | None = None) -> None:
        """Take no new actors and shut down all that run here. `grace_s` None means what the host is set to."""
        self.draining = True
        await self._spawner.close()
        actors = list(self.actors.values())
        self.telemetry.event("host.draining", host=self.id, count=len(actors))
        await self.roster.end(actors, StopReason.SHUTDOWN, grace_s)

    async def close(self, grace_s: float | None = None) -> None:
        """Stop everything in order: actors, plugins, chain, connections, engine.

        Actors whose chain outlives this process are let go of, last and without an `exit`: they come back.
        """
        self.draining = True
        await self.heartbeat.stop()
        await self._spawner.close()
        staying = {i: actor for i, actor in self.actors.items() if actor.type.manifest.is_durable}
        for actor in staying.values():
            household_of(actor).is_leaving = True
        ending = [actor for i, actor in self.actors.items() if i not in staying]
        await self.roster.end(ending, StopReason.SHUTDOWN, grace_s)
        left = [actor for i, actor in staying.items() if self.actors.get(i) is actor]
        await self.roster.end(left, StopReason.MOVED, grace_s)
        await self._close_parts()
        seconds = round(time() - self.started_ms / 1000, 3)
        self.telemetry.event("host.stopped", host=self.id, reason="closed", seconds=seconds)
        await self.telemetry.close()

    async def _close_parts(self) -> None:
        for subscription in self._own_lanes:
            subscription.unsubscribe()
        for result in await self.registry.run("theater_host_stopping", host=self.id, namespace=self.namespace):
            if result.exception is not None:
                log.error("plugin %s failed in theater_host_stopping", result.plugin, exc_info=result.exception)
        if self.middleware is not None:
            await self.middleware.close()
        await self.hidden_state.close()
        await self.archive.close()
        await self.shared.loans.close()
        await self.bus.drain(5.0)
        await self.engine.close()
        self._blocking.shutdown(wait=False, cancel_futures=True)

    # -- what actors ask of their host (Services) ----------------------------------------------------------------------

    @property
    def data_dir(self) -> Path | None:
        """Where the host keeps things, if it keeps any."""
        return self.settings.data_dir

    def capability_bucket(self, capability: str) -> str:
        """The bucket that a capability has in this namespace."""
        return self.subjects.capability_bucket(capability)

    @property
    def turn(self) -> Turn:
        """How much may run before the event loop gets its turn."""
        return self.engine.turn

    def instantiate(self, actor: Actor) -> Instance | ComponentInstance:
        """A fresh instance of the actor's guest."""
        instance = self.engine.instantiate_now(actor.type.package.module, actor.calls.imports, actor.type.limits)
        if isinstance(instance, ComponentInstance):
            instance.on_drop = renew_foreign(actor.capabilities)
        return instance

    def stop_actor(self, actor: Actor, reason: StopReason, *, grace_s: float | None = None) -> None:
        """Begin to stop an actor; a `terminate` overtakes a `shutdown` that is under way. Returns at once."""
        self.roster.stop(actor, reason, grace_s=grace_s)

    async def stopped(self, actor: Actor) -> None:
        """Wait until an actor that is stopping has stopped."""
        await self.roster.stopped(actor)

    def children_of(self, actor: Actor, current: Callable[[], Operation | None]) -> Children:
        """The children of an actor."""
        return ActorChildren(actor, self, current)

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        """Run a blocking host function on the bounded pool, in the context of the call that waits for it."""
        return await self.loop.run_in_executor(self._blocking, copy_context().run, function)
