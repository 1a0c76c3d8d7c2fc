"""The node table of CGRF: its constants, and how encoded nodes become a `Subtree`.

Invariants: an encoder appends every node as one `bytes` object to `out`, children before parents, so that the index of
the node appended last is `len(out) - 1`; for every node that has children it first appends to `fix` where the child
indices will lie. Source: pack-abi §1.1, §1.2, §1.4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TypeAlias

from theater_bus.core.values.model import WIDTHS, Kind
from theater_bus.core.values.subtree import Subtree
from theater_bus.errors import TooLarge

__all__ = [
    "DEFAULT_LIMITS",
    "INDICES",
    "MAX_DEPTH",
    "NODE",
    "U32",
    "WIDTH_OF_KIND",
    "BoundedOut",
    "Fixes",
    "Limits",
    "Out",
    "assemble",
    "indices",
    "tuple_node",
]

NODE = struct.Struct("<II")
"""A node's first 8 bytes: kind (with the flags and reserved bytes, always 0 when written) and payload length."""

U32 = struct.Struct("<I")

MAX_DEPTH = 256
"""Nesting allowed in values and, separately, in type tags. Guests overflow their stack at some thousands."""

WIDTH_OF_KIND: tuple[int, ...] = tuple(WIDTHS[Kind(k)] if k in WIDTHS else 0 for k in range(Kind.ARRAY + 1))
"""Bytes of a fixed-width scalar by kind number, 0 for the other kinds."""

Out: TypeAlias = list[bytes]
Fixes: TypeAlias = list[tuple[int, int, int]]
"""(node index, offset of the first child index within that node, number of children)."""


class BoundedOut(list[bytes]):
    """An `Out` for what others send: encoders ask for `room` before they make the nodes of a list's items."""

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def room(self, count: int) -> None:
        """Return if `count` nodes more may be made. Raises `TooLarge`."""
        if len(self) + count > self._most:
            raise TooLarge(
                f"the values have more than {self._most:,} nodes, which are not decoded. Fix: send them as cgrf, use "
                "primitive arrays, or raise limits.decode_nodes in the manifest",
                limit=self._most,
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a foreign buffer may ask for, checked before anything is allocated.

    `max_values` and `max_bytes` bound what the buffer expands to when children are shared, not only its own size.
    The defaults are what every guest generation accepts (pack-abi §1.5), except that a single payload may be as
    large as the whole. `max_rewritten` bounds the nodes, and the values that they expand to, of a buffer that is not
    canonical and so must be decoded and written anew, which takes thirty times as long as checking a canonical one.
    """

    max_bytes: int = 16 * 1024 * 1024
    max_nodes: int = 1_000_000
    max_values: int = 1_000_000
    max_depth: int = MAX_DEPTH
    max_rewritten: int = 20_000


DEFAULT_LIMITS = Limits()

INDICES: tuple[struct.Struct, ...] = tuple(struct.Struct(f"<{n}I") for n in range(17))
_TUPLES: tuple[struct.Struct, ...] = tuple(struct.Struct(f"<{3 + n}I") for n in range(17))


@lru_cache(maxsize=256)
def indices(count: int) -> struct.Struct:
    """The layout of `count` child indices."""
    return INDICES[count] if count < len(INDICES) else struct.Struct(f"<{count}I")


def tuple_node(children: tuple[int, ...]) -> bytes:
    """A tuple node over nodes that exist already."""
    count = len(children)
    if count < len(_TUPLES):
        return _TUPLES[count].pack(Kind.TUPLE, 4 + 4 * count, count, *children)
    return struct.pack(f"<{3 + count}I", Kind.TUPLE, 4 + 4 * count, count, *children)


def assemble(out: Out, fix: Fixes) -> Subtree:
    """The subtree of all nodes in `out`, the last one being its root."""
    if not fix:
        return Subtree(b"".join(out), len(out))
    starts = list(accumulate(map(len, out), initial=0))
    fixups: list[int] = []
    for node, at, count in fix:
        first = starts[node] + at
        fixups.extend(range(first, first + 4 * count, 4))
    return Subtree(b"".join(out), len(out), tuple(fixups))
