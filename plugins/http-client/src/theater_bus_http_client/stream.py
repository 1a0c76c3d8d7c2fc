"""Bodies that are read piece by piece, with the values of secrets hidden also where they lie across two pieces."""

from __future__ import annotations

import asyncio

from theater_bus.capability import SecretMask
from theater_bus_http_client.transport import Answer, failures

__all__ = ["HOLD_S", "BodyStream"]

HOLD_S = 0.25
"""How long a read waits for the rest of what may be a secret that comes back."""


class BodyStream:
    """One open answer. `limit` bounds its body in bytes."""

    def __init__(self, answer: Answer, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._left = b""
        self._got = 0
        self._ended = False
        self._mask = SecretMask(answer.secrets)
        answer.check_size(answer.response.content_length or 0, limit, "stream_bytes")

    async def read(self, most: int) -> bytes | None:
        """The next bytes as they come, at least one and at most `most`; None at the end. Raises `CapabilityError`."""
        while not self._left:
            if self._ended:
                return None
            chunk = await self._chunk()
            if chunk is None:
                self._left = self._mask.flush()
                continue
            self._ended = not chunk
            self._got += len(chunk)
            self._answer.check_size(self._got, self._limit, "stream_bytes")
            self._left = self._mask.flush() if self._ended else self._mask.feed(chunk)
        given, self._left = self._left[:most], self._left[most:]
        return given

    async def _chunk(self) -> bytes | None:
        """What comes next, nothing at the end; None when bytes are held back and no more came for `HOLD_S`."""
        with failures(self._answer.host):
            try:
                async with asyncio.timeout(HOLD_S if self._mask.held else None) as patience:
                    return await self._answer.response.content.readany()
            except TimeoutError:
                if patience.expired():
                    return None
                raise

    def close(self) -> None:
        """Close the connection."""
        self._answer.response.close()
