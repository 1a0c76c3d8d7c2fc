"""Compiled checkers: whether a validated buffer holds what a type declares, without building its values.

Invariants: a checker accepts exactly what the decoder of the same type reads without a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from theater_bus.core.values.codec_scalar import KINDS
from theater_bus.core.values.codec_shape import (
    flags_checker,
    list_children,
    option_child,
    payload_types,
    record_reader,
    result_payload,
    tuple_reader,
    variant_reader,
)
from theater_bus.core.values.mismatch import Fault, wrong_node
from theater_bus.core.values.model import WIDTHS, Kind
from theater_bus.core.values.nodes import U32
from theater_bus.core.values.types import (
    Dynamic,
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Type,
    Variant,
)

__all__ = ["Checker", "compile_checker"]

Checker: TypeAlias = Callable[[bytes, list[int], int], None]
"""Raises `Fault` unless the node is of the declared type: (buffer, offsets of all nodes, node)."""

_ARRAY, _LIST = int(Kind.ARRAY), int(Kind.LIST)


@lru_cache(maxsize=4096)
def compile_checker(type_: Type) -> Checker:
    """The checker of a declared type."""
    return _compile(type_, None)


def _compile(type_: Type, enclosing: Checker | None) -> Checker:
    match type_:
        case Scalar():
            return _scalar(KINDS[type_])
        case ListOf(element):
            return _list(element, enclosing)
        case OptionOf(inner):
            return _option(_compile(inner, enclosing))
        case ResultOf(ok, err):
            return _result(_side(ok, enclosing), _side(err, enclosing))
        case TupleOf(items):
            return _tuple([_compile(item, enclosing) for item in items])
        case Record() | Variant():
            return _named(type_)
        case Flags():
            return _flags(type_)
        case SelfRef():
            if enclosing is None:
                raise ValueError("`self` outside of a record or variant")
            return enclosing
        case Dynamic():
            return _anything
    return _tuple([])


def _side(type_: Type | None, enclosing: Checker | None) -> Checker:
    return _tuple([]) if type_ is None else _compile(type_, enclosing)


def _anything(buffer: bytes, offsets: list[int], node: int) -> None:
    """Accept every node: it was validated when the buffer was scanned."""


def _scalar(kind: Kind) -> Checker:
    number, name = int(kind), kind.name.lower()

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        if buffer[offsets[node]] != number:
            raise wrong_node(name, buffer, offsets[node])

    return check


def _list(element: Type, enclosing: Checker | None) -> Checker:
    check_item = _compile(element, enclosing)
    if isinstance(element, Flags) or (isinstance(element, Scalar) and element is not Scalar.STRING):
        return _array(element, check_item)
    dynamic = isinstance(element, Dynamic)

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        at = offsets[node]
        if dynamic and buffer[at] == _ARRAY:
            return
        _check_each(list_children(buffer, at, "list"), check_item, buffer, offsets)

    return check


def _array(element: Scalar | Flags, check_item: Checker) -> Checker:
    kind = Kind.FLAGS if isinstance(element, Flags) else KINDS[element]
    number, name = int(kind), kind.name.lower()
    check_mask = flags_checker(element) if isinstance(element, Flags) and element.names else None

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        at = offsets[node]
        if buffer[at] == _ARRAY and buffer[at + 8] == number:
            if check_mask is not None:
                _check_masks(buffer, at, check_mask)
            return
        if buffer[at] == _ARRAY and U32.unpack_from(buffer, at + 9)[0]:
            raise Fault(f"list<{name}>", f"list<{Kind(buffer[at + 8]).name.lower()}>")
        _check_each(list_children(buffer, at, f"list<{name}>"), check_item, buffer, offsets)

    return check


def _check_masks(buffer: bytes, at: int, check_mask: Callable[[int], None]) -> None:
    (count,) = U32.unpack_from(buffer, at + 9)
    width = WIDTHS[Kind.FLAGS]
    for place in range(count):
        begin = at + 13 + place * width
        try:
            check_mask(int.from_bytes(buffer[begin : begin + width], "little"))
        except Fault as fault:
            raise fault.under(f"[{place}]") from None


def _check_each(children: tuple[int, ...], check_item: Checker, buffer: bytes, offsets: list[int]) -> None:
    place = 0
    try:
        for place in range(len(children)):
            check_item(buffer, offsets, children[place])
    except Fault as fault:
        raise fault.under(f"[{place}]") from None


def _option(check_inner: Checker) -> Checker:
    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        child = option_child(buffer, offsets[node], "option")
        if child is not None:
            check_inner(buffer, offsets, child)

    return check


def _result(check_ok: Checker, check_err: Checker) -> Checker:
    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        is_ok, child = result_payload(buffer, offsets[node], "result")
        try:
            (check_ok if is_ok else check_err)(buffer, offsets, child)
        except Fault as fault:
            raise fault.under(".ok" if is_ok else ".err") from None

    return check


def _tuple(checkers: list[Checker]) -> Checker:
    children_at = tuple_reader(len(checkers))
    numbered = list(enumerate(checkers))

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        children = children_at(buffer, offsets[node])
        place = 0
        try:
            for place, check_item in numbered:
                check_item(buffer, offsets, children[place])
        except Fault as fault:
            raise fault.under(f"[{place}]") from None

    return check


def _named(type_: Record | Variant) -> Checker:
    cell: list[Checker] = []

    def check_self(buffer: bytes, offsets: list[int], node: int) -> None:
        cell[0](buffer, offsets, node)

    cell.append(_record(type_, check_self) if isinstance(type_, Record) else _variant(type_, check_self))
    return cell[0]


def _record(type_: Record, enclosing: Checker) -> Checker:
    children_at = record_reader(type_)
    numbered = list(enumerate([_compile(field.type, enclosing) for field in type_.fields]))

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        children = children_at(buffer, offsets[node])
        place = 0
        try:
            for place, check_field in numbered:
                check_field(buffer, offsets, children[place])
        except Fault as fault:
            raise fault.under(f".{type_.fields[place].name}") from None

    return check


def _variant(type_: Variant, enclosing: Checker) -> Checker:
    parts = variant_reader(type_)
    cases: list[tuple[str, list[Checker]]] = []
    for case in type_.cases:
        cases.append((case.name, [_compile(item, enclosing) for item in payload_types(case.payload)]))

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        tag, children = parts(buffer, offsets, node)
        name, checkers = cases[tag]
        place = 0
        try:
            for place, check_item in enumerate(checkers):
                check_item(buffer, offsets, children[place])
        except Fault as fault:
            if len(checkers) > 1:
                fault.under(f"[{place}]")
            raise fault.under(f".{name}") from None

    return check


def _flags(type_: Flags) -> Checker:
    check_kind, check_mask = _scalar(Kind.FLAGS), flags_checker(type_)

    def check(buffer: bytes, offsets: list[int], node: int) -> None:
        check_kind(buffer, offsets, node)
        at = offsets[node] + 8
        check_mask(int.from_bytes(buffer[at : at + 8], "little"))

    return check
