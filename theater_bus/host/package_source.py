"""Where packages come from: a directory of modules, found by digest, and the schemes that plugins add."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from theater_bus.errors import SpawnRefused

__all__ = ["PackageSource"]

MAX_PACKAGE_BYTES = 64 * 1024 * 1024


class PackageSource:
    """Finds modules. A file is read again when its size or time changed, so a directory may be added to at any time."""

    def __init__(self, directory: Path | None, resolvers: Mapping[str, Callable[[str], Awaitable[bytes]]]) -> None:
        self._directory = directory
        self._resolvers = resolvers
        self._digests: dict[Path, tuple[int, int, bytes]] = {}
        self._held: dict[bytes, bytes] = {}

    def hold(self, wasm: bytes) -> bytes:
        """Keep a module in memory under its digest, which is returned."""
        digest = hashlib.sha256(wasm).digest()
        self._held[digest] = wasm
        return digest

    async def by_digest(self, digest: bytes) -> bytes:
        """The module with this SHA-256. Raises `SpawnRefused` when it is not here."""
        held = self._held.get(digest)
        if held is not None:
            return held
        found = await asyncio.to_thread(self._find, digest)
        if found is None:
            where = f"in {self._directory}" if self._directory is not None else "here (no --packages directory is set)"
            raise SpawnRefused(
                f"there is no package with SHA-256 {digest.hex()} {where}. Fix: copy the module into the host's "
                "packages directory",
                package=digest.hex(),
            )
        return found

    def _find(self, digest: bytes) -> bytes | None:
        if self._directory is None:
            return None
        for path in sorted(self._directory.glob("**/*.wasm")):
            if self._digest(path) == digest:
                data = path.read_bytes()
                if hashlib.sha256(data).digest() == digest:
                    return data
        return None

    def _digest(self, path: Path) -> bytes | None:
        try:
            stat = path.stat()
            known = self._digests.get(path)
            if known is not None and known[:2] == (stat.st_size, stat.st_mtime_ns):
                return known[2]
            if stat.st_size > MAX_PACKAGE_BYTES:
                return None
            digest = hashlib.sha256(path.read_bytes()).digest()
        except OSError:
            return None
        self._digests[path] = (stat.st_size, stat.st_mtime_ns, digest)
        return digest
