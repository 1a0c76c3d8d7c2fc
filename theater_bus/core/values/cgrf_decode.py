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
        args: list[Tag] = []
        for _ in range(self.count(1) if kind is Kind.TUPLE else _TAG_ARGUMENTS.get(kind, 0)):
            args.append(self.tag(depth + 1))
        return Tag(kind, tuple(args))

    def fault(self, problem: str) -> SerializationError:
        """The error for this node."""
        return SerializationError(f"CGRF node {self.index}: {problem}")


_TAG_ARGUMENTS = {Kind.LIST: 1, Kind.OPTION: 1, Kind.RESULT: 2}


_Make = Callable[[list[Value]], Value]
_Opened = tuple[tuple[int, ...], _Make]
"""The children that a node refers to, and how its value is made of theirs."""


class _Decoder:
    """One buffer: its node table, checked eagerly as guests do, and the nodes built so far."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data, self.limits = data, limits
        self.nodes: list[tuple[int, int, int]] = []
        self.built: dict[int, _Built] = {}
        self.root_index = self._frame()
        for index, (kind, start, end) in enumerate(self.nodes):
            check = _EAGER.get(kind)
            if check is not None:
                check(_Payload(data, index, start, end), kind, len(self.nodes))

    def root(self) -> Value:
        """The value of the root node. Not recursive; nodes that are opened but not built are those on the way down."""
        built, opened, pending = self.built, dict[int, _Opened](), [self.root_index]
        while pending:
            index = pending[-1]
            if index in built:
                pending.pop()
            elif index in opened:
                built[index] = self._measure(index, *opened[index])
            else:
                opened[index] = self._open(index)
                if len(opened) - len(built) > self.limits.max_depth:
                    raise self._too_deep()
                waiting = [child for child in reversed(opened[index][0]) if child not in built]
                if not opened.keys().isdisjoint(waiting):
                    raise SerializationError(f"CGRF node {index} is its own ancestor")
                pending.extend(waiting)
        return built[self.root_index].value

    def _too_deep(self) -> SerializationError:
        return SerializationError(f"CGRF value is nested more than {self.limits.max_depth} levels deep")

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

    def _open(self, index: int) -> _Opened:
        kind, start, end = self.nodes[index]
        payload = _Payload(self.data, index, start, end)
        children, make = _OPENERS[kind](payload, kind)
        _check_children(payload, children, len(self.nodes))
        return children, make

    def _measure(self, index: int, children: tuple[int, ...], make: _Make) -> _Built:
        below = [self.built[child] for child in children]
        _, start, end = self.nodes[index]
        height = 1 + max([child.height for child in below], default=0)
        values = 1 + sum([child.values for child in below])
        size = NODE.size + end - start + sum([child.size_bytes for child in below])
        limits = self.limits
        if height > limits.max_depth:
            raise self._too_deep()
        if values > limits.max_values or size > limits.max_bytes - HEADER.size:
            raise SerializationError(
                f"CGRF value expands to {values} values in {size} bytes, over the limits of"
                f" {limits.max_values} and {limits.max_bytes}"
            )
        return _Built(make([child.value for child in below]), height, values, size)


def _check_children(payload: _Payload, children: tuple[int, ...], count: int) -> None:
    if children and max(children) >= count:
        raise payload.fault(f"child index {max(children)} is outside the {count} nodes")


def _check_fixed(payload: _Payload, kind: int, count: int) -> None:
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


def _check_string(payload: _Payload, kind: int, count: int) -> None:
    payload.text()
    payload.finish()


def _check_tuple(payload: _Payload, kind: int, count: int) -> None:
    _check_children(payload, payload.children(payload.count(4)), count)


def _check_array(payload: _Payload, kind: int, count: int) -> None:
    elem = payload.byte()
    if elem not in WIDTHS:
        raise payload.fault(f"array of type tag {elem}, which is not fixed-width")
    raw = payload.take(payload.count(WIDTH_OF_KIND[elem]) * WIDTH_OF_KIND[elem])
    payload.finish()
    if elem == Kind.CHAR:
        _check_chars(payload, raw)


_EAGER: dict[int, Callable[[_Payload, int, int], None]] = {
    **dict.fromkeys(WIDTHS, _check_fixed),
    Kind.STRING: _check_string,
    Kind.TUPLE: _check_tuple,
    Kind.ARRAY: _check_array,
}


def _leaf(value: Value) -> _Opened:
    return (), lambda _: value


def _open_fixed(payload: _Payload, kind: int) -> _Opened:
    raw, which = payload.take(WIDTH_OF_KIND[kind]), Kind(kind)
    if which is Kind.F32 or which is Kind.F64:
        return _leaf(FloatValue(which, int.from_bytes(raw, "little")))
    return _leaf(ArrayValue(which, raw).items()[0])


def _open_string(payload: _Payload, kind: int) -> _Opened:
    return _leaf(ScalarValue(Kind.STRING, payload.text()))


def _open_array(payload: _Payload, kind: int) -> _Opened:
    elem = Kind(payload.byte())
    raw = payload.take(payload.u32() * WIDTHS[elem])
    if elem is Kind.BOOL and raw.strip(b"\0\1"):
        raw = bytes([byte != 0 for byte in raw])
    return _leaf(ArrayValue(elem, raw))


def _open_list(payload: _Payload, kind: int) -> _Opened:
    elem = payload.tag()
    if elem.kind in WIDTHS:
        raise payload.fault(f"list of fixed-width {elem.kind.name.lower()} must be an array")
    return payload.children(payload.count(4)), lambda values: ListValue(elem, tuple(values))


def _open_option(payload: _Payload, kind: int) -> _Opened:
    inner = payload.tag()
    children = payload.children(int(payload.byte() == 1))
    return children, lambda values: OptionValue(inner, values[0] if values else None)


def _open_result(payload: _Payload, kind: int) -> _Opened:
    ok, err = payload.tag(), payload.tag()
    is_ok = payload.u32() == 0
    if payload.byte() != 1:
        raise payload.fault("result without payload")
    return payload.children(1), lambda values: ResultValue(ok, err, is_ok, values[0])


def _open_record(payload: _Payload, kind: int) -> _Opened:
    name = payload.text()
    names = [payload.text() for _ in range(payload.count(8))]
    return payload.children(len(names)), lambda values: RecordValue(name, tuple(zip(names, values, strict=True)))


def _open_variant(payload: _Payload, kind: int) -> _Opened:
    name, case, tag = payload.text(), payload.text(), payload.u32()
    return payload.children(payload.count(4)), lambda values: VariantValue(name, case, tag, tuple(values))


def _open_tuple(payload: _Payload, kind: int) -> _Opened:
    return payload.children(payload.count(4)), lambda values: TupleValue(tuple(values))


_OPENERS: dict[int, Callable[[_Payload, int], _Opened]] = {
    **dict.fromkeys(WIDTHS, _open_fixed),
    Kind.STRING: _open_string,
    Kind.ARRAY: _open_array,
    Kind.LIST: _open_list,
    Kind.OPTION: _open_option,
    Kind.RESULT: _open_result,
    Kind.RECORD: _open_record,
    Kind.VARIANT: _open_variant,
    Kind.TUPLE: _open_tuple,
}
