"""`theater:simple/store`, compatible with guests built for Theater, and what owners do with their stores.

Invariants: an actor reads and writes the stores that belong to it, and of others those that its grants name; whoever
may not see a store is not told whether it exists; nothing that a guest passes becomes part of a path or a key before
`name` has accepted it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from pydantic import Field

from theater_bus.capability import NUMBER, OWN, STRINGS, Capability, CapabilityError, Context, refusals
from theater_bus.capability import Settings as BaseSettings
from theater_bus_store.backend import Backend, Bounds, Damaged, NoSuchStore
from theater_bus_store.bucket import BucketBackend
from theater_bus_store.directory import DirectoryBackend
from theater_bus_store.name import STORE_ID, check_label, check_reference, check_store

__all__ = ["Store"]

MIB = 1024 * 1024
StoreId = Annotated[str, Field(strict=True, pattern=STORE_ID)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class Store(Capability):
    """Content by its SHA-256, in stores with labels, bounds and owners."""

    name = "store"
    pact = "store.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.store]`; `backend` and `store_id` are the actor's own choice, the rest are bounds."""

        backend: Annotated[Literal["nats", "directory"], OWN] = "nats"
        store_id: Annotated[str, OWN, Field(strict=True, pattern=rf"^$|{STORE_ID}")] = ""
        read: Annotated[tuple[StoreId, ...], STRINGS] = ()
        write: Annotated[tuple[StoreId, ...], STRINGS] = ()
        stores: Annotated[Count, NUMBER] = 16
        contents: Annotated[Count, NUMBER] = 10_000
        labels: Annotated[Count, NUMBER] = 10_000
        content_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1024 * MIB)] = 8 * MIB
        total_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1 << 50)] = 256 * MIB

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._owner = context.actor.id
        self._bounds = Bounds(settings.contents, settings.total_bytes, settings.labels)
        self._backend: Backend

    async def start(self) -> None:
        """Find where stores are kept. A failure refuses the spawn: no data directory, or no JetStream."""
        if self.settings.backend == "nats":
            bus = self.context.bus
            self._backend = BucketBackend(await bus.kv(), await bus.objects())
            return
        directory = self.context.data_dir
        if directory is None:
            raise ValueError(
                'backend = "directory" needs a data directory. Fix: start the host with --data DIR, or use "nats"'
            )
        self._backend = DirectoryBackend(directory / self.context.actor.namespace)

    # -- theater:simple/store ------------------------------------------------------------------------------------------

    async def new(self) -> str:
        """The id of a store: the one of the setting `store_id`, else a new one; the same when a keyed call repeats."""
        store = self.settings.store_id or f"st-{self.context.effect_key[:32]}"
        async with self._told():
            await self._backend.create(store, self._owner, self.settings.stores)
            await self._may_write(store)
        return store

    async def store(self, store_id: str, content: bytes) -> str:
        """Keep content."""
        return await self._put(store_id, content)

    async def get(self, store_id: str, content_ref: str) -> bytes:
        """The content of a reference."""
        reference = check_reference(content_ref)
        async with self._told():
            await self._may_read(store_id)
            found = await self._backend.get(store_id, reference, self.settings.content_bytes)
        if found is None:
            raise _no_content(store_id, reference)
        return found

    async def exists(self, store_id: str, content_ref: str) -> bool:
        """Whether there is content of this reference."""
        reference = check_reference(content_ref)
        async with self._told():
            await self._may_read(store_id)
            return await self._backend.exists(store_id, reference)

    async def label(self, store_id: str, label: str, content_ref: str) -> None:
        """Let a label refer to content."""
        check_label(label)
        reference = check_reference(content_ref)
        async with self._told():
            await self._may_write(store_id)
            if not await self._backend.label(store_id, label, reference, self._bounds):
                raise _no_content(store_id, reference)

    async def get_by_label(self, store_id: str, label: str) -> str | None:
        """What a label refers to."""
        check_label(label)
        async with self._told():
            await self._may_read(store_id)
            return await self._backend.labelled(store_id, label)

    async def remove_label(self, store_id: str, label: str) -> None:
        """Forget a label."""
        check_label(label)
        async with self._told():
            await self._may_write(store_id)
            await self._backend.unlabel(store_id, label)

    async def store_at_label(self, store_id: str, label: str, content: bytes) -> str:
        """Keep content and label it."""
        check_label(label)
        reference = await self._put(store_id, content)
        await self.label(store_id, label, reference)
        return reference

    async def replace_content_at_label(self, store_id: str, label: str, content: bytes) -> str:
        """Keep content and label it."""
        return await self.store_at_label(store_id, label, content)

    async def replace_at_label(self, store_id: str, label: str, content_ref: str) -> None:
        """Let a label refer to content."""
        await self.label(store_id, label, content_ref)

    async def list_all_content(self, store_id: str) -> list[str]:
        """All references."""
        async with self._told():
            await self._may_read(store_id)
            return await self._backend.contents(store_id)

    async def calculate_total_size(self, store_id: str) -> int:
        """The bytes of all content."""
        async with self._told():
            await self._may_read(store_id)
            return (await self._backend.usage(store_id)).total_bytes

    async def list_labels(self, store_id: str) -> list[str]:
        """All labels."""
        async with self._told():
            await self._may_read(store_id)
            return await self._backend.labels(store_id)

    # -- theater:bus/store ---------------------------------------------------------------------------------------------

    async def list_stores(self) -> list[str]:
        """The actor's own stores."""
        async with self._told():
            return await self._backend.stores(self._owner)

    async def collect_garbage(self, store_id: str, older_than_ms: int) -> tuple[int, int]:
        """Remove content without a label."""
        async with self._told():
            await self._may_write(store_id)
            removed = await self._backend.collect(store_id, older_than_ms / 1000)
        return removed.contents, removed.size_bytes

    async def remove_store(self, store_id: str) -> None:
        """Remove a store of one's own."""
        async with self._told():
            if await self._backend.owner(check_store(store_id)) != self._owner:
                raise CapabilityError(f"the store {store_id!r} does not belong to this actor, who alone may remove it")
            await self._backend.remove(store_id)

    # -- who may, and how much -----------------------------------------------------------------------------------------

    async def _put(self, store: str, content: bytes) -> str:
        most = self.settings.content_bytes
        if len(content) > most:
            raise CapabilityError(
                f"{len(content)} bytes are more than the grant store.content_bytes = {most}. Fix: write "
                f"`content_bytes = {len(content)}` under [capabilities.store]; parent and host must allow as much"
            )
        async with self._told():
            await self._may_write(store)
            return await self._backend.put(store, content, self._bounds)

    async def _may_read(self, store: str) -> None:
        await self._may(store, "read", {*self.settings.read, *self.settings.write})

    async def _may_write(self, store: str) -> None:
        await self._may(store, "write", set(self.settings.write))

    async def _may(self, store: str, setting: str, granted: set[str]) -> None:
        owner = await self._backend.owner(check_store(store))
        if owner is None and store in granted:
            raise NoSuchStore(store)
        if owner != self._owner and store not in granted:
            raise CapabilityError(
                f"the store {store!r} does not belong to this actor, and the grant store.{setting} does not name it. "
                f'Fix: write `{setting} = ["{store}"]` under [capabilities.store]; parent and host must allow it'
            )

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What goes wrong in the backend is told to the guest; damage also to whoever looks at the actor."""
        with refusals():
            try:
                yield
            except Damaged as error:
                self.context.report_failure(str(error))
                raise


def _no_content(store: str, reference: str) -> CapabilityError:
    return CapabilityError(f"there is no content {reference} in store {store!r}")
