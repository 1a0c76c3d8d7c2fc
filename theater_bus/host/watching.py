"""Who hears what a chain accepted, for `memory` and `file`: the wire, as the manifest says or while somebody watches,
and listeners within the host.

A watcher can never slow the actor: batches are published into the connection's buffer, and dropped when that is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from theater_bus.bus import Connection
from theater_bus.core.chain.batch import Batch, encode_batch
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import TheaterError
from theater_bus.host.chain import ChainStore, Watcher

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["Watching"]


class _Lease(NamedTuple):
    """Somebody on the wire watches for a while."""

    publish: Watcher
    timer: asyncio.TimerHandle


class Watching:
    """The leases of watchers, and the listeners, per actor."""

    def __init__(
        self, connection: Connection, subjects: Subjects, store_of: Callable[[Actor], ChainStore], always: bool
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._store_of = store_of
        self._always = always
        self._leases: dict[str, _Lease] = {}
        self._hearing: dict[str, list[Watcher]] = {}

    def started(self, actor: Actor) -> None:
        """Begin to publish an actor's events, if its manifest (or the host's mode) says so."""
        if actor.type.manifest.chain.publishes(self._always):
            self._hear(actor, self._publisher(actor))

    def listen(self, actor: Actor, listener: Watcher) -> Callable[[], None]:
        """Have `listener` called with every batch, until what comes back is called."""
        self._hear(actor, listener)
        return lambda: self._unhear(actor, listener)

    def renew(self, actor: Actor, ttl_s: float) -> str:
        """Publish for `ttl_s` from now on; returns the subject."""
        actor_id = actor.identity.id
        loop = asyncio.get_running_loop()
        if not actor.type.manifest.chain.publishes(self._always):
            lease = self._leases.get(actor_id)
            if lease is None:
                publish = self._publisher(actor)
                self._hear(actor, publish)
            else:
                publish = lease.publish
                lease.timer.cancel()
            self._leases[actor_id] = _Lease(publish, loop.call_later(ttl_s, self._expired, actor))
        return self._subjects.events(actor_id)

    def ended(self, actor: Actor) -> None:
        """Let go of an actor that has stopped."""
        self._hearing.pop(actor.identity.id, None)
        lease = self._leases.pop(actor.identity.id, None)
        if lease is not None:
            lease.timer.cancel()

    def _expired(self, actor: Actor) -> None:
        self._unhear(actor, self._leases.pop(actor.identity.id).publish)

    def _hear(self, actor: Actor, listener: Watcher) -> None:
        actor_id = actor.identity.id
        hearing = self._hearing.setdefault(actor_id, [])
        hearing.append(listener)
        if len(hearing) > 1:
            return

        def tell(batch: Batch) -> None:
            for one in tuple(hearing):
                one(batch)

        self._store_of(actor).watch(actor_id, tell)

    def _unhear(self, actor: Actor, listener: Watcher) -> None:
        hearing = self._hearing.get(actor.identity.id, [])
        if listener in hearing:
            hearing.remove(listener)
            if not hearing:
                self._store_of(actor).watch(actor.identity.id, None)

    def _publisher(self, actor: Actor) -> Watcher:
        subject = self._subjects.events(actor.identity.id)
        connection = self._connection

        def publish(batch: Batch) -> None:
            try:
                connection.publish(subject, encode_batch(batch))
            except TheaterError:
                return  # the watcher sees the gap and asks for it

        return publish
