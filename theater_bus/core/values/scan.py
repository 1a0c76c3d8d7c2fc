"""Validating foreign CGRF without building values.

Invariants: a `Layout` describes canonical bytes only: post-order, every node used exactly once, nothing left to check
but types. A buffer that is canonical already (what guests write) is accepted in one linear pass and used as it is;
every other buffer takes the decoder, which alone decides whether it is valid, and is written anew. That is slow, so a
large buffer that is not canonical is refused unread.
Source: pack-abi §1.4, §1.5.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from theater_bus.core.values.cgrf_decode import decode
from theater_bus.core.values.cgrf_encode import encode
from theater_bus.core.values.model import FORMATS, Kind
from theater_bus.core.values.nodes import DEFAULT_LIMITS, INDICES, MAX_DEPTH, NODE, U32, WIDTH_OF_KIND, Limits, indices
from theater_bus.core.values.subtree import HEADER, Subtree, relocate
from theater_bus.errors import SerializationError

__all__ = [
    "ITEM_CHECKS",
    "SCALAR_CHECKS",
    "Layout",
    "children_of",
    "extract",
    "field_names",
    "first_node",
    "offsets_of",
    "parse",
    "result_side",
    "scan",
    "text_end",
]

_FIRST_NODE = HEADER.size
_ARRAY, _TUPLE = int(Kind.ARRAY), int(Kind.TUPLE)
_FEW = len(INDICES)
_FIXED = frozenset(int(kind) for kind in FORMATS)


@dataclass(slots=True)
class Layout:
    """A canonical buffer: where its nodes begin, where its child indices lie, and where each subtree begins.

    `offsets` and `fixups` count bytes in `data`, header included; `starts[i]` is the first node of the subtree of
    node i.
    """

    data: bytes
    offsets: list[int]
    fixups: list[int]
    starts: list[int]

    def subtree(self, node: int) -> Subtree:
        """The subtree of `node`, its indices counted from 0."""
        first = self.starts[node]
        begin = self.offsets[first]
        end = self.offsets[node + 1] if node + 1 < len(self.offsets) else len(self.data)
        return self.cut(first, node + 1 - first, begin, end)

    def cut(self, first: int, count: int, begin: int, end: int) -> Subtree:
        """`count` nodes from node `first`, which lie at `begin:end`, with their indices counted from 0."""
        fixups = self.fixups
        if count == 1 or not fixups:
            return Subtree(self.data[begin:end], count)
        inner = tuple([at - begin for at in fixups[bisect_left(fixups, begin) : bisect_left(fixups, end)]])
        return Subtree(relocate(self.data[begin:end], inner, -first), count, inner)


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Subtree:
    """Validate a foreign buffer completely and give its canonical subtree, without building values.

    Raises `SerializationError` for whatever `decode` refuses, and for more than `max_rewritten` nodes or values in
    another order than the canonical one.
    """
    layout = scan(data, limits)
    return layout.subtree(len(layout.offsets) - 1)


def scan(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Layout:
    """As `parse`, but with the positions of all nodes, for those who check types."""
    layout = _canonical(bytes(data), limits)
    if layout is not None:
        return layout
    layout = _canonical(encode(decode(data, _rewritable(data, limits))), limits)
    assert layout is not None, "the encoder's output is canonical, and the decoder has kept the limits"
    return layout


def _rewritable(data: bytes, limits: Limits) -> Limits:
    """The limits of a buffer that is not canonical. Raises `SerializationError` for one that is too large for that."""
    most = limits.max_rewritten
    size = len(data) - HEADER.size
    count = HEADER.unpack_from(data)[3] if size >= 0 else 0
    if most < count <= limits.max_nodes and count * NODE.size <= size:
        raise SerializationError(
            f"CGRF buffer of {count:,} nodes is malformed, or not canonical, which above {most:,} nodes it must be. "
            "Fix: write each node once, children in order and right before their parent, at most "
            f"{limits.max_depth} levels deep"
        )
    return replace(limits, max_values=min(limits.max_values, most))


def offsets_of(subtree: Subtree) -> list[int]:
    """Where the nodes of a validated subtree begin in `subtree.nodes`."""
    offsets: list[int] = []
    at, nodes, unpack = 0, subtree.nodes, U32.unpack_from
    for _ in range(subtree.count):
        offsets.append(at)
        at += 8 + unpack(nodes, at + 4)[0]
    return offsets


def children_of(data: bytes, at: int) -> tuple[int, ...]:
    """The child indices of the composite node at `at` of a validated canonical buffer."""
    kind, length = NODE.unpack_from(data, at)
    end = at + 8 + length
    first = at + 12 if kind == _TUPLE else _INNER[kind](data, at + 8, end)
    count = (end - first) >> 2
    return (INDICES[count] if count < _FEW else indices(count)).unpack_from(data, first)


def result_side(data: bytes, at: int) -> tuple[bool, int]:
    """Whether the result node at `at` is ok, and the node of its payload."""
    end = at + 8 + U32.unpack_from(data, at + 4)[0]
    return not data[end - 9], U32.unpack_from(data, end - 4)[0]


def field_names(data: bytes, at: int) -> list[str]:
    """The field names of the record node at `at`, in order."""
    at += 12 + U32.unpack_from(data, at + 8)[0]
    names: list[str] = []
    for _ in range(U32.unpack_from(data, at)[0]):
        size = U32.unpack_from(data, at + 4)[0]
        names.append(data[at + 8 : at + 8 + size].decode())
        at += 4 + size
    return names


def first_node(data: bytes, offsets: list[int], node: int) -> int:
    """Where the subtree of `node` begins."""
    while _is_branch(data, offsets[node]):
        children = children_of(data, offsets[node])
        if not children:
            break
        node = children[0]
    return node


def extract(data: bytes, offsets: list[int], node: int) -> Subtree:
    """The subtree of `node`, where only the offsets of the nodes are known."""
    first = first_node(data, offsets, node)
    begin = offsets[first]
    end = offsets[node] + 8 + U32.unpack_from(data, offsets[node] + 4)[0]
    inner: list[int] = []
    for at in offsets[first : node + 1]:
        if _is_branch(data, at):
            stop = at + 8 + U32.unpack_from(data, at + 4)[0] - begin
            inner.extend(range(stop - 4 * len(children_of(data, at)), stop, 4))
    fixups = tuple(inner)
    return Subtree(relocate(data[begin:end], fixups, -first), node + 1 - first, fixups)


def _is_branch(data: bytes, at: int) -> bool:
    return data[at] in _BRANCHES


def _canonical(data: bytes, limits: Limits) -> Layout | None:
    """The layout if `data` is valid and canonical, else None: then it is invalid, or valid and written differently."""
    size = len(data)
    if not _FIRST_NODE + NODE.size <= size <= limits.max_bytes:
        return None
    magic, version, _flags, count, root = HEADER.unpack_from(data)
    if magic != b"CGRF" or version != 2 or root + 1 != count or count * 8 > size - _FIRST_NODE:
        return None
    if count > limits.max_nodes or count > limits.max_values:
        return None
    offsets: list[int] = []
    fixups: list[int] = []
    starts = list(range(count))
    heights = [1] * count if count > limits.max_depth else []
    unpack, widths, at = NODE.unpack_from, WIDTH_OF_KIND, _FIRST_NODE
    for node in range(count):
        offsets.append(at)
        payload = at + 8
        if payload > size:
            return None
        kind, length = unpack(data, at)
        at = payload + length
        if at > size or kind > _ARRAY:
            return None
        width = widths[kind]
        if width:
            if length != width or (kind in SCALAR_CHECKS and not SCALAR_CHECKS[kind](data, payload, at)):
                return None
            continue
        first = _INNER[kind](data, payload, at)
        if first < 0:
            return None
        if first < at:
            arity = (at - first) >> 2
            children = (INDICES[arity] if arity < _FEW else indices(arity)).unpack_from(data, first)
            expected = node - 1
            for child in reversed(children):
                if child != expected:
                    return None
                expected = starts[child] - 1
            starts[node] = expected + 1
            fixups.extend(range(first, at, 4))
            if heights:
                heights[node] = height = 1 + max([heights[child] for child in children])
                if height > limits.max_depth:
                    return None
    if at != size or starts[root]:
        return None
    return Layout(data, offsets, fixups, starts)


def _bool(data: bytes, at: int, end: int) -> bool:
    return data[at] <= 1


def _chars(data: bytes, at: int, end: int) -> bool:
    try:
        data[at:end].decode("utf-32-le")
    except UnicodeDecodeError:
        return False
    return True


def _bools(data: bytes, at: int, end: int) -> bool:
    return not data[at:end].strip(b"\0\1")


# The functions below give the position where a payload's child indices begin, which is its end where it has none,
# or -1 where the payload is malformed or not canonical.


def _nothing(data: bytes, at: int, end: int) -> int:
    return -1


def text_end(data: bytes, at: int, end: int) -> int:
    """The position after a length-prefixed string, -1 where it is too long or no UTF-8."""
    if end - at < 4:
        return -1
    begin = at + 4
    stop: int = begin + U32.unpack_from(data, at)[0]
    if stop > end:
        return -1
    try:
        data[begin:stop].decode()
    except UnicodeDecodeError:
        return -1
    return stop


def _string(data: bytes, at: int, end: int) -> int:
    if end - at < 4 or U32.unpack_from(data, at)[0] != end - at - 4:
        return -1
    try:
        data[at + 4 : end].decode()
    except UnicodeDecodeError:
        return -1
    return end


def _array(data: bytes, at: int, end: int) -> int:
    elem = data[at] if end - at >= 5 else 0
    if elem not in _FIXED or U32.unpack_from(data, at + 1)[0] * WIDTH_OF_KIND[elem] != end - at - 5:
        return -1
    check = ITEM_CHECKS.get(elem)
    return end if check is None or check(data, at + 5, end) else -1


def _tag(data: bytes, at: int, end: int, depth: int = 1) -> int:
    """The position after a type tag."""
    if not 0 <= at < end or depth > MAX_DEPTH:
        return -1
    kind = data[at]
    if kind in _PLAIN_TAGS:
        return at + 1
    if kind in _NAMED_TAGS:
        return text_end(data, at + 1, end)
    at += 1
    count = _TAG_ARGUMENTS.get(kind, 0)
    if kind == Kind.TUPLE and end - at >= 4:
        count, at = U32.unpack_from(data, at)[0], at + 4
        if count > end - at:
            return -1
    elif not count:
        return -1
    for _ in range(count):
        at = _tag(data, at, end, depth + 1)
        if at < 0:
            return -1
    return at


def _counted(data: bytes, at: int, end: int) -> int:
    """The position after a count, if exactly as many child indices follow it."""
    if not 0 <= at <= end - 4 or U32.unpack_from(data, at)[0] * 4 != end - at - 4:
        return -1
    return at + 4


def _list(data: bytes, at: int, end: int) -> int:
    return -1 if data[at : at + 1] in _FIXED_BYTES else _counted(data, _tag(data, at, end), end)


def _option(data: bytes, at: int, end: int) -> int:
    at = _tag(data, at, end)
    if not 0 <= at < end or end - at - 1 != 4 * data[at] or data[at] > 1:
        return -1
    return at + 1


def _result(data: bytes, at: int, end: int) -> int:
    at = _tag(data, _tag(data, at, end), end)
    return at + 5 if end - at == 9 and data[at : at + 5] in _RESULT_HEADS else -1


def _variant(data: bytes, at: int, end: int) -> int:
    at = text_end(data, at, end)
    at = text_end(data, at, end) if at >= 0 else -1
    return _counted(data, at + 4, end) if at >= 0 else -1


def _record(data: bytes, at: int, end: int) -> int:
    at = text_end(data, at, end)
    if not 0 <= at <= end - 4:
        return -1
    count = U32.unpack_from(data, at)[0]
    at += 4
    if count * 8 > end - at:
        return -1
    for _ in range(count):
        at = text_end(data, at, end)
        if at < 0:
            return -1
    return at if end - at == 4 * count else -1


# The fixed-width kinds of which not every bit pattern is valid.
SCALAR_CHECKS: dict[int, Callable[[bytes, int, int], bool]] = {Kind.BOOL: _bool, Kind.CHAR: _chars}
ITEM_CHECKS: dict[int, Callable[[bytes, int, int], bool]] = {Kind.BOOL: _bools, Kind.CHAR: _chars}
_FIXED_BYTES = frozenset(bytes((kind,)) for kind in _FIXED)
_PLAIN_TAGS = _FIXED | {int(Kind.STRING)}
_NAMED_TAGS = frozenset((int(Kind.RECORD), int(Kind.VARIANT)))
_TAG_ARGUMENTS = {int(Kind.LIST): 1, int(Kind.OPTION): 1, int(Kind.RESULT): 2}
_RESULT_HEADS = frozenset((b"\0\0\0\0\1", b"\1\0\0\0\1"))
_BY_KIND: dict[int, Callable[[bytes, int, int], int]] = {
    Kind.STRING: _string,
    Kind.ARRAY: _array,
    Kind.LIST: _list,
    Kind.OPTION: _option,
    Kind.RESULT: _result,
    Kind.VARIANT: _variant,
    Kind.RECORD: _record,
    Kind.TUPLE: _counted,
}
_BRANCHES = frozenset(_BY_KIND) - {Kind.STRING, Kind.ARRAY}
_INNER = tuple(_BY_KIND.get(kind, _nothing) for kind in range(_ARRAY + 1))
