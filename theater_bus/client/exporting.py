"""Writing an actor's chain into one file, with everything that it names by digest.

The file is written beside its place and moved there when it is whole. Source: `theater_bus.core.chain.archive`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from theater_bus.client.large_state import fetch_object
from theater_bus.client.session import Session
from theater_bus.core.chain import archive
from theater_bus.core.chain.segments import Segment, Spilled

__all__ = ["Exported", "export_chain"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the file, how many events and objects, and the digests of objects that nobody had."""

    path: Path
    events: int
    objects: int
    size_bytes: int
    missing: tuple[bytes, ...]


async def export_chain(
    session: Session,
    actor: str,
    segments: AsyncIterator[Segment | Spilled],
    path: Path,
    package: bytes | None,
    timeout_s: float,
) -> Exported:
    """Write the chain to `path`; `package` goes in where the host has none. Raises `OSError`, and as queries do."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with await asyncio.to_thread(part.open, "wb") as file:
            writing = _Writing(session, actor, file, package, timeout_s)
            await writing.put(archive.begin(actor, session.subjects.namespace))
            async with aclosing(segments):  # type: ignore[type-var]
                async for segment in segments:
                    await writing.segment(segment)
            await writing.put(archive.end(writing.events, writing.head, writing.missing))
        await asyncio.to_thread(part.replace, path)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
    return Exported(path, writing.events, writing.objects, writing.size_bytes, tuple(writing.missing))


class _Writing:
    """One export in progress."""

    def __init__(self, session: Session, actor: str, file: BinaryIO, package: bytes | None, timeout_s: float) -> None:
        self._session = session
        self._actor = actor
        self._file = file
        self._given = {} if package is None else {sha256(package).digest(): package}
        self._timeout_s = timeout_s
        self._seen: set[bytes] = set()
        self.events = self.objects = self.size_bytes = 0
        self.head = bytes(32)
        self.missing: list[bytes] = []

    async def segment(self, segment: Segment | Spilled) -> None:
        """Write a segment, after the objects that it names."""
        if isinstance(segment, Spilled):
            data = await self._object(segment.digest)
            whole = None if data is None else segment.unspill(data)
        else:
            whole = segment
        for digest in () if whole is None else archive.named(whole):
            await self._object(digest)
        await self.put(archive.segment_record(segment))
        self.events += segment.count
        self.head = segment.head

    async def put(self, record: bytes) -> None:
        """Write a record."""
        await asyncio.to_thread(self._file.write, record)
        self.size_bytes += len(record)

    async def _object(self, digest: bytes) -> bytes | None:
        if digest in self._seen:
            return None
        self._seen.add(digest)
        data = self._given.get(digest)
        if data is None:
            data = await fetch_object(self._session, self._actor, digest, self._timeout_s)
        if data is None or sha256(data).digest() != digest:
            self.missing.append(digest)
            return None
        await self.put(archive.object_record(data))
        self.objects += 1
        return data
