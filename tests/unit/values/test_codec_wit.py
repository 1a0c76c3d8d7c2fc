"""What components see of a pact: WIT types, JSON where WIT has none, and one tuple of parameters."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.core.values.codec import function_codec, import_codec, tupled_import_codec, value_codec
from theater_bus.core.values.codec_wit import MAX_JSON_BYTES, wit_function, wit_import_codec, wit_type
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Flags,
    Function,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Type,
    Unit,
    Variant,
)
from theater_bus.errors import TooLarge, TypeMismatch

TREE = Record("tree", (Field("value", Scalar.U8), Field("below", ListOf(SelfRef()))))
LEAF = {"value": 1, "below": []}
PLAIN = Record("point", (Field("x", Scalar.U8),))


def function(*params: Type, result: Type | None = None) -> Function:
    return Function("f", tuple(Param(f"p{number}", one) for number, one in enumerate(params)), result)


@pytest.mark.parametrize(
    ("type_", "seen"),
    [
        (Dynamic(), Scalar.STRING),
        (TREE, Scalar.STRING),
        (ListOf(Dynamic()), ListOf(Scalar.STRING)),
        (OptionOf(Dynamic()), OptionOf(Scalar.STRING)),
        (TupleOf((Scalar.U8, Dynamic())), TupleOf((Scalar.U8, Scalar.STRING))),
        (ResultOf(TupleOf(()), Scalar.STRING), ResultOf(None, Scalar.STRING)),
        (ResultOf(Unit(), None), ResultOf(None, None)),
        (ResultOf(Dynamic(), Scalar.STRING), ResultOf(Scalar.STRING, Scalar.STRING)),
        (Record("r", (Field("a", Dynamic()),)), Record("r", (Field("a", Scalar.STRING),))),
        (
            Variant("v", (Case("none", None), Case("some", Dynamic()))),
            Variant("v", (Case("none", None), Case("some", Scalar.STRING))),
        ),
        (Flags("f", ("a",)), Flags("f", ("a",))),
        (Scalar.U8, Scalar.U8),
    ],
)
def test_types_that_wit_lacks_become_what_stands_for_them(type_: Type, seen: Type) -> None:
    assert wit_type(type_) == seen


def test_a_function_has_the_wit_form_of_all_its_types() -> None:
    assert wit_function(function(Dynamic())) == function(Scalar.STRING)
    assert wit_function(function(result=Dynamic())) == function(result=Scalar.STRING)


CASES: list[tuple[Type, Any, Any]] = [
    (Dynamic(), '{"a":[1,true,"x"]}', {"a": [1, True, "x"]}),
    (TREE, '{"value":1,"below":[]}', LEAF),
    (ListOf(Dynamic()), ["1", '"x"'], [1, "x"]),
    (OptionOf(Dynamic()), None, None),
    (OptionOf(Dynamic()), "7", {"some": 7}),
    (OptionOf(OptionOf(Dynamic())), {"some": "7"}, {"some": {"some": 7}}),
    (OptionOf(TREE), '{"value":1,"below":[]}', LEAF),
    (OptionOf(Scalar.U8), 3, 3),
    (TupleOf((Scalar.U8, Dynamic())), [1, "[]"], [1, []]),
    (TupleOf((Scalar.U8, Scalar.U8)), [1, 2], [1, 2]),
    (ResultOf(Dynamic(), Scalar.STRING), {"ok": "null"}, {"ok": None}),
    (ResultOf(Dynamic(), Scalar.STRING), {"err": "no"}, {"err": "no"}),
    (ResultOf(None, Dynamic()), {"err": "1"}, {"err": 1}),
    (ResultOf(Scalar.U8, Scalar.STRING), {"ok": 1}, {"ok": 1}),
    (Record("r", (Field("a", Dynamic()), Field("b", Scalar.U8))), {"a": "2", "b": 3}, {"a": 2, "b": 3}),
    (PLAIN, {"x": 3}, {"x": 3}),
    (Variant("v", (Case("none", None), Case("some", Dynamic()))), "none", "none"),
    (Variant("v", (Case("none", None), Case("some", Dynamic()))), {"some": "true"}, {"some": True}),
    (Variant("v", (Case("one", Scalar.U8),)), {"one": 1}, {"one": 1}),
    (ListOf(Scalar.U8), b"\0\1", b"\0\1"),
]


@pytest.mark.parametrize(("type_", "outside", "inside"), CASES)
def test_what_a_component_passes_reaches_the_method_as_the_pacts_value_and_back(
    type_: Type, outside: Any, inside: Any
) -> None:
    codec = wit_import_codec(function(type_, result=type_))
    given = value_codec(TupleOf((wit_type(type_),))).encode([outside]).standalone()
    assert codec.decode_args(given) == [inside]
    answer = value_codec(wit_type(type_))
    assert answer.decode(answer.check(codec.encode_result(inside))) == outside


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", '{"$float": 7, "a": 1', "NaN", "1e999", '{"a": 1, "a": 2}', '"\\ud800"', "\ufeff1"),
        *("[" * 100_000, "[" * 65 + "]" * 65),
    ],
    ids=range(10),
)
def test_text_that_is_no_json_is_a_type_mismatch_of_the_function(text: str) -> None:
    codec = wit_import_codec(function(Dynamic()))
    given = value_codec(TupleOf((Scalar.STRING,))).encode([text]).standalone()
    with pytest.raises(TypeMismatch, match="f: params must hold JSON"):
        codec.decode_args(given)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'"{"x" * MAX_JSON_BYTES}"', r"has 1,048,578 bytes, 1,048,576 are read\. Fix: "),
        (f"[{'[],' * 30_000}[]]", "more than 20,000 lists, maps or keys"),
        (f"[{'{},' * 30_000}[]]", "more than 20,000 lists, maps or keys"),
    ],
    ids=("long", "lists", "maps"),
)
def test_json_that_would_take_long_to_read_is_too_large(text: str, says: str) -> None:
    codec = wit_import_codec(function(Dynamic()))
    given = value_codec(TupleOf((Scalar.STRING,))).encode([text]).standalone()
    with pytest.raises(TooLarge, match=says):
        codec.decode_args(given)


def test_a_function_without_a_result_answers_with_nothing() -> None:
    assert value_codec(Unit()).check(wit_import_codec(function()).encode_result(None))


def test_a_single_parameter_of_a_component_is_a_tuple_of_one() -> None:
    one = function(TupleOf((Scalar.U8,)))
    data = value_codec(TupleOf((TupleOf((Scalar.U8,)),))).encode([[7]]).standalone()
    assert tupled_import_codec(one).decode_args(data) == [[7]]
    alone = value_codec(TupleOf((Scalar.U8,))).encode([7]).standalone()
    assert tupled_import_codec(one).bare(data) == alone, "middleware sees what a module would pass"
    assert import_codec(one).bare(alone) == alone
    assert tupled_import_codec(function()).bare(alone) == alone
    exported = function(Scalar.U8)
    tupled, bare = function_codec(exported, False, True), function_codec(exported, False)
    params = tupled.encode_params([7])
    assert tupled.call_input(None, params) == params.standalone
    assert bare.call_input(None, params) != params.standalone
