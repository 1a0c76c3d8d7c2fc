"""Imports of a guest held against what capabilities provide."""

from __future__ import annotations

import pytest

from theater_bus.core.values.contract import (
    ImportBinding,
    Provided,
    check_imports,
    first_difference,
    function_difference,
)
from theater_bus.core.values.metadata import PackageMetadata, emit_metadata, parse_metadata
from theater_bus.core.values.pact import parse
from theater_bus.core.values.type_difference import Difference
from theater_bus.core.values.types import Field, Function, Interface, Record, Scalar, Type, Unit
from theater_bus.errors import SpawnRefused

RUNTIME = "theater:simple/runtime"
SIGNATURES = "log: func(msg: string) self: func() -> string shutdown: func(data: option<list<u8>>) -> result<_, string>"


def interface(exports: str, name: str = RUNTIME) -> Interface:
    package, _, bare = name.rpartition("/")
    (found,) = parse(f'@package: string = "{package}" interface {bare} {{ {exports} }}').interfaces
    return found


def guest(*imports: Interface) -> PackageMetadata:
    return parse_metadata(emit_metadata(imports, ()))


def offering(exports: str = f"exports {{ {SIGNATURES} }}") -> Provided:
    return {RUNTIME: [("runtime", interface(exports))]}


def problem(declared: str, provided: str) -> str:
    metadata = guest(interface(declared))
    imported = [(RUNTIME, function.name) for function in metadata.imports[0].functions]
    found = check_imports(metadata, imported, offering(provided))
    assert found.bindings == ()
    (only,) = found.problems
    assert only.kind == "mismatch"
    return only.message


def test_imports_that_agree_bind_to_the_functions_that_provide_them() -> None:
    declared = interface("exports { shutdown: func(data: option<list<u8>>) -> result<_, string> }")
    found = check_imports(guest(declared), [(RUNTIME, "shutdown"), (RUNTIME, "log")], offering())
    provider = offering()[RUNTIME][0][1]
    shutdown, log = found.require()
    assert shutdown.guest is not None
    assert (shutdown.name, shutdown.provider, shutdown.declared) == ("shutdown", "runtime", provider.functions[2])
    assert log == ImportBinding(RUNTIME, "runtime", provider.functions[0], None), "metadata need not list an import"


def test_functions_that_the_metadata_lists_and_the_module_does_not_import_are_not_needed() -> None:
    declared = interface("exports { get-chain: func() -> list<u8> log: func(msg: u8) self: func() -> string }")
    found = check_imports(guest(declared), [(RUNTIME, "self")], offering())
    assert [one.name for one in found.require()] == ["self"]


def test_imports_that_an_engine_satisfies_are_left_to_it() -> None:
    found = check_imports(guest(), [("env", "memory"), ("pack:alloc", "alloc"), ("GOT.mem", "x")], {})
    assert found.require() == ()


def test_a_mismatch_names_the_place_and_both_declarations() -> None:
    assert problem("exports { log: func(msg: u32) }", "exports { log: func(msg: string) }") == (
        "theater:simple/runtime.log: param 0: guest declares u32, capability declares string "
        "(guest: func(msg: u32); capability `runtime`: func(msg: string)). "
        "Fix: build the guest against the capability's pact"
    )


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [
        ("f: func(a: u8)", "f: func()", "parameters: guest declares 1, capability declares 0"),
        ("f: func() -> u8", "f: func()", "result: guest declares a result, capability declares no result"),
        ("f: func()", "f: func() -> tuple<>", "result: guest declares no result, capability declares a result"),
        ("f: func() -> u8", "f: func() -> u16", "result: guest declares u8, capability declares u16"),
        ("f: func(a: list<u8>)", "f: func(a: list<s8>)", "param 0[]: guest declares u8"),
        ("f: func(a: option<u8>)", "f: func(a: option<s8>)", "param 0?: guest declares u8"),
        ("f: func(a: option<u8>)", "f: func(a: u8)", "param 0: guest declares option<u8>"),
        ("f: func(a: result<u8, _>)", "f: func(a: result<_, _>)", "param 0.ok: guest declares u8"),
        ("f: func(a: result<_, u8>)", "f: func(a: result<_, _>)", "param 0.err: guest declares u8"),
        ("f: func(a: tuple<u8, u8>)", "f: func(a: tuple<u8, s8>)", "param 0.1: guest declares u8"),
        ("f: func(a: tuple<u8, u8>)", "f: func(a: tuple<u8>)", "param 0: guest declares tuple<u8, u8>"),
    ],
)
def test_the_place_of_a_difference_is_a_path_from_the_parameter(one: str, other: str, place: str) -> None:
    assert place in problem(f"exports {{ {one} }}", f"exports {{ {other} }}")


def of(declarations: str) -> Type:
    return parse(declarations).declared[0].types["t"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("record t { x: u8 }", "record t { x: u16 }", Difference(".x", "u8", "u16")),
        ("record t { x: u8 }", "record t { y: u8 }", Difference(".x", "field x", "no such field")),
        ("record t {}", "record t { y: u8 }", Difference(".y", "no such field", "field y")),
        ("record t {}", "enum t { a }", Difference("type", "record t", "variant t")),
        ("enum t { a, b }", "enum t { b, a }", Difference("case 0", "case a", "case b")),
        ("enum t { a, b }", "enum t { a }", Difference("type", "2 cases", "1 cases")),
        ("variant t { a(u8) }", "variant t { a }", Difference(".a", "a(u8)", "a")),
        ("variant t { a(u8) }", "variant t { a(s8) }", Difference(".a", "u8", "s8")),
        (
            "record i { name: u8 } type t = tuple<list<i>>",
            "record i { name: s8 } type t = tuple<list<i>>",
            Difference(".0[].name", "u8", "s8"),
        ),
        ("type t = value", "type t = u8", Difference("type", "value", "u8")),
    ],
)
def test_types_that_differ_differ_at_a_path(one: str, other: str, expected: Difference) -> None:
    assert first_difference(of(one), of(other)) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("record t { read-only: u8, b: bool }", "record u { b: bool, readOnly: u8 } type t = u"),
        ("enum t { not-found }", "enum u { NotFound } type t = u"),
        ("variant t { a(list<self>) }", "variant t { a(list<value>) }"),
        ("variant t { a(u8), b }", "variant t { a(u8), b }"),
        ("flags t { a }", "flags t { b, c }"),
        ("type t = result<_, _>", "type t = result<bool, string>"),
        ("type t = _", "type t = tuple<>"),
    ],
)
def test_spelling_of_names_and_names_of_types_make_no_difference(one: str, other: str) -> None:
    assert first_difference(of(one), of(other)) is None


def test_fields_that_share_a_spelling_do_not_hide_one_another() -> None:
    one = Record("r", (Field("x", Scalar.U8),))
    two = Record("r", (Field("x", Scalar.U8), Field("X", Scalar.U8)))
    assert first_difference(one, two) == Difference("type", "1 fields", "2 fields")
    assert first_difference(two, one, "param 0") == Difference("param 0.X", "field X", "no such field")


def test_an_empty_result_is_not_no_result() -> None:
    none, empty = Function("f", (), None), Function("f", (), Unit())
    assert function_difference(none, empty) == Difference("result", "no result", "an empty result")
    assert function_difference(none, none) is None


def test_a_function_that_the_capability_lacks_is_named_with_the_closest() -> None:
    (found,) = check_imports(guest(), [(RUNTIME, "shut-down")], offering()).problems
    assert found.kind == "missing-function"
    assert found.message == (
        "theater:simple/runtime.shut-down: capability `runtime` has no function `shut-down`. Did you mean `shutdown`?"
    )


def test_a_missing_interface_names_the_capability_that_would_give_it() -> None:
    imported = [("theater:simple/store", f"f{number}") for number in range(7)]
    available = {"theater:simple/store": [("store", Interface("theater:simple/store", ()))]}
    (found,) = check_imports(guest(), imported, {}, available).problems
    assert (found.kind, found.interface) == ("missing-interface", "theater:simple/store")
    assert found.message == (
        "theater:simple/store (f0, f1, f2, f3, f4, …): no capability of this actor provides it. "
        "Fix: add `[capabilities.store]` to the manifest"
    )


def test_an_interface_that_nobody_offers_says_so() -> None:
    found = check_imports(guest(), [("theater:simple/runtim", "log"), ("my:own/thing", "f")], {}, offering()).problems
    assert [one.message for one in found] == [
        "theater:simple/runtim (log): no capability of this actor provides it, and no installed plugin offers it. "
        "Did you mean `theater:simple/runtime`?",
        "my:own/thing (f): no capability of this actor provides it, and no installed plugin offers it. "
        "Fix: install the plugin that offers it",
    ]


def test_an_interface_of_ours_that_is_not_installed_names_what_to_install_and_to_write() -> None:
    (found,) = check_imports(guest(), [("theater:simple/message-server-host", "send")], {}, offering()).problems
    assert found.message.endswith(
        "no installed plugin offers it. Fix: install theater-bus-messages where the host runs, and add "
        "`[capabilities.messages]` to the manifest"
    )


def test_two_capabilities_with_one_interface_are_ambiguous() -> None:
    provided = {RUNTIME: [*offering()[RUNTIME], ("other", offering()[RUNTIME][0][1])]}
    (found,) = check_imports(guest(), [(RUNTIME, "log")], provided).problems
    assert found.kind == "ambiguous"
    assert "capabilities `runtime` and `other` both provide it" in found.message


def test_all_problems_are_in_the_refusal() -> None:
    one = check_imports(guest(), [(RUNTIME, "nothing")], offering())
    with pytest.raises(SpawnRefused, match=r"not satisfied: theater:simple/runtime.nothing"):
        one.require()
    two = check_imports(guest(), [(RUNTIME, "nothing"), ("a", "b")], offering())
    with pytest.raises(SpawnRefused) as caught:
        two.require()
    assert len(caught.value.details["problems"]) == 2
    assert caught.value.message.count("\n  ") == 2
