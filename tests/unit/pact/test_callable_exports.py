"""Which exports of a package can be called, and how."""

from __future__ import annotations

import pytest

from theater_bus.core.values.export_table import Export, exported_functions, is_stateful
from theater_bus.core.values.metadata import PackageMetadata, emit_metadata, parse_metadata
from theater_bus.core.values.pact import parse
from theater_bus.errors import SpawnRefused


def metadata(exports: str) -> PackageMetadata:
    return parse_metadata(emit_metadata((), parse(f"exports {{ {exports} }}").exports))


def refused(exports: str, *symbols: str) -> str:
    with pytest.raises(SpawnRefused, match="the package's exports cannot be called") as caught:
        exported_functions(metadata(exports), symbols)
    return caught.value.message


def test_names_come_from_the_metadata_and_symbols_from_the_module() -> None:
    declared = metadata(
        "theater:simple/actor.init: func(state: value) -> result<tuple<u64>, string> "
        "math.double: func(n: s64) -> s64 echo: func(v: value) -> value"
    )
    found = exported_functions(declared, {"theater:simple/actor.init", "double", "echo", "memory", "undeclared"})
    by_name = {one.name: one.functions[0] for one in declared.exports}
    init = "theater:simple/actor.init"
    actor = "theater:simple/actor"
    assert found == {
        init: Export(init, actor, by_name[actor], init, stateful=True, lifecycle=True),
        "math.double": Export("math.double", "math", by_name["math"], "double", stateful=False, lifecycle=False),
        "echo": Export("echo", "", by_name[""], "echo", stateful=True, lifecycle=False),
    }
    assert [*found] == ["echo", init, "math.double"]


def test_the_full_name_wins_over_the_bare_one() -> None:
    found = exported_functions(metadata("math.double: func(n: s64) -> s64"), ["double", "math.double"])
    assert found["math.double"].symbol == "math.double"


@pytest.mark.parametrize(
    ("signature", "stateful"),
    [
        ("func(s: u64) -> result<tuple<u64, string>, string>", True),
        ("func(s: u64, n: u8) -> result<tuple<>, string>", True),
        ("func(s: value) -> value", True),
        ("func() -> result<tuple<u64>, string>", False),
        ("func() -> value", False),
        ("func(n: s64) -> s64", False),
        ("func(n: s64) -> tuple<s64>", False),
        ("func(n: s64)", False),
    ],
)
def test_a_function_with_parameters_and_a_result_or_value_has_state(signature: str, stateful: bool) -> None:
    (function,) = parse(f"exports {{ f: {signature} }}").interfaces[0].functions
    assert is_stateful(function) is stateful


def test_an_export_without_code_is_refused_by_name() -> None:
    assert "the metadata declares `math.double`, but the module exports neither that nor `double`" in refused(
        "math.double: func(n: s64) -> s64"
    )
    assert "Did you mean `math.doubel`?" in refused("math.double: func(n: s64) -> s64", "math.doubel")


def test_two_names_for_one_symbol_are_refused() -> None:
    message = refused("a.get: func() -> u8 b.get: func() -> u8 a.x: func()", "get", "a.x")
    assert "`b.get` and `a.get` both lead to the symbol `get`" in message
    assert "both lead to the symbol" in refused("x: func() y.x: func()", "x")


def test_a_name_that_is_declared_twice_is_refused() -> None:
    blob = emit_metadata((), (*parse("exports { x: func() }").exports, *parse("exports { x: func(a: u8) }").exports))
    with pytest.raises(SpawnRefused, match="`x` is declared twice"):
        exported_functions(parse_metadata(blob), ["x"])


@pytest.mark.parametrize("symbol", ["memory", "__pack_free", "__wasm_call_ctors"])
def test_functions_of_the_runtime_are_not_callable(symbol: str) -> None:
    assert f"`a.{symbol}` leads to the symbol `{symbol}`, which is reserved" in refused(f"a.{symbol}: func()", symbol)


def test_all_problems_are_in_the_refusal() -> None:
    message = refused("a.get: func() -> u8 b.set: func() -> u8", "other")
    assert message.count("\n  ") == 2
