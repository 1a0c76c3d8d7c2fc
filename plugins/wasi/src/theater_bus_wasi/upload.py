"""Bodies of requests that are longer than a message: they come in parts before the request that names them.

Invariants: a part that comes twice changes nothing; an upload that nobody asks for is forgotten, also when nothing else
comes; all uploads of an actor together are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from theater_bus.capability import Cancellable, TimeSource
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
    touched_ns: int = 0


class Uploads:
    """The bodies that have come for one actor; each at most `bound` bytes, all together twice that."""

    def __init__(self, bound: int, clock: TimeSource) -> None:
        self._bound, self._clock = bound, clock
        self._found: dict[str, _Upload] = {}
        self._sweep: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: str, offset: int, data: bytes) -> int:
        """Keep a part; gives the bytes that there are. Raises `TooLarge`, `Overloaded`, `TypeMismatch` for a gap."""
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
        held.touched_ns = self._clock.monotonic_ns()
        if self._sweep is None:
            self._sweep = self._clock.call_later(KEPT_S, self._forget_old)
        return len(held.data)

    def get(self, name: str) -> bytes | None:
        """The body, if it is there. It is kept until it was served, so that a repeat finds it."""
        held = self._found.get(name)
        return None if held is None else bytes(held.data)

    def forget(self, name: str) -> None:
        """It was served."""
        self._found.pop(name, None)

    def close(self) -> None:
        """Forget all."""
        self._found.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _forget_old(self) -> None:
        kept_ns = int(KEPT_S * 1e9)
        now = self._clock.monotonic_ns()
        self._found = {key: one for key, one in self._found.items() if now - one.touched_ns < kept_ns}
        self._sweep = None
        if self._found:
            first = min(one.touched_ns for one in self._found.values())
            self._sweep = self._clock.call_later((first + kept_ns - now) / 1e9, self._forget_old)
