"""Looking at a guest without running it, and making one from text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from theater_bus.core.values.embed import find_metadata
from theater_bus.engine import ffi
from theater_bus.engine.component.binary import read_declared
from theater_bus.engine.component.factory import look_into
from theater_bus.engine.component.world import World
from theater_bus.engine.module import Generation, check_guest, generation_of
from theater_bus.engine.outline import is_component, read_outline
from theater_bus.errors import ConfigurationError, SpawnRefused

__all__ = ["ModuleInfo", "inspect", "wat2wasm"]

_KINDS: Final = ("function", "table", "memory", "global", "tag")
_SECTIONS: Final = (
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data-count",
    "tag",
)


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a binary says about itself. `problem` is why this host would refuse it, empty when it would not.

    `world` is what a component imports and exports, None for a module. `metadata` is the blob found in its data
    without running it; only `__pack_types` tells for certain. `exports` are (name, kind), `sections` (name, bytes),
    `callables` the exports of a module that follow the calling convention.
    """

    sha256: str
    size_bytes: int
    generation: Generation | None
    imports: tuple[tuple[str, str], ...]
    exports: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, int], ...]
    memories: int
    metadata: bytes | None
    problem: str
    world: World | None = None
    callables: tuple[str, ...] = ()


def inspect(wasm: bytes) -> ModuleInfo:
    """Describe any bytes; never raises for what is in them. A component is compiled, which may take some seconds."""
    sha256, size = hashlib.sha256(wasm).hexdigest(), len(wasm)
    if is_component(wasm):
        return _component(wasm, sha256)
    try:
        outline = read_outline(wasm)
        metadata = find_metadata(wasm)
    except (SpawnRefused, ConfigurationError) as error:
        return ModuleInfo(sha256, size, None, (), (), (), 0, None, str(error))
    try:
        check_guest(outline)
        problem = ""
    except SpawnRefused as error:
        problem = error.message
    return ModuleInfo(
        sha256=sha256,
        size_bytes=size,
        generation=generation_of(outline),
        imports=tuple((entry.module, entry.name) for entry in outline.imports),
        exports=tuple((name, _name(_KINDS, kind)) for name, (kind, _) in outline.exports.items()),
        sections=tuple((_name(_SECTIONS, number), len(payload)) for number, payload in outline.module.sections),
        memories=outline.memories,
        metadata=metadata,
        problem=problem,
        callables=tuple(outline.callables()),
    )


def _component(wasm: bytes, sha256: str) -> ModuleInfo:
    try:
        declared = read_declared(wasm)
    except SpawnRefused as error:
        return ModuleInfo(sha256, len(wasm), None, (), (), (), 0, None, error.message)
    world, problem = look_into(wasm)
    return ModuleInfo(
        sha256=sha256,
        size_bytes=len(wasm),
        generation=None,
        imports=() if world is None else tuple((one.interface, one.function.name) for one in world.imports),
        exports=() if world is None else tuple((one.name, "function") for one in world.exports),
        sections=declared.sections,
        memories=declared.memories,
        metadata=None,
        problem=problem,
        world=world,
    )


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def wat2wasm(text: str) -> bytes:
    """The binary of a module in text form. Raises SpawnRefused with the place of the fault."""
    try:
        return ffi.text_to_wasm(text)
    except ffi.NativeError as error:
        raise SpawnRefused(f"not valid WebAssembly text: {error}") from None
