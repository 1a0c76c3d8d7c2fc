"""The packages and the types of a host's actors: each is made once, and those that were used last are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from theater_bus.core.manifest import Manifest
from theater_bus.engine import Budget, Limits
from theater_bus.host.package import ActorType, Package, make_actor_type, read_package

if TYPE_CHECKING:
    from theater_bus.host.host import Host

__all__ = ["KEPT_TYPES", "Catalogue"]

KEPT_TYPES: Final = 256
"""As many as the engine keeps modules. An actor holds on to its own type, kept or not."""

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The values that were used last, at most `capacity` of them."""

    __slots__ = ("_capacity", "_values")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value, if it is still kept."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> V:
        """Keep the value, and let go of the one that was used longest ago."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
        return value


class Catalogue:
    """One per host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._packages: Kept[str, Package] = Kept(KEPT_TYPES)
        self._types: Kept[tuple[str, bytes, str], ActorType] = Kept(KEPT_TYPES)

    @property
    def kept_types(self) -> int:
        """How many types are kept."""
        return len(self._types)

    async def load(self, wasm: bytes) -> Package:
        """The package in these bytes, compiled at most once. Raises `SpawnRefused`."""
        module = await self._host.engine.load(wasm)
        package = self._packages.get(module.sha256)
        if package is None or package.module is not module:
            package = self._packages.put(module.sha256, read_package(module))
        return package

    def type_of(self, package: Package, manifest: Manifest, actor_id: str) -> ActorType:
        """The (kept) type of actors of this package under this manifest; one with metrics of its own has its own.

        Raises `SpawnRefused`.
        """
        host = self._host
        listed = host.telemetry.listed(actor_id)
        key = (package.module.sha256, manifest.digest, listed)
        found = self._types.get(key)
        if found is None or found.package is not package:
            limits = manifest.limits
            found = self._types.put(
                key,
                make_actor_type(
                    package,
                    manifest,
                    host.registry,
                    host.telemetry,
                    host.namespace,
                    host.middleware,
                    Limits(limits.memory_bytes, limits.table_elements, limits.result_bytes, limits.decode_nodes),
                    Budget(cpu_ms=limits.cpu_ms),
                    listed,
                ),
            )
        return found
