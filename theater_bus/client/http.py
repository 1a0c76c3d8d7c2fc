"""HTTP through a handle: what an actor's `wasi:http/incoming-handler` answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

__all__ = ["HTTP_FUNCTION", "PART_BYTES", "UPLOAD_FUNCTION", "HttpFields", "WasiHttpResponse"]

HTTP_FUNCTION: Final = "wasi:http/incoming-handler.handle"
UPLOAD_FUNCTION: Final = "theater:bus/wasi-http.upload"
PART_BYTES: Final = 256 * 1024
"""A longer body leaves in parts before its request."""

HttpFields = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class WasiHttpResponse:
    """A response: `headers` are (name, bytes) pairs in order, names in lower case; `trailers` None for none."""

    status: int
    headers: HttpFields
    body: bytes
    trailers: HttpFields | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], parts: list[Any]) -> Self:
        """From the plain result, and the parts of the body that came before it."""
        trailers = wire["trailers"]
        return cls(
            wire["status"],
            _fields(wire["headers"]),
            b"".join(parts) + wire["body"],
            None if trailers is None else _fields(trailers),
        )


def _fields(pairs: Any) -> HttpFields:
    return tuple((str(name), bytes(value)) for name, value in pairs)
