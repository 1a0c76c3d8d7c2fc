"""The host's heartbeat and its entry in NATS service discovery (ADR-32)."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING

from theater_bus.bus import Endpoint, EndpointStats, Message, ServiceIdentity, ServiceResponder, Subscription
from theater_bus.core.wire.response import encode_value
from theater_bus.errors import TheaterError

if TYPE_CHECKING:
    from theater_bus.host.host import Host

__all__ = ["Heartbeat"]

VERSION = version("theater-bus")
MISSED_BEATS = 3
HEARING_S = 0.25
"""How long after the start hosts that are there already may take to be heard."""


class Heartbeat:
    """Beats on `theater.<ns>.beat.<host-id>`, and answers `$SRV.PING`, `INFO` and `STATS` for the host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._task: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._heard: dict[str, float] = {}
        self._started = 0.0
        self._responder: ServiceResponder | None = None
        self._endpoint: Endpoint

    def start(self) -> None:
        """Begin to beat."""
        host = self._host
        identity = ServiceIdentity(
            name="theater",
            id=host.id,
            version=VERSION,
            description="A host of theater_bus actors",
            metadata={"namespace": host.namespace},
        )
        self._endpoint = Endpoint("ops", f"theater.{host.namespace}.ops.>")
        self._responder = ServiceResponder(host.bus.services, identity, self._stats, reply_rule=host.shared.replies)
        self._responder.start()
        self._started = host.loop.time()
        self._subscription = host.bus.services.subscribe(host.subjects.beat("*"), self._hear)
        self._task = host.loop.create_task(self._beat(), name="theater-bus heartbeat")

    async def stop(self) -> None:
        """Stop beating."""
        if self._subscription is not None:
            self._subscription.unsubscribe()
            self._subscription = None
        if self._responder is not None:
            self._responder.stop()
            self._responder = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @property
    def has_peers(self) -> bool:
        """Whether other hosts may live in the namespace: they were heard, or had no time to be."""
        now = self._host.loop.time()
        late = now - MISSED_BEATS * self._host.settings.heartbeat_ms / 1000
        return now - self._started < HEARING_S or any(heard > late for heard in self._heard.values())

    def _hear(self, message: Message) -> None:
        """Another host beats. One that is new hears of us at once."""
        peer = message.subject.rpartition(".")[2]
        if peer == self._host.id:
            return
        is_new = peer not in self._heard
        self._heard[peer] = self._host.loop.time()
        if is_new:
            self._publish()

    async def _beat(self) -> None:
        while True:
            self._publish()
            await asyncio.sleep(self._host.settings.heartbeat_ms / 1000)

    def _publish(self) -> None:
        host = self._host
        subject = host.subjects.beat(host.id)
        phases = Counter(actor.phases.phase.value for actor in host.actors.values())
        body, _ = encode_value(
            {
                "host": host.id,
                "version": VERSION,
                "interval_ms": host.settings.heartbeat_ms,
                "started_ms": host.started_ms,
                "draining": host.draining,
                "phases": dict(phases),
                "capacity": {"actors": host.settings.max_actors},
            }
        )
        try:
            host.bus.services.publish(subject, body)
        except TheaterError as error:
            host.shared.lost_reply(subject, error)

    def _stats(self) -> list[EndpointStats]:
        tally = self._host.tally
        return [EndpointStats(self._endpoint, tally.operations, tally.failed, processing_time_ns=tally.processing_ns)]
