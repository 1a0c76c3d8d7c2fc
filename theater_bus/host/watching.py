"""Publishing what a chain accepted, for `memory` and `file`: as the manifest says, or while somebody watches.

A watcher can never slow the actor: batches are published into the connection's buffer, and dropped when that is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from theater_bus.bus import Connection
from theater_bus.core.chain.batch import Batch, encode_batch
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import TheaterError
from theater_bus.host.chain import ChainStore

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["Watching"]


class Watching:
    """The leases of watchers, per actor."""

    def __init__(
        self, connection: Connection, subjects: Subjects, store_of: Callable[[Actor], ChainStore], always: bool
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._store_of = store_of
        self._always = always
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def started(self, actor: Actor) -> None:
        """Begin to publish an actor's events, if its manifest (or the host's mode) says so."""
        if actor.type.manifest.chain.publishes(self._always):
            self._watch(actor)

    def renew(self, actor: Actor, ttl_s: float) -> str:
        """Publish for `ttl_s` from now on; returns the subject."""
        actor_id = actor.identity.id
        loop = asyncio.get_running_loop()
        if not actor.type.manifest.chain.publishes(self._always):
            running = self._ends.pop(actor_id, None)
            if running is None:
                self._watch(actor)
            else:
                running.cancel()
            self._ends[actor_id] = loop.call_later(ttl_s, self._expired, actor)
        return self._subjects.events(actor_id)

    def ended(self, actor: Actor) -> None:
        """Let go of an actor that has stopped."""
        timer = self._ends.pop(actor.identity.id, None)
        if timer is not None:
            timer.cancel()

    def _expired(self, actor: Actor) -> None:
        self._ends.pop(actor.identity.id, None)
        self._store_of(actor).watch(actor.identity.id, None)

    def _watch(self, actor: Actor) -> None:
        subject = self._subjects.events(actor.identity.id)
        connection = self._connection

        def publish(batch: Batch) -> None:
            try:
                connection.publish(subject, encode_batch(batch))
            except TheaterError:
                return  # the watcher sees the gap and asks for it

        self._store_of(actor).watch(actor.identity.id, publish)
