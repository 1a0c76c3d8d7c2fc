"""`pack.h` reads and writes every kind of value, and its allocator gives back what it is given."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.cgrf import decode, encode
from theater_bus.core.values.codec import Err, Ok, value_codec
from theater_bus.core.values.model import (
    ArrayValue,
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
from theater_bus.testing.guests import build_guest

LIBRARY = build_guest(Path(__file__).parent / "library" / "library.c")
TEXT = ScalarValue(Kind.STRING, "text")
SCALARS = {
    "bool": True,
    "u8": 255,
    "u16": 65535,
    "u32": (1 << 32) - 1,
    "u64": (1 << 64) - 1,
    "s8": -128,
    "s16": -32768,
    "s32": -(1 << 31),
    "s64": -(1 << 63),
    "f32": -0.5,
    "f64": math.pi,
    "char": "漢",
    "flags": 5,
    "string": "text",
    "bytes": b"\0\1\xff",
}
ZEROS = {name: type(value)() if name != "char" else "\0" for name, value in SCALARS.items()}


@pytest.fixture
async def library(load: Any) -> Any:
    return await load(LIBRARY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scalars", SCALARS),
        ("scalars", ZEROS),
        ("shape", {"circle": 1.5}),
        ("shape", {"rectangle": [1.0, -2.0]}),
        ("shape", "nothing"),
        ("option", None),
        ("option", ""),
        ("option", "some"),
        ("results", []),
        ("results", [Ok(1), Err("no"), Ok(2), Err("")]),
        ("pairs", []),
        ("pairs", [["a", 1], ["", 2], ["c" * 5000, 3]]),
    ],
)
async def test_a_value_that_is_read_and_written_is_the_same(library: Any, name: str, value: Any) -> None:
    declared = value_codec(library.exports[name].function.params[0].type)
    assert (await library.outcome(name, value)).plain() == declared.decode(declared.encode(value))


@pytest.mark.parametrize(
    "value",
    [
        ScalarValue(Kind.U8, 1),
        TupleValue(()),
        TupleValue((TEXT, TEXT)),
        ListValue(Tag(Kind.STRING), (TEXT, TEXT, TEXT)),
        ListValue(Tag(Kind.TUPLE, (Tag(Kind.LIST, (Tag(Kind.U8),)), Tag(Kind.RECORD, name="r"))), (TEXT,)),
        ArrayValue(Kind.U32, bytes(400)),
        RecordValue("r", (("a", TEXT), ("b", TupleValue((TEXT,))))),
        RecordValue("", ()),
        VariantValue("v", "case", 7, (TEXT, TEXT)),
        VariantValue("", "", 0),
        OptionValue(Tag(Kind.VARIANT, name="long name"), TEXT),
        OptionValue(Tag(Kind.STRING), None),
        ResultValue(
            Tag(Kind.OPTION, (Tag(Kind.TUPLE),)), Tag(Kind.RESULT, (Tag(Kind.U8), Tag(Kind.STRING))), True, TEXT
        ),
        ResultValue(Tag(Kind.U8), Tag(Kind.LIST, (Tag(Kind.RECORD, name="é"),)), False, TupleValue((TEXT,))),
    ],
)
async def test_children_are_found_whatever_stands_before_them(library: Any, value: Any) -> None:
    result = await library.raw("measure", encode(TupleValue((TupleValue((value,)),))))
    nodes, depth = measured(value)
    assert decode(result.output) == TupleValue((ScalarValue(Kind.U32, nodes), ScalarValue(Kind.U32, depth)))


def measured(value: Any) -> tuple[int, int]:
    """Nodes below a value, and how deep the deepest is."""
    children: Any = ()
    if isinstance(value, TupleValue | ListValue):
        children = value.items
    elif isinstance(value, RecordValue):
        children = [child for _, child in value.fields]
    elif isinstance(value, VariantValue):
        children = value.payload
    elif isinstance(value, OptionValue | ResultValue):
        children = [] if value.value is None else [value.value]
    found = [measured(child) for child in children]
    return sum(1 + nodes for nodes, _ in found), max((1 + depth for _, depth in found), default=0)


async def test_memory_is_reused_whatever_the_sizes(library: Any) -> None:
    words = [["w" * (n * 37 % 3000), n] for n in range(60)]
    await library.call("pairs", words)
    size = library.instance.memory_bytes
    for n in range(300):
        await library.call("pairs", words[n % 7 :: 1 + n % 5])
    assert library.instance.memory_bytes == size


async def test_what_the_guest_cannot_read_is_its_message(library: Any) -> None:
    shifted = struct.pack("<4sHHII", b"CGRF", 2, 0, 1, 0) + struct.pack("<II", 0x0F, 8) + bytes(8)
    for name in ("scalars", "shape", "option", "results", "pairs", "measure"):
        result = await library.raw(name, shifted)
        assert result.failure is None
        assert result.output == b"failed to convert parameter"
    result = await library.raw("scalars", shifted.replace(b"CGRF", b"CGRE"))
    assert result.output == b"decode error: not CGRF version 2"
    result = await library.raw("scalars", shifted[:-1])
    assert result.output == b"decode error: cut short"
    result = await library.raw("scalars", shifted[:8] + b"\xff\xff\xff\xff" + shifted[12:])
    assert result.output == b"decode error: wrong number of nodes"
