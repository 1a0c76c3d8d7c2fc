"""Bodies of requests that are longer than a message: they come in parts before the request that names them.

Invariants: a part that comes twice changes nothing; an upload that nobody asks for is forgotten; all uploads of an
actor together are bounded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from theater_bus.errors import Overloaded, TooLarge, TypeMismatch

__all__ = ["UPLOAD_PACT", "Uploads"]

UPLOAD_PACT = """
@package: string = "theater:bus"

interface wasi-http {
    exports {
        // Keeps `data` as the bytes from `offset` on of the body `id`; gives how many bytes there are.
        upload: func(id: string, offset: u64, data: list<u8>) -> u64
    }
}
"""

KEPT_S = 60.0
MOST = 16


@dataclass(slots=True)
class _Upload:
    data: bytearray = field(default_factory=bytearray)
    touched: float = 0.0


class Uploads:
    """The bodies that have come for one actor; each at most `bound` bytes, all together twice that."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._found: dict[str, _Upload] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: str, offset: int, data: bytes) -> int:
        """Keep a part; gives the bytes that there are. Raises `TooLarge`, `Overloaded`, `TypeMismatch` for a gap."""
        now = time.monotonic()
        self._found = {key: one for key, one in self._found.items() if now - one.touched < KEPT_S}
        held = self._found.get(name)
        size = 0 if held is None else len(held.data)
        if offset > size:
            raise TypeMismatch(
                f"the body {name[:80]!r} has {size} bytes, and a part begins at {offset}", path="params.offset"
            )
        end = max(size, offset + len(data))
        if end > self._bound:
            raise TooLarge(
                f"the body has {end} bytes, {self._bound} are allowed (wasi.http_body_bytes)",
                size_bytes=end,
                limit_bytes=self._bound,
            )
        total = sum(len(one.data) for one in self._found.values()) + end - size
        if total > 2 * self._bound or (held is None and len(self._found) >= MOST):
            raise Overloaded(f"{len(self._found)} bodies wait for their requests", bound="uploads", limit=MOST)
        if held is None:
            held = self._found[name] = _Upload()
        held.data[offset : offset + len(data)] = data
        held.touched = now
        return len(held.data)

    def get(self, name: str) -> bytes | None:
        """The body, if it is there. It is kept until it was served, so that a repeat finds it."""
        held = self._found.get(name)
        return None if held is None else bytes(held.data)

    def forget(self, name: str) -> None:
        """It was served."""
        self._found.pop(name, None)
