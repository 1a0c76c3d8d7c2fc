"""`theater:bus/random`: bytes of the operating system, and a second source that a seed makes reproducible."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from theater_bus.capability import NUMBER, Capability, CapabilityError, Context
from theater_bus.capability import Settings as BaseSettings
from theater_bus_random.stream import SeededStream

__all__ = ["Random"]

BYTES_MOST = 65_536
SEED_MOST = 256


class Random(Capability):
    """`get-bytes` and `get-u64` take from the operating system; the `insecure-` ones do so unless there is a seed."""

    name = "random"
    pact = "random.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`bytes_max`: the most bytes of one call. `seed`: a text that makes the insecure functions reproducible.

        The seed is no matter of more or less, so host, parent and manifest must agree on it; the empty one is none.
        """

        bytes_max: Annotated[int, NUMBER, Field(strict=True, ge=0, le=BYTES_MOST)] = 4096
        seed: Annotated[str, Field(strict=True, max_length=SEED_MOST)] = ""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._stream = SeededStream(self.settings.seed) if self.settings.seed else None
        self._insecure: Callable[[int], bytes] = os.urandom if self._stream is None else self._stream.draw

    def get_bytes(self, count: int) -> bytes:
        """`count` bytes that nobody can foretell. Raises `CapabilityError` for more than `bytes_max`."""
        return os.urandom(self._allowed(count))

    def get_u64(self) -> int:
        """A number below 2**64 that nobody can foretell."""
        return int.from_bytes(os.urandom(8), "little")

    def insecure_bytes(self, count: int) -> bytes:
        """The next draw, `count` bytes long. Raises `CapabilityError` for more than `bytes_max`; then none is drawn."""
        return self._insecure(self._allowed(count))

    def insecure_u64(self) -> int:
        """The next draw as a number below 2**64."""
        return int.from_bytes(self._insecure(8), "little")

    def insecure_seed(self) -> tuple[int, int]:
        """The next draw as two numbers below 2**64."""
        drawn = self._insecure(16)
        return int.from_bytes(drawn[:8], "little"), int.from_bytes(drawn[8:], "little")

    def snapshot(self) -> bytes | None:
        """The number of the next draw, 8 bytes little-endian; None without a seed."""
        return None if self._stream is None else self._stream.position.to_bytes(8, "little")

    def restore(self, snapshot: bytes) -> None:
        """Go on with the draw that `snapshot` names. Raises `ValueError` for what no snapshot of this kind is."""
        if self._stream is None or len(snapshot) != 8:
            raise ValueError("capability 'random': a snapshot is 8 bytes, and only one with a seed gives any")
        self._stream.position = int.from_bytes(snapshot, "little")

    def _allowed(self, count: int) -> int:
        most = self.settings.bytes_max
        if count <= most:
            return count
        problem = f"{count} bytes are more than the granted random.bytes_max = {most}. Fix: "
        if count > BYTES_MOST:
            raise CapabilityError(f"{problem}nobody can grant more than {BYTES_MOST}; ask for less at a time")
        raise CapabilityError(
            f"{problem}write `bytes_max = {count}` under [capabilities.random] in the actor's manifest; "
            "its parent and the host must allow as much"
        )
