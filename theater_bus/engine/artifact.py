"""Compiled code of one wasmtime engine: taken from disk, or compiled and kept there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from theater_bus.core.instrumentation import Instrumentation
from theater_bus.engine import ffi
from theater_bus.engine.cache import ArtifactCache
from theater_bus.engine.settings import EngineSettings

__all__ = ["Artifacts", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of artifact is written and read: `serialize(pointer)`, `open(engine, path)`."""

    serialize: Callable[[int], bytes]
    open: Callable[[int, str], int]


class Artifacts:
    """The artifacts of one engine and kind. `key` names the engine's version and configuration.

    `get` blocks for as long as compiling takes: call it in a worker thread. Making one reads no file.
    """

    def __init__(
        self, engine: int, kind: Format, key: str, settings: EngineSettings, instrumentation: Instrumentation
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._instrumentation = instrumentation
        self._cache: ArtifactCache | None = None
        if settings.cache_dir is not None:
            self._cache = ArtifactCache(settings.cache_dir, key, settings.cache_max_bytes, self._corrupt)

    def claim(self) -> None:
        """Make the directory on disk, once for all kinds that an engine keeps in it. Raises `ConfigurationError`."""
        if self._cache is not None:
            self._cache.claim()

    def get(self, sha256: str, compile: Callable[[], int]) -> int:
        """A pointer to the code of what has this digest. Raises what `compile` raises."""
        if self._cache is not None:
            found = self._cache.load(sha256, self._open)
            if found is not None:
                self._count("disk")
                return found
        pointer = compile()
        if self._cache is not None:
            self._cache.save(sha256, self._kind.serialize(pointer))
        self._count("compiled")
        return pointer

    def _open(self, path: str) -> int:
        try:
            return self._kind.open(self._engine, path)
        except ffi.NativeError as error:
            raise ValueError(str(error)) from None

    def _count(self, result: str) -> None:
        self._instrumentation.count("theater.modules.loaded", 1, **{"theater.cache.result": result})

    def _corrupt(self, path: Path, reason: str) -> None:
        package = path.name.partition("-")[0]
        self._instrumentation.event("module_cache.corrupt", path=str(path), reason=reason, package=package)
