"""CGRF against hostile buffers, and the encoder against values that have no encoding."""

import struct
import time

import pytest

from theater_bus.core.values.cgrf import Limits, decode, encode, encode_subtree, parse
from theater_bus.core.values.cgrf_encode import encode_tag
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
    list_of,
    tag_of,
)
from theater_bus.core.values.subtree import HEADER, Subtree, relocate
from theater_bus.errors import SerializationError

U32_MAX = 0xFFFFFFFF
STRING_TAG = bytes((Kind.STRING,))


def buffer(*nodes, root=None, count=None):
    body = b"".join(struct.pack("<II", kind, len(payload)) + payload for kind, payload in nodes)
    count = len(nodes) if count is None else count
    return HEADER.pack(b"CGRF", 2, 0, count, count - 1 if root is None else root) + body


def u32(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def refuse(data, saying, **limits):
    for read in (decode, parse):
        with pytest.raises(SerializationError, match=saying):
            read(data, Limits(**limits))


U8_NODE = (Kind.U8, b"\7")


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (b"", "shorter than its header"),
        (buffer(U8_NODE)[:20], "1 nodes, more than"),
        (HEADER.pack(b"CGRF", 2, 0, 2, 0) + bytes(12) + b"\x0c\0\0\0\0\0\0\0", "unknown kind 0"),
        (buffer((Kind.U8, bytes(4)), count=2, root=0) + bytes(4), "ends within the node"),
        (buffer((Kind.U8, b"\7"))[:-1] + b"", "longer than the buffer"),
        (HEADER.pack(b"CGRF", 2, 0, 0, 0), "root 0 is outside"),
        (b"XGRF" + buffer(U8_NODE)[4:], "not CGRF version 2"),
        (HEADER.pack(b"CGRF", 2, 0, U32_MAX, 0) + bytes(64), "4294967295 nodes"),
        (buffer((Kind.TUPLE, u32(U32_MAX))), "4294967295 items cannot lie"),
        (buffer((Kind.LIST, STRING_TAG + u32(U32_MAX))), "4294967295 items cannot lie"),
        (buffer((Kind.RECORD, u32(0, U32_MAX))), "4294967295 items cannot lie"),
        (buffer((Kind.VARIANT, u32(0, 0, 0, U32_MAX))), "4294967295 items cannot lie"),
        (buffer((Kind.LIST, bytes((Kind.TUPLE,)) + u32(U32_MAX, 0))), "4294967295 items cannot lie"),
        (buffer((Kind.ARRAY, bytes((Kind.U64,)) + u32(U32_MAX))), "4294967295 items cannot lie"),
        (buffer((Kind.ARRAY, bytes((Kind.STRING,)) + u32(0))), "not fixed-width"),
        (buffer((Kind.LIST, bytes((Kind.U8,)) + u32(0))), "must be an array"),
        (buffer((Kind.LIST, bytes((Kind.ARRAY,)) + u32(0))), "unknown type tag 21"),
        (buffer((Kind.LIST, b"\0" + u32(0))), "unknown type tag 0"),
        (buffer((Kind.LIST, b"")), "needs 1 bytes"),
        (buffer((Kind.OPTION, STRING_TAG)), "needs 1 bytes"),
        (buffer((Kind.OPTION, STRING_TAG + b"\1" + u32(9))), "child index 9 is outside"),
        (buffer((Kind.TUPLE, u32(1, 9))), "child index 9 is outside"),
        (buffer((Kind.RESULT, STRING_TAG * 2 + u32(0) + b"\0" + u32(0))), "result without payload"),
        (buffer((Kind.VARIANT, u32(0, 1, 0, 0))), "trailing|needs|fill"),
        (buffer((Kind.VARIANT, u32(9, 0))), "needs 9 bytes"),
        (buffer((Kind.RECORD, u32(1))), "needs 1 bytes"),
        (buffer((Kind.RECORD, u32(0))), "needs 4 bytes"),
        (buffer(U8_NODE, (Kind.RECORD, u32(0, 1, 9, 0))), "needs 9 bytes"),
        (buffer(U8_NODE, (Kind.RECORD, u32(0, 1, 0, 0) + b"x")), "do not fill"),
        (buffer((Kind.STRING, u32(2) + b"\xff\xff")), "invalid UTF-8"),
        (buffer((Kind.STRING, u32(3) + b"\xed\xa0\x80")), "invalid UTF-8"),
        (buffer((Kind.STRING, b"\1")), "needs 4 bytes"),
        (buffer((Kind.CHAR, u32(0xD800))), "no Unicode scalar"),
        (buffer((Kind.ARRAY, bytes((Kind.CHAR,)) + u32(2, 65, 0x110000))), "no Unicode scalar"),
        (buffer((Kind.BOOL, b"\2")), "bool is 2"),
        (buffer((Kind.U64, bytes(7))), "needs 8 bytes"),
        (buffer((Kind.LIST, bytes((Kind.RECORD,)) + u32(4) + b"\xff\xff\xff\xff" + u32(0))), "invalid UTF-8"),
    ],
)  # fmt: skip
def test_hostile_buffer_is_refused_with_what_is_wrong(data, saying):
    refuse(data, saying)


def test_node_that_begins_beyond_the_buffer_is_refused():
    data = buffer(U8_NODE, (Kind.STRING, u32(12) + b"x" * 12), count=4)
    refuse(data, "ends within the node")


def test_nested_type_tags_are_capped_at_256_levels():
    deep = bytes((Kind.OPTION,)) * 255 + STRING_TAG
    data = buffer((Kind.OPTION, deep + b"\0"))
    assert encode(decode(data)) == parse(data).standalone() == data
    refuse(buffer((Kind.OPTION, bytes((Kind.OPTION,)) + deep + b"\0")), "256 levels")
    refuse(buffer((Kind.OPTION, bytes((Kind.OPTION,)) * 100_000 + b"\0")), "256 levels")
    refuse(buffer((Kind.OPTION, bytes((Kind.RESULT,)) * 100_000 + b"\0")), "256 levels")


def chain(levels):
    nodes = [(Kind.TUPLE, u32(0))]
    nodes += [(Kind.TUPLE, u32(1, i)) for i in range(levels - 1)]
    return buffer(*nodes)


def test_values_are_capped_at_256_levels_in_any_order_of_nodes():
    assert parse(chain(256)).count == 256
    for levels in (257, 5_000):
        refuse(chain(levels), "256 levels")
    backwards = [(Kind.TUPLE, u32(1, i + 1)) for i in range(5_000)] + [(Kind.TUPLE, u32(0))]
    refuse(buffer(*backwards, root=0), "256 levels")


def test_a_large_buffer_that_is_not_canonical_is_refused_before_it_is_decoded():
    deep = chain(20_001)
    for hostile in (deep, buffer(*[U8_NODE] * 20_001)):
        with pytest.raises(SerializationError, match="not canonical, which above 20,000 nodes"):
            parse(hostile)
    with pytest.raises(SerializationError, match="256 levels"):
        decode(deep)  # what the refusal would say if it had looked inside first
    wide = buffer(*[U8_NODE] * 20_001, (Kind.TUPLE, u32(20_001, *range(20_001))))
    assert parse(wide).count == 20_002


def test_a_small_buffer_does_not_expand_to_more_than_may_be_written_anew():
    doubling = [U8_NODE] + [(Kind.TUPLE, u32(2, i, i)) for i in range(17)]
    assert decode(buffer(*doubling))
    with pytest.raises(SerializationError, match="expands to 32767 values"):
        parse(buffer(*doubling))


def test_shared_children_are_counted_as_often_as_they_occur():
    doubling = [U8_NODE] + [(Kind.TUPLE, u32(2, i, i)) for i in range(40)]
    started = time.thread_time()
    refuse(buffer(*doubling), "expands to")
    assert time.thread_time() - started < 1
    big = [(Kind.STRING, u32(100_000) + b"x" * 100_000), (Kind.TUPLE, u32(1000, *([0] * 1000)))]
    refuse(buffer(*big), "over the limits")
    small = [U8_NODE] + [(Kind.TUPLE, u32(2, i, i)) for i in range(5)]
    assert parse(buffer(*small)).count == 63


def test_depth_of_a_shared_child_counts_where_it_is_used():
    nodes = [(Kind.TUPLE, u32(0)), *[(Kind.TUPLE, u32(1, i)) for i in range(200)]]
    nodes.append((Kind.TUPLE, u32(2, 200, 202)))
    nodes += [(Kind.TUPLE, u32(1, 203 + i)) for i in range(59)]
    nodes.append((Kind.TUPLE, u32(1, 200)))
    refuse(buffer(*nodes, root=201), "256 levels")
    assert parse(buffer(*nodes, root=210)).count == 201 + 52


def test_cycle_is_refused_where_it_is_reached_and_ignored_elsewhere():
    cycle = [(Kind.TUPLE, u32(1, 1)), (Kind.TUPLE, u32(1, 0))]
    refuse(buffer(*cycle), "its own ancestor")
    assert decode(buffer(*cycle, U8_NODE)) == ScalarValue(Kind.U8, 7)


def test_limits_on_bytes_nodes_and_values_are_named():
    data = encode(TupleValue((UNIT,) * 5))
    refuse(data, "limit of 50", max_bytes=50)
    refuse(data, "6 nodes", max_nodes=5)
    refuse(data, "over the limits of 5", max_values=5)
    compact = [(Kind.STRING, u32(4) + b"abcd"), (Kind.TUPLE, u32(4, 0, 0, 0, 0))]
    with pytest.raises(SerializationError, match="over the limit"):
        parse(buffer(*compact), Limits(max_bytes=107))
    assert len(parse(buffer(*compact), Limits(max_bytes=108)).standalone()) == 108


def test_bool_arrays_from_foreign_guests_are_made_canonical():
    data = buffer((Kind.ARRAY, bytes((Kind.BOOL,)) + u32(3) + b"\0\1\7"))
    assert decode(data) == ArrayValue(Kind.BOOL, b"\0\1\1")
    assert parse(data).standalone() == encode(ArrayValue(Kind.BOOL, b"\0\1\1"))


@pytest.mark.parametrize(
    ("value", "saying"),
    [
        (ScalarValue(Kind.U8, 256), "256 is no u8"),
        (ScalarValue(Kind.U8, True), "True is no u8"),
        (ScalarValue(Kind.BOOL, 1), "1 is no bool"),
        (ScalarValue(Kind.CHAR, "ab"), "no char"),
        (ScalarValue(Kind.CHAR, "\ud800"), "no char"),
        (ScalarValue(Kind.STRING, 5), "5 is no string"),
        (ScalarValue(Kind.STRING, "\ud800"), "lone surrogate"),
        (ScalarValue(Kind.F64, 1), "no f64"),
        (ScalarValue(Kind.LIST, 1), "no list"),
        (ArrayValue(Kind.U32, b"abc"), "no whole number"),
        (ArrayValue(Kind.BOOL, b"\2"), "no valid bool items"),
        (ArrayValue(Kind.CHAR, b"\0\xd8\0\0"), "no valid char items"),
        (ListValue(Tag(Kind.U8), ()), "is an array"),
        (VariantValue("", "c", -1), "no u32"),
        (FloatValue(Kind.F32, 2**32), "no f32"),
        (OptionValue(Tag(Kind.ARRAY), None), "no type tag"),
    ],
)
def test_value_without_an_encoding_is_refused(value, saying):
    with pytest.raises(SerializationError, match=saying):
        encode(value)


def test_encoder_caps_depth_of_values_and_tags_like_the_decoder():
    value, tag = UNIT, Tag(Kind.STRING)
    for _ in range(255):
        value, tag = TupleValue((value,)), Tag(Kind.OPTION, (tag,))
    assert encode(decode(encode(value))) == encode(value) == chain(256)
    with pytest.raises(SerializationError, match="256 levels"):
        encode(TupleValue((value,)))
    assert len(encode_tag(tag)) == 256
    with pytest.raises(SerializationError, match="256 levels"):
        encode_tag(Tag(Kind.OPTION, (tag,)))


def test_wide_tuples_take_the_same_bytes_as_narrow_ones():
    for count in (15, 16, 17, 300):
        value = TupleValue((UNIT,) * count)
        assert decode(encode(value)) == value
        assert parse(encode(value)) == encode_subtree(value)


def test_list_of_refuses_items_of_another_kind():
    with pytest.raises(ValueError, match="list of u8"):
        list_of(Tag(Kind.U8), [ScalarValue(Kind.U16, 1)])
    with pytest.raises(ValueError, match="list of u8"):
        list_of(Tag(Kind.U8), [UNIT])
    assert list_of(Tag(Kind.CHAR), [ScalarValue(Kind.CHAR, "é")]).items() == (ScalarValue(Kind.CHAR, "é"),)
    assert len(list_of(Tag(Kind.F32), [FloatValue.of(Kind.F32, 1.5)])) == 1


def test_tag_of_describes_every_kind_of_value():
    string = Tag(Kind.STRING)
    assert tag_of(ArrayValue(Kind.U8, b"")) == Tag(Kind.LIST, (Tag(Kind.U8),))
    assert tag_of(ListValue(string, ())) == Tag(Kind.LIST, (string,))
    assert tag_of(OptionValue(string, None)) == Tag(Kind.OPTION, (string,))
    assert tag_of(ResultValue(string, string, True, UNIT)) == Tag(Kind.RESULT, (string, string))
    assert tag_of(RecordValue("r", ())) == Tag(Kind.RECORD, name="r")
    assert tag_of(VariantValue("v", "c", 0)) == Tag(Kind.VARIANT, name="v")
    assert tag_of(TupleValue((UNIT, FloatValue(Kind.F32, 0)))) == Tag(Kind.TUPLE, (Tag(Kind.TUPLE), Tag(Kind.F32)))


def test_relocation_moves_child_indices_and_nothing_else():
    subtree = encode_subtree(TupleValue((UNIT, UNIT)))
    assert relocate(subtree.nodes, subtree.fixups, 0) is subtree.nodes
    moved = relocate(subtree.nodes, subtree.fixups, 5)
    assert relocate(moved, subtree.fixups, -5) == subtree.nodes
    assert moved[:-8] == subtree.nodes[:-8]
    assert moved[-8:] == u32(5, 6)
    assert hash(subtree) == hash(Subtree(subtree.nodes, 3, subtree.fixups))
