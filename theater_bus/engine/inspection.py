"""Looking at a guest without running it, and making one from text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from theater_bus.engine import ffi
from theater_bus.engine.binary import Binary, Kind, MalformedBinary, Section, is_component, parse
from theater_bus.engine.module import Generation, check_guest, generation_of
from theater_bus.errors import SpawnRefused

__all__ = ["ModuleInfo", "inspect", "metadata_candidates", "wat2wasm"]

MAGIC = b"CGRF\x02\x00"


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a binary says about itself. `problem` is why this host would refuse it, empty when it would not.

    `metadata` holds the blobs that look like package metadata, found without running the module: every place of its
    data where a CGRF buffer with whole framing begins, longest first. Only `__pack_types` tells for certain.
    """

    sha256: str
    size_bytes: int
    generation: Generation | None
    imports: tuple[tuple[str, str], ...]
    exports: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, int], ...]
    memories: int
    metadata: tuple[bytes, ...]
    problem: str


def inspect(wasm: bytes) -> ModuleInfo:
    """Describe any bytes; never raises for what is in them."""
    sha256, size = hashlib.sha256(wasm).hexdigest(), len(wasm)
    try:
        binary = parse(wasm)
    except MalformedBinary as error:
        problem = "component guests are not supported by this version" if is_component(wasm) else str(error)
        return ModuleInfo(sha256, size, None, (), (), (), 0, (), problem)
    try:
        check_guest(binary)
        problem = ""
    except SpawnRefused as error:
        problem = error.message
    return ModuleInfo(
        sha256=sha256,
        size_bytes=size,
        generation=generation_of(binary),
        imports=tuple((entry.module, entry.name) for entry in binary.imports),
        exports=tuple((entry.name, Kind(entry.kind).name.lower()) for entry in binary.exports),
        sections=tuple((_section_name(number), len(payload)) for number, payload in binary.sections),
        memories=binary.memories,
        metadata=metadata_candidates(binary),
        problem=problem,
    )


def metadata_candidates(binary: Binary) -> tuple[bytes, ...]:
    """CGRF buffers with whole framing in the module's data, longest first.

    A blob need not begin a data segment: compilers merge it into one with other constants (Pack ABI §4.3).
    """
    data = binary.payload(Section.DATA) or b""
    found = []
    start = data.find(MAGIC)
    while start >= 0:
        end = _framed_end(data, start)
        if end is not None:
            found.append(data[start:end])
        start = data.find(MAGIC, start + 1 if end is None else end)
    return tuple(sorted(found, key=len, reverse=True))


def _framed_end(data: bytes, start: int) -> int | None:
    """Where the CGRF buffer that begins at `start` ends, or None if its framing is broken."""
    size = len(data)
    if start + 16 > size:
        return None
    count = int.from_bytes(data[start + 8 : start + 12], "little")
    root = int.from_bytes(data[start + 12 : start + 16], "little")
    if root >= count or count * 8 > size - start:
        return None
    position = start + 16
    for _ in range(count):
        if position + 8 > size or not 1 <= data[position] <= 0x15:
            return None
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
    return position if position <= size else None


def _section_name(number: int) -> str:
    return Section(number).name.lower() if number in Section._value2member_map_ else str(number)


def wat2wasm(text: str) -> bytes:
    """The binary of a module in text form. Raises SpawnRefused with the place of the fault."""
    try:
        return ffi.text_to_wasm(text)
    except ffi.NativeError as error:
        raise SpawnRefused(f"not valid WebAssembly text: {error}") from None
