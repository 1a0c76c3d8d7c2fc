"""Reading a WebAssembly binary: its sections, types, imports and exports, without running or compiling it.

Invariants
* Every length and count is checked against the bytes that are there before anything is allocated.
* A binary that this module accepts may still be invalid; wasmtime's validation has the last word.

Source: WebAssembly core specification, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

__all__ = [
    "Binary",
    "Export",
    "FunctionType",
    "Import",
    "Kind",
    "MalformedBinary",
    "Reader",
    "Section",
    "is_component",
    "is_module",
    "parse",
]

MODULE_HEADER: Final = b"\0asm\x01\0\0\0"
COMPONENT_HEADER: Final = b"\0asm\x0d\0\x01\0"
FUNCTION_FORM: Final = 0x60


class MalformedBinary(ValueError):
    """The bytes are not a WebAssembly module that can be read; `offset` is where reading stopped."""

    def __init__(self, problem: str, offset: int) -> None:
        self.problem, self.offset = problem, offset
        super().__init__(f"{problem} at byte {offset}")


class Kind(IntEnum):
    """What an import or export is."""

    FUNCTION = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3
    TAG = 4


class Section(IntEnum):
    """Section ids that matter here."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameter and result types as their bytes in the binary (i32 is 0x7f)."""

    params: bytes
    results: bytes


@dataclass(frozen=True, slots=True)
class Import:
    """One entry of the import section; `type_index` is set for functions."""

    module: str
    name: str
    kind: Kind
    type_index: int = -1


@dataclass(frozen=True, slots=True)
class Export:
    """One entry of the export section."""

    name: str
    kind: Kind
    index: int


@dataclass(slots=True)
class Binary:
    """What `parse` found. `sections` holds (id, payload) in file order, custom ones included."""

    sections: list[tuple[int, bytes]] = field(default_factory=list)
    types: list[FunctionType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    memories: int = 0

    def payload(self, section: Section) -> bytes | None:
        """The bytes of the first section with this id, or None."""
        return next((payload for number, payload in self.sections if number == section), None)

    def function_type(self, index: int) -> FunctionType:
        """The type of the function at `index` of the function index space (imports come first)."""
        imported = [entry.type_index for entry in self.imports if entry.kind is Kind.FUNCTION]
        type_index = imported[index] if index < len(imported) else self.functions[index - len(imported)]
        return self.types[type_index]

    def function_count(self) -> int:
        """How many functions the index space has, imported ones included."""
        return len(self.functions) + sum(entry.kind is Kind.FUNCTION for entry in self.imports)


class Reader:
    """Reads forward through bytes and refuses to go past their end."""

    __slots__ = ("data", "end", "offset", "position")

    def __init__(self, data: bytes, position: int = 0, offset: int = 0) -> None:
        self.data, self.position, self.end, self.offset = data, position, len(data), offset

    def fail(self, problem: str) -> MalformedBinary:
        """The error for the current place."""
        return MalformedBinary(problem, self.offset + self.position)

    def byte(self) -> int:
        """One byte."""
        if self.position >= self.end:
            raise self.fail("unexpected end")
        value = self.data[self.position]
        self.position += 1
        return value

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size > self.end - self.position:
            raise self.fail(f"{size} bytes announced, {self.end - self.position} left")
        start = self.position
        self.position = start + size
        return self.data[start : self.position]

    def number(self, bits: int = 32) -> int:
        """An unsigned LEB128 of at most `bits` bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits + 6:
                raise self.fail("number too long")
        if value >> bits:
            raise self.fail("number too large")
        return value

    def count(self, smallest: int = 1) -> int:
        """A number of items of which each takes at least `smallest` bytes."""
        value = self.number()
        if value * smallest > self.end - self.position:
            raise self.fail(f"{value} items announced in {self.end - self.position} bytes")
        return value

    def text(self) -> str:
        """A name: length and UTF-8."""
        raw = self.take(self.number())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail("name is not UTF-8") from None

    def limits(self) -> None:
        """Skip the limits of a memory or table."""
        flags = self.byte()
        self.number(64)
        if flags & 1:
            self.number(64)

    @property
    def done(self) -> bool:
        """Nothing is left."""
        return self.position >= self.end


def is_module(data: bytes) -> bool:
    """Whether the first eight bytes announce a core module."""
    return data[:8] == MODULE_HEADER


def is_component(data: bytes) -> bool:
    """Whether the first eight bytes announce a component."""
    return data[:8] == COMPONENT_HEADER


def parse(data: bytes) -> Binary:
    """Read the outline of a core module. Raises MalformedBinary."""
    if not is_module(data):
        raise MalformedBinary("not a WebAssembly core module", 0)
    binary = Binary()
    for number, payload, offset in _sections(data):
        binary.sections.append((number, payload))
        read = _READERS.get(number)
        if read is not None:
            read(Reader(payload, offset=offset), binary)
    _check_indices(binary)
    return binary


def _check_indices(binary: Binary) -> None:
    used = [entry.type_index for entry in binary.imports if entry.kind is Kind.FUNCTION] + binary.functions
    if any(index >= len(binary.types) for index in used):
        raise MalformedBinary("a function refers to a type that is not there", 0)
    functions = binary.function_count()
    if any(entry.kind is Kind.FUNCTION and entry.index >= functions for entry in binary.exports):
        raise MalformedBinary("an export refers to a function that is not there", 0)
    if binary.start is not None and binary.start >= functions:
        raise MalformedBinary("the start function is not there", 0)


def _sections(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    reader = Reader(data, 8)
    while not reader.done:
        number = reader.byte()
        size = reader.number()
        start = reader.position
        yield number, reader.take(size), start


def _read_types(reader: Reader, binary: Binary) -> None:
    for _ in range(reader.count(3)):
        if reader.byte() != FUNCTION_FORM:
            raise reader.fail("a type that is not a function type (garbage-collected types are not supported)")
        binary.types.append(FunctionType(reader.take(reader.number()), reader.take(reader.number())))


def _read_imports(reader: Reader, binary: Binary) -> None:
    for _ in range(reader.count(4)):
        module, name, kind = reader.text(), reader.text(), reader.byte()
        type_index = -1
        if kind == Kind.FUNCTION:
            type_index = reader.number()
        elif kind == Kind.TABLE:
            reader.byte()
            reader.limits()
        elif kind == Kind.MEMORY:
            reader.limits()
            binary.memories += 1
        elif kind == Kind.GLOBAL:
            reader.take(2)
        elif kind == Kind.TAG:
            reader.byte()
            reader.number()
        else:
            raise reader.fail(f"unknown kind of import {kind}")
        binary.imports.append(Import(module, name, Kind(kind), type_index))


def _read_functions(reader: Reader, binary: Binary) -> None:
    binary.functions.extend(reader.number() for _ in range(reader.count()))


def _read_memories(reader: Reader, binary: Binary) -> None:
    binary.memories += reader.count(2)


def _read_exports(reader: Reader, binary: Binary) -> None:
    for _ in range(reader.count(3)):
        name, kind, index = reader.text(), reader.byte(), reader.number()
        if kind > Kind.TAG:
            raise reader.fail(f"unknown kind of export {kind}")
        binary.exports.append(Export(name, Kind(kind), index))


def _read_start(reader: Reader, binary: Binary) -> None:
    binary.start = reader.number()


_READERS: Final = {
    Section.TYPE.value: _read_types,
    Section.IMPORT.value: _read_imports,
    Section.FUNCTION.value: _read_functions,
    Section.MEMORY.value: _read_memories,
    Section.EXPORT.value: _read_exports,
    Section.START.value: _read_start,
}
