"""Where packages come from: memory, a directory, the object store, the web under a digest; and schemes of plugins."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from theater_bus.bus.objects import ObjectStore
from theater_bus.errors import SpawnRefused, TooLarge, Unavailable
from theater_bus.host.web_package import PinnedAddress, WebPackages, read_address

__all__ = ["PackageSource"]

MAX_PACKAGE_BYTES = 64 * 1024 * 1024
HELD_BYTES = 64 * 1024 * 1024
RESOLVE_S = 30.0


class PackageSource:
    """Finds modules. A file is read again when its size or time changed, so a directory may be added to at any time.

    What came through the object store is kept in memory, the latest `HELD_BYTES` of it.
    """

    def __init__(
        self,
        directory: Path | None,
        resolvers: Mapping[str, Callable[[str], Awaitable[bytes]]],
        objects: ObjectStore | None = None,
        web_hosts: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._resolvers = resolvers
        self._objects = objects
        self._web = WebPackages(web_hosts, most_bytes=MAX_PACKAGE_BYTES, within_s=RESOLVE_S)
        self._digests: dict[Path, tuple[int, int, bytes]] = {}
        self._held: dict[bytes, bytes] = {}
        self._fetched: OrderedDict[bytes, bytes] = OrderedDict()
        self._fetched_bytes = 0
        self._fetching: dict[tuple[bytes, PinnedAddress | None], asyncio.Task[bytes | None]] = {}

    def hold(self, wasm: bytes) -> bytes:
        """Keep a module in memory under its digest, which is returned."""
        digest = hashlib.sha256(wasm).digest()
        self._held[digest] = wasm
        return digest

    async def by_digest(self, digest: bytes) -> bytes:
        """The module with this SHA-256. Raises `SpawnRefused` when it is in none of the places, and names them."""
        found = await self._once(digest, None)
        if found is None:
            raise self._missing(digest)
        return found

    async def by_reference(self, reference: str) -> bytes:
        """The module that `scheme://…` names. Raises `SpawnRefused`.

        An address on the web pins the digest, and is asked only where the module is in none of the other places; any
        other scheme is a plugin's.
        """
        scheme = reference.partition("://")[0]
        if scheme in ("http", "https"):
            address = read_address(reference)
            found = await self._once(address.digest, address)
            assert found is not None
            return found
        resolve = self._resolvers.get(scheme)
        if resolve is None:
            known = ", ".join(f"{one}://" for one in sorted(self._resolvers)) or "none"
            raise SpawnRefused(
                f"no plugin of this host resolves packages of {scheme}://. Resolved: {known}. Fix: install the plugin, "
                "or name the package by its SHA-256",
                package=reference,
            )
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await resolve(reference)
        except TimeoutError:
            raise SpawnRefused(f"{reference} was not resolved within {RESOLVE_S:g} s", package=reference) from None
        except Exception as error:
            raise SpawnRefused(
                f"{reference} cannot be resolved: {type(error).__name__}: {error}", package=reference
            ) from error
        if not isinstance(found, bytes):
            raise SpawnRefused(f"{reference} was resolved to {type(found).__name__}, not to bytes", package=reference)
        return found

    async def _once(self, digest: bytes, address: PinnedAddress | None) -> bytes | None:
        """The module, wherever it is; None where it is nowhere. With an address it is there, or `SpawnRefused`."""
        held = self._held.get(digest) or self._recent(digest)
        if held is not None:
            return held
        # Spawns of one package come in bursts: the first looks, the others wait for what it finds.
        key = (digest, address)
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._look(digest, address))
            task.add_done_callback(lambda _: self._fetching.pop(key, None))
        return await asyncio.shield(task)

    async def _look(self, digest: bytes, address: PinnedAddress | None) -> bytes | None:
        found = await self._look_here(digest)
        if found is None and address is not None:
            found = await self._web.fetch(address)
            self._keep(digest, found)
        return found

    async def _look_here(self, digest: bytes) -> bytes | None:
        found = await asyncio.to_thread(self._find, digest)
        if found is not None or self._objects is None or not self._objects.available:
            return found
        try:
            found = await self._objects.get(digest, max_bytes=MAX_PACKAGE_BYTES)
        except (Unavailable, TooLarge) as error:
            raise SpawnRefused(f"the package could not be fetched: {error.message}", package=digest.hex()) from error
        if found is not None:
            self._keep(digest, found)
        return found

    def _recent(self, digest: bytes) -> bytes | None:
        found = self._fetched.get(digest)
        if found is not None:
            self._fetched.move_to_end(digest)
        return found

    def _keep(self, digest: bytes, wasm: bytes) -> None:
        self._fetched[digest] = wasm
        self._fetched_bytes += len(wasm)
        while self._fetched_bytes > HELD_BYTES and len(self._fetched) > 1:
            _, oldest = self._fetched.popitem(last=False)
            self._fetched_bytes -= len(oldest)

    def _missing(self, digest: bytes) -> SpawnRefused:
        places = []
        places.append(f"{self._directory}" if self._directory is not None else "no packages directory (none is set)")
        if self._objects is not None and self._objects.available:
            places.append(f"the object store {self._objects.bucket}")
        else:
            places.append("no object store (the NATS server has no JetStream)")
        return SpawnRefused(
            f"there is no package with SHA-256 {digest.hex()}; looked in {' and '.join(places)}. "
            "Fix: spawn with the module itself (`theater-bus spawn`), or copy it into the host's packages directory",
            package=digest.hex(),
        )

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
