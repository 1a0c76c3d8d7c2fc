"""What a chain names by digest, for a replay: brought before a segment is verified, checked, and let go of after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from theater_bus.core.chain.events import decode_event, sha256
from theater_bus.core.chain.layout import Payload, Stored
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import payloads
from theater_bus.errors import ChainTampered

__all__ = ["Missing", "ObjectDesk", "Objects"]

Objects: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""The bytes of an object by their SHA-256, or None: packages, manifests, long payloads, spilled segments."""


class Missing(Exception):
    """An object is needed that is not there."""

    def __init__(self, digest: bytes, what: str) -> None:
        self.digest = digest
        super().__init__(f"the {what} (SHA-256 {digest.hex()}) is missing")


class ObjectDesk:
    """The objects of one replay: `find` is the verifier's lookup, for what `bring` has brought."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._here: dict[bytes, bytes] = {}

    def find(self, digest: bytes) -> bytes | None:
        """An object that was brought."""
        return self._here.get(digest)

    async def bring(self, segment: Segment | Spilled) -> None:
        """Bring what the segment names, and nothing for bytes that are no events: they are the verifier's to judge."""
        try:
            whole = await self._whole(segment)
            events = [] if whole is None else [decode_event(data) for data in whole.events]
        except ChainTampered:
            return
        for event in events:
            for payload in payloads(event.body):
                if isinstance(payload, Stored):
                    await self._bring(payload.digest)

    def clear(self) -> None:
        """Let go of what was brought."""
        self._here.clear()

    async def get(self, digest: bytes, what: str) -> bytes:
        """An object that a replay needs. Raises `Missing`, and `ChainTampered` for other bytes than it should be."""
        data = self._here.get(digest)
        if data is None:
            data = await self._objects(digest)
        if data is None:
            raise Missing(digest, what)
        if sha256(data) != digest:
            raise ChainTampered(f"the {what} is not what its digest {digest.hex()} says")
        return data

    async def payload(self, payload: Payload) -> bytes:
        """The bytes of a payload. Raises as `get`."""
        return await self.get(payload.digest, "payload") if isinstance(payload, Stored) else payload

    async def optional(self, payload: Payload | None) -> bytes | None:
        """As `payload`, for one that may be nothing."""
        return None if payload is None else await self.payload(payload)

    async def _whole(self, segment: Segment | Spilled) -> Segment | None:
        if isinstance(segment, Segment):
            return segment
        data = await self._bring(segment.digest)
        return None if data is None else segment.unspill(data)

    async def _bring(self, digest: bytes) -> bytes | None:
        data = await self._objects(digest)
        if data is not None:
            self._here[digest] = data
        return data
