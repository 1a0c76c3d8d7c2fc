"""Who lives on a host: the ids that are taken, how an actor is let in, and how it leaves.

Invariants: an id is taken from the first step of a spawn to the last step of an end; an actor is found under its id
from the moment its lanes are subscribed until they are gone; every end has a task that somebody can wait for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from theater_bus.core.lifecycle import Phase, StopReason
from theater_bus.core.wire.function import Tails
from theater_bus.core.wire.subjects import Channel, OpsSubjects
from theater_bus.errors import ActorError, ActorExists, ChannelClosed, ConnectionLost, Overloaded, TheaterError
from theater_bus.host.control import control_handlers
from theater_bus.host.household import left
from theater_bus.host.info import info_handlers
from theater_bus.host.ops_lane import OpsLane
from theater_bus.host.sole import check_sole
from theater_bus.host.stopping import cut_short, end_actor, let_finish, stop_capabilities
from theater_bus.host.verb_lane import VerbLane

if TYPE_CHECKING:
    from theater_bus.bus import Subscription
    from theater_bus.host.actor import Actor
    from theater_bus.host.host import Host

__all__ = ["Roster"]

log = logging.getLogger("theater_bus.host")

ANSWER_S = 2.0
"""How long a spawn waits for another host to claim the id. The server says at once when nobody listens for it."""
QUESTIONS_MAX = 64
"""Spawns that may wait for such an answer at a time. Of thousands that asked at once, some would wait too long."""


class Roster:
    """The actors of one host, by id."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.actors: dict[str, Actor] = {}
        self._reserved: set[str] = set()
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)
        self._tails = Tails()
        self._lanes: dict[str, list[Subscription]] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}

    def reserve(self, actor_id: str) -> None:
        """Take an id for a spawn in progress. Raises `ActorExists`, and `Overloaded` at the host's bound."""
        if actor_id in self.actors or actor_id in self._reserved:
            raise ActorExists(
                f"an actor {actor_id!r} lives already. Fix: choose another id, or stop it first", actor=actor_id
            )
        most = self._host.settings.max_actors
        if len(self.actors) + len(self._reserved) >= most:
            raise Overloaded(
                f"this host runs {most} actors, all that it may. Fix: spawn on another host, or raise max_actors",
                bound="max_actors",
                limit=most,
            )
        self._reserved.add(actor_id)

    def release(self, actor_id: str) -> None:
        """Give a reserved id back."""
        self._reserved.discard(actor_id)

    async def check_free(self, actor_id: str) -> None:
        """Raise `ActorExists` when another host answers for this id."""
        host = self._host
        try:
            async with self._questions:
                await host.bus.services.request_one(host.subjects.info(actor_id, "status"), b"", timeout_s=ANSWER_S)
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
        host, actor_id = self._host, actor.identity.id
        if paused:
            actor.phases.started()
            actor.phases.pause()
        self.actors[actor_id] = actor
        self.release(actor_id)
        self._lanes[actor_id] = self._subscribe(actor)
        host.watching.started(actor)
        await host.bus.ready()
        if host.heartbeat.has_peers:
            await check_sole(host.bus.services, host.subjects.info(actor_id, "status"), host.id, actor)
        if actor.phases.phase is Phase.STARTING:
            actor.phases.started()
        host.telemetry.event("actor.started", actor=actor_id, host=host.id, package=actor.type.package.module.sha256)
        actor.go_on()

    def _subscribe(self, actor: Actor) -> list[Subscription]:
        host, actor_id = self._host, actor.identity.id
        subjects, services, shared = host.subjects, host.bus.services, host.shared
        operations = host.bus.operations
        ops = OpsLane(actor, operations, OpsSubjects(subjects.ops_prefix(actor_id), self._tails), shared)
        info = VerbLane(Channel.INFO, actor_id, info_handlers(actor, shared), services, shared)
        control = VerbLane(Channel.CONTROL, actor_id, control_handlers(actor), services, shared)
        return [
            operations.subscribe(subjects.ops_lane(actor_id), ops.receive),
            services.subscribe(subjects.info(actor_id, "*"), info.receive),
            services.subscribe(subjects.control(actor_id, "*"), control.receive),
        ]

    def _unsubscribe(self, actor_id: str) -> None:
        for subscription in self._lanes.pop(actor_id, ()):
            subscription.unsubscribe()

    async def _withdraw(self, actor_id: str) -> None:
        """Let the server send no more to an actor that ends, and answer what it had sent before it knew."""
        lanes = self._lanes.get(actor_id, ())
        for subscription in lanes:
            subscription.withdraw()
        try:
            await self._host.bus.ready()
            await asyncio.gather(*(subscription.settle() for subscription in lanes))
        except TheaterError:
            log.debug("the lanes of actor %s ended with their connection", actor_id)
        finally:
            self._unsubscribe(actor_id)

    async def abandon(self, actor: Actor, error: BaseException) -> None:
        """Undo a spawn that failed half-way."""
        actor_id = actor.identity.id
        if self.actors.get(actor_id) is actor:
            # Silent at once: another host that starts this id would take an actor that ends for one that runs.
            self._unsubscribe(actor_id)
            self.stop(actor, StopReason.FAILED)
            await self.stopped(actor)
            return
        actor.phases.begin_stop(StopReason.FAILED)
        actor.failure_note = str(error)
        await let_finish(actor, 0.0)
        await end_actor(actor, self._host.registry, 0.0)
        actor.phases.stopped()
        self._host.archive.forget(actor)
        left(actor)
        self.release(actor_id)

    async def withdraw(self, actor: Actor, error: BaseException) -> None:
        """Undo a recovery that failed half-way. Nothing is recorded: the next host may have more luck."""
        if self.actors.get(actor.identity.id) is actor:
            self.stop(actor, StopReason.MOVED)
            await self.stopped(actor)
            return
        actor.phases.begin_stop(StopReason.MOVED)
        actor.failure_note = str(error)
        if actor.outbox is not None:
            await actor.outbox.close(0.0, keep=True)
        await stop_capabilities(actor)
        actor.phases.stopped()
        self.release(actor.identity.id)

    def stop(self, actor: Actor, reason: StopReason, *, grace_s: float | None = None) -> None:
        """Begin to stop an actor; a `terminate` overtakes a `shutdown` that is under way. Returns at once.

        `grace_s` None means what the host is set to.
        """
        loop, actor_id = self._host.loop, actor.identity.id
        if actor.phases.begin_stop(reason):
            grace = self._host.settings.grace_ms / 1000 if grace_s is None else grace_s
            if reason is StopReason.TERMINATED:
                grace = 0.0
            self._stops[actor_id] = loop.create_task(self._stop(actor, grace), name=f"stop {actor_id}")
        elif reason is StopReason.TERMINATED and actor.phases.phase is Phase.STOPPING:
            task = self._stops[f"{actor_id} cut"] = loop.create_task(cut_short(actor))
            task.add_done_callback(lambda _: self._stops.pop(f"{actor_id} cut", None))

    async def stopped(self, actor: Actor) -> None:
        """Wait until an actor that is stopping has stopped."""
        task = self._stops.get(actor.identity.id)
        if task is not None:
            await asyncio.shield(task)

    async def end(self, actors: list[Actor], reason: StopReason, grace_s: float | None) -> None:
        """Stop these actors and wait for that."""
        for actor in actors:
            self.stop(actor, reason, grace_s=grace_s)
        await asyncio.gather(*(self.stopped(actor) for actor in actors))

    async def _stop(self, actor: Actor, grace_s: float) -> None:
        host, actor_id = self._host, actor.identity.id
        try:
            await end_actor(actor, host.registry, grace_s)
        except Exception:
            log.exception("actor %s did not stop cleanly", actor_id)
        finally:
            await self._withdraw(actor_id)
            host.watching.ended(actor)
            if self.actors.get(actor_id) is actor:
                del self.actors[actor_id]
            actor.phases.stopped()
            host.archive.forget(actor)
            self._stops.pop(actor_id, None)
            left(actor)
        word = "" if actor.phases.reason is None else actor.phases.reason.value
        host.telemetry.event("actor.stopped", actor=actor_id, host=host.id, reason=word)
        for result in await host.registry.run("theater_actor_stopped", actor=actor.identity, reason=word):
            if result.exception is not None:
                log.error("plugin %s failed in theater_actor_stopped", result.plugin, exc_info=result.exception)
