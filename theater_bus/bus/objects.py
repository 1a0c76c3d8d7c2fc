"""Content by its SHA-256: packages, large states and payloads in the NATS object store of a namespace.

An object is named after its digest, so it can be put twice but never changed, and what comes back is verified.
Source: wire protocol, "Names on the server".
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import ObjectInfo, ObjectMeta, ObjectMetaOptions, ObjectStoreConfig
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.object_store import ObjectStore as Bucket

from theater_bus.bus.connection import Connection
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import TooLarge, Unavailable

__all__ = ["ObjectStore", "Stored"]

REQUEST_S = 5.0
CHUNK_S = 5.0
PUT_S = 60.0
GET_S = 60.0
CHUNK_BYTES = 128 * 1024
_MARGIN_BYTES = 4096


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
        self._connection = connection
        self._client: Client | None = None
        self._context: JetStreamContext

    @property
    def available(self) -> bool:
        """Whether the server has JetStream at all; the account may still refuse it."""
        return self._connection.server.jetstream

    async def create(self) -> bool:
        """Make the bucket; False when it is there already. For users who may, once a namespace."""
        async with self._translated("prepared in", REQUEST_S):
            if self.available and await self._bucket(create=False) is not None:
                return False
            await self._bucket(create=True)
            return True

    async def put(self, data: bytes, name: str | None = None) -> Stored:
        """Store `data` under its digest (or `name`); returns at once when it is there. Makes the bucket if missing."""
        digest = await _digest(data)
        stored = Stored(name or Subjects.object_name(digest), digest, len(data))
        async with self._translated("stored in", PUT_S):
            bucket = await self._bucket(create=True)
            assert bucket is not None
            found = await _info(bucket, stored.name)
            if found is None or found.size != len(data):
                chunk = min(CHUNK_BYTES, max(1, self._connection.max_payload - _MARGIN_BYTES))
                meta = ObjectMeta(options=ObjectMetaOptions(max_chunk_size=chunk))
                await bucket.put(stored.name, data, meta)
        return stored

    async def get(self, digest: bytes, name: str | None = None, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes with this SHA-256, verified; None when they are not there.

        Raises `TooLarge` beyond `max_bytes`, before anything is transferred.
        """
        name = name or Subjects.object_name(digest)
        async with self._translated("read from", GET_S):
            bucket = await self._bucket(create=False)
            info = None if bucket is None else await _info(bucket, name)
            if bucket is None or info is None:
                return None
            size = info.size or 0
            if max_bytes is not None and size > max_bytes:
                raise TooLarge(
                    f"the object {name} has {size} bytes, the limit is {max_bytes}",
                    size_bytes=size,
                    limit_bytes=max_bytes,
                )
            data = await self._chunks(info)
        if data is None:
            return None
        if await _digest(data) != digest:
            raise Unavailable(f"the object {name} in {self.bucket} holds other bytes. Fix: delete it and put it again")
        return data

    async def exists(self, digest: bytes) -> bool:
        """Whether there is an object of this digest."""
        async with self._translated("looked up in", REQUEST_S):
            bucket = await self._bucket(create=False)
            return bucket is not None and await _info(bucket, Subjects.object_name(digest)) is not None

    async def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        async with self._translated("deleted from", REQUEST_S):
            bucket = await self._bucket(create=False)
            if bucket is not None and await _info(bucket, name) is not None:
                await bucket.delete(name)

    async def _chunks(self, info: ObjectInfo) -> bytes | None:
        """The bytes of an object, or None when it was deleted meanwhile.

        Not nats-py's own `get`: that waits for ever for chunks that are gone, and appends to immutable bytes.
        """
        wanted = info.chunks or 0
        if wanted == 0:
            return b""
        stream, subject = f"OBJ_{self.bucket}", f"$O.{self.bucket}.C.{info.nuid}"
        context = self._jetstream()

        async def all_there() -> bool:
            held = (await context.stream_info(stream, subjects_filter=subject)).state.subjects or {}
            return held.get(subject, 0) == wanted

        if not await all_there():
            return None
        subscription = await context.subscribe(subject, stream=stream, ordered_consumer=True)
        try:
            return b"".join([(await subscription.next_msg(CHUNK_S)).data for _ in range(wanted)])
        except NatsTimeout:
            if await all_there():
                raise
            return None
        finally:
            await subscription.unsubscribe()

    async def _bucket(self, *, create: bool) -> Bucket | None:
        if not self.available:
            raise Unavailable(
                f"{self._connection.server.url} has no JetStream, and so no object store. "
                "Fix: start nats-server with JetStream (-js)"
            )
        context = self._jetstream()
        try:
            return await context.object_store(self.bucket)
        except NotFoundError:
            if not create:
                return None
        try:
            return await context.create_object_store(
                self.bucket, ObjectStoreConfig(description="theater_bus: packages and large payloads")
            )
        except BadRequestError:
            # Somebody else made it meanwhile.
            return await context.object_store(self.bucket)

    def _jetstream(self) -> JetStreamContext:
        client = self._connection._client
        if client is not self._client:
            # A connection that was lost for good goes on with a new client.
            self._client, self._context = client, client.jetstream(timeout=REQUEST_S)
        return self._context

    @asynccontextmanager
    async def _translated(self, what: str, within_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(within_s):
                yield
        except (Error, TimeoutError, OSError) as error:
            reason = str(error).removeprefix("nats: ") or "no answer in time"
            raise Unavailable(
                f"nothing could be {what} the object store {self.bucket}: {reason}. Fix: check that JetStream has "
                "space, that the bucket exists (`theater-bus init`), and that this user may use it"
            ) from error


async def _info(bucket: Bucket, name: str) -> ObjectInfo | None:
    try:
        return await bucket.get_info(name)
    except NotFoundError:
        return None


async def _digest(data: bytes) -> bytes:
    if len(data) <= 256 * 1024:
        return hashlib.sha256(data).digest()
    result: Any = await asyncio.to_thread(hashlib.sha256, data)
    return bytes(result.digest())
