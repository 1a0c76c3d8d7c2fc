"""Values that are passed on as bytes, and how an export looks to its callers."""

from __future__ import annotations

import pytest

from theater_bus.core.values.caller_view import caller_view
from theater_bus.core.values.codec import exact_codec, value_codec
from theater_bus.core.values.codec_wit import loose_codec
from theater_bus.core.values.exact import (
    Loose,
    err_value,
    exact_value,
    ok_value,
    one_parameter,
    parameters,
    plain_value,
)
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Function, Scalar, TupleOf
from theater_bus.errors import SerializationError, TypeMismatch


def function(signature: str) -> Function:
    (found,) = parse(f"interface x {{ exports {{ f: {signature} }} }}").interfaces[0].functions
    return found


def cgrf(type_: object, value: object) -> bytes:
    return value_codec(type_).encode(value).standalone()  # type: ignore[arg-type]


def test_a_tuple_is_the_parameters_and_anything_else_the_only_one() -> None:
    pair = cgrf(TupleOf((Scalar.U8, Scalar.STRING)), [1, "a"])
    assert parameters(pair) == pair
    assert parameters(cgrf(Scalar.U8, 5)) == cgrf(TupleOf((Scalar.U8,)), [5])
    assert parameters(exact_value(None)) == exact_value(None)
    assert one_parameter(pair) == cgrf(TupleOf((TupleOf((Scalar.U8, Scalar.STRING)),)), [[1, "a"]])
    for make in (parameters, one_parameter, ok_value, plain_value):
        with pytest.raises(SerializationError):
            make(b"no value")


def test_results_hold_exactly_what_they_were_given() -> None:
    assert plain_value(ok_value(cgrf(Scalar.U8, 5))) == {"ok": 5}
    assert plain_value(err_value("no")) == {"err": "no"}
    assert plain_value(exact_value({"a": [1, 2]})) == {"a": [1, 2]}
    with pytest.raises(TypeMismatch):
        exact_value(object())


def test_a_value_passes_through_with_its_types() -> None:
    codec = exact_codec(function("func(name: string, any: value) -> value"))
    inner = cgrf(Scalar.U16, 7)
    data = cgrf(TupleOf((Scalar.STRING, codec.function.params[1].type)), ["a", {"$cgrf": inner}])
    assert codec.decode_args(data) == ["a", inner]
    assert codec.encode_result(inner) == inner
    assert plain_value(codec.encode_result({"a": 1})) == {"a": 1}
    with pytest.raises(TypeMismatch, match="2 parameters"):
        codec.decode_args(cgrf(Scalar.U8, 1))
    with pytest.raises(TypeMismatch, match="2 parameters"):
        codec.decode_args(cgrf(TupleOf((Scalar.U8,)), [1]))
    with pytest.raises(SerializationError):
        codec.encode_result(b"no value")


def test_other_types_of_an_exact_function_are_plain() -> None:
    single = exact_codec(function("func(any: value) -> u8"))
    assert single.decode_args(cgrf(Scalar.U16, 7)) == [cgrf(Scalar.U16, 7)]
    assert single.encode_result(5) == cgrf(Scalar.U8, 5)
    assert exact_codec(function("func() -> list<u8>")).decode_args(exact_value(None)) == []


def test_components_pass_json_on() -> None:
    codec = loose_codec(function("func(name: string, any: value) -> value"))
    texts = cgrf(TupleOf((Scalar.STRING, Scalar.STRING)), ["a", '{"b":[1,2]}'])
    assert codec.decode_args(texts) == ["a", Loose({"b": [1, 2]})]
    assert codec.encode_result(ok_value(cgrf(Scalar.U8, 5))) == cgrf(Scalar.STRING, '{"ok":5}')
    assert codec.encode_result([1]) == cgrf(Scalar.STRING, "[1]")
    assert loose_codec(function("func(any: value) -> u8")).encode_result(5) == cgrf(Scalar.U8, 5)


@pytest.mark.parametrize(
    ("declared", "seen"),
    [
        ("func(s: u64, a: u8) -> result<tuple<u64, u8>, string>", "func(a: u8) -> result<u8, string>"),
        (
            "func(s: u64, a: u8) -> result<tuple<u64, u8, bool>, string>",
            "func(a: u8) -> result<tuple<u8, bool>, string>",
        ),
        ("func(s: u64) -> result<tuple<u64>, string>", "func() -> result<_, string>"),
        ("func(s: u64) -> result<u64, string>", "func() -> result<_, string>"),
        ("func(s: value) -> result<tuple<u8>, string>", "func() -> result<u8, string>"),
        ("func(s: value) -> result<tuple<>, string>", "func() -> result<_, string>"),
        ("func(s: value) -> result<value, string>", "func() -> result<value, string>"),
        ("func(s: value) -> value", "func() -> value"),
        ("func(s: value)", "func() -> value"),
        ("func(s: u64) -> u64", "func() -> tuple<>"),
    ],
)
def test_callers_see_no_state(declared: str, seen: str) -> None:
    view, wanted = caller_view(function(declared), stateful=True), function(seen)
    assert (view.params, view.result) == (wanted.params, wanted.result)
    plain = function(declared)
    assert caller_view(plain, stateful=False) is plain
