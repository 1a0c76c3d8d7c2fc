"""Random interfaces: what must hold for every one of them."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.values.contract import function_difference
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.metadata import emit_metadata, parse_metadata
from theater_bus.core.values.pact import format_interface, parse
from theater_bus.core.values.type_difference import first_difference
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Flags,
    Function,
    Interface,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Unit,
    Variant,
)
from theater_bus.errors import PactSyntaxError, SpawnRefused

QUICK = settings(max_examples=25, deadline=None)

names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4})?", fullmatch=True)


def unique(of: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(of, max_size=most, unique_by=lambda name: name.replace("-", "").casefold())


@st.composite
def nominal(draw: st.DrawFn, inner: st.SearchStrategy[Type]) -> Type:
    name = draw(names)
    members = draw(unique(names, 4))
    kind = draw(st.sampled_from(["record", "variant"]))
    if kind == "record":
        return Record(name, tuple(Field(member, draw(inner)) for member in members))
    return Variant(name, tuple(Case(member, draw(st.none() | inner)) for member in members))


# What metadata can express exactly: no `_` in results, no names of flags.
types = st.recursive(
    st.sampled_from([*Scalar, Dynamic(), Flags("flags", ())]),
    lambda inner: st.one_of(
        st.builds(ListOf, inner),
        st.builds(OptionOf, inner),
        st.builds(ResultOf, inner, inner),
        st.builds(TupleOf, st.lists(inner, max_size=3).map(tuple)),
        nominal(inner),
    ),
    max_leaves=8,
)
functions = st.builds(
    lambda name, parameters, result: Function(name, tuple(parameters), result),
    names,
    st.lists(st.builds(Param, names, types), max_size=3, unique_by=lambda param: param.name),
    st.none() | types | st.just(Unit()),
)
interfaces = st.builds(
    lambda package, name, found: Interface(f"{package}/{name}", tuple(found)),
    st.sampled_from(["a:b", "theater:simple"]),
    names,
    st.lists(functions, min_size=1, max_size=4, unique_by=lambda function: function.name),
)
packages = st.lists(interfaces, max_size=3, unique_by=lambda interface: interface.name).map(tuple)


def shuffled(type: Type, order: random.Random) -> Type:
    """The same structure with other names of types and fields in another order."""
    if isinstance(type, ListOf):
        return ListOf(shuffled(type.element, order))
    if isinstance(type, OptionOf):
        return OptionOf(shuffled(type.inner, order))
    if isinstance(type, ResultOf):
        return ResultOf(type.ok and shuffled(type.ok, order), type.err and shuffled(type.err, order))
    if isinstance(type, TupleOf):
        return TupleOf(tuple(shuffled(item, order) for item in type.items))
    if isinstance(type, Record):
        fields = [Field(field.name, shuffled(field.type, order)) for field in type.fields]
        order.shuffle(fields)
        return Record(f"{type.name}-2", tuple(fields))
    if isinstance(type, Variant):
        cases = [Case(case.name, case.payload and shuffled(case.payload, order)) for case in type.cases]
        return Variant(f"{type.name}-2", tuple(cases))
    return type


@QUICK
@given(packages, packages)
def test_metadata_that_is_emitted_is_read_back_the_same(
    imports: tuple[Interface, ...], exports: tuple[Interface, ...]
) -> None:
    found = parse_metadata(emit_metadata(imports, exports))
    assert (found.imports, found.exports) == (imports, exports)
    assert found.declared_hashes
    assert found.problems == ()
    assert found.export_hashes == {one.name: interface_hash(one) for one in exports}
    assert emit_metadata(found.imports, found.exports) == emit_metadata(imports, exports)


@QUICK
@given(interfaces)
def test_the_pact_text_of_an_interface_declares_the_same_interface(interface: Interface) -> None:
    text = format_interface(interface)
    (found,) = parse(text).interfaces
    assert found.name == interface.name
    assert interface_hash(found) == interface_hash(interface)
    assert [function.name for function in found.functions] == [function.name for function in interface.functions]
    assert format_interface(found) == text


@QUICK
@given(interfaces, st.randoms(use_true_random=False))
def test_order_and_names_of_types_change_neither_hash_nor_contract(interface: Interface, order: random.Random) -> None:
    other = [
        Function(
            function.name,
            tuple(Param(f"{param.name}-2", shuffled(param.type, order)) for param in function.params),
            function.result and shuffled(function.result, order),
        )
        for function in interface.functions
    ]
    for before, after in zip(interface.functions, other, strict=True):
        assert function_difference(before, after) is None
    order.shuffle(other)
    assert interface_hash(Interface(interface.name, tuple(other))) == interface_hash(interface)


@QUICK
@given(types, types)
def test_equal_hashes_differ_at_most_in_the_order_of_cases(one: Type, other: Type) -> None:
    single = [Interface("x", (Function("f", (Param("a", type),), None),)) for type in (one, other)]
    if first_difference(one, other) is None:
        assert first_difference(other, one) is None
    elif interface_hash(single[0]) == interface_hash(single[1]):
        difference = first_difference(one, other)
        assert difference is not None
        assert "case " in difference.path
    assert first_difference(one, replace(one) if not isinstance(one, Scalar) else one) is None


@settings(max_examples=30, deadline=None)
@given(packages, st.data())
def test_mutated_metadata_is_read_or_refused_and_nothing_else(
    exports: tuple[Interface, ...], data: st.DataObject
) -> None:
    blob = bytearray(emit_metadata((), exports))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(blob)))
    with suppress(SpawnRefused):
        parse_metadata(bytes(blob[:cut]))


TOKENS = ["interface", "x", "{", "}", "exports", "imports", "f", ":", "func", "(", ")", "->", "u8", "list", "<", ">"]
TOKENS += [
    "record",
    "variant",
    "type",
    "=",
    "self",
    "_",
    ",",
    ".",
    "/",
    "use",
    "@",
    '"s"',
    "1",
    "[",
    "]",
    "\n",
    "result",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join) | st.text(max_size=40))
def test_any_text_parses_or_is_refused_with_its_place(text: str) -> None:
    refusal = None
    try:
        for interface in parse(text).interfaces:
            interface_hash(interface)
    except PactSyntaxError as error:
        refusal = error
    assert refusal is None or (refusal.line >= 1 and refusal.column >= 1)
