"""Declared types and interfaces as text."""

from __future__ import annotations

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.pact import format_interface, format_type, parse
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
    SelfRef,
    TupleOf,
    Type,
    Unit,
    Variant,
)


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (Scalar.U8, "u8"),
        (Dynamic(), "value"),
        (Unit(), "_"),
        (SelfRef(), "self"),
        (ListOf(OptionOf(Scalar.BOOL)), "list<option<bool>>"),
        (ResultOf(None, Scalar.STRING), "result<_, string>"),
        (ResultOf(Unit(), None), "result<tuple<>, _>"),
        (TupleOf((Scalar.U8, Unit())), "tuple<u8, _>"),
        (TupleOf(()), "tuple<>"),
        (Record("point", ()), "point"),
        (Variant("", ()), "variant"),
        (Flags("1st flag", ()), "_1st_flag"),
    ],
)
def test_a_type_is_written_as_pact_has_it(type: Type, text: str) -> None:
    assert format_type(type) == text


def test_an_interface_is_written_with_every_type_that_it_needs() -> None:
    source = """interface shapes {
    @package: string = "my:app"
    flags perm {
        read,
        write,
    }
    record point {
        x: s32,
        may: perm,
    }
    variant shape {
        dot(point),
        group(list<self>),
        none,
    }
    exports {
        area: func(of: shape) -> result<f64, string>
        clear: func()
        list: func(from: option<point>) -> tuple<>
    }
}
"""
    assert format_interface(parse(source).interfaces[0]) == source


def test_an_interface_without_name_is_written_without_a_frame() -> None:
    assert format_interface(Interface("", (Function("f", (), None),))) == "exports {\n    f: func()\n}\n"
    assert format_interface(Interface("x", ())) == "interface x {\n    exports {\n    }\n}\n"


def test_different_types_of_one_name_and_reserved_names_are_told_apart() -> None:
    a, b = Record("r", (Field("x", Scalar.U8),)), Record("r", (Field("y", Scalar.U8),))
    c = Record("string", ())
    d = Variant("", (Case("c", a),))
    types: tuple[Type, ...] = (a, b, c, d, a)
    function = Function("f", tuple(Param(f"p{n}", type) for n, type in enumerate(types)), None)
    interface = Interface("x", (function,))
    text = format_interface(interface)
    assert "f: func(p0: r, p1: r-2, p2: string-2, p3: variant, p4: r)" in text
    assert interface_hash(parse(text).interfaces[0]) == interface_hash(interface)


def test_names_that_are_no_identifiers_are_made_harmless() -> None:
    evil = "\x1b[31m\n} exports {"
    record = Record(evil, (Field(evil, Scalar.U8),))
    flags, variant = Flags("f", ("", evil)), Variant("v", (Case(evil, None), Case("", None)))
    params = (Param(evil, record), Param("", flags), Param("1", variant))
    text = format_interface(Interface(f"{evil}:/{evil}", (Function(evil, params, record),)))
    assert "\x1b" not in text
    assert text.count("exports {") == 1
    assert interface_hash(parse(text).interfaces[0])
