"""From the bytes of a guest to a compiled module: checks, weaving, caches, and one compilation for all who wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from theater_bus.core.instrumentation import Instrumentation
from theater_bus.engine import ffi
from theater_bus.engine.cache import ArtifactCache
from theater_bus.engine.configuration import cache_key
from theater_bus.engine.module import Compiled, Module, check_guest, generation_of
from theater_bus.engine.outline import Outline, is_component, is_module, read_outline
from theater_bus.engine.settings import EngineSettings
from theater_bus.engine.weave import weave
from theater_bus.errors import SpawnRefused

__all__ = ["Loader", "check_format"]


def check_format(wasm: bytes, max_bytes: int) -> None:
    """Refuse what is no module or component of an acceptable size. Raises SpawnRefused."""
    if not is_module(wasm) and not is_component(wasm):
        raise SpawnRefused(
            f"not WebAssembly: the file begins with {wasm[:8].hex(' ') or 'nothing'}. Fix: give the .wasm file that "
            "the guest's build made"
        )
    if len(wasm) > max_bytes:
        raise SpawnRefused(
            f"the file has {len(wasm)} bytes, {max_bytes} are allowed (max_module_bytes). Fix: build it for size"
        )


class Loader:
    """Makes modules for one engine. `load` blocks for as long as compiling takes: call it in a worker thread."""

    def __init__(self, engine: int, settings: EngineSettings, instrumentation: Instrumentation) -> None:
        self._engine = engine
        self._instrumentation = instrumentation
        self._cache: ArtifactCache | None = None
        if settings.cache_dir is not None:
            self._cache = ArtifactCache(settings.cache_dir, cache_key(), settings.cache_max_bytes, self._corrupt)

    def load(self, wasm: bytes, sha256: str) -> Module:
        """The compiled module, without its metadata. Raises SpawnRefused."""
        outline = read_outline(wasm)
        check_guest(outline)
        pointer = self._compiled(sha256, lambda: weave(outline))
        return _module(outline, len(wasm), sha256, pointer)

    def _compiled(self, sha256: str, woven: Callable[[], bytes]) -> int:
        if self._cache is not None:
            found = self._cache.load(sha256, self._open)
            if found is not None:
                self._count("disk")
                return found
        try:
            pointer = ffi.make_module(self._engine, woven())
        except ffi.NativeError as error:
            raise SpawnRefused(f"the module does not compile: {error}. Fix: build it again") from None
        if self._cache is not None:
            self._cache.save(sha256, ffi.serialize(pointer))
        self._count("compiled")
        return pointer

    def _open(self, path: str) -> int:
        try:
            return ffi.deserialize_file(self._engine, path)
        except ffi.NativeError as error:
            raise ValueError(str(error)) from None

    def _count(self, result: str) -> None:
        self._instrumentation.count("theater.modules.loaded", 1, **{"theater.cache.result": result})

    def _corrupt(self, path: Path, reason: str) -> None:
        self._instrumentation.event("module_cache.corrupt", path=str(path), reason=reason, package="")


def _module(outline: Outline, size_bytes: int, sha256: str, pointer: int) -> Module:
    imports = dict.fromkeys((entry.module, entry.name) for entry in outline.imports)
    return Module(
        sha256=sha256,
        size_bytes=size_bytes,
        generation=generation_of(outline),
        exports=tuple(outline.exports),
        imports=tuple(imports),
        callables=tuple(outline.callables()),
        memories=outline.memories,
        compiled=Compiled(pointer),
    )
