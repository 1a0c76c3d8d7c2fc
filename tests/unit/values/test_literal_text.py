"""The literal text form: what is written, what is read, and where reading stops."""

import pytest

from theater_bus.core.values.model import (
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
from theater_bus.core.values.text import format_value, parse_value
from theater_bus.errors import SerializationError

U8, STRING = Tag(Kind.U8), Tag(Kind.STRING)


def u8(number):
    return ScalarValue(Kind.U8, number)


def text(value):
    return ScalarValue(Kind.STRING, value)


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (ScalarValue(Kind.BOOL, False), "false"),
        (ScalarValue(Kind.U64, 2**64 - 1), "18446744073709551615u64"),
        (ScalarValue(Kind.FLAGS, 255), "flags(0xff)"),
        (ScalarValue(Kind.CHAR, '"'), "'\"'"),
        (ScalarValue(Kind.CHAR, "\\"), r"'\\'"),
        (text("\t\r\0\x7f'"), r'''"\t\r\u{0}\u{7f}'"'''),
        (FloatValue.of(Kind.F32, 3.4028234663852886e38), "340282350000000000000000000000000000000.0f32"),
        (FloatValue.of(Kind.F32, 1e-45), "0.000000000000000000000000000000000000000000001f32"),
        (FloatValue.of(Kind.F32, 16777216), "16777216.0f32"),
        (FloatValue.of(Kind.F32, 0.30000001192092896), "0.3f32"),
        (FloatValue.of(Kind.F32, 1.0000001192092896), "1.0000001f32"),
        (FloatValue(Kind.F32, 0xC2CE6F44), "-103.217316f32"),
        (FloatValue.of(Kind.F64, -0.0), "-0.0f64"),
        (FloatValue.of(Kind.F64, float("-inf")), "-inff64"),
        (FloatValue.of(Kind.F32, float("inf")), "inff32"),
        (FloatValue.of(Kind.F32, float("nan")), "NaNf32"),
        (ArrayValue(Kind.U8, b"\1\2"), "[1u8, 2u8]"),
        (ArrayValue(Kind.F32, b""), "[]<f32>"),
        (ListValue(Tag(Kind.RECORD, name="Point"), ()), "[]<record<Point>>"),
        (ListValue(STRING, (u8(1), text("x"))), '[1u8, "x"]'),
        (ListValue(STRING, (text("x"), u8(1))), '["x", 1u8]'),
        (OptionValue(Tag(Kind.VARIANT, name="a b"), None), 'none<variant<"a b">>'),
        (
            OptionValue(Tag(Kind.RESULT, (U8, Tag(Kind.TUPLE, (U8, STRING)))), None),
            "none<result<u8, tuple<u8, string>>>",
        ),
        (ResultValue(U8, STRING, False, TupleValue(())), "err<u8, string>(())"),
        (RecordValue("", ()), "{}"),
        (RecordValue("r", (("a-b", u8(1)), ("c d", u8(2)))), 'r{a-b: 1u8, "c d": 2u8}'),
        (RecordValue("two words", ()), '"two words"{}'),
        (RecordValue("NaNf64", ()), "NaNf64{}"),
        (RecordValue("inff32", ()), "inff32{}"),
        (RecordValue("true", ()), "true{}"),
        (VariantValue("none", "some", 0, (u8(1), u8(2))), "none::some(1u8, 2u8)"),
        (VariantValue('"', "", 0), r'''"\""::""'''),
    ],
)
def test_literal_is_written_and_read_back(value, literal):
    assert format_value(value) == literal
    assert parse_value(literal) == value


@pytest.mark.parametrize(
    ("spaced", "literal"),
    [
        (" ( 1u8 ,\n2u8 ) ", "(1u8, 2u8)"),
        ("[ ]< u8 >", "[]<u8>"),
        ("r{ a : 1u8 }", "r{a: 1u8}"),
        ("none< tuple< > >", "none<tuple<>>"),
        ("a:: b", "a::b"),
        (r'"\u{e9}\'"', '"é\'"'),
        ("flags( 0xFF )", "flags(0xff)"),
    ],
)
def test_white_space_and_other_escapes_are_understood(spaced, literal):
    assert format_value(parse_value(spaced)) == literal


@pytest.mark.parametrize(
    ("literal", "saying"),
    [
        ("", "column 1: expected a value, found 'the end'"),
        ("1u8 2u8", "column 5: expected the end, found '2u8'"),
        ("1", "a number with a matching suffix"),
        ("1.0u8", "a number with a matching suffix"),
        ("1f64", "a number with a matching suffix"),
        ("1u9", "a number with a matching suffix"),
        ("256u8", "a u8 in range"),
        ("-1u8", "a u8 in range"),
        ("9" * 60 + ".0f32", "a f32 in range"),
        ("(1u8", r"expected ','"),
        ("(1u8 2u8)", r"expected ','"),
        ("[]", "expected '<'"),
        ("[]<u8, u8>", "1 types in angle brackets"),
        ("[]<blob>", "a type before this"),
        ("[]<LIST<u8>>", "a type before this"),
        ("[]<array<u8>>", "a type before this"),
        ("[]<list<>>", "1 types in angle brackets"),
        ("[]<record<>>", "a name"),
        ("[]<tuple<u8 u8>>", "expected ','"),
        ("''", "one character"),
        ("'ab'", "one character"),
        ("'a", "a closing '"),
        ('"a', 'a closing "'),
        (r'"\q"', "an escape sequence"),
        (r'"\u{110000}"', "an escape sequence"),
        (r'"\u{}"', "an escape sequence"),
        (r'"\u{41"', "an escape sequence"),
        (r'"\u{d800}"', "no lone surrogates"),
        ('"\ud800"', "no lone surrogates"),
        ("word", "'{' or '::' after a name"),
        ("some<u8>", r"expected '\('"),
        ("some<u8>(1u8", r"expected '\)'"),
        ("ok<u8>(1u8)", "2 types in angle brackets"),
        ("flags(7)", "expected '0x'"),
        ("flags(0x)", "hexadecimal digits"),
        ("r{a 1u8}", "expected ':'"),
        ("r{a: 1u8 b: 2u8}", "expected ','"),
        ("r{1u8}", "a name"),
        ("::1", "a name"),
        ("[1u8, ?]", "column 7: expected a value"),
    ],
)
def test_reading_stops_with_the_column_and_what_was_expected(literal, saying):
    with pytest.raises(SerializationError, match=saying):
        parse_value(literal)
