"""A core WebAssembly binary as its sections, to look into and to add to.

Invariants: every length is checked against the bytes that are there; sections that are not touched keep their bytes;
what is added goes to the end of its section, so that no index in the module changes its meaning; a module with anything
that this reader does not understand is refused, never guessed at.
Source: WebAssembly core specification 3.0, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from theater_bus.errors import ConfigurationError

__all__ = ["I32", "Import", "Section", "WasmModule", "WasmReader", "leb", "signed_leb"]

_MAGIC = b"\x00asm"
_VERSION = b"\x01\x00\x00\x00"
I32 = 0x7F
_FUNCTION_FORM = 0x60


class Section:
    """Section numbers."""

    CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT = range(8)
    CODE, DATA, DATA_COUNT = 10, 11, 12


# The order of sections in a module, which is not that of their numbers (tag 13, data count 12).
_ORDER = {number: place for place, number in enumerate((1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11))}


def leb(number: int) -> bytes:
    """A non-negative number as unsigned LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed_leb(number: int) -> bytes:
    """A number as signed LEB128, as `i32.const` has it."""
    out = bytearray()
    while not -0x40 <= number < 0x40:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


@dataclass(frozen=True, slots=True)
class Import:
    """One import.

    `kind`: 0 function, 1 table, 2 memory, 3 global, 4 tag; `detail`: the type of a function, the flags of a memory.
    """

    module: str
    name: str
    kind: int
    detail: int


class WasmReader:
    """Bytes and a position in them; raises `ConfigurationError` for what is not there."""

    def __init__(self, data: bytes, source: str, at: int = 0) -> None:
        self.data, self.source, self.at = data, source, at

    def refuse(self, problem: str) -> NoReturn:
        """Raise the error for this module."""
        raise ConfigurationError(self.source, f"not a WebAssembly module that can be used: {problem}")

    @property
    def done(self) -> bool:
        """Whether everything is read."""
        return self.at >= len(self.data)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.at:
            self.refuse("it ends in the middle of a section")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        """An unsigned LEB128 number of up to 64 bits; signed ones can be skipped with it."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                self.refuse("it has a number of more than ten bytes")

    def vector(self) -> Iterator[int]:
        """Count through a vector; refuses counts that the bytes cannot hold."""
        count = self.number()
        if count > len(self.data) - self.at:
            self.refuse("it has a vector that is longer than its section")
        yield from range(count)

    def text(self) -> str:
        """A name."""
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError:
            self.refuse("it has a name that is not UTF-8")

    def limits(self) -> int:
        """Skip the limits of a table or memory; gives their flags."""
        flags = self.number()
        self.number()
        if flags & 1:
            self.number()
        if flags & 8:
            self.number()
        return flags

    def value_type(self) -> None:
        """Skip a value type."""
        if self.byte() in (0x63, 0x64):  # a reference with its heap type spelled out
            self.number()


class WasmModule:
    """The sections of a module in order, each as (number, payload)."""

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        reader = WasmReader(data, source)
        if data[:4] != _MAGIC:
            reader.refuse("it does not begin like WebAssembly")
        if data[4:8] != _VERSION:
            reader.refuse("it is a component, or of another version of WebAssembly")
        reader.at = 8
        self.sections: list[tuple[int, bytes]] = []
        seen: set[int] = set()
        while not reader.done:
            number = reader.byte()
            if number in seen and number != Section.CUSTOM:
                reader.refuse(f"it has section {number} twice")
            seen.add(number)
            self.sections.append((number, reader.take(reader.number())))

    def encode(self) -> bytes:
        """The module as bytes."""
        parts = [_MAGIC, _VERSION]
        for number, payload in self.sections:
            parts += [bytes([number]), leb(len(payload)), payload]
        return b"".join(parts)

    def payload(self, number: int) -> bytes | None:
        """The payload of a section, or None if the module has none."""
        return next((payload for found, payload in self.sections if found == number), None)

    def reader(self, number: int) -> WasmReader:
        """A reader over a section; one that is not there reads as an empty vector."""
        payload = self.payload(number)
        return WasmReader(b"\x00" if payload is None else payload, self.source)

    def put(self, number: int, payload: bytes) -> None:
        """Replace a section, or insert it at its place."""
        for index, (found, _) in enumerate(self.sections):
            if found == number:
                self.sections[index] = (number, payload)
                return
            if found != Section.CUSTOM and _ORDER.get(found, 99) > _ORDER[number]:
                self.sections.insert(index, (number, payload))
                return
        self.sections.append((number, payload))

    def append(self, number: int, entry: bytes) -> int:
        """Add one entry to the vector of a section; gives its position there."""
        reader = self.reader(number)
        count = reader.number()
        self.put(number, leb(count + 1) + reader.data[reader.at :] + entry)
        return count

    def types(self) -> list[bytes]:
        """The function types, each as its encoding."""
        reader = self.reader(Section.TYPE)
        found: list[bytes] = []
        for _ in reader.vector():
            start = reader.at
            if reader.byte() != _FUNCTION_FORM:
                reader.refuse("it has types that are not functions")
            for _ in range(2):
                for _ in reader.vector():
                    reader.value_type()
            found.append(reader.data[start : reader.at])
        return found

    def imports(self) -> list[Import]:
        """The imports in order."""
        reader = self.reader(Section.IMPORT)
        return [self._import(reader) for _ in reader.vector()]

    def _import(self, reader: WasmReader) -> Import:
        module, name, kind = reader.text(), reader.text(), reader.byte()
        detail = 0
        if kind == 0:
            detail = reader.number()
        elif kind == 1:
            reader.value_type()
            reader.limits()
        elif kind == 2:
            detail = reader.limits()
        elif kind == 3:
            reader.value_type()
            reader.byte()
        elif kind == 4:
            reader.byte()
            reader.number()
        else:
            reader.refuse(f"it has an import of kind {kind}")
        return Import(module, name, kind, detail)

    def functions(self) -> list[int]:
        """The type of every function, imported ones first."""
        reader = self.reader(Section.FUNCTION)
        own = [reader.number() for _ in reader.vector()]
        return [one.detail for one in self.imports() if one.kind == 0] + own

    def memory_flags(self) -> list[int]:
        """The limit flags of all memories, imported ones first: bit 0 maximum, 1 shared, 2 64-bit, 3 page size."""
        reader = self.reader(Section.MEMORY)
        own = [reader.limits() for _ in reader.vector()]
        return [one.detail for one in self.imports() if one.kind == 2] + own

    def exports(self) -> dict[str, tuple[int, int]]:
        """Name → (kind, index)."""
        reader = self.reader(Section.EXPORT)
        return {reader.text(): (reader.byte(), reader.number()) for _ in reader.vector()}

    def data(self) -> Iterator[bytes]:
        """The content of every data segment."""
        reader = self.reader(Section.DATA)
        for _ in reader.vector():
            kind = reader.number()
            if kind > 2:
                reader.refuse(f"it has a data segment of kind {kind}")
            if kind == 2:
                reader.number()
            if kind != 1:
                _skip_constant(reader)
            yield reader.take(reader.number())


def _skip_constant(reader: WasmReader) -> None:
    while True:
        code = reader.byte()
        if code == 0x0B:
            return
        if code in (0x23, 0x41, 0x42):  # global.get, i32.const, i64.const
            reader.number()
        elif code not in (0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E):  # i32 and i64 add, sub, mul
            reader.refuse("it has an offset that is not a constant expression")
