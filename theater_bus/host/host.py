"""A host: one process, one event loop, one engine, many actors, two connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import time
from typing import Any, Self

from theater_bus.bus import Bus, Subscription
from theater_bus.bus.objects import ObjectStore
from theater_bus.capability import Children, TimeSource
from theater_bus.capability.clock import SystemTime
from theater_bus.core.grants import Grants
from theater_bus.core.lifecycle import Phase, StopReason
from theater_bus.core.wire.function import Tails
from theater_bus.core.wire.reply import ReplyRule
from theater_bus.core.wire.subjects import Channel, OpsSubjects, Subjects
from theater_bus.engine import ComponentInstance, Engine, EngineSettings, Instance, Turn
from theater_bus.errors import (
    ActorError,
    ActorExists,
    ChainTampered,
    ChannelClosed,
    ConfigurationError,
    ConnectionLost,
    Overloaded,
    PluginError,
    ShuttingDown,
    SpawnRefused,
)
from theater_bus.host.access import Access
from theater_bus.host.actor import Actor
from theater_bus.host.binding import renew_foreign
from theater_bus.host.calling import ActorCalls
from theater_bus.host.capability_bus import Reserved
from theater_bus.host.chain import ChainStore, FileSettings, FileStore, MemoryStore, Watcher
from theater_bus.host.children import ActorChildren
from theater_bus.host.configuration import HostConfiguration
from theater_bus.host.control import control_handlers
from theater_bus.host.granting import read_policy
from theater_bus.host.heartbeat import Heartbeat
from theater_bus.host.hidden_state import HiddenStateChecks
from theater_bus.host.household import household_of, left
from theater_bus.host.info import info_handlers
from theater_bus.host.loan import Loans
from theater_bus.host.middleware import Middleware
from theater_bus.host.operation import Operation
from theater_bus.host.ops_lane import OpsLane
from theater_bus.host.package_source import PackageSource
from theater_bus.host.recovery import recover_all
from theater_bus.host.settings import HostSettings
from theater_bus.host.shared import Shared, Tally
from theater_bus.host.sole import check_sole
from theater_bus.host.spawning import Spawner, SpawnRequest
from theater_bus.host.stopping import cut_short, end_actor, let_finish, stop_capabilities
from theater_bus.host.verb_lane import VerbLane
from theater_bus.host.verbs import fleet_handlers, host_handlers
from theater_bus.host.watching import Watching
from theater_bus.plugins import PluginRegistry
from theater_bus.telemetry import Telemetry

__all__ = ["Host"]

log = logging.getLogger("theater_bus.host")

CANCEL_GRACE_MS = 1000.0
"""What a cancelled host function has for its clean-up before it is abandoned."""
ANSWER_S = 2.0
"""How long a spawn waits for another host to claim the id. The server says at once when nobody listens for it."""
QUESTIONS_MAX = 64
"""Spawns that may wait for such an answer at a time. Of thousands that asked at once, some would wait too long."""
OWN_ID_S = 0.5
"""How long a start waits for another host of its id; one that died lately may still count as a listener."""


class _Lanes:
    """The subscriptions of one actor."""

    __slots__ = ("subscriptions",)

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self.subscriptions = tuple(subscriptions)

    def end(self) -> None:
        for subscription in self.subscriptions:
            subscription.unsubscribe()


class Host:
    """Runs actors. Made by `Host.start`; ended by `close`, which stops the actors in order.

    Attributes are for reading: `settings`, `engine`, `registry`, `telemetry`, `actors` (by id), `bus`.
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
        self.actors: dict[str, Actor] = {}
        self.memory_store = MemoryStore()
        self.file_store: FileStore | None = None
        items = registry.operation_middleware
        self.middleware = Middleware(items) if items else None
        self.objects = ObjectStore(bus.services, self.subjects.objects_bucket)
        self.loans = Loans(self.objects)
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
            loans=self.loans,
        )
        self.packages = PackageSource(
            settings.packages_dir, registry.package_resolvers, self.objects, settings.package_hosts
        )
        self._reserved: set[str] = set()
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)
        self._lanes: dict[str, _Lanes] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}
        self._tails = Tails()
        self._blocking = ThreadPoolExecutor(settings.blocking_threads, "theater-bus-blocking")
        self._spawner = Spawner(self)
        self._watching = Watching(bus.services, self.subjects, self.store_of, settings.mode == "dev")
        peers = {function: one.name for one in registry.capabilities.values() for function in one.peers}
        self.calls = ActorCalls(bus.services, self.subjects, self.shared, peers)
        self._heartbeat = Heartbeat(self)
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
        plugin that refuses the start; in production also for one that is allowed and cannot be loaded, which might be
        the one that says no.
        """
        if registry is None:
            registry = await asyncio.to_thread(PluginRegistry.discover, allow=settings.allowed_plugins())
        for failure in registry.failures:
            if telemetry is None:  # else the event says it, in the same log
                log.warning("%s", failure)
                continue
            reason = f"in {failure.subject}: {failure.problem}"
            telemetry.event("plugin.refused", plugin=failure.plugin, reason=reason, fix=failure.fix)
        telemetry = telemetry if telemetry is not None else Telemetry.silent()
        if settings.mode == "production" and registry.failures:
            raise registry.failures[0]
        _register_telemetry(registry, telemetry)
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
        await self._check_own_id()
        await self.telemetry.start()
        self._register_gauges()
        for result in await self.registry.run("theater_host_starting", host=self.id, namespace=self.namespace):
            if result.exception is not None:
                raise PluginError(
                    result.plugin, "theater_host_starting", f"{type(result.exception).__name__}: {result.exception}"
                ) from result.exception
        if self.settings.data_dir is not None:
            self.file_store = await self._open_data(self.settings.data_dir)
            await recover_all(self, self._spawner, self.file_store)
        services = self.bus.services
        host_lane = VerbLane(Channel.HOST, self.id, host_handlers(self), services, self.shared)
        fleet_lane = VerbLane(Channel.FLEET, self.id, fleet_handlers(self), services, self.shared)
        self._own_lanes = [
            services.subscribe(self.subjects.host(self.id, "*"), host_lane.receive),
            services.subscribe(self.subjects.fleet("*"), fleet_lane.receive),
        ]
        self._heartbeat.start()
        await self.bus.ready()
        self.telemetry.event(
            "host.started", host=self.id, namespace=self.namespace, server=",".join(self.settings.servers)
        )

    async def _check_own_id(self) -> None:
        """Raise `ConfigurationError` when a host of this id answers: every verb would be done by both."""
        try:
            await self.bus.services.request_one(self.subjects.host(self.id, "info"), b"", timeout_s=OWN_ID_S)
        except (ActorError, ConnectionLost):
            return
        raise ConfigurationError(
            "host_id",
            f"a host {self.id!r} runs already in namespace {self.namespace!r}",
            "stop it, or give this one another id with --host-id or THEATER_BUS_HOST_ID",
        )

    def _register_gauges(self) -> None:
        register, tally, actors = self.telemetry.register_gauge, self.tally, self.actors
        register("theater.chain.segments", lambda: tally.segments)
        register("theater.chain.bytes", lambda: tally.segment_bytes)
        register("theater.mailbox.depth", lambda: sum(len(actor.mailbox) for actor in actors.values()))
        register("theater.outbox.depth", lambda: sum(a.outbox.size for a in actors.values() if a.outbox is not None))
        register("theater.guest.memory", lambda: self.engine.memory_bytes)
        register("theater.module_cache.modules", lambda: self.engine.modules)

    async def _open_data(self, directory: Path) -> FileStore:
        try:
            return await FileStore.start(directory, FileSettings(fsync=self.settings.fsync))
        except ChainTampered as error:
            self.telemetry.event("chain.corrupt", host=self.id, path=str(directory), reason=error.reason)
            raise
        except OSError as error:
            raise ConfigurationError(
                "data_dir",
                f"{directory} cannot be used ({error})",
                "give a directory that this user may write to (serve --data DIR), on a disk that has room",
            ) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # -- spawn ---------------------------------------------------------------------------------------------------------

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

    def reserve(self, actor_id: str) -> None:
        """Take an id for a spawn in progress. Raises `ActorExists`, and `Overloaded` at the host's bound."""
        if actor_id in self.actors or actor_id in self._reserved:
            raise ActorExists(
                f"an actor {actor_id!r} lives already. Fix: choose another id, or stop it first", actor=actor_id
            )
        if len(self.actors) + len(self._reserved) >= self.settings.max_actors:
            raise Overloaded(
                f"this host runs {self.settings.max_actors} actors, all that it may. "
                "Fix: spawn on another host, or raise max_actors",
                bound="max_actors",
                limit=self.settings.max_actors,
            )
        self._reserved.add(actor_id)

    def release(self, actor_id: str) -> None:
        """Give a reserved id back."""
        self._reserved.discard(actor_id)

    async def check_free(self, actor_id: str) -> None:
        """Raise `ActorExists` when another host answers for this id."""
        try:
            async with self._questions:
                await self.bus.services.request_one(self.subjects.info(actor_id, "status"), b"", timeout_s=ANSWER_S)
        except ChannelClosed:
            return
        except (ActorError, ConnectionLost) as error:
            raise ActorExists(
                f"another host may run {actor_id!r}: {error}. Fix: choose another id, or ask again", actor=actor_id
            ) from error
        raise ActorExists(f"another host runs {actor_id!r}. Fix: choose another id, or stop it first", actor=actor_id)

    async def admit(self, actor: Actor, *, paused: bool = False) -> None:
        """Let the world reach an actor that is ready: its lanes, then an echo through the server.

        What arrives before that is queued. Raises `ActorExists` when another host has the id.
        """
        actor_id = actor.identity.id
        subjects, bus = self.subjects, self.bus
        if paused:
            actor.phases.started()
            actor.phases.pause()
        self.actors[actor_id] = actor
        self.release(actor_id)
        ops = OpsLane(actor, bus.operations, OpsSubjects(subjects.ops_prefix(actor_id), self._tails), self.shared)
        info = VerbLane(Channel.INFO, actor_id, info_handlers(actor, self.shared), bus.services, self.shared)
        control = VerbLane(Channel.CONTROL, actor_id, control_handlers(actor), bus.services, self.shared)
        self._lanes[actor_id] = _Lanes(
            [
                bus.operations.subscribe(subjects.ops_lane(actor_id), ops.receive),
                bus.services.subscribe(subjects.info(actor_id, "*"), info.receive),
                bus.services.subscribe(subjects.control(actor_id, "*"), control.receive),
            ]
        )
        self._watching.started(actor)
        await bus.ready()
        if self._heartbeat.has_peers:
            await check_sole(bus.services, subjects.info(actor_id, "status"), self.id, actor)
        if actor.phases.phase is Phase.STARTING:
            actor.phases.started()
        self.telemetry.event("actor.started", actor=actor_id, host=self.id, package=actor.type.package.module.sha256)
        actor.resume_or_exit()

    async def abandon(self, actor: Actor, error: BaseException) -> None:
        """Undo a spawn that failed half-way."""
        if self.actors.get(actor.identity.id) is actor:
            # Silent at once: another host that starts this id would take an actor that ends for one that runs.
            self._end_lanes(actor.identity.id)
            self.stop_actor(actor, StopReason.FAILED)
            await self.stopped(actor)
            return
        actor.phases.begin_stop(StopReason.FAILED)
        actor.failure_note = str(error)
        await let_finish(actor, 0.0)
        await end_actor(actor, self.registry, 0.0)
        actor.phases.stopped()
        self._forget(actor)
        left(actor)
        self.release(actor.identity.id)

    async def withdraw(self, actor: Actor, error: BaseException) -> None:
        """Undo a recovery that failed half-way. Nothing is recorded: the next host may have more luck."""
        if self.actors.get(actor.identity.id) is actor:
            self.stop_actor(actor, StopReason.MOVED)
            await self.stopped(actor)
            return
        actor.phases.begin_stop(StopReason.MOVED)
        actor.failure_note = str(error)
        if actor.outbox is not None:
            await actor.outbox.close(0.0, keep=True)
        await stop_capabilities(actor)
        actor.phases.stopped()
        self.release(actor.identity.id)

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

    @property
    def max_payload(self) -> int:
        """What one message may hold, in bytes."""
        return self.bus.operations.max_payload

    def instantiate(self, actor: Actor) -> Instance | ComponentInstance:
        """A fresh instance of the actor's guest."""
        instance = self.engine.instantiate_now(actor.type.package.module, actor.calls.imports, actor.type.limits)
        if isinstance(instance, ComponentInstance):
            instance.on_drop = renew_foreign(actor.capabilities)
        return instance

    def store_of(self, actor: Actor) -> ChainStore:
        """Where the actor's chain is kept."""
        if actor.type.manifest.chain.durability == "file":
            assert self.file_store is not None
            return self.file_store
        return self.memory_store

    def bound_chain(self, actor: Actor) -> None:
        """Bound the ring of a `memory` actor as its manifest says."""
        chain = actor.type.manifest.chain
        if chain.durability == "memory":
            self.memory_store.bound(actor.identity.id, chain.keep_events, chain.keep_bytes)

    def watch(self, actor: Actor, ttl_s: float) -> str:
        """Publish the actor's events for a while; returns the subject."""
        return self._watching.renew(actor, ttl_s)

    def listen(self, actor: Actor, listener: Watcher) -> Callable[[], None]:
        """Have `listener` called with what the actor's chain accepts, until what comes back is called."""
        return self._watching.listen(actor, listener)

    def children_of(self, actor: Actor, current: Callable[[], Operation | None]) -> Children:
        """The children of an actor."""
        return ActorChildren(actor, self, current)

    async def package_of(self, digest: bytes) -> bytes | None:
        """A module by its SHA-256, or None where it is in none of the places that this host knows."""
        try:
            return await self.packages.by_digest(digest)
        except SpawnRefused:
            return None

    async def recent_events(self, actor: Actor, limit: int) -> list[bytes]:
        """The last events of the actor's chain that are still kept, oldest first, at most `limit`."""
        start = max(0, actor.journal.settled.seq - limit)
        page = await self.store_of(actor).read(actor.identity.id, start, limit)
        return [event for segment in page.segments for event in getattr(segment, "events", ())]

    async def run_blocking(self, function: Callable[[], Any]) -> Any:
        """Run a blocking host function on the bounded pool, in the context of the call that waits for it."""
        return await self.loop.run_in_executor(self._blocking, copy_context().run, function)

    async def keep_objects(self, actor: Actor, wasm: bytes) -> None:
        """Keep package, manifest and grants by their digests, for recovery; an actor in memory has none."""
        if actor.type.manifest.chain.durability != "file":
            return
        for data in (wasm, actor.type.manifest.canonical(), actor.grants.canonical()):
            await self.keep(actor, data)

    async def keep(self, actor: Actor, data: bytes) -> bytes:
        """Keep an object as long as the actor's chain is kept; returns its digest."""
        if actor.type.manifest.chain.durability == "file" and self.file_store is not None:
            return await self.file_store.keep(data)
        return (await asyncio.to_thread(sha256, data)).digest()

    async def kept(self, actor: Actor, digest: bytes) -> bytes | None:
        """An object that is kept with the actor's chain."""
        if actor.type.manifest.chain.durability == "file" and self.file_store is not None:
            return await self.file_store.payload(digest)
        return None

    # -- stop ----------------------------------------------------------------------------------------------------------

    def stop_actor(self, actor: Actor, reason: StopReason, *, grace_s: float | None = None) -> None:
        """Begin to stop an actor; a `terminate` overtakes a `shutdown` that is under way. Returns at once."""
        began = actor.phases.begin_stop(reason)
        if began:
            grace = self.settings.grace_ms / 1000 if grace_s is None else grace_s
            if reason is StopReason.TERMINATED:
                grace = 0.0
            task = self.loop.create_task(self._stop(actor, grace), name=f"stop {actor.identity.id}")
            self._stops[actor.identity.id] = task
        elif reason is StopReason.TERMINATED and actor.phases.phase is Phase.STOPPING:
            task = self.loop.create_task(cut_short(actor))
            self._stops[f"{actor.identity.id} cut"] = task
            task.add_done_callback(lambda _: self._stops.pop(f"{actor.identity.id} cut", None))

    async def stopped(self, actor: Actor) -> None:
        """Wait until an actor that is stopping has stopped."""
        task = self._stops.get(actor.identity.id)
        if task is not None:
            await asyncio.shield(task)

    async def _stop(self, actor: Actor, grace_s: float) -> None:
        actor_id = actor.identity.id
        try:
            await end_actor(actor, self.registry, grace_s)
        except Exception:
            log.exception("actor %s did not stop cleanly", actor_id)
        finally:
            self._end_lanes(actor_id)
            self._watching.ended(actor)
            if self.actors.get(actor_id) is actor:
                del self.actors[actor_id]
            actor.phases.stopped()
            self._forget(actor)
            self._stops.pop(actor_id, None)
            left(actor)
        reason = actor.phases.reason
        word = reason.value if reason is not None else ""
        self.telemetry.event("actor.stopped", actor=actor_id, host=self.id, reason=word)
        for result in await self.registry.run("theater_actor_stopped", actor=actor.identity, reason=word):
            if result.exception is not None:
                log.error("plugin %s failed in theater_actor_stopped", result.plugin, exc_info=result.exception)

    def _end_lanes(self, actor_id: str) -> None:
        lanes = self._lanes.pop(actor_id, None)
        if lanes is not None:
            lanes.end()

    def _forget(self, actor: Actor) -> None:
        if actor.type.manifest.chain.durability == "memory":
            self.memory_store.forget(actor.identity.id)

    async def drain(self, grace_s: float | None = None) -> None:
        """Take no new actors and shut down all that run here. `grace_s` None means what the host is set to."""
        self.draining = True
        actors = list(self.actors.values())
        self.telemetry.event("host.draining", host=self.id, count=len(actors))
        for actor in actors:
            self.stop_actor(actor, StopReason.SHUTDOWN, grace_s=grace_s)
        await asyncio.gather(*(self.stopped(actor) for actor in actors))

    async def close(self, grace_s: float | None = None) -> None:
        """Stop everything in order: actors, plugins, chain, connections, engine."""
        self.draining = True
        await self._heartbeat.stop()
        keep = self._kept_at_close()
        for actor_id in keep:
            household_of(self.actors[actor_id]).is_leaving = True
        for actor in list(self.actors.values()):
            if actor.identity.id not in keep:
                self.stop_actor(actor, StopReason.SHUTDOWN, grace_s=grace_s)
        await asyncio.gather(*(self.stopped(a) for a in list(self.actors.values()) if a.identity.id not in keep))
        await self._let_go(keep, self.settings.grace_ms / 1000 if grace_s is None else grace_s)
        for subscription in self._own_lanes:
            subscription.unsubscribe()
        for result in await self.registry.run("theater_host_stopping", host=self.id, namespace=self.namespace):
            if result.exception is not None:
                log.error("plugin %s failed in theater_host_stopping", result.plugin, exc_info=result.exception)
        if self.middleware is not None:
            await self.middleware.close()
        await self.hidden_state.close()
        if self.file_store is not None:
            await self.file_store.close()
        await self.memory_store.close()
        await self.loans.close()
        await self.bus.drain(5.0)
        await self.engine.close()
        self._blocking.shutdown(wait=False, cancel_futures=True)
        seconds = round(time() - self.started_ms / 1000, 3)
        self.telemetry.event("host.stopped", host=self.id, reason="closed", seconds=seconds)
        await self.telemetry.close()

    def _kept_at_close(self) -> frozenset[str]:
        """Actors whose chain outlives this process: they are let go of without an `exit`, and come back."""
        return frozenset(i for i, a in self.actors.items() if a.type.manifest.chain.durability == "file")

    async def _let_go(self, kept: frozenset[str], grace_s: float) -> None:
        actors = [self.actors[actor_id] for actor_id in kept if actor_id in self.actors]
        for actor in actors:
            self.stop_actor(actor, StopReason.MOVED, grace_s=grace_s)
        await asyncio.gather(*(self.stopped(actor) for actor in actors))


def _register_telemetry(registry: PluginRegistry, telemetry: Telemetry) -> None:
    """Let plugins emit what their `theater_telemetry` names. Raises `PluginError` for what cannot be registered."""
    for plugin in dict.fromkeys(name for name, _ in registry.telemetry):
        try:
            telemetry.register_plugin(plugin, [one for name, one in registry.telemetry if name == plugin])
        except ConfigurationError as error:
            raise PluginError(plugin, "theater_telemetry", error.problem, error.fix) from error
