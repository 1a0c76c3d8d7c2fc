"""The value model, CGRF and the literal form against vectors, most of which real guests wrote."""

import json
import struct
from pathlib import Path

import pytest

from theater_bus.core.values.cgrf import decode, encode, encode_subtree, parse
from theater_bus.core.values.model import (
    FloatValue,
    Kind,
    OptionValue,
    RecordValue,
    ResultValue,
    ScalarValue,
    Tag,
    TupleValue,
    VariantValue,
    list_of,
)
from theater_bus.core.values.text import format_value, parse_value
from theater_bus.errors import SerializationError

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
TYPED = [v for v in VECTORS["values"] if "hex" in v]


def tag_from(description):
    if isinstance(description, str):
        return Tag(Kind[description.upper()])
    ((kind, args),) = description.items()
    if kind in ("record", "variant"):
        return Tag(Kind[kind.upper()], name=args)
    return Tag(Kind[kind.upper()], tuple(tag_from(a) for a in (args if isinstance(args, list) else [args])))


def value_from(v):
    kind = v["t"]
    match kind:
        case "list":
            return list_of(tag_from(v["elem"]), [value_from(i) for i in v["items"]])
        case "tuple":
            return TupleValue(tuple(value_from(i) for i in v["items"]))
        case "option":
            return OptionValue(tag_from(v["inner"]), None if v["v"] is None else value_from(v["v"]))
        case "result":
            return ResultValue(tag_from(v["ok"]), tag_from(v["err"]), v["tag"] == "ok", value_from(v["v"]))
        case "record":
            return RecordValue(v["name"], tuple((name, value_from(f)) for name, f in v["fields"]))
        case "variant":
            return VariantValue(v["name"], v["case"], v["tag"], tuple(value_from(p) for p in v["payload"]))
        case "f32" | "f64":
            number = v["v"]
            if isinstance(number, str) and number.startswith("nan:"):
                return FloatValue(Kind[kind.upper()], int(number[4:], 16))
            return FloatValue.of(Kind[kind.upper()], float(number))
        case _:
            return ScalarValue(Kind[kind.upper()], v["v"])


@pytest.mark.parametrize("vector", TYPED, ids=lambda v: v["id"])
def test_vector_value_encodes_to_the_bytes_of_real_guests_and_back(vector):
    value, data = value_from(vector["value"]), bytes.fromhex(vector["hex"])
    assert encode(value) == data
    assert decode(data) == value
    assert parse(data) == encode_subtree(value)
    assert parse(data).standalone() == data


@pytest.mark.parametrize("vector", VECTORS["invalid_or_lenient"], ids=lambda v: v["id"])
def test_malformed_and_lenient_buffers_get_the_verdict_of_real_guests(vector):
    data = bytes.fromhex(vector["hex"])
    if vector["verdict"] == "reject":
        for read in (decode, parse):
            with pytest.raises(SerializationError):
                read(data)
        return
    assert encode(decode(data)).hex() == vector["canonical_hex"]
    assert parse(data).standalone().hex() == vector["canonical_hex"]
    if "value" in vector:
        assert decode(data) == value_from(vector["value"])


@pytest.mark.parametrize("call", VECTORS["calls"] + VECTORS["host_calls"], ids=lambda v: v.get("export") or v["name"])
def test_recorded_calls_of_real_guests_reencode_byte_for_byte(call):
    for side in ("input", "output", "arg"):
        if side in call:
            assert encode(value_from(call[side])) == bytes.fromhex(call[f"{side}_hex"])


@pytest.mark.parametrize("vector", VECTORS["metadata"], ids=lambda v: v["module"])
def test_metadata_blobs_of_real_guests_survive_decoding_and_encoding(vector):
    data = bytes.fromhex(vector["hex"])
    assert encode(decode(data)) == data
    subtree = parse(data)
    assert subtree.standalone() == data
    indices = [struct.unpack_from("<I", subtree.nodes, at)[0] for at in subtree.fixups]
    assert sorted(indices) == list(range(subtree.count - 1))


@pytest.mark.parametrize("vector", VECTORS["text_form"], ids=lambda v: v["text"])
def test_literal_text_of_real_guests_is_written_and_read_back(vector):
    value = value_from(vector["value"])
    assert format_value(value) == vector["text"]
    again = parse_value(vector["text"])
    assert format_value(again) == vector["text"]
    if not isinstance(value, VariantValue) and "nan" not in str(vector["value"]):
        assert again == value
