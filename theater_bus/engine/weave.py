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

from theater_bus.core.values.wasm_binary import I32, Section, leb
from theater_bus.engine.outline import FUNCTION, Outline

__all__ = ["ENTRY", "PREFIX", "ROOM", "SETUP", "TYPES", "WEAVE_VERSION", "weave"]

WEAVE_VERSION: Final = 1
PREFIX: Final = "theater_bus/"
ENTRY: Final = PREFIX + "entry:"
ROOM: Final = PREFIX + "room"
SETUP: Final = PREFIX + "setup"
TYPES: Final = PREFIX + "types"

_I64: Final = 0x7E
_WOVEN: Final = bytes([0x60, 4, I32, I32, I32, I32, 1, _I64])
_START: Final = 8

_CALL, _END, _IF = 0x10, 0x0B, 0x04
_GET, _CONST, _ADD = 0x20, 0x41, 0x6A
_MEMORY_SIZE = 0x3F
_EXTEND_U, _SHL, _OR = 0xAD, 0x86, 0x84


def weave(outline: Outline) -> bytes:
    """The module with the entry points added. The caller has checked that `memory` and the allocator are exported."""
    index = {name: place for name, (_, place) in outline.exports.items()}
    memory, alloc, free = index["memory"], index["__pack_alloc"], index["__pack_free"]
    bodies = {SETUP: _setup(memory, alloc, _starters(outline, index)), ROOM: _room(memory, alloc, free)}
    if "__pack_types" in index:
        bodies[TYPES] = _types(memory, index["__pack_types"])
    for name in outline.callables():
        bodies[ENTRY + name] = _entry(memory, index[name], free)
    return _assemble(outline, bodies)


def _starters(outline: Outline, index: dict[str, int]) -> list[int]:
    starters = [] if outline.start is None else [outline.start]
    constructors = index.get("__wasm_call_ctors")
    return starters if constructors is None else [*starters, constructors]


def _entry(memory: int, function: int, free: int) -> bytes:
    return _body(
        _free_old(free)
        + bytes([_GET, 2, _CONST, 8, _ADD, _GET, 3, _GET, 2, _GET, 2, _CONST, 4, _ADD])
        + bytes([_CALL, *leb(function)])
        + _with_pages(memory)
    )


def _setup(memory: int, alloc: int, starters: list[int]) -> bytes:
    first = b"".join(bytes([_CALL, *leb(index)]) for index in starters)
    return _body(first + bytes([_GET, 2, _CALL, *leb(alloc)]) + _with_pages(memory))


def _room(memory: int, alloc: int, free: int) -> bytes:
    return _body(_free_old(free) + bytes([_GET, 2, _CALL, *leb(alloc)]) + _with_pages(memory))


def _free_old(free: int) -> bytes:
    return bytes([_GET, 1, _IF, 0x40, _GET, 0, _GET, 1, _CALL, *leb(free), _END])


def _types(memory: int, function: int) -> bytes:
    return _body(bytes([_GET, 2, _GET, 2, _CONST, 4, _ADD, _CALL, *leb(function)]) + _with_pages(memory))


def _with_pages(memory: int) -> bytes:
    pages = bytes([_MEMORY_SIZE, *leb(memory), _EXTEND_U, 0x42, 32, _SHL])
    return bytes([_EXTEND_U]) + pages + bytes([_OR, _END])


def _body(code: bytes) -> bytes:
    """A code entry without locals."""
    return leb(len(code) + 1) + b"\0" + code


def _assemble(outline: Outline, bodies: dict[str, bytes]) -> bytes:
    module, added, first = outline.module, len(bodies), len(outline.functions)
    exports = b"".join(
        leb(len(raw)) + raw + bytes([FUNCTION]) + leb(first + offset)
        for offset, raw in enumerate(name.encode() for name in bodies)
    )
    module.put(Section.TYPE, _extended(outline, Section.TYPE, 1, _WOVEN))
    module.put(Section.FUNCTION, _extended(outline, Section.FUNCTION, added, leb(len(outline.types)) * added))
    module.put(Section.EXPORT, _extended(outline, Section.EXPORT, added, exports))
    module.put(Section.CODE, _extended(outline, Section.CODE, added, b"".join(bodies.values())))
    module.sections = [section for section in module.sections if section[0] != _START]
    return module.encode()


def _extended(outline: Outline, section: int, count: int, items: bytes) -> bytes:
    """A vector section with `count` more items; all at once, since sections may be large."""
    reader = outline.module.reader(section)
    number = reader.number()
    return leb(number + count) + reader.data[reader.at :] + items
