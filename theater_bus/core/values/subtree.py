"""A CGRF value without its framing, ready to be spliced into a larger one.

Invariants: `nodes` is the canonical node table of one value (post-order, root last), with child indices counted from
0; `fixups` are the byte offsets in `nodes` of every u32 child index, ascending; a subtree whose `fixups` are empty can
be placed anywhere verbatim. State and parameters are kept in this form between operations: splicing them costs one
concatenation and one addition per child index, never a decode.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["HEADER", "Subtree", "relocate"]

HEADER = struct.Struct("<4sHHII")  # magic, version, flags, node count, root index (pack-abi §1.1)
_U32 = struct.Struct("<I")
_ONE_NODE = HEADER.pack(b"CGRF", 2, 0, 1, 0)


# Not frozen, although nobody assigns: two are made per operation, and a frozen dataclass takes three times as long.
@dataclass(slots=True, unsafe_hash=True)
class Subtree:
    """One value: its node table, the number of nodes, and where the child indices lie. Never changed once made."""

    nodes: bytes
    count: int
    fixups: tuple[int, ...] = ()

    def standalone(self) -> bytes:
        """The value as a complete CGRF buffer: 16 bytes of header and the nodes."""
        if self.count == 1:
            return _ONE_NODE + self.nodes
        return HEADER.pack(b"CGRF", 2, 0, self.count, self.count - 1) + self.nodes


def relocate(nodes: bytes, fixups: tuple[int, ...], by: int) -> bytes:
    """`nodes` with `by` added to every child index at `fixups`."""
    if not by or not fixups:
        return nodes
    moved = bytearray(nodes)
    for at in fixups:
        _U32.pack_into(moved, at, _U32.unpack_from(moved, at)[0] + by)
    return bytes(moved)
