"""Plain values by declared type: what each type takes and gives, and where a fault is said to be."""

import math
import struct
import time

import pytest

from theater_bus.core.values.cgrf import decode, encode, encode_subtree
from theater_bus.core.values.codec import Err, FunctionCodec, Ok, value_codec
from theater_bus.core.values.codec_check import compile_checker
from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_encode import compile_encoder
from theater_bus.core.values.codec_reader import Form
from theater_bus.core.values.model import (
    UNIT,
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
    VariantValue,
)
from theater_bus.core.values.plain import infer, plain_of
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
    Unit,
    Variant,
)
from theater_bus.errors import SerializationError, TooLarge, TypeMismatch

U8, U32, U64, S64, F32, F64 = Scalar.U8, Scalar.U32, Scalar.U64, Scalar.S64, Scalar.F32, Scalar.F64
STRING, CHAR, BOOL = Scalar.STRING, Scalar.CHAR, Scalar.BOOL
POINT = Record("point", (Field("x-pos", U32), Field("y_pos", U32)))
SHAPE = Variant(
    "shape",
    (
        Case("nothing", None),
        Case("circle", F64),
        Case("rect", TupleOf((F64, F64))),
        Case("at-point", POINT),
        Case("wrapped", TupleOf((U8,))),
        Case("unit", Unit()),
    ),
)
PERMS = Flags("perms", ("read", "write", "run"))
MASK = Flags("mask", ())
NAN = float("nan")
INF = float("inf")


def f64(number):
    return FloatValue.of(Kind.F64, number)


def u32(number):
    return ScalarValue(Kind.U32, number)


def point(x, y, names=("x-pos", "y_pos")):
    return RecordValue("point", tuple(zip(names, (u32(x), u32(y)), strict=True)))


def shape(case, tag, *payload):
    return VariantValue("shape", case, tag, payload)


@pytest.mark.parametrize(
    ("type_", "plain", "value"),
    [
        (BOOL, True, ScalarValue(Kind.BOOL, True)),
        (U8, 255, ScalarValue(Kind.U8, 255)),
        (S64, -(2**63), ScalarValue(Kind.S64, -(2**63))),
        (F64, 1.5, f64(1.5)),
        (F32, -0.0, FloatValue(Kind.F32, 0x80000000)),
        (CHAR, "é", ScalarValue(Kind.CHAR, "é")),
        (STRING, "", ScalarValue(Kind.STRING, "")),
        (ListOf(U8), b"\1\2", ArrayValue(Kind.U8, b"\1\2")),
        (ListOf(Scalar.S16), [-1, 2], ArrayValue(Kind.S16, b"\xff\xff\2\0")),
        (ListOf(BOOL), [True, False], ArrayValue(Kind.BOOL, b"\1\0")),
        (ListOf(CHAR), ["a", "€"], ArrayValue(Kind.CHAR, "a€".encode("utf-32-le"))),
        (ListOf(F64), [1.0], ArrayValue(Kind.F64, struct.pack("<d", 1))),
        (ListOf(PERMS), [["read"], []], ArrayValue(Kind.FLAGS, struct.pack("<2Q", 1, 0))),
        (ListOf(MASK), [6], ArrayValue(Kind.FLAGS, struct.pack("<Q", 6))),
        (ListOf(STRING), ["a"], ListValue(Tag(Kind.STRING), (ScalarValue(Kind.STRING, "a"),))),
        (ListOf(POINT), [], ListValue(Tag(Kind.RECORD, name="point"), ())),
        (ListOf(Dynamic()), [True], ListValue(Tag(Kind.STRING), (ScalarValue(Kind.BOOL, True),))),
        (OptionOf(U8), None, OptionValue(Tag(Kind.U8), None)),
        (OptionOf(U8), 3, OptionValue(Tag(Kind.U8), ScalarValue(Kind.U8, 3))),
        (OptionOf(Unit()), {"some": None}, OptionValue(Tag(Kind.TUPLE), UNIT)),
        (OptionOf(Dynamic()), {"some": None}, OptionValue(Tag(Kind.STRING), UNIT)),
        (OptionOf(Unit()), None, OptionValue(Tag(Kind.TUPLE), None)),
        (
            OptionOf(OptionOf(U8)),
            {"some": None},
            OptionValue(Tag(Kind.OPTION, (Tag(Kind.U8),)), OptionValue(Tag(Kind.U8), None)),
        ),
        (ResultOf(U32, STRING), {"ok": 7}, ResultValue(Tag(Kind.U32), Tag(Kind.STRING), True, u32(7))),
        (ResultOf(None, STRING), {"ok": None}, ResultValue(Tag(Kind.TUPLE), Tag(Kind.STRING), True, UNIT)),
        (ResultOf(U32, None), {"err": None}, ResultValue(Tag(Kind.U32), Tag(Kind.TUPLE), False, UNIT)),
        (TupleOf(()), [], UNIT),
        (Unit(), None, UNIT),
        (TupleOf((U32, Unit())), [1, None], TupleValue((u32(1), UNIT))),
        (POINT, {"x-pos": 1, "y_pos": 2}, point(1, 2)),
        (Record("", ()), {}, RecordValue("", ())),
        (TupleOf((U32,) * 20), list(range(20)), TupleValue(tuple([u32(n) for n in range(20)]))),
        (SHAPE, "nothing", shape("nothing", 0)),
        (SHAPE, {"circle": 1.5}, shape("circle", 1, f64(1.5))),
        (SHAPE, {"rect": [1.0, 2.0]}, shape("rect", 2, f64(1), f64(2))),
        (SHAPE, {"at-point": {"x-pos": 1, "y_pos": 2}}, shape("at-point", 3, point(1, 2))),
        (SHAPE, {"wrapped": [7]}, shape("wrapped", 4, TupleValue((ScalarValue(Kind.U8, 7),)))),
        (SHAPE, {"unit": None}, shape("unit", 5, UNIT)),
        (PERMS, ["read", "run"], ScalarValue(Kind.FLAGS, 5)),
        (MASK, 2**64 - 1, ScalarValue(Kind.FLAGS, 2**64 - 1)),
    ],
)
def test_plain_form_and_value_of_a_type_belong_together(type_, plain, value):
    codec = value_codec(type_)
    assert decode(codec.encode(plain).standalone()) == value
    assert codec.decode(encode_subtree(value)) == plain
    assert codec.check(encode(value)) == encode_subtree(value)


@pytest.mark.parametrize(
    ("type_", "plain", "normal"),
    [
        (F64, 3, 3.0),
        (ListOf(F64), [1, 2.5], [1.0, 2.5]),
        (ListOf(U8), [1, 2], b"\1\2"),
        (ListOf(U8), (), b""),
        (ListOf(U8), bytearray(b"x"), b"x"),
        (ListOf(U8), memoryview(b"x"), b"x"),
        (ListOf(U32), (1, 2), [1, 2]),
        (Unit(), [], None),
        (Unit(), (), None),
        (TupleOf((U32, U32)), (1, 2), [1, 2]),
        (POINT, {"XPos": 1, "y-pos": 2}, {"x-pos": 1, "y_pos": 2}),
        (SHAPE, "Nothing", "nothing"),
        (SHAPE, {"nothing": None}, "nothing"),
        (SHAPE, {"atPoint": {"x_pos": 1, "y_pos": 2}}, {"at-point": {"x-pos": 1, "y_pos": 2}}),
        (PERMS, 5, ["read", "run"]),
        (PERMS, ("run",), ["run"]),
        (ResultOf(U32, STRING), Ok(7), {"ok": 7}),
        (ResultOf(U32, STRING), Err("no"), {"err": "no"}),
        (ResultOf(None, STRING), Ok(), {"ok": None}),
        (Dynamic(), bytearray(b"x"), b"x"),
        (Dynamic(), (1, 2), [1, 2]),
    ],
)
def test_other_plain_spellings_mean_the_same(type_, plain, normal):
    codec = value_codec(type_)
    assert codec.decode(codec.encode(plain)) == normal


@pytest.mark.parametrize(
    ("type_", "plain", "path", "found"),
    [
        (U8, 256, "value", "256, out of range"),
        (U8, -1, "value", "out of range"),
        (U8, True, "value", "bool True"),
        (U8, 1.0, "value", "float 1.0"),
        (U64, "1", "value", "str '1'"),
        (BOOL, 1, "value", "int 1"),
        (F64, "x", "value", "str 'x'"),
        (F64, True, "value", "bool True"),
        (F64, 2**53 + 1, "value", "no float holds exactly"),
        (F64, 10**400, "value", "no float holds exactly"),
        (F32, 1e300, "value", "out of range"),
        (STRING, b"x", "value", "bytes b'x'"),
        (STRING, "a\ud800", "value", "lone surrogate at index 1"),
        (CHAR, "ab", "value", "str 'ab'"),
        (CHAR, "\udfff", "value", "lone surrogate"),
        (ListOf(U8), "text", "value", "str 'text'"),
        (ListOf(U8), [1, 256], "value[1]", "256, out of range"),
        (ListOf(U8), [1, True], "value[1]", "bool True"),
        (ListOf(U8), {"$bytes": "AAAA"}, "value", "dict"),
        (ListOf(U32), 5, "value", "int 5"),
        (ListOf(U32), [1, "x"], "value[1]", "str 'x'"),
        (ListOf(U32), [1, -1], "value[1]", "out of range"),
        (ListOf(F32), [1.0, 1e300], "value[1]", "out of range"),
        (ListOf(F64), [1.0, "x"], "value[1]", "str 'x'"),
        (ListOf(BOOL), [True, 0], "value[1]", "int 0"),
        (ListOf(CHAR), ["a", "bc"], "value[1]", "str 'bc'"),
        (ListOf(CHAR), "abc", "value", "str 'abc'"),
        (ListOf(STRING), "abc", "value", "str 'abc'"),
        (ListOf(STRING), ["a", None], "value[1]", "nil"),
        (ListOf(PERMS), 3, "value", "int 3"),
        (ListOf(PERMS), [[], ["fly"]], "value[1]", "str 'fly'"),
        (OptionOf(OptionOf(U8)), 3, "value", "int 3"),
        (OptionOf(OptionOf(U8)), {"one": 3}, "value", "dict"),
        (ResultOf(U8, STRING), {"yes": 1}, "value", "dict"),
        (ResultOf(U8, STRING), 5, "value", "int 5"),
        (ResultOf(U8, STRING), {"ok": "x"}, "value.ok", "str 'x'"),
        (ResultOf(U8, STRING), Err(5), "value.err", "int 5"),
        (TupleOf((U8, STRING)), [1], "value", "list [1]"),
        (TupleOf((U8, STRING)), "ab", "value", "str 'ab'"),
        (TupleOf((U8, STRING)), [1, 2], "value[1]", "int 2"),
        (Unit(), 0, "value", "int 0"),
        (POINT, [1, 2], "value", "list"),
        (POINT, {"x-pos": 1}, "value", "no field y_pos"),
        (POINT, {"x-pos": 1, "y_pos": 2, "z": 3}, "value", "unknown field str 'z'"),
        (POINT, {"x-pos": 1, "y_pos": 2, 3: 3}, "value", "unknown field int 3"),
        (POINT, {"x-pos": 1, "X_POS": 2, "y_pos": 2}, "value", "the field x-pos twice"),
        (POINT, {"x-pos": 1, "y_pos": "2"}, "value.y_pos", "str '2'"),
        (SHAPE, 5, "value", "int 5"),
        (SHAPE, "blob", "value", "str 'blob'"),
        (SHAPE, {"a": 1, "b": 2}, "value", "dict"),
        (SHAPE, {5: 1}, "value", "dict"),
        (SHAPE, {"nothing": 1}, "value.nothing", "int 1"),
        (SHAPE, "circle", "value.circle", "only the case name"),
        (SHAPE, {"circle": "x"}, "value.circle", "str 'x'"),
        (SHAPE, {"rect": [1.0]}, "value.rect", "list [1.0]"),
        (SHAPE, {"rect": [1.0, "x"]}, "value.rect[1]", "str 'x'"),
        (SHAPE, {"at-point": {"x-pos": 1, "y_pos": []}}, "value.at-point.y_pos", "list []"),
        (PERMS, ["read", "fly"], "value", "str 'fly'"),
        (PERMS, [1], "value", "int 1"),
        (PERMS, 8, "value", "int 8"),
        (PERMS, -1, "value", "int -1"),
        (MASK, 2**64, "value", "int 1844"),
        (MASK, ["read"], "value", "list"),
        (MASK, "7", "value", "str '7'"),
        (Dynamic(), 2**64, "value", "int 1844"),
        (Dynamic(), {1, 2}, "value", "set {1, 2}"),
        (Dynamic(), {1: 2}, "value.1", "the key int 1"),
        (Dynamic(), {"a": [0, "\ud800"]}, "value.a[1]", "lone surrogate at index 0"),
        (Dynamic(), {"\ud800": 1}, "value.\ud800", "lone surrogate"),
        (Dynamic(), "\ud800", "value", "lone surrogate"),
        (Dynamic(), {"$cgrf": "%%"}, "value", "str '%%'"),
        (Dynamic(), {"$cgrf": 5}, "value", "int 5"),
        (Dynamic(), {"$cgrf": b"CGRF"}, "value", "shorter than its header"),
        (ListOf(ListOf(STRING)), [["a"], ["b", 5]], "value[1][1]", "int 5"),
    ],
)
def test_plain_value_that_does_not_fit_is_refused_with_path_and_what_was_found(type_, plain, path, found):
    with pytest.raises(TypeMismatch) as refused:
        value_codec(type_).encode(plain)
    assert refused.value.details["path"] == path
    assert found in refused.value.details["found"]
    assert found in refused.value.message


@pytest.mark.parametrize(
    ("type_", "value", "path", "found"),
    [
        (U8, u32(1), "value", "u32"),
        (STRING, UNIT, "value", "tuple"),
        (ListOf(U8), ArrayValue(Kind.U32, bytes(4)), "value", "list<u32>"),
        (ListOf(U8), UNIT, "value", "tuple"),
        (ListOf(U8), ListValue(Tag(Kind.STRING), (ScalarValue(Kind.U8, 1), UNIT)), "value[1]", "tuple"),
        (ListOf(STRING), ArrayValue(Kind.U8, b"x"), "value", "array"),
        (ListOf(STRING), ListValue(Tag(Kind.STRING), (UNIT,)), "value[0]", "tuple"),
        (OptionOf(U8), u32(1), "value", "u32"),
        (OptionOf(U8), OptionValue(Tag(Kind.U8), u32(1)), "value", "u32"),
        (ResultOf(U8, STRING), u32(1), "value", "u32"),
        (ResultOf(U8, STRING), VariantValue("r", "c", 2, (u32(1),)), "value", "variant"),
        (ResultOf(U8, STRING), VariantValue("r", "ok", 0, ()), "value", "variant"),
        (ResultOf(U8, None), VariantValue("r", "err", 1, (u32(1),)), "value.err", "u32"),
        (ResultOf(U8, STRING), ResultValue(Tag(Kind.U8), Tag(Kind.U8), True, UNIT), "value.ok", "tuple"),
        (TupleOf((U8, U32)), u32(1), "value", "u32"),
        (TupleOf((U8, U32)), TupleValue((UNIT,)), "value", "tuple of 1"),
        (TupleOf((U8, U32)), TupleValue((ScalarValue(Kind.U8, 1), UNIT)), "value[1]", "tuple"),
        (Unit(), TupleValue((UNIT,)), "value", "tuple of 1"),
        (POINT, u32(1), "value", "u32"),
        (POINT, point(1, 2, ("x-pos", "other")), "value", "without the field y_pos"),
        (POINT, RecordValue("", (("x-pos", u32(1)),)), "value", "without the field y_pos"),
        (POINT, RecordValue("", (*point(1, 2).fields, ("z", u32(3)))), "value", "a record of 3 fields"),
        (POINT, RecordValue("", (("x-pos", u32(1)), ("y_pos", UNIT))), "value.y_pos", "tuple"),
        (SHAPE, u32(1), "value", "u32"),
        (SHAPE, shape("?", 9), "value", "tag 9"),
        (SHAPE, shape("circle", 1), "value.circle", "0"),
        (SHAPE, shape("circle", 1, u32(1)), "value.circle", "u32"),
        (SHAPE, shape("rect", 2, f64(1)), "value.rect", "1"),
        (SHAPE, shape("rect", 2, f64(1), u32(1)), "value.rect[1]", "u32"),
        (SHAPE, shape("nothing", 0, UNIT), "value.nothing", "1"),
        (PERMS, ScalarValue(Kind.FLAGS, 8), "value", "0x8"),
        (PERMS, u32(1), "value", "u32"),
        (ListOf(PERMS), ArrayValue(Kind.FLAGS, struct.pack("<2Q", 1, 8)), "value[1]", "0x8"),
    ],
)
def test_value_of_another_type_is_refused_alike_with_and_without_building_it(type_, value, path, found):
    codec = value_codec(type_)
    for read in (lambda: codec.check(encode(value)), lambda: codec.decode(encode_subtree(value))):
        with pytest.raises(TypeMismatch) as refused:
            read()
        assert refused.value.details["path"] == path
        assert found in refused.value.details["found"]


@pytest.mark.parametrize(
    ("type_", "value", "plain"),
    [
        (ListOf(U8), ArrayValue(Kind.S32, b""), b""),
        (ListOf(U8), ListValue(Tag(Kind.STRING), ()), b""),
        (ListOf(U8), ListValue(Tag(Kind.STRING), (ScalarValue(Kind.U8, 7),)), b"\7"),
        (ListOf(U32), ListValue(Tag(Kind.STRING), (u32(7),)), [7]),
        (ListOf(STRING), ArrayValue(Kind.S32, b""), []),
        (ListOf(MASK), ArrayValue(Kind.S32, b""), []),
        (ListOf(Dynamic()), ArrayValue(Kind.U8, b"\1\2"), [1, 2]),
        (ListOf(Dynamic()), ArrayValue(Kind.BOOL, b"\1"), [True]),
        (OptionOf(U8), OptionValue(Tag(Kind.STRING), ScalarValue(Kind.U8, 1)), 1),
        (ResultOf(U32, STRING), VariantValue("result", "ok", 0, (u32(7),)), {"ok": 7}),
        (ResultOf(U32, STRING), VariantValue("x", "y", 1, (ScalarValue(Kind.STRING, "e"), UNIT)), {"err": "e"}),
        (POINT, point(1, 2, ("XPos", "YPos")), {"x-pos": 1, "y_pos": 2}),
        (POINT, RecordValue("Other", (("y-pos", u32(2)), ("x_pos", u32(1)))), {"x-pos": 1, "y_pos": 2}),
        (SHAPE, VariantValue("Shape", "Circle", 1, (f64(1),)), {"circle": 1.0}),
        (SHAPE, shape("Rect", 2, TupleValue((f64(1), f64(2)))), {"rect": [1.0, 2.0]}),
    ],
)
def test_what_real_guests_write_differently_is_understood(type_, value, plain):
    codec = value_codec(type_)
    assert codec.decode(encode_subtree(value)) == plain
    assert codec.check(encode(value)) == encode_subtree(value)


def test_fields_that_differ_only_in_case_are_told_apart_by_their_exact_names():
    twins = Record("twins", (Field("a", U32), Field("A", U32), Field("b-c", U32)))
    codec = value_codec(twins)
    plain = {"A": 2, "a": 1, "b-c": 3}
    assert codec.decode(codec.encode(plain)) == plain
    swapped = RecordValue("", (("A", u32(2)), ("b-c", u32(3)), ("a", u32(1))))
    assert codec.decode(encode_subtree(swapped)) == plain
    with pytest.raises(TypeMismatch, match="unknown field"):
        codec.encode({"a": 1, "A": 2, "b_c": 3, "B": 4})


def test_record_layouts_that_were_learned_are_bounded_and_never_wrong():
    codec = value_codec(POINT)
    for number in range(100):
        names = ("X" + "-" * number + "pos", "y_pos")
        assert codec.decode(encode_subtree(point(1, 2, names))) == {"x-pos": 1, "y_pos": 2}


@pytest.mark.parametrize(
    ("type_", "json", "emitted", "text"),
    [
        (U64, "18446744073709551615", 2**64 - 1, "18446744073709551615"),
        (S64, "-5", -5, "-5"),
        (U32, 5, 5, 5),
        (ListOf(U64), [1, "2"], [1, 2], ["1", "2"]),
        (ListOf(U32), [1, 2], [1, 2], [1, 2]),
        (ListOf(U8), {"$bytes": "AQI="}, {"$bytes": "AQI="}, {"$bytes": "AQI="}),
        (ListOf(U8), [1, 2], {"$bytes": "AQI="}, {"$bytes": "AQI="}),
        (F64, 3, 3.0, 3.0),
        (F64, {"$float": "-inf"}, {"$float": "-inf"}, {"$float": "-inf"}),
        (F32, {"$float": "nan"}, {"$float": "nan"}, {"$float": "nan"}),
        (ListOf(F64), [1, {"$float": "inf"}], [1.0, {"$float": "inf"}], [1.0, {"$float": "inf"}]),
        (MASK, "7", 7, "7"),
        (PERMS, ["read"], ["read"], ["read"]),
        (ListOf(MASK), ["7", 1], [7, 1], ["7", "1"]),
        (Dynamic(), {"$bytes": "AQI="}, {"$bytes": "AQI="}, {"$bytes": "AQI="}),
        (Dynamic(), {"$float": "nan"}, {"$float": "nan"}, {"$float": "nan"}),
        (Dynamic(), {"a": 1}, {"a": 1}, {"a": "1"}),
        (ListOf(Dynamic()), [1], [1], ["1"]),
    ],
)
def test_json_forms_are_read_and_written(type_, json, emitted, text):
    codec = value_codec(type_)
    subtree = codec.encode_json(json)
    assert codec.decode_json(subtree) == emitted
    assert codec.decode_json(subtree, int64="string") == text


def test_empty_and_itemwise_byte_lists_have_the_json_form_of_bytes_too():
    codec = value_codec(ListOf(U8))
    itemwise = encode_subtree(ListValue(Tag(Kind.STRING), (ScalarValue(Kind.U8, 1),)))
    assert codec.decode_json(itemwise) == {"$bytes": "AQ=="}


@pytest.mark.parametrize(
    ("type_", "json", "path"),
    [
        (F64, NAN, "value"),
        (F64, INF, "value"),
        (F64, {"$float": "NaN"}, "value"),
        (F64, {"$float": 1}, "value"),
        (F64, "nan", "value"),
        (F64, {"float": "nan"}, "value"),
        (ListOf(F64), [1.0, NAN], "value[1]"),
        (Dynamic(), [NAN], "value[0]"),
        (Dynamic(), {"$float": "x"}, "value"),
        (U64, "1.5", "value"),
        (U64, "01", "value"),
        (U64, "-1", "value"),
        (U64, "1" * 5000, "value"),
        (U64, "\u0661", "value"),
        (U32, "1", "value"),
        (ListOf(U64), [1, "x"], "value[1]"),
        (ListOf(U32), ["1"], "value[0]"),
        (ListOf(U8), "AQI=", "value"),
        (ListOf(U8), {"$bytes": "A"}, "value"),
        (ListOf(U8), {"$bytes": "AQI\u00e9"}, "value"),
        (ListOf(U8), {"$bytes": 5}, "value"),
        (MASK, "x", "value"),
        (MASK, "-1", "value"),
    ],
)
def test_json_value_that_does_not_fit_is_refused(type_, json, path):
    with pytest.raises(TypeMismatch) as refused:
        value_codec(type_).encode_json(json)
    assert refused.value.details["path"] == path


def test_nan_and_infinity_are_ordinary_floats_outside_json():
    codec = value_codec(F32)
    assert math.isnan(codec.decode(codec.encode(NAN)))
    assert codec.decode(codec.encode(INF)) == INF
    assert value_codec(Dynamic()).decode(value_codec(Dynamic()).encode([INF])) == [INF]


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        (None, UNIT),
        (5, ScalarValue(Kind.S64, 5)),
        (2**63, ScalarValue(Kind.U64, 2**63)),
        (True, ScalarValue(Kind.BOOL, True)),
        ("x", ScalarValue(Kind.STRING, "x")),
        (1.5, f64(1.5)),
        (b"x", ArrayValue(Kind.U8, b"x")),
        ([], ListValue(Tag(Kind.STRING), ())),
        ([1, 2], ArrayValue(Kind.S64, struct.pack("<2q", 1, 2))),
        ([1, 2**63], ArrayValue(Kind.U64, struct.pack("<2Q", 1, 2**63))),
        ([-1, 2**63], ListValue(Tag(Kind.STRING), (ScalarValue(Kind.S64, -1), ScalarValue(Kind.U64, 2**63)))),
        ([True], ArrayValue(Kind.BOOL, b"\1")),
        ([1, "x"], ListValue(Tag(Kind.STRING), (ScalarValue(Kind.S64, 1), ScalarValue(Kind.STRING, "x")))),
        ({"a": None}, RecordValue("", (("a", UNIT),))),
        ({"$cgrf": encode(point(1, 2))}, point(1, 2)),
        ({"$cgrf": "Q0dSRgIAAAABAAAAAAAAAAwAAAABAAAABw=="}, ScalarValue(Kind.U8, 7)),
        ({"$bytes": "x"}, RecordValue("", (("$bytes", ScalarValue(Kind.STRING, "x")),))),
    ],
)
def test_undeclared_values_are_inferred_as_documented(plain, value):
    assert infer(plain) == value


def test_infer_names_the_place_of_what_no_value_can_hold():
    with pytest.raises(TypeMismatch, match=r"value\.a\[1\] must be a plain value, found object"):
        infer({"a": [1, object()]})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (OptionValue(Tag(Kind.U8), None), None),
        (OptionValue(Tag(Kind.U8), u32(1)), 1),
        (OptionValue(Tag(Kind.U8), UNIT), {"some": None}),
        (OptionValue(Tag(Kind.U8), OptionValue(Tag(Kind.U8), u32(1))), {"some": 1}),
        (ResultValue(Tag(Kind.U8), Tag(Kind.U8), True, u32(1)), {"ok": 1}),
        (ResultValue(Tag(Kind.U8), Tag(Kind.U8), False, UNIT), {"err": None}),
        (shape("c", 0), "c"),
        (shape("c", 0, u32(1)), {"c": 1}),
        (shape("c", 0, u32(1), u32(2)), {"c": [1, 2]}),
        (TupleValue((u32(1), UNIT)), [1, None]),
        (ArrayValue(Kind.U32, bytes(8)), [0, 0]),
        (ArrayValue(Kind.CHAR, b"A\0\0\0"), ["A"]),
        (ScalarValue(Kind.FLAGS, 5), 5),
        (ScalarValue(Kind.CHAR, "c"), "c"),
        (point(1, 2), {"x-pos": 1, "y_pos": 2}),
    ],
)
def test_values_of_unknown_type_have_the_documented_plain_form(value, plain):
    assert plain_of(value) == plain
    assert plain_of(TupleValue((UNIT, value))) == [None, plain]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (RecordValue("", (("a", u32(1)), ("a", u32(2)))), Form.PLAIN),
        (RecordValue("", (("$cgrf", UNIT),)), Form.PLAIN),
        (RecordValue("", (("$bytes", UNIT),)), Form.JSON),
        (RecordValue("", (("$float", ListValue(Tag(Kind.STRING), (UNIT, UNIT))),)), Form.JSON_TEXT),
    ],
)
def test_record_that_a_map_cannot_say_comes_as_exact_cgrf_and_goes_back(value, form):
    whole = TupleValue((UNIT, u32(7), value, UNIT))
    plain = plain_of(whole, form)
    assert list(plain[2]) == ["$cgrf"]
    assert infer(plain[2], form is not Form.PLAIN) == value


def test_decoding_into_plain_values_is_bounded_and_names_both_numbers():
    codec = value_codec(ListOf(STRING))
    subtree = codec.encode(["x"] * 20_000)
    with pytest.raises(TooLarge, match="20001 nodes, over the limit of 20000") as refused:
        codec.decode(subtree)
    assert refused.value.details["nodes"] == 20_001
    assert refused.value.details["limit"] == 20_000
    assert len(codec.decode(subtree, max_nodes=30_000)) == 20_000
    numbers = value_codec(ListOf(U64))
    assert len(numbers.decode(numbers.encode(range_list := list(range(100_000))))) == len(range_list)
    with pytest.raises(TooLarge):
        codec.decode_json(subtree)


def test_check_refuses_bytes_that_are_no_cgrf():
    with pytest.raises(SerializationError):
        value_codec(U8).check(b"CGRF")


def test_self_outside_of_a_named_type_cannot_be_compiled():
    for compile_ in (lambda t: compile_encoder(t, False), lambda t: compile_decoder(t, Form.PLAIN), compile_checker):
        with pytest.raises(ValueError, match="outside of a record or variant"):
            compile_(ListOf(SelfRef()))


def test_self_means_the_innermost_named_type_also_in_tags():
    inner = Variant("inner", (Case("more", ListOf(SelfRef())),))
    outer = Record("outer", (Field("in", inner), Field("out", ListOf(SelfRef())), Field("opt", OptionOf(SelfRef()))))
    codec = value_codec(outer)
    plain = {"in": {"more": [{"more": []}]}, "out": [{"in": {"more": []}, "out": [], "opt": None}], "opt": None}
    value = decode(codec.encode(plain).standalone())
    assert codec.decode(codec.encode(plain)) == plain
    assert value.fields[0][1].payload[0].elem == Tag(Kind.VARIANT, name="inner")
    assert value.fields[1][1].elem == Tag(Kind.RECORD, name="outer")


def test_static_tags_are_those_of_the_declared_type():
    type_ = ListOf(TupleOf((OptionOf(U8), ResultOf(None, ListOf(STRING)), PERMS, Dynamic(), Unit(), SHAPE)))
    value = decode(value_codec(type_).encode([]).standalone())
    assert value.elem == Tag(
        Kind.TUPLE,
        (
            Tag(Kind.OPTION, (Tag(Kind.U8),)),
            Tag(Kind.RESULT, (Tag(Kind.TUPLE), Tag(Kind.LIST, (Tag(Kind.STRING),)))),
            Tag(Kind.FLAGS),
            Tag(Kind.STRING),
            Tag(Kind.TUPLE),
            Tag(Kind.VARIANT, name="shape"),
        ),
    )


def test_long_values_are_cut_in_messages():
    with pytest.raises(TypeMismatch) as refused:
        value_codec(U8).encode("x" * 1000)
    assert len(refused.value.message) < 120
    with pytest.raises(TypeMismatch) as refused:
        value_codec(U8).encode(list(range(1000)))
    assert refused.value.message.endswith("…")


@pytest.mark.parametrize(
    ("plain", "kind"),
    [
        ([1, -2], Kind.S64),
        ([1, 2**63], Kind.U64),
        ([0.5, -0.0, float("nan")], Kind.F64),
        ([True, False], Kind.BOOL),
    ],
)
def test_long_lists_of_one_kind_of_number_are_inferred_as_one_array(plain, kind):
    assert infer(plain).elem is kind
    assert repr(plain_of(infer(plain))) == repr(plain)
    started = time.thread_time()
    infer([plain[0]] * 1_000_000)
    assert time.thread_time() - started < 1


def test_numbers_that_fit_into_no_one_kind_are_refused_or_mixed():
    assert isinstance(infer([-1, 2**63]), ListValue)
    with pytest.raises(TypeMismatch, match=r"\[1\].*64 bits"):
        infer([1, 2**64])
    with pytest.raises(TypeMismatch, match=r"\[1\]"):
        infer([0.5, float("inf")], json=True)


@pytest.mark.parametrize(
    ("type_", "plain", "nodes"),
    [
        (ListOf(Scalar.STRING), ["x"] * 99, 100),
        (ListOf(OptionOf(Scalar.U8)), [1] * 49, 99),
        (ListOf(Dynamic()), [1] * 99, 100),
        (Dynamic(), ["x"] * 99, 100),
        (Dynamic(), [[1, 2, 3]] * 99, 100),
        (Dynamic(), {str(key): "x" for key in range(99)}, 100),
        (Dynamic(), [{"a": "x"}] * 49, 99),
        (Dynamic(), [1, True] * 49, 99),
        (Dynamic(), [0.5] * 100_000, 1),
        (ListOf(Scalar.F64), [0.5] * 100_000, 1),
    ],
)
def test_parameters_with_too_many_nodes_are_refused_before_they_are_made(type_, plain, nodes):
    codec = FunctionCodec(Function("f", (Param("v", type_),), None), False)
    assert codec.encode_params([plain], max_nodes=100).count == codec.encode_params([plain]).count == nodes
    more = {str(key): "x" for key in range(1_000)} if isinstance(plain, dict) else plain * 1_000
    if nodes > 1:
        started = time.thread_time()
        with pytest.raises(TooLarge, match=r"more than 100 nodes.*decode_nodes"):
            codec.encode_params([more], max_nodes=100)
        assert time.thread_time() - started < 0.1


def test_a_large_value_is_shown_by_its_beginning_at_once():
    codec = value_codec(Scalar.U8)
    deep = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}
    large = [[[1] * 10] * 500_000, {str(key): [key] for key in range(300_000)}, deep]
    started = time.thread_time()
    for value in large:
        with pytest.raises(TypeMismatch, match=r"found (list|dict) .{1,45}$"):
            codec.encode(value)
    assert time.thread_time() - started < 0.2
    with pytest.raises(TypeMismatch, match=r"found dict {'a': {'b': {'c': {'d': {'e': {'f': {…}}…"):
        codec.encode(deep)
