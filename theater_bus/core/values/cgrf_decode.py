"""Reading CGRF: every buffer either becomes a value or raises `SerializationError`, in bounded time and memory.

Invariants: no count or length is believed before the bytes that it promises are known to be there; work is linear in
the buffer, since a shared child is decoded once; a value that passed has at most `max_values` values, `max_bytes`
bytes and `max_depth` levels also after sharing is expanded, so that whoever walks or re-encodes it is safe.
Leniencies are exactly those of real guests (pack-abi §1.5): flags are ignored, children may lie anywhere, nodes that
nothing refers to are examined only as far as guests do, tags are not compared with what they describe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from theater_bus.core.values.model import (
    WIDTHS,
    ArrayValue,
    FloatValue,
    Kind,
    ListValue,
    OptionValue,
    RecordValue,
    ResultValue,
    ScalarValue,
    Tag,
    TupleValue,
    Value,
    VariantValue,
)
from theater_bus.core.values.nodes import DEFAULT_LIMITS, MAX_DEPTH, NODE, U32, WIDTH_OF_KIND, Limits, indices
from theater_bus.core.values.subtree import HEADER
from theater_bus.errors import SerializationError

__all__ = ["decode"]


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Value:
    """The value that `data` holds. Raises `SerializationError` for anything that a guest would refuse, and for depth,
    cycles and expansion beyond `limits`, which make guests hang or overflow."""
    return _Decoder(bytes(data), limits).root()


class _Built(NamedTuple):
    """A decoded node, and what it amounts to when its shared children are counted every time."""

    value: Value
    height: int
    values: int
    size_bytes: int


class _Payload:
    """A cursor over one node's payload. Every read is checked against the payload's end."""

    __slots__ = ("at", "data", "end", "index")

    def __init__(self, data: bytes, index: int, start: int, end: int) -> None:
        self.data, self.index, self.at, self.end = data, index, start, end

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        at = self.at
        if size > self.end - at:
            raise self.fault(f"needs {size} bytes, has {self.end - at}")
        self.at = at + size
        return self.data[at : at + size]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def u32(self) -> int:
        """The next four bytes as a number."""
        return int(U32.unpack(self.take(4))[0])

    def text(self) -> str:
        """A length and as many bytes of UTF-8."""
        raw = self.take(self.u32())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fault("invalid UTF-8") from None

    def count(self, width: int) -> int:
        """A count of things that take at least `width` bytes each, all of which are there."""
        count = self.u32()
        if count * width > self.end - self.at:
            raise self.fault(f"{count} items cannot lie in {self.end - self.at} bytes")
        return count

    def children(self, count: int) -> tuple[int, ...]:
        """`count` child indices, after which the payload must end."""
        if 4 * count != self.end - self.at:
            raise self.fault(f"{count} child indices do not fill the remaining {self.end - self.at} bytes")
        return tuple(indices(count).unpack_from(self.data, self.at))

    def finish(self) -> None:
        """Require that nothing is left."""
        if self.at != self.end:
            raise self.fault("trailing payload bytes")

    def tag(self, depth: int = 1) -> Tag:
        """A type tag (pack-abi §1.3)."""
        if depth > MAX_DEPTH:
            raise self.fault(f"type tag is nested more than {MAX_DEPTH} levels deep")
        number = self.byte()
        if not Kind.BOOL <= number < Kind.ARRAY:
            raise self.fault(f"unknown type tag {number}")
        kind = Kind(number)
        if kind is Kind.RECORD or kind is Kind.VARIANT:
            return Tag(kind, name=self.text())
        args = self.count(1) if kind is Kind.TUPLE else _TAG_ARGUMENTS.get(kind, 0)
        return Tag(kind, tuple([self.tag(depth + 1) for _ in range(args)]))

    def fault(self, problem: str) -> SerializationError:
        """The error for this node."""
        return SerializationError(f"CGRF node {self.index}: {problem}")


_TAG_ARGUMENTS = {Kind.LIST: 1, Kind.OPTION: 1, Kind.RESULT: 2}


class _Decoder:
    """One buffer: its node table, checked eagerly as guests do, and the nodes built so far."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data, self.limits = data, limits
        self.nodes: list[tuple[int, int, int]] = []
        self.built: dict[int, _Built | None] = {}
        self.root_index = self._frame()
        for index, (kind, start, end) in enumerate(self.nodes):
            check = _EAGER.get(kind)
            if check is not None:
                check(self, _Payload(data, index, start, end), kind)

    def root(self) -> Value:
        """The value of the root node."""
        return self._build(self.root_index, 1).value

    def _frame(self) -> int:
        data, size = self.data, len(self.data)
        if size > self.limits.max_bytes:
            raise SerializationError(f"CGRF buffer of {size} bytes is over the limit of {self.limits.max_bytes}")
        if size < HEADER.size:
            raise SerializationError(f"CGRF buffer of {size} bytes is shorter than its header of {HEADER.size}")
        magic, version, _flags, count, root = HEADER.unpack_from(data)
        if magic != b"CGRF" or version != 2:
            raise SerializationError(f"not CGRF version 2: begins with {data[:6].hex()}")
        if count > self.limits.max_nodes or count * NODE.size > size - HEADER.size:
            raise SerializationError(f"CGRF header announces {count} nodes, more than {size} bytes or the limit allow")
        if root >= count:
            raise SerializationError(f"CGRF root {root} is outside the {count} nodes")
        at = HEADER.size
        for index in range(count):
            at = self._frame_node(index, at)
        if at != size:
            raise SerializationError(f"{size - at} bytes follow the last CGRF node")
        return int(root)

    def _frame_node(self, index: int, at: int) -> int:
        start = at + NODE.size
        if start > len(self.data):
            raise SerializationError(f"CGRF node {index}: buffer ends within the node")
        word, length = NODE.unpack_from(self.data, at)
        kind = word & 0xFF
        if not Kind.BOOL <= kind <= Kind.ARRAY:
            raise SerializationError(f"CGRF node {index}: unknown kind {kind}")
        if length > len(self.data) - start:
            raise SerializationError(f"CGRF node {index}: payload of {length} bytes is longer than the buffer")
        self.nodes.append((kind, start, start + length))
        return int(start + length)

    def _build(self, index: int, depth: int) -> _Built:
        """Build node `index` found at nesting level `depth`; `built` holds None while a node is being built."""
        if index in self.built:
            done = self.built[index]
            if done is None:
                raise SerializationError(f"CGRF node {index} is its own ancestor")
        else:
            done = None
        if depth + (done.height if done else 1) - 1 > self.limits.max_depth:
            raise SerializationError(f"CGRF value is nested more than {self.limits.max_depth} levels deep")
        if done is not None:
            return done
        self.built[index] = None
        kind, start, end = self.nodes[index]
        value, children = _BUILDERS[kind](self, _Payload(self.data, index, start, end), kind, depth)
        built = self._measure(value, children, end - start)
        self.built[index] = built
        return built

    def _measure(self, value: Value, children: list[_Built], payload_bytes: int) -> _Built:
        height = 1 + max([child.height for child in children], default=0)
        values = 1 + sum([child.values for child in children])
        size = NODE.size + payload_bytes + sum([child.size_bytes for child in children])
        if values > self.limits.max_values or size > self.limits.max_bytes:
            raise SerializationError(
                f"CGRF value expands to {values} values in {size} bytes, over the limits of"
                f" {self.limits.max_values} and {self.limits.max_bytes}"
            )
        return _Built(value, height, values, size)

    def below(self, payload: _Payload, count: int, depth: int) -> list[_Built]:
        """Build the `count` children whose indices end the payload."""
        roots = payload.children(count)
        if roots and max(roots) >= len(self.nodes):
            raise payload.fault(f"child index {max(roots)} is outside the {len(self.nodes)} nodes")
        return [self._build(root, depth + 1) for root in roots]


_Result = tuple[Value, list[_Built]]


def _check_fixed(_: _Decoder, payload: _Payload, kind: int) -> None:
    raw = payload.take(WIDTH_OF_KIND[kind])
    payload.finish()
    if kind == Kind.BOOL and raw[0] > 1:
        raise payload.fault(f"bool is {raw[0]}")
    if kind == Kind.CHAR:
        _check_chars(payload, raw)


def _check_chars(payload: _Payload, raw: bytes) -> None:
    try:
        raw.decode("utf-32-le")
    except UnicodeDecodeError:
        raise payload.fault("a char is no Unicode scalar value") from None


def _check_string(_: _Decoder, payload: _Payload, kind: int) -> None:
    payload.text()
    payload.finish()


def _check_tuple(decoder: _Decoder, payload: _Payload, kind: int) -> None:
    roots = payload.children(payload.count(4))
    if roots and max(roots) >= len(decoder.nodes):
        raise payload.fault(f"child index {max(roots)} is outside the {len(decoder.nodes)} nodes")


def _check_array(_: _Decoder, payload: _Payload, kind: int) -> None:
    elem = payload.byte()
    if elem not in WIDTHS:
        raise payload.fault(f"array of type tag {elem}, which is not fixed-width")
    count = payload.count(WIDTH_OF_KIND[elem])
    raw = payload.take(count * WIDTH_OF_KIND[elem])
    payload.finish()
    if elem == Kind.CHAR:
        _check_chars(payload, raw)


_EAGER: dict[int, Callable[[_Decoder, _Payload, int], None]] = {
    **dict.fromkeys(WIDTHS, _check_fixed),
    Kind.STRING: _check_string,
    Kind.TUPLE: _check_tuple,
    Kind.ARRAY: _check_array,
}


def _build_fixed(_: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    raw, which = payload.take(WIDTH_OF_KIND[kind]), Kind(kind)
    if which is Kind.F32 or which is Kind.F64:
        return FloatValue(which, int.from_bytes(raw, "little")), []
    return ArrayValue(which, raw).items()[0], []


def _build_string(_: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    return ScalarValue(Kind.STRING, payload.text()), []


def _build_array(_: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    elem = Kind(payload.byte())
    raw = payload.take(payload.u32() * WIDTHS[elem])
    if elem is Kind.BOOL:
        raw = bytes([byte != 0 for byte in raw]) if raw.strip(b"\0\1") else raw
    return ArrayValue(elem, raw), []


def _build_list(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    elem = payload.tag()
    if elem.kind in WIDTHS:
        raise payload.fault(f"list of fixed-width {elem.kind.name.lower()} must be an array")
    children = decoder.below(payload, payload.count(4), depth)
    return ListValue(elem, tuple([child.value for child in children])), children


def _build_option(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    inner = payload.tag()
    children = decoder.below(payload, int(payload.byte() == 1), depth)
    return OptionValue(inner, children[0].value if children else None), children


def _build_result(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    ok, err = payload.tag(), payload.tag()
    tag, has_payload = payload.u32(), payload.byte()
    if has_payload != 1:
        raise payload.fault("result without payload")
    children = decoder.below(payload, 1, depth)
    return ResultValue(ok, err, tag == 0, children[0].value), children


def _build_record(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    name = payload.text()
    count = payload.count(8)
    names = [payload.text() for _ in range(count)]
    children = decoder.below(payload, count, depth)
    return RecordValue(name, tuple(zip(names, [child.value for child in children], strict=True))), children


def _build_variant(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    name, case, tag = payload.text(), payload.text(), payload.u32()
    children = decoder.below(payload, payload.count(4), depth)
    return VariantValue(name, case, tag, tuple([child.value for child in children])), children


def _build_tuple(decoder: _Decoder, payload: _Payload, kind: int, depth: int) -> _Result:
    children = decoder.below(payload, payload.count(4), depth)
    return TupleValue(tuple([child.value for child in children])), children


_BUILDERS: dict[int, Callable[[_Decoder, _Payload, int, int], _Result]] = {
    **dict.fromkeys(WIDTHS, _build_fixed),
    Kind.STRING: _build_string,
    Kind.ARRAY: _build_array,
    Kind.LIST: _build_list,
    Kind.OPTION: _build_option,
    Kind.RESULT: _build_result,
    Kind.RECORD: _build_record,
    Kind.VARIANT: _build_variant,
    Kind.TUPLE: _build_tuple,
}
