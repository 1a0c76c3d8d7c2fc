"""JetStream over one of our connections: the context that follows a rebuilt client, and its failures in our words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext

from theater_bus.bus.connection import Connection
from theater_bus.errors import ConfigurationError, Unavailable

__all__ = ["REQUEST_S", "JetStream", "check_bucket"]

REQUEST_S = 5.0
"""How long one request of JetStream's API may take."""

_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,128}")


class JetStream:
    """JetStream as one connection reaches it. Nothing is sent until something is asked for."""

    __slots__ = ("_client", "_context", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client: Client | None = None
        self._context: JetStreamContext

    @property
    def available(self) -> bool:
        """Whether the server has JetStream at all; the account may still refuse it."""
        return self.connection.server.jetstream

    def context(self, what: str) -> JetStreamContext:
        """nats-py's context. Raises `Unavailable` where the server has no JetStream, and so none of `what`."""
        if not self.available:
            raise Unavailable(
                f"{self.connection.server.url} has no JetStream, and so no {what}. "
                "Fix: start nats-server with JetStream (-js)"
            )
        client = self.connection._client
        if client is not self._client:
            # A connection that was lost for good goes on with a new client.
            self._client, self._context = client, client.jetstream(timeout=REQUEST_S)
        return self._context

    @asynccontextmanager
    async def translated(self, done: str, fix: str, within_s: float = REQUEST_S) -> AsyncIterator[None]:
        """Raise `Unavailable` for what JetStream refuses or does not answer `within_s`: "nothing could be `done`"."""
        try:
            async with asyncio.timeout(within_s):
                yield
        except (Error, TimeoutError, OSError) as error:
            reason = str(error).removeprefix("nats: ") or "no answer in time"
            raise Unavailable(f"nothing could be {done}: {reason}. Fix: {fix}") from error


def check_bucket(name: str) -> str:
    """`name`, if a bucket can have it. Raises `ConfigurationError`."""
    if _BUCKET.fullmatch(name) is None:
        raise ConfigurationError("bucket", f"{name[:80]!r} is not a bucket's name", "use 1 to 128 of A-Z a-z 0-9 _ -")
    return name
