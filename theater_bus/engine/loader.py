"""From the bytes of a guest to a compiled module: checks, weaving, caches, and one compilation for all who wait."""

from __future__ import annotations

from theater_bus.core.instrumentation import Instrumentation
from theater_bus.engine import ffi
from theater_bus.engine.artifact import Artifacts, Format
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
        kind = Format(ffi.serialize, ffi.deserialize_file)
        self._artifacts = Artifacts(engine, kind, cache_key(), settings, instrumentation)
        self._artifacts.claim()

    def load(self, wasm: bytes, sha256: str) -> Module:
        """The compiled module, without its metadata. Raises SpawnRefused."""
        outline = read_outline(wasm)
        check_guest(outline)
        pointer = self._artifacts.get(sha256, lambda: self._compile(outline))
        return _module(outline, len(wasm), sha256, pointer)

    def _compile(self, outline: Outline) -> int:
        try:
            return ffi.make_module(self._engine, weave(outline))
        except ffi.NativeError as error:
            raise SpawnRefused(f"the module does not compile: {error}. Fix: build it again") from None


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
