"""Pact written as WIT: what stands in the text, which names it has, and what is refused."""

from __future__ import annotations

import pytest

from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import ResultOf, Scalar, SelfRef, Type, Unit, Variant
from theater_bus.core.values.wit import actor_wit, capability_wit
from theater_bus.core.values.wit_names import NotInWit, package_and_name, respelled
from theater_bus.core.values.wit_types import WitTypes
from theater_bus.errors import PactSyntaxError

CLOCK = parse(
    """// A clock.
interface clock {
    @package: string = "my:tools"
    record moment { Seconds: u64, sub_seconds: u32, type: zone }
    enum zone { utc, localTime }
    exports {
        // The time.
        now: func(in: zone) -> moment
        own:tools/alarm { ring: func() }
    }
}""",
    "clock.pact",
)


def written(*functions: str, types: str = "") -> str:
    """The functions of a capability with this pact, as WIT."""
    source = f'@package: string = "a:b"\n{types}\ninterface c {{\nexports {{\n' + "\n".join(functions) + "\n} }"
    return capability_wit(parse(source, "c.pact"))


def test_a_capability_is_written_with_its_comments_types_and_packages() -> None:
    assert capability_wit(CLOCK) == (
        "// Written from clock.pact.\n"
        "package my:tools;\n"
        "\n"
        "/// A clock.\n"
        "interface clock {\n"
        "    enum zone {\n"
        "        utc,\n"
        "        local-time,\n"
        "    }\n"
        "    record moment {\n"
        "        seconds: u64,\n"
        "        sub-seconds: u32,\n"
        "        %type: zone,\n"
        "    }\n"
        "    /// The time.\n"
        "    now: func(in: zone) -> moment;\n"
        "}\n"
        "\n"
        "package %own:tools {\n"
        "    interface alarm {\n"
        "        ring: func();\n"
        "    }\n"
        "}\n"
    )


def test_an_actor_is_a_world_with_its_state_first_and_all_that_it_imports() -> None:
    pact = parse(
        """
record tally { count: u64 }
imports {
    my:tools/clock.now
    my:tools/other { f: func() }
}
exports {
    theater:simple/actor.init: func(state: tally) -> result<tuple<tally>, string>
    // Adds.
    add: func(so-far: tally, state: u64) -> result<tuple<tally, u64>, string>
    version: func(a: u8) -> string
    my:tools/clock.chime: func(s: tally) -> result<tuple<tally>, string>
}""",
        "my_tally.pact",
    )
    (clock, _) = CLOCK.interfaces
    assert actor_wit(pact, {"my:tools/clock": clock}) == (
        "// Written from my_tally.pact.\n"
        "package actor:my-tally;\n"
        "\n"
        "world my-tally {\n"
        "    use actor:my-tally-types/types.{tally};\n"
        "    import my:tools/clock;\n"
        "    import my:tools/other;\n"
        "    /// Adds.\n"
        "    export add: func(state: tally, state2: u64) -> result<tuple<tally, u64>, string>;\n"
        "    export version: func(a: u8) -> string;\n"
        "    export theater:simple/actor;\n"
        "    export my:tools/clock-client;\n"
        "}\n"
        "\n"
        "package my:tools {\n"
        "    interface clock {\n"
        "        enum zone {\n"
        "            utc,\n"
        "            local-time,\n"
        "        }\n"
        "        record moment {\n"
        "            seconds: u64,\n"
        "            sub-seconds: u32,\n"
        "            %type: zone,\n"
        "        }\n"
        "        now: func(in: zone) -> moment;\n"
        "    }\n"
        "\n"
        "    interface other {\n"
        "        f: func();\n"
        "    }\n"
        "\n"
        "    interface clock-client {\n"
        "        use actor:my-tally-types/types.{tally};\n"
        "        chime: func(state: tally) -> result<tuple<tally>, string>;\n"
        "    }\n"
        "}\n"
        "\n"
        "package theater:simple {\n"
        "    interface actor {\n"
        "        use actor:my-tally-types/types.{tally};\n"
        "        init: func(state: tally) -> result<tuple<tally>, string>;\n"
        "    }\n"
        "}\n"
        "\n"
        "package actor:my-tally-types {\n"
        "    interface types {\n"
        "        record tally {\n"
        "            count: u64,\n"
        "        }\n"
        "    }\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("pact", "wit"),
    [
        ("list<option<bool>>", "list<option<bool>>"),
        ("map<string, u8>", "list<tuple<string, u8>>"),
        ("set<char>", "list<char>"),
        ("result<_, string>", "result<_, string>"),
        ("result<u8, _>", "result<u8>"),
        ("result<_, _>", "result"),
        ("result<tuple<>, string>", "result<_, string>"),
        ("tuple<u8, f64>", "tuple<u8, f64>"),
        ("value", "json"),
        ("list<value>", "list<json>"),
    ],
)
def test_a_type_is_written_as_wit_has_it(pact: str, wit: str) -> None:
    assert f"f: func(a: {wit}) -> {wit};" in written(f"f: func(a: {pact}) -> {pact}")


def test_named_types_are_declared_once_in_order_with_their_own_names() -> None:
    types = """
    flags may { read-it, WRITE }
    variant shape { circle(f64), list(list<record>), nothing }
    record record { may: may, %s: u8 }
    """.replace("%s", "stream")
    assert written("f: func(a: shape, b: may) -> record", types=types) == (
        "// Written from c.pact.\n"
        "package a:b;\n"
        "\n"
        "interface c {\n"
        "    flags may {\n"
        "        read-it,\n"
        "        write,\n"
        "    }\n"
        "    record %record {\n"
        "        may: may,\n"
        "        %stream: u8,\n"
        "    }\n"
        "    variant shape {\n"
        "        circle(f64),\n"
        "        %list(list<%record>),\n"
        "        nothing,\n"
        "    }\n"
        "    f: func(a: shape, b: may) -> %record;\n"
        "}\n"
    )


def test_any_value_and_types_that_contain_themselves_are_json() -> None:
    types = """
    record json { a: u8 }
    variant tree { leaf(string), node(list<self>) }
    record chain { next: option<self> }
    variant either { none, left(result<u8, self>), right(tuple<u8, self>) }
    record holder { tree: tree, none: list<result<tuple<u8, u8>, option<u8>>> }
    """
    text = written("f: func(a: json, b: value, c: tree, d: chain, e: either) -> holder", types=types)
    assert "    /// Any value, as JSON text.\n    type json2 = string;\n" in text
    assert (
        "    record holder {\n        tree: json2,\n        none: list<result<tuple<u8, u8>, option<u8>>>,\n    }\n"
        in text
    )
    assert "f: func(a: json, b: json2, c: json2, d: json2, e: json2) -> holder;" in text


def test_two_types_of_one_name_get_two() -> None:
    source = """@package: string = "a:b"
    interface x { record point { x: u8 } exports { f: func() -> point } }
    interface c {
        use x
        record Point { y: u8 }
        exports { g: func(a: point, b: Point) }
    }"""
    text = capability_wit(parse(source, "c.pact"))
    assert "g: func(a: point, b: point2);" in text
    assert text.count("record point {") == 2


def test_a_type_with_the_name_of_a_function_gets_another() -> None:
    types = "record point { x: u8 }"
    text = written("point: func(v: point) -> point", "json: func(v: value)", types=types)
    assert "point: func(v: point2) -> point2;" in text
    assert "json: func(v: json2);" in text
    text = actor_wit(parse(f"{types}\nexports {{ a:b/c {{ point: func(v: point) -> point }} }}", "p.pact"), {})
    assert "use actor:p-types/types.{point2};" in text
    assert "point: func(v: point2) -> point2;" in text


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("read-only", "read-only"),
        ("readOnly", "read-only"),
        ("READ_ONLY", "read-only"),
        ("__a__b_", "a-b"),
        ("sha_256", "sha256"),
        ("_1", "x1"),
    ],
)
def test_names_are_respelled_so_that_hosts_match_them(name: str, spelled: str) -> None:
    assert respelled(name) == spelled


@pytest.mark.parametrize(
    ("function", "types", "problem"),
    [
        ("get_it: func()", "", "`get_it` cannot be written in WIT: function 'get_it' is no WIT name"),
        ("f: func(a: tuple<>)", "", "WIT has no empty tuple"),
        ("f: func(a: list<_>)", "", "WIT has no empty tuple"),
        ("f: func(a: r)", "record r {}", "record 'r' is empty"),
        ("f: func(a: w)", f"flags w {{ {', '.join(f'f{n}' for n in range(33))} }}", "have 33 names, WIT allows 32"),
        ("f: func(a: r)", "variant r { a-1, a1 }", "has two members that WIT writes as 'a1'"),
    ],
)
def test_what_wit_cannot_say_is_refused_with_its_line(function: str, types: str, problem: str) -> None:
    with pytest.raises(PactSyntaxError) as caught:
        written(function, types=types)
    assert problem in str(caught.value)
    assert (caught.value.source, caught.value.line) == ("c.pact", 5)


@pytest.mark.parametrize(
    "result",
    ["value", "result<u8, string>", "result<tuple<u8>, u8>", "result<tuple<>, string>", "result<tuple<u16>, string>"],
)
def test_a_function_that_would_lose_its_state_is_refused_with_its_line(result: str) -> None:
    with pytest.raises(PactSyntaxError, match=r"a\.pact:2:1: `f` takes a state.* answers with"):
        actor_wit(parse(f"exports {{\n f: func(state: u8) -> {result} }}", "a.pact"), {})


@pytest.mark.parametrize(
    ("interface", "problem"),
    [
        ("clock", "in no package of the form namespace:name"),
        ("tools/clock", "in no package of the form namespace:name"),
        ("my:tools/Clock", "interface 'Clock' is no WIT name"),
        ("my:the:tools/clock", "package 'the:tools' is no WIT name"),
    ],
)
def test_an_interface_needs_a_name_that_wit_can_have(interface: str, problem: str) -> None:
    with pytest.raises(NotInWit, match=problem):
        package_and_name(interface)


def test_a_capability_outside_of_any_package_is_refused_with_the_line() -> None:
    with pytest.raises(PactSyntaxError, match=r"c\.pact:2:1: interface 'c' is in no package"):
        capability_wit(parse("interface c { exports {\n f: func() } }", "c.pact"))


def test_a_pact_without_functions_has_no_wit() -> None:
    with pytest.raises(PactSyntaxError, match="exports no function"):
        capability_wit(parse("record a { b: u8 }", "c.pact"))


def test_words_of_wit_are_escaped_wherever_they_are_names() -> None:
    pact = parse(
        "exports { list: func(state: u64) -> result<tuple<u64>, string>, world:type/map.f: func() }", "list.pact"
    )
    assert actor_wit(pact, {}) == (
        "// Written from list.pact.\n"
        "package actor:%list;\n"
        "\n"
        "world %list {\n"
        "    export %list: func(state: u64) -> result<tuple<u64>, string>;\n"
        "    export %world:%type/%map;\n"
        "}\n"
        "\n"
        "package %world:%type {\n"
        "    interface %map {\n"
        "        f: func();\n"
        "    }\n"
        "}\n"
    )


@pytest.mark.parametrize("type", [Variant("", ()), SelfRef(), Unit(), ResultOf(Unit(), Scalar.U8)])
def test_types_that_no_pact_source_gives_are_refused_or_json(type: Type) -> None:
    types = WitTypes()
    if isinstance(type, SelfRef):
        assert types.text(type, set()) == "json"
    elif isinstance(type, ResultOf):
        assert types.text(type, set()) == "result<_, u8>"
    else:
        with pytest.raises(NotInWit):
            types.text(type, set())
