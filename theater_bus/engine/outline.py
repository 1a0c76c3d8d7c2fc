"""What the engine needs to know of a guest's binary before it compiles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from theater_bus.core.values.wasm_binary import Import, WasmModule
from theater_bus.errors import ConfigurationError, SpawnRefused

__all__ = ["CALLABLE", "FUNCTION", "MEMORY", "Outline", "is_component", "is_module", "read_outline"]

_MODULE_HEADER: Final = b"\0asm\x01\0\0\0"
_COMPONENT_HEADER: Final = b"\0asm\x0d\0\x01\0"
_START: Final = 8

FUNCTION: Final = 0
MEMORY: Final = 2
CALLABLE: Final = b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f"
"""The encoding of (i32, i32, i32, i32) -> i32, the one signature of the Pack calling convention (Pack ABI §3)."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Types (encoded), imports, functions by type index, exports by name as (kind, index), and the start function."""

    module: WasmModule
    types: list[bytes]
    imports: list[Import]
    functions: list[int]
    exports: dict[str, tuple[int, int]]
    memories: int
    start: int | None

    def signature(self, index: int) -> bytes:
        """The encoded type of a function. Raises SpawnRefused for one that is not there."""
        try:
            return self.types[self.functions[index]]
        except IndexError:
            raise SpawnRefused(
                "not a WebAssembly module: it refers to a function or type that is not there. Fix: build it again"
            ) from None

    def exported(self, name: str) -> bytes | None:
        """The encoded type of the exported function `name`; None if that is not an exported function."""
        kind, index = self.exports.get(name, (-1, 0))
        return self.signature(index) if kind == FUNCTION else None

    def callables(self) -> list[str]:
        """The exports that follow the calling convention and are not the allocator's own."""
        return [name for name in self.exports if not name.startswith("__pack_") and self.exported(name) == CALLABLE]


def is_module(data: bytes) -> bool:
    """Whether the first eight bytes announce a core module."""
    return data[:8] == _MODULE_HEADER


def is_component(data: bytes) -> bool:
    """Whether the first eight bytes announce a component."""
    return data[:8] == _COMPONENT_HEADER


def read_outline(wasm: bytes) -> Outline:
    """Read a core module. Raises SpawnRefused; a module that passes may still be invalid, wasmtime decides that."""
    try:
        module = WasmModule(wasm, "module")
        start = None if module.payload(_START) is None else module.reader(_START).number()
        return Outline(
            module=module,
            types=module.types(),
            imports=module.imports(),
            functions=module.functions(),
            exports=module.exports(),
            memories=len(module.memory_flags()),
            start=start,
        )
    except ConfigurationError as error:
        raise SpawnRefused(f"{error.problem}. Fix: build or copy it again") from None
