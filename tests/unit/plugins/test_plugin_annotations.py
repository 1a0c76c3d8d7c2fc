"""Annotations against the plain forms of the wire protocol, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NewType, NoReturn, Optional, TypedDict, TypeVar

import pytest

from theater_bus.core.values.codec import Err, Ok, value_codec
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Type
from theater_bus.plugins.annotation import arrives_as, gives, shown, takes

T = TypeVar("T")
Key = NewType("Key", str)


class Point(TypedDict):
    x: int
    y_axis: str | None


class Loaded(TypedDict):
    circle: float


class Pair(NamedTuple):
    a: int
    b: str


TYPES = """
    record point { x: u32, y-axis: option<string> }
    variant shape { circle(f64), nothing }
    enum level { low, high }
    flags access { read, write }
    variant tree { leaf(string), node(list<self>) }
"""


def declared(text: str) -> Type:
    return parse(f"{TYPES}\nexports {{ f: func(x: {text}) }}").exports[0].functions[0].params[0].type


BOTH = [
    ("bool", bool, True),
    ("u8", int, True),
    ("s64", int, True),
    ("u64", bool, False),
    ("u64", float, False),
    ("u64", str, False),
    ("f32", float, True),
    ("char", str, True),
    ("string", str, True),
    ("string", Key, True),
    ("string", Annotated[str, "a name"], True),
    ("string", bytes, False),
    ("string", Any, True),
    ("string", object, True),
    ("string", T, True),
    ("list<u8>", bytes, True),
    ("list<u8>", str, False),
    ("list<u32>", list[int], True),
    ("list<u32>", list, True),
    ("list<u32>", Sequence[int], True),
    ("list<u32>", Iterable[int], True),
    ("list<u32>", list[str], False),
    ("list<u32>", bytes, False),
    ("list<string>", list[Any], True),
    ("list<list<u8>>", list[bytes], True),
    ("tuple<u32, string>", list[int | str], True),
    ("tuple<u32, string>", list[Any], True),
    ("tuple<u32, string>", list[bytes], False),
    ("option<u32>", int | None, True),
    ("option<u32>", Optional[int], True),  # noqa: UP045
    ("option<list<u8>>", bytes | None, True),
    ("option<option<u32>>", dict[str, Any] | None, True),
    ("option<u32>", str | None, False),
    ("result<u32, string>", dict[str, int | str], True),
    ("result<u32, string>", dict[str, Any], True),
    ("result<u32, string>", int, False),
    ("point", dict[str, Any], True),
    ("point", Mapping[str, Any], True),
    ("point", dict, True),
    ("point", Point, True),
    ("point", Loaded, False),
    ("point", dict[str, int | str | None], True),
    ("point", dict[str, bytes], False),
    ("point", list, False),
    ("shape", str | dict[str, float], True),
    ("shape", Any, True),
    ("shape", int, False),
    ("level", str, True),
    ("level", Literal["low", "high"], True),
    ("level", dict, False),
    ("access", list[str], True),
    ("access", list[int], False),
    ("_", None, True),
    ("tree", dict[str, Any], True),
    ("value", int, True),
    ("value", dict[str, bytes], True),
]


@pytest.mark.parametrize(("text", "hint", "agrees"), BOTH)
def test_annotations_that_agree_or_not_both_ways(text: str, hint: Any, agrees: bool) -> None:
    type_ = declared(text)
    assert takes(hint, type_) is agrees
    assert gives(hint, type_) is agrees


@pytest.mark.parametrize(
    ("text", "hint", "taken", "given"),
    [
        ("bool", int, True, False),
        ("u64", int | str, True, False),
        ("f64", int, False, True),
        ("option<u32>", int, False, True),
        ("option<u32>", None, False, True),
        ("u32", int | None, True, False),
        ("list<u8>", bytearray, False, True),
        ("list<u8>", memoryview, False, True),
        ("list<u8>", list[int], False, True),
        ("list<u32>", tuple[int, ...], False, True),
        ("tuple<u32, string>", tuple[int, str], False, True),
        ("tuple<u32, string>", tuple[str, int], False, False),
        ("tuple<u32, string>", tuple[int], False, False),
        ("tuple<u32, string>", tuple[int | str, ...], False, True),
        ("tuple<u32, string>", Pair, False, True),
        ("access", int, False, True),
        ("shape", str, False, True),
        ("shape", Loaded, False, True),
        ("level", Literal["low"], False, True),
        ("level", Literal["low", "high", "off"], True, False),
        ("string", Literal["a"], False, True),
        ("u32", Literal[1, 2], False, True),
        ("u32", Literal["a"], False, False),
        ("result<u32, string>", Ok | Err, False, True),
        ("u32", NoReturn, False, True),
    ],
)
def test_annotations_that_agree_one_way_only(text: str, hint: Any, taken: bool, given: bool) -> None:
    assert (takes(hint, declared(text)), gives(hint, declared(text))) == (taken, given)


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("u64", "int"),
        ("option<list<u8>>", "bytes | None"),
        ("list<tuple<u32, string>>", "list[list[int | str]]"),
        ("shape", "str | dict[str, Any]"),
        ("access", "list[str]"),
        ("value", "Any"),
        ("_", "None"),
    ],
)
def test_the_annotation_to_write_agrees_both_ways(text: str, annotation: str) -> None:
    written = arrives_as(declared(text))
    assert written == annotation
    hint = eval(written, {"Any": Any})
    assert takes(hint, declared(text))
    assert gives(hint, declared(text))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("bool", [True]),
        ("s8", [-3]),
        ("f64", [1.5]),
        ("char", ["x"]),
        ("list<u8>", [b"ab"]),
        ("list<u32>", [[1, 2]]),
        ("tuple<u32, string>", [[1, "a"]]),
        ("tuple<>", [[]]),
        ("option<u32>", [None, 1]),
        ("option<option<u32>>", [None, {"some": None}]),
        ("result<u32, string>", [{"ok": 1}, {"err": "a"}]),
        ("point", [{"x": 1, "y-axis": None}]),
        ("shape", ["nothing", {"circle": 1.0}]),
        ("level", ["low"]),
        ("access", [["read"]]),
        ("_", [None]),
    ],
)
def test_what_the_codecs_really_give_is_what_the_check_says_arrives(text: str, values: list[Any]) -> None:
    type_ = declared(text)
    codec = value_codec(type_)
    hints = arrives_as(type_)
    for value in values:
        arrived = codec.decode(codec.encode(value))
        assert arrived == value
        name = "None" if arrived is None else type(arrived).__name__
        assert name in [one.partition("[")[0] for one in hints.split(" | ")]


def test_annotations_are_shown_as_people_write_them() -> None:
    assert shown(None) == shown(type(None)) == "None"
    assert shown(int) == "int"
    assert shown(list[int]) == "list[int]"
    assert shown(int | None) == "int | None"
