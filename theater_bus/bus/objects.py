"""Content by its SHA-256: packages, large states and payloads in the NATS object store of a namespace.

An object is named after its digest, so it can be put twice but never changed, and what comes back is verified.
Source: wire protocol, "Names on the server".
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

from theater_bus.bus.bucket import ObjectBucket
from theater_bus.bus.connection import Connection
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import Unavailable

__all__ = ["ObjectStore", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the store: its name, the SHA-256 of its bytes, how many there are."""

    name: str
    digest: bytes
    size_bytes: int


class ObjectStore:
    """The object store of one namespace, over one connection. Nothing is sent until something is asked for.

    Every method raises `Unavailable`, `ran: never`, when there is no JetStream, or when it refuses or does not answer.
    """

    def __init__(self, connection: Connection, bucket: str) -> None:
        self.bucket = bucket
        self._bucket = ObjectBucket(
            connection,
            bucket,
            "theater_bus: packages and large payloads",
            "check that JetStream has space, that the bucket exists (`theater-bus init`), and this user's permissions",
        )

    @property
    def available(self) -> bool:
        """Whether the server has JetStream at all; the account may still refuse it."""
        return self._bucket.available

    async def create(self) -> bool:
        """Make the bucket; False when it is there already. For users who may, once a namespace."""
        return await self._bucket.create()

    async def put(self, data: bytes, name: str | None = None) -> Stored:
        """Store `data` under its digest (or `name`); returns at once when it is there. Makes the bucket if missing."""
        digest = await _digest(data)
        stored = Stored(name or Subjects.object_name(digest), digest, len(data))
        if await self._bucket.size(stored.name) != len(data):
            await self._bucket.put(stored.name, data)
        return stored

    async def get(self, digest: bytes, name: str | None = None, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes with this SHA-256, verified; None when they are not there.

        Raises `TooLarge` beyond `max_bytes`, before anything is transferred.
        """
        name = name or Subjects.object_name(digest)
        data = await self._bucket.get(name, max_bytes=max_bytes)
        if data is None:
            return None
        if await _digest(data) != digest:
            raise Unavailable(f"the object {name} in {self.bucket} holds other bytes. Fix: delete it and put it again")
        return data

    async def exists(self, digest: bytes) -> bool:
        """Whether there is an object of this digest."""
        return await self._bucket.size(Subjects.object_name(digest)) is not None

    async def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        await self._bucket.delete(name)


async def _digest(data: bytes) -> bytes:
    if len(data) <= 256 * 1024:
        return hashlib.sha256(data).digest()
    result: Any = await asyncio.to_thread(hashlib.sha256, data)
    return bytes(result.digest())
