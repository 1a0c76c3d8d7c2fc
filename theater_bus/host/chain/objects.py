"""Objects by their SHA-256 in a directory: packages, manifests, grants, long payloads, spilled segments.

Invariants: an object is never seen half-written (written aside, synced, renamed); a name is always the digest of the
bytes, checked on every read; putting what is there already costs one look. Everything here blocks: call it off the
loop.
"""

from __future__ import annotations

import os
from pathlib import Path

from theater_bus.core.chain.events import sha256
from theater_bus.errors import ChainTampered

__all__ = ["ObjectDirectory", "sync_directory"]


class ObjectDirectory:
    """The objects under one directory, two levels deep: `ab/ab12…`."""

    def __init__(self, directory: Path, *, sync: bool = True) -> None:
        self._directory = directory
        self._sync = sync
        self._aside = directory / "aside"
        self._aside.mkdir(parents=True, exist_ok=True)
        for left in self._aside.iterdir():
            left.unlink()
        self._made = 0

    def path(self, digest: bytes) -> Path:
        """Where the object of this digest lies, whether it is there or not."""
        name = digest.hex()
        return self._directory / name[:2] / name

    def put(self, data: bytes, digest: bytes | None = None) -> bytes:
        """Keep `data`; returns its SHA-256. On return it survives what the sync policy says. Raises `OSError`."""
        digest = digest or sha256(data)
        path = self.path(digest)
        try:
            if path.stat().st_size == len(data):
                return digest
        except FileNotFoundError:
            pass
        self._made += 1
        aside = self._aside / f"{digest.hex()}-{os.getpid()}-{self._made}"
        try:
            with open(aside, "xb", opener=_private) as file:
                file.write(data)
                file.flush()
                if self._sync:
                    os.fsync(file.fileno())
            is_new = not path.parent.exists()
            path.parent.mkdir(exist_ok=True)
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        if self._sync:
            sync_directory(path.parent)
            if is_new:
                sync_directory(self._directory)
        return digest

    def get(self, digest: bytes) -> bytes | None:
        """The bytes of an object, or None when it is missing. Raises `ChainTampered` when they are not its own."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        if sha256(data) != digest:
            raise ChainTampered(f"the object {digest.hex()} holds other bytes. Fix: restore it from a copy")
        return data


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
