"""How the nodes of a guest's value may look for a declared type: what both the checkers and the decoders ask.

Invariants: type tags and type names are never looked at; record fields are found by name modulo case, `_` and `-`,
variants by tag. Tolerated because real guests write them: any empty list for an empty list, a list of scalar nodes for
an array, a variant with tag 0 or 1 for a result, a tuple payload as one value or as several.
Source: pack-abi §1.3, §2.2, §2.3.
"""

from __future__ import annotations

from collections.abc import Callable

from theater_bus.core.values.mismatch import Fault, wrong_node
from theater_bus.core.values.model import Kind, fold_name
from theater_bus.core.values.nodes import U32, indices
from theater_bus.core.values.scan import children_of, field_names, result_side
from theater_bus.core.values.types import Flags, Record, TupleOf, Type, Variant

__all__ = [
    "flags_checker",
    "list_children",
    "option_child",
    "payload_types",
    "record_reader",
    "result_payload",
    "tuple_reader",
    "unambiguous_names",
    "variant_parts",
    "variant_reader",
]

_TUPLE, _LIST, _ARRAY, _OPTION, _RECORD = (
    int(kind) for kind in (Kind.TUPLE, Kind.LIST, Kind.ARRAY, Kind.OPTION, Kind.RECORD)
)
_RESULT, _VARIANT = int(Kind.RESULT), int(Kind.VARIANT)
_RECORD_LAYOUTS = 32


def list_children(buffer: bytes, at: int, expected: str) -> tuple[int, ...]:
    """The items of a list node, or of an empty array."""
    if buffer[at] == _LIST:
        return children_of(buffer, at)
    if buffer[at] == _ARRAY and not U32.unpack_from(buffer, at + 9)[0]:
        return ()
    raise wrong_node(expected, buffer, at)


def option_child(buffer: bytes, at: int, expected: str) -> int | None:
    """The node that an option holds, None for none."""
    if buffer[at] != _OPTION:
        raise wrong_node(expected, buffer, at)
    children = children_of(buffer, at)
    return children[0] if children else None


def result_payload(buffer: bytes, at: int, expected: str) -> tuple[bool, int]:
    """Whether a result is ok, and the node that it holds; also of the variants that older guests write."""
    if buffer[at] == _RESULT:
        return result_side(buffer, at)
    if buffer[at] == _VARIANT:
        tag, children = variant_parts(buffer, at)
        if tag <= 1 and children:
            return tag == 0, children[0]
    raise wrong_node(expected, buffer, at)


def tuple_reader(count: int) -> Callable[[bytes, int], tuple[int, ...]]:
    """Gives the children of a tuple node that must have `count` of them."""
    expected, unpack, unpack_count = f"tuple of {count}", indices(count).unpack_from, U32.unpack_from

    def children(buffer: bytes, at: int) -> tuple[int, ...]:
        if buffer[at] != _TUPLE:
            raise wrong_node(expected, buffer, at)
        if unpack_count(buffer, at + 8)[0] != count:
            raise Fault(expected, f"tuple of {unpack_count(buffer, at + 8)[0]}")
        return unpack(buffer, at + 12)

    return children


def variant_parts(buffer: bytes, at: int) -> tuple[int, tuple[int, ...]]:
    """Tag and payload nodes of a variant node."""
    unpack = U32.unpack_from
    at += 12 + unpack(buffer, at + 8)[0]
    at += 4 + unpack(buffer, at)[0]
    (count,) = unpack(buffer, at + 4)
    return unpack(buffer, at)[0], indices(count).unpack_from(buffer, at + 8)


def record_reader(type_: Record) -> Callable[[bytes, int], tuple[int, ...]]:
    """Gives the children of a record node in the order of the declared fields.

    A guest writes the same names every time, so the order is worked out once per spelling of the names.
    """
    count, expected = len(type_.fields), f"record {type_.name}"
    unpack, unpack_length = indices(count).unpack_from, U32.unpack_from
    places: dict[bytes, tuple[int, ...]] = {}
    declared = [field.name for field in type_.fields]

    def learn(buffer: bytes, at: int, names: bytes) -> tuple[int, ...]:
        order = _field_order(declared, field_names(buffer, at), expected)
        if len(places) < _RECORD_LAYOUTS:
            places[names] = order
        return order

    def children(buffer: bytes, at: int) -> tuple[int, ...]:
        if buffer[at] != _RECORD:
            raise wrong_node(expected, buffer, at)
        end = at + 8 + unpack_length(buffer, at + 4)[0] - 4 * count
        names = buffer[at + 8 : end]
        order = places.get(names)
        if order is None:
            order = learn(buffer, at, names)
        found = unpack(buffer, end)
        return found if order == () else tuple([found[place] for place in order])

    return children


def _field_order(declared: list[str], found: list[str], expected: str) -> tuple[int, ...]:
    """Where each declared field lies among the found ones; () when they lie in declared order."""
    if found == declared:
        return ()
    exact = len({fold_name(name) for name in declared}) < len(declared)
    places = {name if exact else fold_name(name): place for place, name in enumerate(found)}
    order: list[int] = []
    for name in declared:
        place = places.get(name if exact else fold_name(name))
        if place is None:
            raise Fault(expected, f"a record without the field {name}")
        order.append(place)
    if len(found) != len(declared):
        raise Fault(expected, f"a record of {len(found)} fields")
    return () if order == list(range(len(order))) else tuple(order)


def variant_reader(type_: Variant) -> Callable[[bytes, list[int], int], tuple[int, tuple[int, ...]]]:
    """Gives tag and payload nodes of a variant node, a tuple payload always spread out."""
    counts = [len(payload_types(case.payload)) for case in type_.cases]
    expected = f"variant {type_.name}"

    def parts(buffer: bytes, offsets: list[int], node: int) -> tuple[int, tuple[int, ...]]:
        at = offsets[node]
        if buffer[at] != _VARIANT:
            raise wrong_node(expected, buffer, at)
        tag, children = variant_parts(buffer, at)
        if tag >= len(counts):
            raise Fault(f"{expected} of {len(counts)} cases", f"tag {tag}")
        count = counts[tag]
        if len(children) == 1 and count > 1 and buffer[offsets[children[0]]] == _TUPLE:
            children = children_of(buffer, offsets[children[0]])
        if len(children) != count:
            raise Fault(f"{count} payload values", str(len(children))).under(f".{type_.cases[tag].name}")
        return tag, children

    return parts


def payload_types(payload: Type | None) -> tuple[Type, ...]:
    """The types of a case's payload values: guests spread the items of a tuple payload (pack-abi §2.2)."""
    if payload is None:
        return ()
    return payload.items if isinstance(payload, TupleOf) and len(payload.items) > 1 else (payload,)


def unambiguous_names(names: list[str]) -> dict[str, str]:
    """Folded name → name, without the names that only differ in case, `_` or `-`."""
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(fold_name(name), []).append(name)
    return {fold: found[0] for fold, found in folded.items() if len(found) == 1}


def flags_checker(type_: Flags) -> Callable[[int], None]:
    """Refuses a mask with bits that the declaration does not name; without names, none."""
    unnamed = ~((1 << len(type_.names)) - 1) if type_.names else 0

    def check(mask: int) -> None:
        if mask & unnamed:
            raise Fault(f"flags {type_.name} of {len(type_.names)} bits", f"the mask {mask:#x}")

    return check
