"""Reproducible random bytes: the same seed gives the same draws, on every machine and with every Python.

Draw number k (from 0) of n bytes is SHAKE-256 over `DOMAIN`, k as 8 bytes little-endian, and the seed in UTF-8, cut off
after n bytes. A shorter draw is therefore the beginning of a longer one with the same number.
"""

from __future__ import annotations

from hashlib import shake_256

__all__ = ["DOMAIN", "SeededStream"]

DOMAIN = b"theater-random-1\0"


class SeededStream:
    """Draws in order. `position` is the number of the next one, which is all that has to be kept."""

    __slots__ = ("_seed", "position")

    def __init__(self, seed: str, position: int = 0) -> None:
        self._seed = seed.encode()
        self.position = position

    def draw(self, count: int) -> bytes:
        """The next `count` bytes."""
        state = shake_256(DOMAIN + self.position.to_bytes(8, "little") + self._seed)
        self.position = (self.position + 1) % (1 << 64)
        return state.digest(count)
