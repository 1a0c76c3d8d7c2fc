"""What pact sources declare."""

from __future__ import annotations

import pytest

from theater_bus.core.values.pact import Import, PactFile, PactInterface, parse
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


def only(text: str, source: str = "x.pact") -> PactInterface:
    (found,) = parse(text, source).declared
    return found


def type_of(expression: str, declarations: str = "") -> Type:
    (function,) = only(f"{declarations} exports {{ f: func(a: {expression}) }}").interface.functions
    return function.params[0].type


def test_an_interface_has_its_package_in_its_name_and_its_exports_as_functions() -> None:
    found = parse(
        """
        // Comments may stand anywhere.
        interface runtime {
            @package: string = "theater:simple"
            exports {
                log: func(msg: string)
                shutdown: func(data: option<list<u8>>) -> result<_, string>;
            }
        }
        """
    )
    assert found.interfaces == (
        Interface(
            "theater:simple/runtime",
            (
                Function("log", (Param("msg", Scalar.STRING),), None),
                Function("shutdown", (Param("data", OptionOf(ListOf(Scalar.U8))),), ResultOf(None, Scalar.STRING)),
            ),
        ),
    )


@pytest.mark.parametrize("scalar", list(Scalar), ids=lambda scalar: scalar.value)
def test_every_scalar_is_its_keyword(scalar: Scalar) -> None:
    assert type_of(scalar.value) is scalar


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("value", Dynamic()),
        ("_", Unit()),
        ("list<string>", ListOf(Scalar.STRING)),
        ("set<u32>", ListOf(Scalar.U32)),
        ("map<string, u32>", ListOf(TupleOf((Scalar.STRING, Scalar.U32)))),
        ("option<bool>", OptionOf(Scalar.BOOL)),
        ("tuple<>", TupleOf(())),
        ("tuple<u8, _,>", TupleOf((Scalar.U8, Unit()))),
        ("result<u8, _>", ResultOf(Scalar.U8, None)),
        ("result<_, _>", ResultOf(None, None)),
        ("result<option<u8>, list<string>>", ResultOf(OptionOf(Scalar.U8), ListOf(Scalar.STRING))),
    ],
)
def test_built_in_types_are_understood(expression: str, expected: Type) -> None:
    assert type_of(expression) == expected


def test_an_underscore_as_whole_result_declares_no_result() -> None:
    assert only("exports { f: func() -> _ }").interface.functions[0].result is None


def test_records_variants_enums_and_flags_keep_their_order() -> None:
    text = """
        record point { y: s32, x: s32; }
        variant shape { rect(point), nothing }
        enum color { red green, blue }
        flags perm { read, write }
    """
    point = Record("point", (Field("y", Scalar.S32), Field("x", Scalar.S32)))
    assert only(text).types == {
        "point": point,
        "shape": Variant("shape", (Case("rect", point), Case("nothing", None))),
        "color": Variant("color", (Case("red", None), Case("green", None), Case("blue", None))),
        "perm": Flags("perm", ("read", "write")),
    }


def test_declarations_may_come_after_their_use_and_aliases_vanish() -> None:
    assert type_of("names", "type names = list<name> type name = string") == ListOf(Scalar.STRING)


def test_generic_records_variants_and_aliases_are_expanded() -> None:
    text = (
        "record pair<a, b> { first: a, second: b } variant maybe<t> { some(t), none } type both<t> = pair<t, maybe<t>>"
    )
    maybe = Variant("maybe", (Case("some", Scalar.U8), Case("none", None)))
    assert type_of("both<u8>", text) == Record("pair", (Field("first", Scalar.U8), Field("second", maybe)))
    assert type_of("pair<u8, u8>", text) != type_of("pair<u8, bool>", text)


def test_self_and_the_own_name_are_the_same_recursion() -> None:
    tree = Variant("tree", (Case("leaf", Scalar.S64), Case("node", ListOf(SelfRef()))))
    assert type_of("tree", "variant tree { leaf(s64), node(list<self>) }") == tree
    assert type_of("tree", "variant tree { leaf(s64), node(list<tree>) }") == tree


def test_recursion_may_go_through_aliases_and_type_arguments() -> None:
    text = """
        record node { kids: nodes, best: maybe<self>, next: maybe<node> }
        type nodes = list<node>
        type maybe<t> = option<t>
    """
    node = only(text).types["node"]
    assert node == Record(
        "node",
        (Field("kids", ListOf(SelfRef())), Field("best", OptionOf(SelfRef())), Field("next", OptionOf(SelfRef()))),
    )
    assert only(text).types["nodes"] == ListOf(node)


def test_a_generic_record_may_contain_itself_with_its_own_arguments() -> None:
    text = "record chain<t> { item: t, next: option<chain<t>> }"
    assert type_of("chain<u8>", text) == Record("chain", (Field("item", Scalar.U8), Field("next", OptionOf(SelfRef()))))


def test_an_unbound_type_parameter_is_any_value() -> None:
    assert type_of("s", "type s: serializable") == Dynamic()
    assert type_of("t", "type t") == Dynamic()


def test_keywords_may_name_functions_parameters_fields_and_cases() -> None:
    text = """
        interface interface {
            record record { type: u8, list: u8, use: u8 }
            variant variant { enum, func(u8) }
            exports { list: func(exports: record, self: variant)  exports: func() type: func() interface: func() }
        }
    """
    found = only(text).interface
    assert [function.name for function in found.functions] == ["list", "exports", "type", "interface"]


def test_types_are_used_from_other_interfaces_of_the_file_with_what_they_need() -> None:
    text = """
        @package: string = "a:b"
        type id = string
        interface client { use types.{entry} use more exports { put: func(e: entry, id: id, k: kind) } }
        interface types { record entry { by: author } record author { name: id } }
        interface more { enum kind { a, b } }
    """
    found = parse(text)
    assert [one.name for one in found.interfaces] == ["a:b/client", "a:b/types", "a:b/more"]
    entry = Record("entry", (Field("by", Record("author", (Field("name", Scalar.STRING),))),))
    assert found.interfaces[0].functions[0].params[0].type == entry


def test_a_name_of_ones_own_hides_one_from_outside_of_any_interface() -> None:
    text = "type id = string exports { g: func(a: id) } interface x { type id = u8 exports { f: func(a: id) } }"
    outer, inner = parse(text).interfaces
    assert outer.functions[0].params[0].type is Scalar.STRING
    assert inner.functions[0].params[0].type is Scalar.U8


def test_using_a_type_twice_is_using_it_once() -> None:
    text = "interface a { type t = u8 } interface b { use a.{t} use a exports { f: func(x: t) } }"
    assert parse(text).interfaces[1].functions[0].params[0].type is Scalar.U8


def test_functions_outside_of_any_interface_go_by_the_file_or_stay_bare() -> None:
    found = parse("exports { echo: func(v: value) -> value }", "some/folder/echo.pact")
    assert found.interfaces[0].name == "echo"
    assert found.exports[0].name == ""
    packaged = parse('@package: string = "my:app" exports { echo: func() }', "echo.pact")
    assert packaged.interfaces[0].name == "my:app/echo"


def test_a_guest_names_the_interfaces_of_its_exports() -> None:
    found = parse(
        """
        record s { n: u64 }
        exports {
            theater:simple/actor.init: func(state: value) -> result<tuple<s>, string>,
            math.double: func(n: s64) -> s64
            my:app/counter {
                // Adds one.
                up: func(state: s) -> result<tuple<s>, string>
                down: func(state: s) -> result<tuple<s>, string>
            }
            bare: func()
        }
        """,
        "guest.pact",
    )
    assert [(one.name, [f.name for f in one.functions]) for one in found.exports] == [
        ("", ["bare"]),
        ("theater:simple/actor", ["init"]),
        ("math", ["double"]),
        ("my:app/counter", ["up", "down"]),
    ]
    assert found.declared[0].docs == {"my:app/counter.up": "Adds one."}
    assert found.interfaces[0].name == "guest"


def test_a_file_with_exports_of_other_interfaces_only_has_no_interface_of_its_own() -> None:
    found = parse("exports { math.double: func(n: s64) -> s64 }")
    assert [one.name for one in found.interfaces] == ["math"]
    assert [one.name for one in found.exports] == ["math"]


def test_an_interface_may_export_under_its_own_full_name() -> None:
    text = 'interface c { @package: string = "my:app" exports { my:app/c.up: func() down: func() } }'
    (found,) = parse(text).interfaces
    assert [function.name for function in found.functions] == ["up", "down"]


def test_imports_name_interfaces_functions_or_whole_signatures() -> None:
    found = parse(
        """
        imports {
            logger
            theater:simple/store,
            theater:simple/runtime.log
            theater:simple/timer { now: func() -> u64 }
            t: serializable
        }
        """
    )
    timer = Interface("theater:simple/timer", (Function("now", (), Scalar.U64),))
    assert found.imports == (
        Import("logger", (), None, 3),
        Import("theater:simple/store", (), None, 4),
        Import("theater:simple/runtime", ("log",), None, 5),
        Import("theater:simple/timer", (), timer, 6),
    )


def test_exports_may_declare_types() -> None:
    found = only("exports { bytes: list<u8> f: func(a: bytes) }")
    assert found.interface.functions[0].params[0].type == ListOf(Scalar.U8)
    assert found.types == {"bytes": ListOf(Scalar.U8)}


def test_annotations_are_kept_with_their_values() -> None:
    found = only(
        r"""
        interface x {
            record config { limit: u32, name: string }
            @version: string = "1.\"2\"\n\u{48}"
            @count: u8 = 255; @low: s8 = -128; @ratio: f32 = 0.5; @whole: f64 = 2
            @on: bool = true @off: bool = false
            @mark: char = "x"
            @config: config = { limit: 30, name: "n", }
            @maybe: option<u8> = 1
            @nested: list<list<string>> = [["a", "b"], [],]
            @any: value = { deep: [1, { er: true }] }
        }
        """
    )
    assert found.annotations == {
        "version": '1."2"\nH',
        "count": 255,
        "low": -128,
        "ratio": 0.5,
        "whole": 2,
        "on": True,
        "off": False,
        "mark": "x",
        "config": {"limit": 30, "name": "n"},
        "maybe": 1,
        "nested": [["a", "b"], []],
        "any": {"deep": [1, {"er": True}]},
    }


def test_effects_and_callbacks_are_read_from_annotations() -> None:
    found: PactFile = parse(
        """
        @calls: list<string> = ["theater:simple/timer-client"]
        interface x {
            @external: list<string> = ["request"]
            @queued: list<string> = ["send"]
            @calls: list<string> = ["theater:simple/timer-client", "b"]
            exports { request: func() send: func() look: func() }
        }
        """
    )
    declared = found.interface("x")
    assert declared is not None
    assert [declared.effect(name) for name in ("request", "send", "look")] == ["external", "queued", "none"]
    assert found.annotation_list("external") == ["request"]
    assert found.annotation_list("calls") == ["theater:simple/timer-client", "b"]
    assert found.annotation_list("version") == []
    assert found.interface("y") is None


def test_an_annotation_that_is_no_list_has_no_list() -> None:
    assert parse('@version: string = "1" @n: u8 = 1 @m: list<u8> = [1]').annotation_list("version") == []
    assert parse("@n: u8 = 1").annotation_list("n") == []
    assert parse("@m: list<u8> = [1]").annotation_list("m") == []


def test_comments_right_above_document_what_follows_and_others_do_not() -> None:
    found = only(
        """
        // Far above.

        /// Keeps time.
        // In two lines.
        interface clock {
            exports { // trailing
                // Milliseconds.
                now: func() -> u64
                other: func() // behind
                last: func()
            }
        }
        """
    )
    assert found.doc == "Keeps time.\nIn two lines."
    assert found.docs == {"now": "Milliseconds."}
    assert found.lines == {"now": 9, "other": 10, "last": 11}


def test_an_empty_file_declares_one_empty_interface() -> None:
    assert parse("").interfaces == ()
    assert parse("  // nothing\n").declared[0].interface == Interface("x", ())
    assert parse("interface x {}").interfaces == (Interface("x", ()),)
