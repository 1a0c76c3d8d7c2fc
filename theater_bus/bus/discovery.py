"""Answering `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, so that `nats micro ls | info | stats` show a host.

Source: NATS ADR-32. One service per host: nats-py's own implementation takes ten subscriptions for a service and tells
callers the text of internal exceptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from theater_bus.bus.connection import Connection
from theater_bus.bus.message import Message
from theater_bus.bus.subscription import Subscription
from theater_bus.core.wire.reply import ReplyRule
from theater_bus.errors import ConfigurationError

__all__ = ["Endpoint", "EndpointStats", "ServiceIdentity", "ServiceResponder"]

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """Who answers. `name` is shared by all instances of a service, `id` is this one's; `version` is a SemVer."""

    name: str
    id: str
    version: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("name", "id"):
            if not _NAME.fullmatch(getattr(self, what)):
                raise ConfigurationError(f"service {what}", f"{getattr(self, what)!r} is not one token")
        if not _VERSION.fullmatch(self.version):
            raise ConfigurationError("service version", f"{self.version!r} is no SemVer", "write 1.2.3")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing that the service answers to."""

    name: str
    subject: str
    queue_group: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What an endpoint has done since the service started."""

    endpoint: Endpoint
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    processing_time_ns: int = 0
    data: Mapping[str, Any] | None = None
    """Anything of the service's own; must be JSON."""


class ServiceResponder:
    """Answers discovery for one service, from `start` to `stop`.

    `stats` is asked at every INFO and STATS, on the event loop, and must return at once.
    """

    def __init__(
        self,
        connection: Connection,
        identity: ServiceIdentity,
        stats: Callable[[], Sequence[EndpointStats]],
        *,
        reply_rule: ReplyRule | None = None,
        started: datetime | None = None,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._stats = stats
        self._reply_rule = reply_rule or ReplyRule()
        self._started = started or datetime.now(UTC)
        self._subscriptions: list[Subscription] = []

    def start(self) -> None:
        """Subscribe; `connection.ready` tells when the server knows. Starting twice is fine."""
        if self._subscriptions:
            return
        identity = self._identity
        for verb, answer in (("PING", self._ping), ("INFO", self._info), ("STATS", self._report)):
            for suffix in ("", f".{identity.name}", f".{identity.name}.{identity.id}"):
                handler = self._answering(answer)
                self._subscriptions.append(self._connection.subscribe(f"$SRV.{verb}{suffix}", handler))

    def stop(self) -> None:
        """Answer no more. Stopping twice is fine."""
        for subscription in self._subscriptions:
            subscription.unsubscribe()
        self._subscriptions.clear()

    def _answering(self, answer: Callable[[], dict[str, Any]]) -> Callable[[Message], None]:
        def handle(message: Message) -> None:
            if self._reply_rule.allows(message.reply):
                self._connection.publish(message.reply, json.dumps(answer(), separators=(",", ":")).encode())

        return handle

    def _base(self, kind: str) -> dict[str, Any]:
        identity = self._identity
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": identity.name,
            "id": identity.id,
            "version": identity.version,
            "metadata": dict(identity.metadata),
        }

    def _ping(self) -> dict[str, Any]:
        return self._base("ping")

    def _info(self) -> dict[str, Any]:
        endpoints = [_described(entry.endpoint) for entry in self._stats()]
        return {**self._base("info"), "description": self._identity.description, "endpoints": endpoints}

    def _report(self) -> dict[str, Any]:
        started = self._started.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**self._base("stats"), "started": started, "endpoints": [_counted(entry) for entry in self._stats()]}


def _described(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "subject": endpoint.subject,
        "queue_group": endpoint.queue_group,
        "metadata": dict(endpoint.metadata),
    }


def _counted(entry: EndpointStats) -> dict[str, Any]:
    return {
        "name": entry.endpoint.name,
        "subject": entry.endpoint.subject,
        "queue_group": entry.endpoint.queue_group,
        "num_requests": entry.requests,
        "num_errors": entry.errors,
        "last_error": entry.last_error,
        "processing_time": entry.processing_time_ns,
        "average_processing_time": entry.processing_time_ns // entry.requests if entry.requests else 0,
        # ADR-32 makes it optional, nats-py's reader does not.
        "data": None if entry.data is None else dict(entry.data),
    }
