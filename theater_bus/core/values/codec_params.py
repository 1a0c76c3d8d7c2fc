"""The parameters of one call, checked once and kept as bytes until they are spliced behind a state.

Invariants: the nodes of all parameters lie one after another, canonical and with indices counted from 0; the tuple that
holds them is written when it is known what stands before it. Source: pack-abi §3.4, §5; chain, "The bytes".
"""

from __future__ import annotations

from functools import lru_cache

from theater_bus.core.values.cgrf_encode import encode_subtree
from theater_bus.core.values.model import Kind, OptionValue, Tag
from theater_bus.core.values.nodes import U32, tuple_node
from theater_bus.core.values.scan import offsets_of
from theater_bus.core.values.subtree import HEADER, Subtree, relocate

__all__ = ["NO_STATE", "Params", "call_input"]

NO_STATE = encode_subtree(OptionValue(Tag(Kind.LIST, (Tag(Kind.U8),)), None))
"""The state of an actor that was given none: `option<list<u8>>` none, as theater passes it."""

_ONE_TUPLE = U32.pack(Kind.TUPLE) + U32.pack(8) + U32.pack(1)
_pack_header = HEADER.pack


class Params:
    """Checked parameters. `roots` are the indices of their root nodes; never changed once made."""

    __slots__ = ("_standalone", "count", "fixups", "nodes", "roots")

    def __init__(
        self,
        nodes: bytes,
        count: int,
        fixups: tuple[int, ...],
        roots: tuple[int, ...],
        standalone: bytes | None = None,
    ) -> None:
        self.nodes, self.count, self.fixups, self.roots = nodes, count, fixups, roots
        self._standalone = standalone

    @property
    def standalone(self) -> bytes:
        """The parameter tuple without the state, as a complete buffer: what the chain records."""
        found = self._standalone
        if found is None:
            header, tail = _frame_alone(self.count, self.roots)
            found = self._standalone = b"".join((header, self.nodes, tail))
        return found

    def plain_input(self) -> bytes:
        """The input of a function without state: a single parameter goes bare, which every guest generation takes,
        unless it is a 1-tuple itself, which current guests would unwrap (pack-abi §3.4)."""
        if len(self.roots) != 1 or self._is_one_tuple():
            return self.standalone
        return _pack_header(b"CGRF", 2, 0, self.count, self.count - 1) + self.nodes

    def _is_one_tuple(self) -> bool:
        offsets = offsets_of(Subtree(self.nodes, self.count))
        return self.nodes.startswith(_ONE_TUPLE, offsets[-1])


def call_input(state: Subtree | None, params: Params) -> bytes:
    """The input of an actor function: the tuple `[state, p1, …]`. None stands for `NO_STATE`."""
    if state is None:
        state = NO_STATE
    before = state.count
    header, tail = _frame(before, params.count, params.roots)
    nodes = relocate(params.nodes, params.fixups, before) if params.fixups else params.nodes
    return b"".join((header, state.nodes, nodes, tail))


# Remembered, because operations of one actor mostly have states and parameters of as many nodes as the one before.
@lru_cache(maxsize=512)
def _frame(before: int, count: int, roots: tuple[int, ...]) -> tuple[bytes, bytes]:
    """What stands before and after the nodes of a state, `before` in number, and of parameters behind it."""
    total = before + count
    tail = tuple_node((before - 1, *[root + before for root in roots]))
    return _pack_header(b"CGRF", 2, 0, total + 1, total), tail


@lru_cache(maxsize=512)
def _frame_alone(count: int, roots: tuple[int, ...]) -> tuple[bytes, bytes]:
    return _pack_header(b"CGRF", 2, 0, count + 1, count), tuple_node(roots)
