"""A bucket of the NATS object store: bytes by name."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ObjectInfo, ObjectMeta, ObjectMetaOptions, ObjectStoreConfig
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.object_store import ObjectStore

from theater_bus.bus.connection import Connection
from theater_bus.bus.jetstream import REQUEST_S, JetStream
from theater_bus.errors import TooLarge

__all__ = ["ObjectBucket"]

CHUNK_S = 5.0
TRANSFER_S = 60.0
CHUNK_BYTES = 128 * 1024
_MARGIN_BYTES = 4096


class ObjectBucket:
    """One bucket, over one connection. Nothing is sent until something is asked for.

    Every method raises `Unavailable`, `ran: never`, when there is no JetStream, or when it refuses or does not answer.
    """

    def __init__(self, connection: Connection, name: str, description: str, fix: str) -> None:
        self.name = name
        self._description = description
        self._fix = fix
        self._jetstream = JetStream(connection)

    @property
    def available(self) -> bool:
        """Whether the server has JetStream at all; the account may still refuse it."""
        return self._jetstream.available

    async def create(self) -> bool:
        """Make the bucket; False when it is there already."""
        async with self._translated("prepared in", REQUEST_S):
            if self.available and await self._bucket(create=False) is not None:
                return False
            await self._bucket(create=True)
            return True

    async def put(self, name: str, data: bytes) -> None:
        """Store an object, replacing what was there. Makes the bucket if it is missing."""
        async with self._translated("stored in", TRANSFER_S):
            bucket = await self._bucket(create=True)
            assert bucket is not None
            chunk = min(CHUNK_BYTES, max(1, self._jetstream.connection.max_payload - _MARGIN_BYTES))
            await bucket.put(name, data, ObjectMeta(options=ObjectMetaOptions(max_chunk_size=chunk)))

    async def get(self, name: str, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes of an object; None when it is not there. Raises `TooLarge` beyond `max_bytes`, before anything is
        transferred.
        """
        async with self._translated("read from", TRANSFER_S):
            bucket = await self._bucket(create=False)
            seen: str | None = None
            while bucket is not None:
                info = await _info(bucket, name)
                if info is None or info.nuid == seen:
                    return None
                _check_size(info, max_bytes)
                data = await self._chunks(info)
                if data is not None:
                    return data
                seen = info.nuid  # its chunks are gone: deleted, or replaced by another under the same name
            return None

    async def size(self, name: str) -> int | None:
        """How many bytes the object has; None when it is not there."""
        async with self._translated("looked up in", REQUEST_S):
            bucket = await self._bucket(create=False)
            info = None if bucket is None else await _info(bucket, name)
            return None if info is None else info.size or 0

    async def list(self) -> list[tuple[str, int]]:
        """The objects, by name, with their sizes in bytes."""
        async with self._translated("listed in", TRANSFER_S):
            bucket = await self._bucket(create=False)
            if bucket is None:
                return []
            try:
                found = await bucket.list(ignore_deletes=True)
            except NotFoundError:
                return []
            return sorted((info.name, info.size or 0) for info in found)

    async def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        async with self._translated("deleted from", REQUEST_S):
            bucket = await self._bucket(create=False)
            if bucket is not None and await _info(bucket, name) is not None:
                await bucket.delete(name)

    async def _chunks(self, info: ObjectInfo) -> bytes | None:
        """The bytes of an object, or None when it was deleted or replaced meanwhile.

        Not nats-py's own `get`: that waits for ever for chunks that are gone, and appends to immutable bytes.
        """
        wanted = info.chunks or 0
        if wanted == 0:
            return b""
        stream, subject = f"OBJ_{self.name}", f"$O.{self.name}.C.{info.nuid}"
        context = self._jetstream.context("object store")

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

    async def _bucket(self, *, create: bool) -> ObjectStore | None:
        context = self._jetstream.context("object store")
        try:
            return await context.object_store(self.name)
        except NotFoundError:
            if not create:
                return None
        try:
            return await context.create_object_store(self.name, ObjectStoreConfig(description=self._description))
        except BadRequestError:
            # Somebody else made it meanwhile.
            return await context.object_store(self.name)

    def _translated(self, what: str, within_s: float) -> AbstractAsyncContextManager[None]:
        return self._jetstream.translated(f"{what} the object store {self.name}", self._fix, within_s)


def _check_size(info: ObjectInfo, max_bytes: int | None) -> None:
    size = info.size or 0
    if max_bytes is not None and size > max_bytes:
        raise TooLarge(
            f"the object {info.name} has {size} bytes, the limit is {max_bytes}",
            size_bytes=size,
            limit_bytes=max_bytes,
        )


async def _info(bucket: ObjectStore, name: str) -> ObjectInfo | None:
    try:
        return await bucket.get_info(name)
    except NotFoundError:
        return None
