"""Metadata put into guests, and found in them without running them.

Invariants: embedding changes nothing that a module already does: indices keep their meaning, no address of its memory
is taken, and its own allocator gives the room for the blob; a module that has metadata already, or lacks what a Pack
guest needs, is refused. The same input gives the same bytes. Looking for metadata takes bounded time.
Source: the Pack ABI, "What a guest module exports" (`__pack_types`) and "Static extraction".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from theater_bus.core.values.metadata import METADATA_LIMITS, parse_metadata
from theater_bus.core.values.wasm_binary import I32, Section, WasmModule, leb, signed_leb
from theater_bus.errors import ConfigurationError, SpawnRefused

__all__ = ["WAT_MARKER", "c_header", "embed_in_binary", "embed_in_wat", "find_metadata", "wat_fragment"]

WAT_MARKER = "@pack_types"
"""A line comment with this text says where `embed_in_wat` puts the metadata."""

_TYPES, _ALLOC = "__pack_types", "__pack_alloc"
_ALLOC_TYPE = bytes([0x60, 1, I32, 1, I32])
_TYPES_TYPE = bytes([0x60, 2, I32, I32, 1, I32])
_MAX_CANDIDATES = 64
_MAX_NODES_LOOKED_AT = 1_000_000
_WAT_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|;;[^\n]*|\(;|\(\s*module\b|[()]', re.DOTALL)
_WAT_COMMENT_EDGE = re.compile(r"\(;|;\)")


def embed_in_binary(wasm: bytes, metadata: bytes, source: str = "module") -> bytes:
    """A core module with `__pack_types` added, which answers with `metadata`.

    The blob becomes a passive data segment; the first call takes room for it from the module's own `__pack_alloc`,
    which is the one way that fits every allocator (memory behind the heap's start belongs to it, also what it has not
    touched yet). Raises `ConfigurationError` about `source` for a module that this cannot be done to.
    """
    module = WasmModule(wasm, source)
    alloc = _checked_alloc(module)
    types = module.types()
    signature = types.index(_TYPES_TYPE) if _TYPES_TYPE in types else module.append(Section.TYPE, _TYPES_TYPE)
    place = sum(one.kind == 3 for one in module.imports()) + module.append(
        Section.GLOBAL, bytes([I32, 1, 0x41, 0, 0x0B])
    )
    segment = module.append(Section.DATA, b"\x01" + leb(len(metadata)) + metadata)
    module.put(Section.DATA_COUNT, leb(segment + 1))
    function = len(module.functions())
    module.append(Section.FUNCTION, leb(signature))
    body = _types_body(alloc, place, segment, len(metadata))
    module.append(Section.CODE, leb(len(body)) + body)
    name = _TYPES.encode()
    module.append(Section.EXPORT, leb(len(name)) + name + b"\x00" + leb(function))
    return module.encode()


def _checked_alloc(module: WasmModule) -> int:
    exports = module.exports()
    if _TYPES in exports:
        problem = f"it exports `{_TYPES}` already, so it has metadata"
        raise ConfigurationError(module.source, problem, "build from the module as the compiler left it")
    if exports.get("memory") != (2, 0):
        raise ConfigurationError(module.source, "it does not export its first memory as `memory`", "export it")
    if any(flags & ~1 for flags in module.memory_flags()[:1]):
        raise ConfigurationError(
            module.source, "its memory is shared, 64-bit or of another page size", "use a plain one"
        )
    kind, alloc = exports.get(_ALLOC, (-1, 0))
    functions, types = module.functions(), module.types()
    if kind != 0 or alloc >= len(functions) or functions[alloc] >= len(types):
        fix = f"export `{_ALLOC}` (size) and `__pack_free` (pointer, length)"
        raise ConfigurationError(module.source, f"it does not export a function `{_ALLOC}`", fix)
    if types[functions[alloc]] != _ALLOC_TYPE:
        raise ConfigurationError(
            module.source, f"`{_ALLOC}` is not a function from i32 to i32", "take a size, give an address"
        )
    return alloc


def _types_body(alloc: int, place: int, segment: int, size: int) -> bytes:
    """The code of `__pack_types`: allocate and fill once, keep the address in a global, write both slots, answer 0."""
    get_place, set_place, length = b"\x23" + leb(place), b"\x24" + leb(place), b"\x41" + signed_leb(size)
    store = b"\x36\x00\x00"
    fill = get_place + b"\x41\x00" + length + b"\xfc\x08" + leb(segment) + b"\x00"
    allocate = length + b"\x10" + leb(alloc) + set_place + get_place + b"\x45\x04\x40\x00\x0b" + fill
    once = get_place + b"\x45\x04\x40" + allocate + b"\x0b"
    answer = b"\x20\x00" + get_place + store + b"\x20\x01" + length + store + b"\x41\x00"
    return b"\x00" + once + answer + b"\x0b"


def find_metadata(wasm: bytes, source: str = "module") -> bytes | None:
    """The metadata blob in the data segments of a module, without running it; None if there is none.

    Running `__pack_types` is the authoritative way. Raises `ConfigurationError` for bytes that are no core module.
    """
    for number, blob in enumerate(_candidates(WasmModule(wasm, source))):
        if number == _MAX_CANDIDATES:
            break
        try:
            parse_metadata(blob)
        except SpawnRefused:
            continue
        return blob
    return None


def _candidates(module: WasmModule) -> Iterator[bytes]:
    left = _MAX_NODES_LOOKED_AT
    for segment in module.data():
        at = segment.find(b"CGRF")
        while at >= 0 and left > 0:
            nodes = int.from_bytes(segment[at + 8 : at + 12], "little")
            if 0 < nodes <= METADATA_LIMITS.max_nodes:
                left -= nodes
                end = _end_of_value(segment, at, nodes)
                if end:
                    yield segment[at:end]
            at = segment.find(b"CGRF", at + 4)


def _end_of_value(segment: bytes, at: int, nodes: int) -> int:
    """Where the value of that many nodes that starts at `at` ends, or 0 if none does."""
    end = at + 16
    for _ in range(nodes):
        if end + 8 > len(segment):
            return 0
        end += 8 + int.from_bytes(segment[end + 4 : end + 8], "little")
    return end if end <= len(segment) else 0


def wat_fragment(metadata: bytes, address: int) -> str:
    """The fields of a WAT module that put the metadata at `address` of memory 0 and export `__pack_types`.

    The caller sees to it that the memory reaches to `address + len(metadata)` and that nothing else lies there.
    """
    data = "".join(f"\\{byte:02x}" for byte in metadata)
    return (
        f'  (data (i32.const {address}) "{data}")\n'
        f'  (func (export "{_TYPES}") (param i32 i32) (result i32)\n'
        f"    (i32.store (local.get 0) (i32.const {address}))\n"
        f"    (i32.store (local.get 1) (i32.const {len(metadata)}))\n"
        f"    (i32.const 0))\n"
    )


def embed_in_wat(source: str, metadata: bytes, address: int) -> str:
    """WAT source with `wat_fragment` put behind the line comment `;; @pack_types`, else at the end of the module."""
    fragment = wat_fragment(metadata, address)
    marker, end = _wat_places(source)
    at = marker if marker >= 0 else end
    before = source[:at]
    return before + ("" if before.endswith("\n") or not before else "\n") + fragment + source[at:].removeprefix("\n")


def _wat_places(source: str) -> tuple[int, int]:
    """Offsets behind the marker (-1 without one) and of the end of the module's fields."""
    marker, last, is_module = -1, len(source), False
    token = _WAT_TOKEN.search(source)
    while token is not None:
        text, at = token.group(), token.end()
        if text == "(;":
            at = _end_of_comment(source, at)
        elif text.startswith(";;"):
            if text[2:].strip() == WAT_MARKER:
                marker = at
        elif text == ")":
            last = token.start()
        elif text.startswith("(") and text != "(":
            is_module = True
        token = _WAT_TOKEN.search(source, at)
    return marker, last if is_module else len(source)


def _end_of_comment(source: str, at: int) -> int:
    """Where a block comment ends whose content starts at `at`; they nest."""
    depth = 1
    for edge in _WAT_COMMENT_EDGE.finditer(source, at):
        depth += 1 if edge.group() == "(;" else -1
        if not depth:
            return edge.end()
    return len(source)


def c_header(metadata: bytes, source: str = "") -> str:
    """A C header that exports `__pack_types`; to be included once, in one translation unit of the guest."""
    rows = [
        "    " + " ".join(f"0x{byte:02x}," for byte in metadata[start : start + 16])
        for start in range(0, len(metadata), 16)
    ]
    made = f" from {source}" if source else ""
    return "\n".join(
        [
            f"/* Package metadata, generated{made}. Do not edit: generate it again. */",
            "#ifndef PACK_TYPES_H",
            "#define PACK_TYPES_H",
            "",
            f"static const unsigned char pack_types_blob[{len(metadata)}] = {{",
            *rows,
            "};",
            "",
            f'__attribute__((export_name("{_TYPES}"))) int pack_types(unsigned *address, unsigned *length) {{',
            "    *address = (unsigned)(unsigned long)pack_types_blob;",
            "    *length = sizeof pack_types_blob;",
            "    return 0;",
            "}",
            "",
            "#endif",
            "",
        ]
    )
