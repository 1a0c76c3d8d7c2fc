"""Where a host keeps the chains of its actors and the objects that they name: in memory, or in its data directory."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from theater_bus.errors import ChainTampered, ConfigurationError
from theater_bus.host.chain import ChainStore, FileSettings, FileStore, MemoryStore

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.settings import HostSettings
    from theater_bus.telemetry import Telemetry

__all__ = ["Archive"]


class Archive:
    """The chain stores of one host: `memory`, and `files` where `open` gave it a data directory."""

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.files: FileStore | None = None

    async def open(self, directory: Path, settings: HostSettings, telemetry: Telemetry) -> FileStore:
        """Open the data directory. Raises `ChainTampered`, and `ConfigurationError` where it cannot be used."""
        try:
            self.files = await FileStore.start(directory, FileSettings(fsync=settings.fsync))
        except ChainTampered as error:
            telemetry.event("chain.corrupt", host=settings.host_id, path=str(directory), reason=error.reason)
            raise
        except OSError as error:
            raise ConfigurationError(
                "data_dir",
                f"{directory} cannot be used ({error})",
                "give a directory that this user may write to (serve --data DIR), on a disk that has room",
            ) from error
        return self.files

    async def close(self) -> None:
        """Write what is left, and forget what was in memory."""
        if self.files is not None:
            await self.files.close()
        await self.memory.close()

    def store_of(self, actor: Actor) -> ChainStore:
        """Where the actor's chain is kept."""
        files = self._files_of(actor)
        return self.memory if files is None else files

    def bound(self, actor: Actor) -> None:
        """Bound the ring of a `memory` actor as its manifest says."""
        chain = actor.type.manifest.chain
        if chain.durability == "memory":
            self.memory.bound(actor.identity.id, chain.keep_events, chain.keep_bytes)

    def forget(self, actor: Actor) -> None:
        """Drop the chain of an actor that has ended, if it was in memory."""
        if actor.type.manifest.chain.durability == "memory":
            self.memory.forget(actor.identity.id)

    async def recent_events(self, actor: Actor, limit: int) -> list[bytes]:
        """The last events of the actor's chain that are still kept, oldest first, at most `limit`."""
        start = max(0, actor.journal.settled.seq - limit)
        page = await self.store_of(actor).read(actor.identity.id, start, limit)
        return [event for segment in page.segments for event in getattr(segment, "events", ())]

    async def keep(self, actor: Actor, data: bytes) -> bytes:
        """Keep an object as long as the actor's chain is kept; returns its SHA-256."""
        files = self._files_of(actor)
        if files is not None:
            return await files.keep(data)
        return (await asyncio.to_thread(sha256, data)).digest()

    async def kept(self, actor: Actor, digest: bytes) -> bytes | None:
        """An object that is kept with the actor's chain in files."""
        files = self._files_of(actor)
        return None if files is None else await files.payload(digest)

    async def keep_origin(self, actor: Actor, wasm: bytes) -> None:
        """Keep package, manifest and grants by their digests, for recovery; an actor in memory has none."""
        if self._files_of(actor) is not None:
            for data in (wasm, actor.type.manifest.canonical(), actor.grants.canonical()):
                await self.keep(actor, data)

    def _files_of(self, actor: Actor) -> FileStore | None:
        if actor.type.manifest.chain.durability != "file":
            return None
        assert self.files is not None  # a spawn refuses `file` without a data directory
        return self.files
