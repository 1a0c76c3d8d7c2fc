"""Adding the host's entry points to a guest module before it is compiled.

One crossing into a fiber costs more than the work of most operations, so what the host does around a call is woven
into the guest as a few WebAssembly functions at the end of its index space; nothing in the guest is renumbered.

    entry:<symbol>  (old, old_len, base, len) -> i64
        free the previous output, call `symbol(base + 8, len, base, base + 4)`
    setup           (_, _, size, _) -> i64
        run the start function and `__wasm_call_ctors`, then allocate the call buffer
    room            (old, old_len, size, _) -> i64
        free a buffer and allocate another
    types           (_, _, base, _) -> i64
        call `__pack_types(base, base + 4)`

Every result carries the call's own i32 in its low half and the memory's size in pages in its high half, so the host
learns of a grown (and perhaps moved) memory without asking.

Invariants
* The start section is taken out and its function runs inside `setup`: making an instance runs no guest code
  and therefore cannot block.
* The guest's own exports, indices and code bytes are unchanged. The module's identity stays the hash of its original
  bytes; `WEAVE_VERSION` is part of the key of compiled artifacts.
"""

from __future__ import annotations

from typing import Final

from theater_bus.engine.binary import Binary, Export, FunctionType, Kind, Section

__all__ = ["CALLABLE", "ENTRY", "PREFIX", "ROOM", "SETUP", "TYPES", "WEAVE_VERSION", "callables", "weave"]

WEAVE_VERSION: Final = 1
PREFIX: Final = "theater_bus/"
ENTRY: Final = PREFIX + "entry:"
ROOM: Final = PREFIX + "room"
SETUP: Final = PREFIX + "setup"
TYPES: Final = PREFIX + "types"

I32: Final = 0x7F
I64: Final = 0x7E
CALLABLE: Final = FunctionType(bytes([I32] * 4), bytes([I32]))
_WOVEN: Final = bytes([0x60, 4, I32, I32, I32, I32, 1, I64])

_CALL, _END, _IF = 0x10, 0x0B, 0x04
_GET, _CONST, _ADD = 0x20, 0x41, 0x6A
_MEMORY_SIZE = 0x3F
_EXTEND_U, _SHL, _OR = 0xAD, 0x86, 0x84
_HEADER: Final = b"\0asm\x01\0\0\0"


def callables(binary: Binary) -> list[Export]:
    """The exports that follow the calling convention and are not the allocator's own."""
    return [
        entry
        for entry in binary.exports
        if entry.kind is Kind.FUNCTION
        and not entry.name.startswith("__pack_")
        and binary.function_type(entry.index) == CALLABLE
    ]


def weave(binary: Binary) -> bytes:
    """The module with the entry points added. The caller has checked that `memory` and the allocator are exported."""
    by_name = {entry.name: entry.index for entry in binary.exports}
    memory, alloc, free = by_name["memory"], by_name["__pack_alloc"], by_name["__pack_free"]
    bodies: dict[str, bytes] = {
        SETUP: _setup(memory, alloc, _starters(binary, by_name)),
        ROOM: _room(memory, alloc, free),
    }
    if "__pack_types" in by_name:
        bodies[TYPES] = _types(memory, by_name["__pack_types"])
    for entry in callables(binary):
        bodies[ENTRY + entry.name] = _entry(memory, entry.index, free)
    return _assemble(binary, bodies)


def _starters(binary: Binary, by_name: dict[str, int]) -> list[int]:
    starters = [] if binary.start is None else [binary.start]
    constructors = by_name.get("__wasm_call_ctors")
    return starters if constructors is None else [*starters, constructors]


def _entry(memory: int, function: int, free: int) -> bytes:
    return _body(
        _free_old(free)
        + bytes([_GET, 2, _CONST, 8, _ADD, _GET, 3, _GET, 2, _GET, 2, _CONST, 4, _ADD])
        + bytes([_CALL, *_leb(function)])
        + _with_pages(memory)
    )


def _setup(memory: int, alloc: int, starters: list[int]) -> bytes:
    first = b"".join(bytes([_CALL, *_leb(index)]) for index in starters)
    return _body(first + bytes([_GET, 2, _CALL, *_leb(alloc)]) + _with_pages(memory))


def _room(memory: int, alloc: int, free: int) -> bytes:
    return _body(_free_old(free) + bytes([_GET, 2, _CALL, *_leb(alloc)]) + _with_pages(memory))


def _free_old(free: int) -> bytes:
    return bytes([_GET, 1, _IF, 0x40, _GET, 0, _GET, 1, _CALL, *_leb(free), _END])


def _types(memory: int, function: int) -> bytes:
    return _body(bytes([_GET, 2, _GET, 2, _CONST, 4, _ADD, _CALL, *_leb(function)]) + _with_pages(memory))


def _with_pages(memory: int) -> bytes:
    pages = bytes([_MEMORY_SIZE, *_leb(memory), _EXTEND_U, 0x42, 32, _SHL])
    return bytes([_EXTEND_U]) + pages + bytes([_OR, _END])


def _body(code: bytes) -> bytes:
    """A code entry without locals."""
    return _leb(len(code) + 1) + b"\0" + code


def _assemble(binary: Binary, bodies: dict[str, bytes]) -> bytes:
    type_index, first = len(binary.types), binary.function_count()
    added = len(bodies)
    exports = b"".join(
        _leb(len(raw)) + raw + bytes([Kind.FUNCTION]) + _leb(first + offset)
        for offset, raw in enumerate(name.encode() for name in bodies)
    )
    extra = {
        Section.TYPE: (1, _WOVEN),
        Section.FUNCTION: (added, _leb(type_index) * added),
        Section.EXPORT: (added, exports),
        Section.CODE: (added, b"".join(bodies.values())),
    }
    out = [_HEADER]
    for number, payload in binary.sections:
        if number == Section.START:
            continue
        if number in extra:
            payload = _extend(payload, *extra[Section(number)])
        out.append(bytes([number]) + _leb(len(payload)) + payload)
    return b"".join(out)


def _extend(payload: bytes, count: int, items: bytes) -> bytes:
    """A vector section with `count` more items."""
    value = shift = position = 0
    while True:
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return _leb(value + count) + payload[position:] + items


def _leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)
