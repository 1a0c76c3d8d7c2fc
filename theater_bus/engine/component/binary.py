"""What a component's bytes say before it is compiled: how much memory it declares, and how many tables.

Modules may be nested in components in components. Nothing is copied; a component that is cut off is refused here, one
that is wrong otherwise is refused by wasmtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from theater_bus.core.values.wasm_binary import Section, WasmReader
from theater_bus.errors import ConfigurationError, SpawnRefused

__all__ = ["HEADER_BYTES", "Declared", "SectionNumber", "read_declared", "sections_of"]

PAGE_BYTES: Final = 65536
HEADER_BYTES: Final = 8
_MAX_DEPTH: Final = 16


class SectionNumber:
    """The numbers of a component's sections (Component Model, "Binary Format")."""

    CUSTOM, CORE_MODULE, CORE_INSTANCE, CORE_TYPE, COMPONENT, INSTANCE, ALIAS, TYPE = range(8)
    CANON, START, IMPORT, EXPORT = range(8, 12)


@dataclass(frozen=True, slots=True)
class Declared:
    """The memories that all modules of a component define together, their first size, tables, modules, sections."""

    memories: int
    memory_bytes: int
    tables: int
    modules: int
    sections: tuple[tuple[str, int], ...]


def read_declared(wasm: bytes) -> Declared:
    """Read a component. Raises `SpawnRefused` for one that is cut off."""
    counts = _Counts()
    try:
        _component(wasm, HEADER_BYTES, len(wasm), counts, 0)
        sections = tuple(
            (_NAMES.get(number, str(number)), end - at)
            for number, at, end in sections_of(wasm, HEADER_BYTES, len(wasm))
        )
    except ConfigurationError as error:
        raise SpawnRefused(f"not a component: {error.problem}. Fix: build or copy it again") from None
    return Declared(counts.memories, counts.pages * PAGE_BYTES, counts.tables, counts.modules, sections)


_NAMES: Final = {
    0: "custom",
    1: "core module",
    2: "core instance",
    3: "core type",
    4: "component",
    5: "instance",
    6: "alias",
    7: "type",
    8: "canon",
    9: "start",
    10: "import",
    11: "export",
}


@dataclass(slots=True)
class _Counts:
    memories: int = 0
    pages: int = 0
    tables: int = 0
    modules: int = 0


def sections_of(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The sections of a module or component between two places, each as (number, start, end).

    Raises `ConfigurationError` for one that is cut off.
    """
    reader = WasmReader(data, "component", at)
    while reader.at < end:
        number, size = reader.byte(), reader.number()
        start = reader.at
        if start + size > end:
            reader.refuse("it ends in the middle of a section")
        yield number, start, start + size
        reader.at = start + size


def _component(data: bytes, at: int, end: int, counts: _Counts, depth: int) -> None:
    if depth > _MAX_DEPTH:
        WasmReader(data, "component").refuse(f"components are nested more than {_MAX_DEPTH} deep")
    for number, start, stop in sections_of(data, at, end):
        if number == SectionNumber.CORE_MODULE:
            _module(data, start + HEADER_BYTES, stop, counts)
        elif number == SectionNumber.COMPONENT:
            _component(data, start + HEADER_BYTES, stop, counts, depth + 1)


def _module(data: bytes, at: int, end: int, counts: _Counts) -> None:
    counts.modules += 1
    for number, start, _ in sections_of(data, at, end):
        reader = WasmReader(data, "component", start)
        if number == Section.TABLE:
            counts.tables += reader.number()
        elif number == Section.MEMORY:
            for _ in range(reader.number()):
                flags = reader.number()
                counts.memories += 1
                counts.pages += reader.number()
                if flags & 1:
                    reader.number()
                if flags & 8:
                    reader.number()
