"""Buckets by name in the shapes of the capability API: for the capabilities of actors, and for who looks after them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from theater_bus.bus.bucket import ObjectBucket
from theater_bus.bus.connection import Connection
from theater_bus.bus.key_value import KeyValueBucket
from theater_bus.capability import KeyValueEntry, ObjectEntry

__all__ = ["NamedKeyValue", "NamedObjects", "named_key_value", "named_objects"]


async def named_key_value(connection: Connection, name: str, *, create: bool) -> NamedKeyValue:
    """The key-value bucket of this name; with `create` it is made if missing. Raises `Unavailable`."""
    found = KeyValueBucket(connection, name)
    await found.open(create=create)
    return NamedKeyValue(found)


def named_objects(connection: Connection, name: str) -> NamedObjects:
    """The object store of this name."""
    return NamedObjects(
        ObjectBucket(
            connection,
            name,
            "theater_bus: a capability's own",
            f"check that JetStream has space, and that this user may use the object store {name}",
        )
    )


class NamedKeyValue:
    """A `KeyValue`."""

    __slots__ = ("_bucket", "create", "created_us", "delete", "keys", "put", "update")

    def __init__(self, bucket: KeyValueBucket) -> None:
        self._bucket = bucket
        self.put, self.create, self.update = bucket.put, bucket.create, bucket.update
        self.delete, self.keys, self.created_us = bucket.delete, bucket.keys, bucket.created_us

    async def get(self, key: str) -> KeyValueEntry | None:
        """The newest revision."""
        found = await self._bucket.get(key)
        return None if found is None else KeyValueEntry(found.key, found.value, found.revision)

    async def watch(self, pattern: str = ">") -> AsyncGenerator[KeyValueEntry | None, None]:
        """What is there now, then None once, then every change."""
        async with aclosing(self._bucket.watch(pattern)) as watched:
            async for found in watched:
                yield None if found is None else KeyValueEntry(found.key, found.value, found.revision)


class NamedObjects:
    """An `Objects`."""

    __slots__ = ("_bucket", "delete", "get", "put")

    def __init__(self, bucket: ObjectBucket) -> None:
        self._bucket = bucket
        self.put, self.get, self.delete = bucket.put, bucket.get, bucket.delete

    async def exists(self, name: str) -> bool:
        """Whether there is an object of this name."""
        return await self._bucket.size(name) is not None

    async def list(self) -> list[ObjectEntry]:
        """All objects, by name."""
        return [ObjectEntry(name, size) for name, size in await self._bucket.list()]
