"""What a guest's output means: the new state and the answer, or the guest's own error.

Invariants: state and value are canonical subtrees counted from 0, whatever the guest wrote; nothing is taken that does
not fit the declaration; the state of an err is None, which means unchanged.

Read for an actor function (pack-abi §5), by its declared result:

    result<tuple<S, R…>, E>     item 0 is the new state, the rest the value: one item is itself, none is unit
    result<tuple<R…>, E>        the same where the declaration forgot the state slot; S is that of the parameter
    result<S, E>                what ok holds is the new state, there is no value
    value, or nothing           as above by looking: an ok that holds a tuple is split, anything else is the new state
    any other type              the new state, there is no value

and for a function without state: a result is split into value or error, anything else is the value. Older guests write
a variant with tag 0 or 1 for a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from theater_bus.core.values.cgrf_decode import decode
from theater_bus.core.values.codec_check import Checker, compile_checker
from theater_bus.core.values.codec_shape import result_payload, variant_parts
from theater_bus.core.values.codec_value import MAX_PLAIN_NODES, Int64, ValueCodec, value_codec
from theater_bus.core.values.mismatch import Fault, wrong_node
from theater_bus.core.values.model import Kind, ScalarValue
from theater_bus.core.values.nodes import tuple_node
from theater_bus.core.values.scan import Layout, children_of
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.values.text import format_value
from theater_bus.core.values.types import Dynamic, ResultOf, TupleOf, Type, Unit

__all__ = ["Outcome", "OutcomeReader", "outcome_reader"]

OutcomeReader: TypeAlias = Callable[[Layout], "Outcome"]
"""Takes a validated output apart. Raises `Fault` where it breaks the declaration."""

_UNIT = Subtree(tuple_node(()), 1)
_TUPLE, _VARIANT, _RESULT = int(Kind.TUPLE), int(Kind.VARIANT), int(Kind.RESULT)


class Outcome:
    """What a call gave: `ok` or the guest's err, the new `state` (None: unchanged), and the `value` or err payload."""

    __slots__ = ("_codec", "ok", "state", "value")

    def __init__(self, ok: bool, state: Subtree | None, value: Subtree, codec: ValueCodec) -> None:
        self.ok, self.state, self.value, self._codec = ok, state, value, codec

    def plain(self, max_nodes: int = MAX_PLAIN_NODES) -> object:
        """The value as a plain value. Raises `TooLarge` above `max_nodes` nodes."""
        return self._codec.decode(self.value, max_nodes)

    def json(self, int64: Int64 = "number", max_nodes: int = MAX_PLAIN_NODES) -> object:
        """The value as JSON can carry it. Raises `TooLarge` above `max_nodes` nodes."""
        return self._codec.decode_json(self.value, int64, max_nodes)

    def cgrf(self) -> bytes:
        """The value as a complete CGRF buffer."""
        return self.value.standalone()

    @property
    def error(self) -> object:
        """The plain value that the guest's err holds, None for an ok."""
        return None if self.ok else self.plain()

    @property
    def text(self) -> str:
        """The guest's err for people: its text, or the literal form of what else it is; empty for an ok."""
        if self.ok:
            return ""
        value = decode(self.value.standalone())
        if isinstance(value, ScalarValue) and isinstance(value.value, str):
            return value.value
        return format_value(value)


def outcome_reader(declared: Type | None, state: Type | None) -> OutcomeReader:
    """The reader for a declared result; `state` is the type of the state parameter, None for a function without."""
    if isinstance(declared, ResultOf):
        read_ok = _value_reader(declared.ok or Unit()) if state is None else _stateful_reader(declared.ok, state)
        return _result_reader(read_ok, _value_reader(declared.err or Unit(), ok=False))
    if state is not None:
        return _dynamic_reader if declared is None or isinstance(declared, Dynamic) else _state_reader(declared)
    read = _value_reader(declared or Dynamic())
    return lambda layout: read(layout, len(layout.offsets) - 1)


_Reader: TypeAlias = Callable[[Layout, int], Outcome]


def _result_reader(read_ok: _Reader, read_err: _Reader) -> OutcomeReader:
    def read(layout: Layout) -> Outcome:
        is_ok, child = result_payload(layout.data, layout.offsets[-1], "result")
        try:
            return read_ok(layout, child) if is_ok else read_err(layout, child)
        except Fault as fault:
            raise fault.under(".ok" if is_ok else ".err") from None

    return read


def _value_reader(type_: Type, ok: bool = True) -> _Reader:
    check, codec = compile_checker(type_), value_codec(type_)

    def read(layout: Layout, node: int) -> Outcome:
        check(layout.data, layout.offsets, node)
        return Outcome(ok, None, layout.subtree(node), codec)

    return read


def _state_reader(type_: Type) -> OutcomeReader:
    read = _new_state(type_)
    return lambda layout: read(layout, len(layout.offsets) - 1)


def _new_state(type_: Type) -> _Reader:
    check, codec = compile_checker(type_), value_codec(Unit())

    def read(layout: Layout, node: int) -> Outcome:
        check(layout.data, layout.offsets, node)
        return Outcome(True, layout.subtree(node), _UNIT, codec)

    return read


def _stateful_reader(declared: Type | None, state: Type) -> _Reader:
    if isinstance(declared, TupleOf):
        return _split(declared.items, state)
    return _split_dynamic if isinstance(declared, Dynamic) else _new_state(declared or Unit())


def _split(items: tuple[Type, ...], state: Type) -> _Reader:
    """The reader of an ok payload declared as a tuple, which should hold the state and then the value."""
    checkers, count = [compile_checker(item) for item in items], len(items)
    codec = value_codec(_rest_type(items[1:]))
    bare = _new_state(items[0]) if count == 1 else None
    slotless = None if items and items[0] == state else _slotless(items, state)

    def read(layout: Layout, node: int) -> Outcome:
        at = layout.offsets[node]
        if layout.data[at] != _TUPLE:
            if bare is None:
                raise wrong_node(f"tuple of {count}", layout.data, at)
            return bare(layout, node)
        children = children_of(layout.data, at)
        if len(children) == count and count:
            _check_items(checkers, layout, children)
            return Outcome(True, layout.subtree(children[0]), _join(layout, children[1:]), codec)
        if slotless is None:
            raise Fault(f"tuple of {count}", f"tuple of {len(children)}")
        return slotless(layout, node)

    return read


def _slotless(items: tuple[Type, ...], state: Type) -> _Reader:
    """The reader for declarations without a state slot, as theater's own samples have: `(state, (r1, …))`."""
    check_state, check_items = compile_checker(state), [compile_checker(item) for item in items]
    check_whole, whole = compile_checker(TupleOf(items)), value_codec(TupleOf(items))
    flat = value_codec(_rest_type(items))

    def read(layout: Layout, node: int) -> Outcome:
        children = children_of(layout.data, layout.offsets[node])
        if not children:
            check_state(layout.data, layout.offsets, node)
            return Outcome(True, layout.subtree(node), _UNIT, flat)
        _check_items([check_state], layout, children)
        rest = children[1:]
        if len(rest) == 1 and layout.data[layout.offsets[rest[0]]] == _TUPLE:
            _check_items([check_whole], layout, rest, 1)
            return Outcome(True, layout.subtree(children[0]), layout.subtree(rest[0]), whole)
        if len(rest) != len(items):
            raise Fault(f"tuple of state and {len(items)}", f"tuple of {len(children)}")
        _check_items(check_items, layout, rest, 1)
        return Outcome(True, layout.subtree(children[0]), _join(layout, rest), flat)

    return read


def _dynamic_reader(layout: Layout) -> Outcome:
    root = len(layout.offsets) - 1
    at = layout.offsets[root]
    kind = layout.data[at]
    if kind == _RESULT or (kind == _VARIANT and _is_legacy_result(layout.data, at)):
        is_ok, child = result_payload(layout.data, at, "result")
        return _split_dynamic(layout, child) if is_ok else _read_any_err(layout, child)
    return _new_state(Dynamic())(layout, root)


def _is_legacy_result(data: bytes, at: int) -> bool:
    tag, payload = variant_parts(data, at)
    return tag <= 1 and len(payload) == 1


def _split_dynamic(layout: Layout, node: int) -> Outcome:
    """An ok of unknown type: a tuple with items is state and value, anything else the state."""
    if layout.data[layout.offsets[node]] == _TUPLE:
        children = children_of(layout.data, layout.offsets[node])
        if children:
            codec = value_codec(_rest_type((Dynamic(),) * (len(children) - 1)))
            return Outcome(True, layout.subtree(children[0]), _join(layout, children[1:]), codec)
    return Outcome(True, layout.subtree(node), _UNIT, value_codec(Unit()))


def _check_items(checkers: list[Checker], layout: Layout, children: tuple[int, ...], first: int = 0) -> None:
    place = 0
    try:
        for place in range(len(checkers)):
            checkers[place](layout.data, layout.offsets, children[place])
    except Fault as fault:
        raise fault.under(f"[{first + place}]") from None


def _rest_type(types: tuple[Type, ...]) -> Type:
    """The type of what is left of an ok tuple behind the state."""
    return types[0] if len(types) == 1 else TupleOf(types) if types else Unit()


def _join(layout: Layout, children: tuple[int, ...]) -> Subtree:
    """The value that neighbouring nodes make: none is unit, one is itself, more become a tuple."""
    if len(children) == 1:
        return layout.subtree(children[0])
    if not children:
        return _UNIT
    first, last = layout.starts[children[0]], children[-1]
    items = layout.cut(first, last + 1 - first, layout.offsets[first], layout.offsets[last + 1])
    roots, end = tuple([child - first for child in children]), len(items.nodes) + 12
    places = tuple(range(end, end + 4 * len(roots), 4))
    return Subtree(items.nodes + tuple_node(roots), items.count + 1, items.fixups + places)


_read_any_err = _value_reader(Dynamic(), ok=False)
