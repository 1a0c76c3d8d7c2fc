"""Values nested as deep as allowed pass everywhere, one level more is refused, however deep the caller's stack is."""

import json

import pytest

from theater_bus.core.values.cgrf import decode, encode, encode_subtree, parse
from theater_bus.core.values.codec import function_codec, value_codec
from theater_bus.core.values.model import (
    Kind,
    OptionValue,
    RecordValue,
    ResultValue,
    Tag,
    TupleValue,
    VariantValue,
    list_of,
)
from theater_bus.core.values.nodes import MAX_DEPTH
from theater_bus.core.values.text import format_tag, format_value, parse_value
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Function,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Variant,
)
from theater_bus.errors import SerializationError, TypeMismatch

U8 = Tag(Kind.U8)
STRING = Tag(Kind.STRING)
WRAPPERS = {
    "tuple": lambda value: TupleValue((value,)),
    "list": lambda value: list_of(STRING, (value,)),
    "option": lambda value: OptionValue(STRING, value),
    "result": lambda value: ResultValue(STRING, STRING, True, value),
    "record": lambda value: RecordValue("r", (("f", value),)),
    "variant": lambda value: VariantValue("v", "c", 0, (value,)),
}
NESTED_TYPES = {
    "option": (Record("r", (Field("f", OptionOf(SelfRef())),)), {"f": None}, lambda plain: {"f": plain}),
    "record": (OptionOf(Record("r", (Field("f", OptionOf(SelfRef())),))), {"f": None}, lambda plain: {"f": plain}),
    "list": (Variant("v", (Case("c", ListOf(SelfRef())),)), {"c": []}, lambda plain: {"c": [plain]}),
    "spread": (
        Variant("v", (Case("end", None), Case("c", TupleOf((SelfRef(), Scalar.U8))))),
        "end",
        lambda plain: {"c": [plain, 1]},
    ),
    "result": (
        Record("r", (Field("f", ResultOf(SelfRef(), None)),)),
        {"f": {"err": None}},
        lambda plain: {"f": {"ok": plain}},
    ),
    "tuple": (
        Variant("v", (Case("end", None), Case("c", TupleOf((SelfRef(),))))),
        "end",
        lambda plain: {"c": [plain]},
    ),
}


def deeper(frames, call):
    return call() if not frames else deeper(frames - 1, call)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_the_deepest_value_passes_decoder_scanner_plain_form_and_text(wrap):
    value = TupleValue(())
    for _ in range(MAX_DEPTH - 1):
        value = wrap(value)

    def passes():
        data = encode(value)
        assert encode(decode(data)) == data
        assert parse(data).standalone() == data
        codec = value_codec(Dynamic())
        codec.decode(codec.check(data))
        codec.decode_json(parse(data))
        assert format_value(parse_value(format_value(value))) == format_value(value)

    deeper(300, passes)
    with pytest.raises(SerializationError, match="256 levels"):
        encode(wrap(value))
    with pytest.raises(SerializationError, match="256 levels"):
        parse_value(format_value(wrap(value)))


def deepest(codec, plain, wrap):
    for _ in range(MAX_DEPTH + 1):
        try:
            codec.encode(wrap(plain))
        except TypeMismatch as error:
            return plain, error.message
        plain = wrap(plain)
    raise AssertionError("no depth is too much")


@pytest.mark.parametrize(("type_", "end", "wrap"), NESTED_TYPES.values(), ids=NESTED_TYPES)
def test_the_deepest_value_of_a_recursive_type_passes_every_codec(type_, end, wrap):
    codec = value_codec(type_)
    plain, message = deepest(codec, end, wrap)
    assert "256 levels" in message

    def passes():
        subtree = codec.encode(plain)
        data = subtree.standalone()
        assert codec.check(data) == subtree
        assert codec.encode(codec.decode(subtree)) == subtree
        assert codec.encode_json(codec.decode_json(subtree)) == subtree
        return subtree.count

    assert deeper(300, passes) >= MAX_DEPTH - 2


def test_plain_values_nested_too_deep_are_refused_and_cost_little():
    plain = []
    for _ in range(MAX_DEPTH - 1):
        plain = [plain]
    codec = value_codec(Dynamic())
    subtree = deeper(300, lambda: codec.encode(plain))
    assert codec.decode(subtree) == plain
    assert codec.encode_json(json.loads(json.dumps(codec.decode_json(subtree)))) == subtree
    assert len(subtree.nodes) < 30 * MAX_DEPTH
    with pytest.raises(TypeMismatch, match="256 levels"):
        codec.encode([plain])
    twice = [plain[0], plain[0]]
    assert codec.decode(codec.encode(twice)) == twice
    wrapped = {"$cgrf": encode(decode(subtree.standalone()))}
    assert codec.encode(wrapped) == subtree
    with pytest.raises(TypeMismatch, match="256 levels"):
        codec.encode([wrapped])


def test_parameters_are_one_level_deeper_than_they_look():
    plain = []
    for _ in range(MAX_DEPTH - 2):
        plain = [plain]
    codec = function_codec(Function("f", (Param("x", Dynamic()),), None), False)
    assert decode(codec.encode_params([plain]).standalone)
    with pytest.raises(TypeMismatch, match="256 levels"):
        codec.encode_params([[plain]])


def test_nested_type_tags_are_written_and_read_as_text_to_the_same_depth():
    tag = U8
    for _ in range(255):
        tag = Tag(Kind.TUPLE, (tag,))
    text = f"none<{format_tag(tag)}>"
    assert format_value(parse_value(text)) == text
    assert encode_subtree(parse_value(text)).count == 1
    with pytest.raises(SerializationError, match="256 levels"):
        parse_value(f"none<tuple<{format_tag(tag)}>>")
