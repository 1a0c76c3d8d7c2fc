"""Bodies that are read piece by piece, with the values of secrets hidden also where they lie across two pieces."""

from __future__ import annotations

from theater_bus.capability import Secret, hide_secrets
from theater_bus_http_client.transport import Answer, failures

__all__ = ["BodyStream"]


class BodyStream:
    """One open answer. `limit` bounds its body in bytes."""

    def __init__(self, answer: Answer, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._left = b""
        self._got = 0
        self._ended = False
        self._mask = _Mask(answer.secrets)
        answer.check_size(answer.response.content_length or 0, limit, "stream_bytes")

    async def read(self, most: int) -> bytes | None:
        """The next bytes as they come, at least one and at most `most`; None at the end. Raises `CapabilityError`."""
        while not self._left:
            if self._ended:
                return None
            with failures(self._answer.host):
                chunk = await self._answer.response.content.readany()
            self._ended = not chunk
            self._got += len(chunk)
            self._answer.check_size(self._got, self._limit, "stream_bytes")
            self._left = self._mask.feed(chunk, is_last=self._ended)
        given, self._left = self._left[:most], self._left[most:]
        return given

    def close(self) -> None:
        """Close the connection."""
        self._answer.response.close()


class _Mask:
    """Hides values in a stream. Held back is only what may be the beginning of a value."""

    def __init__(self, secrets: tuple[Secret, ...]) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, data: bytes, *, is_last: bool) -> bytes:
        """What may be shown, now that `data` has come."""
        shown = hide_secrets(self._held + data, self._secrets)
        values = [secret.reveal().encode() for secret in self._secrets]
        longest = 0 if is_last else max(map(len, values), default=0)
        for length in range(min(longest - 1, len(shown)), 0, -1):
            if any(value.startswith(shown[-length:]) for value in values):
                self._held = shown[-length:]
                return shown[:-length]
        self._held = b""
        return shown
