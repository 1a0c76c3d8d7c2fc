"""The host's heartbeat and its entry in NATS service discovery (ADR-32)."""

from __future__ import annotations

import asyncio
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING

from theater_bus.bus import Endpoint, EndpointStats, ServiceIdentity, ServiceResponder
from theater_bus.core.wire.response import encode_value
from theater_bus.errors import TheaterError

if TYPE_CHECKING:
    from theater_bus.host.host import Host

__all__ = ["Heartbeat"]


class Heartbeat:
    """Beats on `theater.<ns>.beat.<host-id>`, and answers `$SRV.PING`, `INFO` and `STATS` for the host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._task: asyncio.Task[None] | None = None
        self._responder: ServiceResponder | None = None
        self._endpoint: Endpoint

    def start(self) -> None:
        """Begin to beat."""
        host = self._host
        identity = ServiceIdentity(
            name="theater",
            id=host.id,
            version=version("theater-bus"),
            description="A host of theater_bus actors",
            metadata={"namespace": host.namespace},
        )
        self._endpoint = Endpoint("ops", f"theater.{host.namespace}.ops.>")
        self._responder = ServiceResponder(host.bus.services, identity, self._stats, reply_rule=host.shared.replies)
        self._responder.start()
        self._task = host.loop.create_task(self._beat(), name="theater-bus heartbeat")

    async def stop(self) -> None:
        """Stop beating."""
        if self._responder is not None:
            self._responder.stop()
            self._responder = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _beat(self) -> None:
        host = self._host
        subject = host.subjects.beat(host.id)
        while True:
            phases = Counter(actor.phases.phase.value for actor in host.actors.values())
            body, _ = encode_value(
                {
                    "host": host.id,
                    "version": version("theater-bus"),
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
            await asyncio.sleep(host.settings.heartbeat_ms / 1000)

    def _stats(self) -> list[EndpointStats]:
        tally = self._host.tally
        return [EndpointStats(self._endpoint, tally.operations, tally.failed, processing_time_ns=tally.processing_ns)]
