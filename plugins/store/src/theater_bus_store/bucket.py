"""Stores on NATS, for every host of the namespace: content in an object store, all else in a key-value bucket.

    store.<store>                the owner
    owner.<owner>.<store>        empty: the stores of an owner
    usage.<store>                what the store holds
    content.<store>.<sha256>     the object that holds it, its size, when it was stored or labelled last
    label.<store>.<sha256>       the label, its reference

Invariants: an object is written once and never changed; content is there when its key is, and a collection deletes the
key it has judged, of that revision, before the object that this key named; so whoever stores or labels at the same
moment wins. What is counted is reserved before it is written: a crash counts too much until the next collection.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from secrets import token_hex
from typing import Any, Final

from theater_bus import ActorError
from theater_bus.capability import KeyValue, KeyValueEntry, Objects
from theater_bus_store.backend import Bounds, Busy, Collected, Damaged, Full, NoSuchStore, TooLong, Usage
from theater_bus_store.name import label_key

__all__ = ["BucketBackend"]

ATTEMPTS: Final = 50
"""How often a key is tried that others change at the same time."""
THREAD_BYTES: Final = 256 * 1024
"""More than this is hashed on a thread."""


class BucketBackend:
    """A `Backend` in two buckets of NATS."""

    def __init__(self, keys: KeyValue, objects: Objects) -> None:
        self._keys = keys
        self._objects = objects

    async def create(self, store: str, owner: str, most: int) -> None:
        """Make a store, unless it is there."""
        if await self._keys.get(f"store.{store}") is not None:
            return
        if len(await self.stores(owner)) >= most:
            raise Full("stores", most, most + 1)
        await self._keys.put(f"owner.{owner}.{store}", b"")
        await self._keys.create(f"usage.{store}", Usage().encoded())
        created = await self._keys.create(f"store.{store}", json.dumps({"owner": owner}).encode())
        if created is None and await self.owner(store) != owner:
            await self._keys.delete(f"owner.{owner}.{store}")

    async def owner(self, store: str) -> str | None:
        """The owner of a store, or None."""
        found = await self._read(f"store.{store}")
        return None if found is None else str(found["owner"])

    async def stores(self, owner: str | None = None) -> list[str]:
        """The stores of an owner, or all."""
        pattern = "store.*" if owner is None else f"owner.{owner}.*"
        return sorted([_last(entry) async for entry in self._all(pattern)])

    async def remove(self, store: str) -> None:
        """Remove a store."""
        owner = await self.owner(store)
        if owner is None:
            return
        await self._keys.delete(f"store.{store}")
        for entry in [entry async for entry in self._all(f"content.{store}.*")]:
            await self._keys.delete(entry.key)
            await self._objects.delete(_decode(entry)["object"])
        for entry in [entry async for entry in self._all(f"label.{store}.*")]:
            await self._keys.delete(entry.key)
        await self._keys.delete(f"usage.{store}")
        await self._keys.delete(f"owner.{owner}.{store}")

    async def put(self, store: str, content: bytes, bounds: Bounds) -> str:
        """Keep content."""
        reference = await _digest(content)
        key = f"content.{store}.{reference}"
        for _ in range(ATTEMPTS):
            entry = await self._keys.get(key)
            if entry is None:
                if await self._put_new(store, key, content, bounds):
                    return reference
            elif await self._put_again(store, entry, content):
                return reference
        raise Busy(store)

    async def get(self, store: str, reference: str, most: int) -> bytes | None:
        """The verified content, or None."""
        key = f"content.{store}.{reference}"
        found = await self._read(key)
        if found is None:
            return None
        if found["size"] > most:
            raise TooLong(reference, found["size"], most)
        content = await self._bytes(found["object"], found["size"])
        if content is None and await self._read(key) is None:
            return None
        if content is None or await _digest(content) != reference:
            raise Damaged(store, reference)
        return content

    async def exists(self, store: str, reference: str) -> bool:
        """Whether there is such content."""
        return await self._keys.get(f"content.{store}.{reference}") is not None

    async def label(self, store: str, label: str, reference: str, bounds: Bounds) -> bool:
        """Let a label refer to content."""
        for _ in range(ATTEMPTS):
            entry = await self._keys.get(f"content.{store}.{reference}")
            if entry is None:
                return False
            if await self._touch(entry):
                break
        else:
            raise Busy(store)
        key = f"label.{store}.{label_key(label)}"
        value = json.dumps({"label": label, "reference": reference}).encode()
        if await self._keys.get(key) is None:
            await self._count(store, Usage(labels=1), bounds)
            if await self._keys.create(key, value) is not None:
                return True
            await self._count(store, Usage(labels=-1))
        await self._keys.put(key, value)
        return True

    async def labelled(self, store: str, label: str) -> str | None:
        """What a label refers to, or None."""
        found = await self._read(f"label.{store}.{label_key(label)}")
        return None if found is None else str(found["reference"])

    async def unlabel(self, store: str, label: str) -> None:
        """Forget a label."""
        entry = await self._keys.get(f"label.{store}.{label_key(label)}")
        if entry is not None and await self._keys.delete(entry.key, entry.revision):
            await self._count(store, Usage(labels=-1))

    async def labels(self, store: str) -> list[str]:
        """All labels."""
        return sorted([str(_decode(entry)["label"]) async for entry in self._all(f"label.{store}.*")])

    async def contents(self, store: str) -> list[str]:
        """All references."""
        return sorted([_last(entry) async for entry in self._all(f"content.{store}.*")])

    async def usage(self, store: str) -> Usage:
        """What the store holds."""
        found = await self._read(f"usage.{store}")
        if found is None:
            raise NoSuchStore(store)
        return Usage(**found)

    async def collect(self, store: str, grace_s: float, *, dry_run: bool = False) -> Collected:
        """Remove what no label refers to."""
        newest = _now_ms() - int(grace_s * 1000)
        objects = (
            [] if dry_run else [one.name for one in await self._objects.list() if one.name.startswith(f"{store}/")]
        )
        # What is labelled from here on is younger than the grace time: to label it touches it.
        used = {_decode(entry)["reference"] async for entry in self._all(f"label.{store}.*")}
        entries = [entry async for entry in self._all(f"content.{store}.*")]
        contents = size_bytes = 0
        for entry in entries:
            found = _decode(entry)
            if _last(entry) in used or found["ms"] > newest:
                continue
            if not dry_run:
                if not await self._keys.delete(entry.key, entry.revision):
                    continue
                await self._objects.delete(found["object"])
                await self._count(store, Usage(-1, -found["size"]))
            contents, size_bytes = contents + 1, size_bytes + found["size"]
        if not dry_run:
            await self._tidy(store, newest, set(objects) - {_decode(entry)["object"] for entry in entries})
        return Collected(contents, size_bytes)

    async def _put_new(self, store: str, key: str, content: bytes, bounds: Bounds) -> bool:
        await self._count(store, Usage(1, len(content)), bounds)
        name = _object_name(store)
        created = None
        try:
            await self._objects.put(name, content)
            created = await self._keys.create(key, _content(name, len(content)))
        finally:
            if created is None:
                await self._count(store, Usage(-1, -len(content)))
        if created is None:
            await self._objects.delete(name)
        return created is not None

    async def _put_again(self, store: str, entry: KeyValueEntry, content: bytes) -> bool:
        """Make content young that is there, and whole if it is not."""
        old = _decode(entry)["object"]
        if await self._bytes(old, len(content)) == content:
            return await self._touch(entry)
        name = _object_name(store)
        await self._objects.put(name, content)
        replaced = await self._keys.update(entry.key, _content(name, len(content)), entry.revision) is not None
        await self._objects.delete(old if replaced else name)
        return replaced

    async def _touch(self, entry: KeyValueEntry) -> bool:
        found = _decode(entry)
        return await self._keys.update(entry.key, _content(found["object"], found["size"]), entry.revision) is not None

    async def _count(self, store: str, change: Usage, bounds: Bounds | None = None) -> None:
        """Add to what the store holds. Raises `Full` where that is more than `bounds`, `NoSuchStore`, `Busy`."""
        for _ in range(ATTEMPTS):
            entry = await self._keys.get(f"usage.{store}")
            if entry is None:
                raise NoSuchStore(store)
            usage = Usage(**_decode(entry)).plus(change)
            if bounds is not None:
                usage.require(bounds)
            if await self._keys.update(entry.key, usage.encoded(), entry.revision) is not None:
                return
        raise Busy(store)

    async def _tidy(self, store: str, newest: int, orphans: set[str]) -> None:
        """Remove objects that a crash left without a key, and count again, unless others write meanwhile."""
        for name in orphans:
            if int(name.split("/")[1].partition("-")[0]) <= newest:
                await self._objects.delete(name)
        entry = await self._keys.get(f"usage.{store}")
        if entry is None:
            return
        sizes = [_decode(one)["size"] async for one in self._all(f"content.{store}.*")]
        usage = Usage(len(sizes), sum(sizes), len(await self.labels(store)))
        await self._keys.update(entry.key, usage.encoded(), entry.revision)

    async def _bytes(self, name: str, size: int) -> bytes | None:
        """The bytes of an object; None where it is not there, or longer than it was."""
        try:
            return await self._objects.get(name, max_bytes=size)
        except ActorError as error:
            if error.code == "too-large":
                return None
            raise

    async def _read(self, key: str) -> dict[str, Any] | None:
        entry = await self._keys.get(key)
        return None if entry is None else _decode(entry)

    async def _all(self, pattern: str) -> AsyncIterator[KeyValueEntry]:
        """What is there now."""
        async with aclosing(self._keys.watch(pattern)) as watched:
            async for entry in watched:
                if entry is None:
                    return
                if entry.value is not None:
                    yield entry


def _last(entry: KeyValueEntry) -> str:
    return entry.key.rpartition(".")[2]


def _decode(entry: KeyValueEntry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.value or b"{}")
    return found


def _content(name: str, size: int) -> bytes:
    return json.dumps({"object": name, "size": size, "ms": _now_ms()}).encode()


def _object_name(store: str) -> str:
    return f"{store}/{_now_ms()}-{token_hex(8)}"


def _now_ms() -> int:
    return int(time.time() * 1000)


async def _digest(content: bytes) -> str:
    if len(content) <= THREAD_BYTES:
        return hashlib.sha256(content).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
