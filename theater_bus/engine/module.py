"""A compiled guest module and what its binary says about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from theater_bus.engine.binary import Binary, Kind
from theater_bus.engine.weave import CALLABLE, PREFIX, callables
from theater_bus.errors import SpawnRefused

__all__ = ["Generation", "Module", "check_guest", "generation_of"]

REQUIRED = ("memory", "__pack_alloc", "__pack_free")


class Generation(Enum):
    """The families of Pack modules, told apart by what they import and export."""

    SELF_CONTAINED = "self-contained"
    COMPOSITE = "composite"
    FIXED_BASE = "fixed-base"
    POSITION_INDEPENDENT = "position-independent"
    INCOMPLETE = "incomplete"


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
    pointer: int
    metadata: bytes | None = None
    instance_pre: int = 0


def generation_of(binary: Binary) -> Generation:
    """Which family `binary` belongs to."""
    imported = {(entry.module, entry.name) for entry in binary.imports}
    if ("env", "__memory_base") in imported:
        return Generation.POSITION_INDEPENDENT
    if ("env", "memory") in imported or any(module.split("/")[0] == "pack:alloc" for module, _ in imported):
        return Generation.FIXED_BASE
    names = {entry.name for entry in binary.exports}
    if not names.issuperset(REQUIRED):
        return Generation.INCOMPLETE
    return Generation.SELF_CONTAINED if binary.memories == 1 else Generation.COMPOSITE


def check_guest(binary: Binary) -> None:
    """Refuse a module that this host cannot run, and say what to do about it. Raises SpawnRefused."""
    generation = generation_of(binary)
    if generation in (Generation.FIXED_BASE, Generation.POSITION_INDEPENDENT):
        raise SpawnRefused(
            f"not a self-contained actor: a {generation.value} module of packr 0.8 to 0.10 expects its host to give it "
            "memory and an allocator (env.memory, pack:alloc). Fix: rebuild it with packr 0.11 or later"
        )
    if generation is Generation.INCOMPLETE:
        names = {entry.name for entry in binary.exports}
        missing = ", ".join(name for name in REQUIRED if name not in names)
        raise SpawnRefused(
            f"the module does not export {missing}. Fix: build it with packr-guest, or export them as the Pack "
            "calling convention asks"
        )
    _check_allocator(binary)
    _check_imports(binary)
    if any(entry.name.startswith(PREFIX) for entry in binary.exports):
        raise SpawnRefused(f"the module exports names that begin with {PREFIX!r}, which are the host's own")
    if not callables(binary):
        raise SpawnRefused("the module exports no function that can be called: (i32, i32, i32, i32) -> i32")


def _check_allocator(binary: Binary) -> None:
    exports = {entry.name: entry for entry in binary.exports}
    if exports["memory"].kind is not Kind.MEMORY:
        raise SpawnRefused("the export 'memory' is not a memory")
    shapes = {"__pack_alloc": (1, 1), "__pack_free": (2, 0), "__pack_types": (2, 1), "__wasm_call_ctors": (0, 0)}
    for name, (params, results) in shapes.items():
        entry = exports.get(name)
        if entry is None:
            continue
        found = binary.function_type(entry.index) if entry.kind is Kind.FUNCTION else None
        if found is None or (found.params, found.results) != (b"\x7f" * params, b"\x7f" * results):
            raise SpawnRefused(f"the export {name!r} is not a function of {params} and {results} i32")


def _check_imports(binary: Binary) -> None:
    for entry in binary.imports:
        shape = binary.types[entry.type_index] if entry.kind is Kind.FUNCTION else None
        if shape != CALLABLE:
            raise SpawnRefused(
                f"the import {entry.module}.{entry.name} does not follow the calling convention "
                "(i32, i32, i32, i32) -> i32, so no capability can provide it"
            )
