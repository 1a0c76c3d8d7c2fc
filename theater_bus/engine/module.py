"""A compiled guest module and what its binary says about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from theater_bus.engine import ffi
from theater_bus.engine.outline import CALLABLE, FUNCTION, MEMORY, Outline
from theater_bus.engine.weave import PREFIX
from theater_bus.errors import SpawnRefused

__all__ = ["Generation", "Module", "check_guest", "generation_of"]

REQUIRED: Final = ("memory", "__pack_alloc", "__pack_free")
_SHAPES: Final = {"__pack_alloc": (1, 1), "__pack_free": (2, 0), "__pack_types": (2, 1), "__wasm_call_ctors": (0, 0)}


class Generation(Enum):
    """The families of Pack modules, told apart by what they import and export."""

    SELF_CONTAINED = "self-contained"
    COMPOSITE = "composite"
    FIXED_BASE = "fixed-base"
    POSITION_INDEPENDENT = "position-independent"
    INCOMPLETE = "incomplete"


class Compiled:
    """Owner of a compiled module and of what its instances share; both are freed with the last reference."""

    __slots__ = ("__weakref__", "instance_pre", "pointer")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        self.instance_pre = 0

    def free(self) -> None:
        """Free both now. No instance may be alive."""
        if self.instance_pre:
            ffi.delete_instance_pre(self.instance_pre)
        if self.pointer:
            ffi.delete_module(self.pointer)
        self.instance_pre = self.pointer = 0

    def __del__(self) -> None:
        self.free()


@dataclass(slots=True, eq=False)
class Module:
    """A guest module, compiled once per engine and shared by its instances.

    `sha256` is the hex digest of the original bytes. `exports` are the names of the module's own exports, `imports`
    the host functions it needs as (interface, function), in order; `callables` the symbols that `Instance.call` takes.
    `metadata` is the blob that `__pack_types` answers, None without that export.
    """

    sha256: str
    size_bytes: int
    generation: Generation
    exports: tuple[str, ...]
    imports: tuple[tuple[str, str], ...]
    callables: tuple[str, ...]
    memories: int
    compiled: Compiled
    metadata: bytes | None = None


def generation_of(outline: Outline) -> Generation:
    """Which family the module belongs to (Pack ABI §3.7)."""
    imported = {(entry.module, entry.name) for entry in outline.imports}
    if ("env", "__memory_base") in imported:
        return Generation.POSITION_INDEPENDENT
    if ("env", "memory") in imported or any(module.split("/")[0] == "pack:alloc" for module, _ in imported):
        return Generation.FIXED_BASE
    if not outline.exports.keys() >= set(REQUIRED):
        return Generation.INCOMPLETE
    return Generation.SELF_CONTAINED if outline.memories == 1 else Generation.COMPOSITE


def check_guest(outline: Outline) -> None:
    """Refuse a module that this host cannot run, and say what to do about it. Raises SpawnRefused."""
    generation = generation_of(outline)
    if generation in (Generation.FIXED_BASE, Generation.POSITION_INDEPENDENT):
        raise SpawnRefused(
            f"not a self-contained actor: a {generation.value} module of packr 0.8 to 0.10 expects its host to give it "
            "memory and an allocator (env.memory, pack:alloc). Fix: rebuild it with packr 0.11 or later"
        )
    if generation is Generation.INCOMPLETE:
        missing = ", ".join(name for name in REQUIRED if name not in outline.exports)
        raise SpawnRefused(
            f"the module does not export {missing}. Fix: build it with packr-guest, or export them as the Pack "
            "calling convention asks"
        )
    _check_exports(outline)
    _check_imports(outline)
    if not outline.callables():
        raise SpawnRefused(
            "the module exports no function that can be called. Fix: export one as (i32, i32, i32, i32) -> i32"
        )


def _check_exports(outline: Outline) -> None:
    if outline.exports["memory"][0] != MEMORY:
        raise SpawnRefused("the export 'memory' is not a memory")
    for name, (params, results) in _SHAPES.items():
        shape = bytes([0x60, params, *[0x7F] * params, results, *[0x7F] * results])
        if name in outline.exports and outline.exported(name) != shape:
            raise SpawnRefused(f"the export {name!r} does not take {params} and return {results} i32")
    if any(name.startswith(PREFIX) for name in outline.exports):
        raise SpawnRefused(f"the module exports names that begin with {PREFIX!r}, which are the host's own")


def _check_imports(outline: Outline) -> None:
    for entry in outline.imports:
        if entry.kind != FUNCTION or outline.types[entry.detail : entry.detail + 1] != [CALLABLE]:
            raise SpawnRefused(
                f"the import {entry.module}.{entry.name} does not follow the calling convention "
                "(i32, i32, i32, i32) -> i32, so no capability can provide it. Fix: import what a capability declares, "
                "or build for wasm32-unknown-unknown if it is the toolchain's (WASI, env)"
            )
