"""Sources that are refused, where, and with which words."""

from __future__ import annotations

import pytest

from theater_bus.core.values import pact_lexer, pact_resolver
from theater_bus.core.values.pact import parse
from theater_bus.errors import PactSyntaxError

from .conftest import CpuSeconds


def refusal(text: str) -> PactSyntaxError:
    with pytest.raises(PactSyntaxError) as caught:
        parse(text, "wrong.pact")
    return caught.value


def of_type(expression: str, declarations: str = "") -> str:
    return str(refusal(f"{declarations} exports {{ f: func(a: {expression}) }}"))


def test_a_refusal_has_the_source_line_and_column() -> None:
    error = refusal("interface x {\n    exports {\n        f: func(a: strng)\n    }\n}")
    assert (error.source, error.line, error.column) == ("wrong.pact", 3, 20)
    assert str(error) == "wrong.pact:3:20: unknown type `strng`. Did you mean `string`?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#", "unexpected character '#'"),
        ('@a: string = "open\n"', 'has no closing `"`'),
        (r'@a: string = "\x"', r"unknown escape `\x`"),
        (r'@a: string = "\u{D800}"', r"unknown escape `\u{D800}`"),
        ("interface", "expected the name of the interface, found the end of the file"),
        ("interface x", "expected `{` after interface `x`, found the end of the file"),
        ("interface x { exports {", "the block of `exports` that opens here is never closed"),
        ("interface x { nonsense }", "expected an item (`@name`"),
        ("something", "or `interface`), found `something`"),
        ("x" * 50, "found `" + "x" * 37 + "…`"),
        ("interface x { interface y {} }", "an interface inside an interface is not supported"),
        ("interface x = rpc(y)", "interface transforms are not supported"),
        ("interface x { use rpc(y) }", "interface transforms are not supported"),
        ("interface x {} interface x {}", "interface `x` is declared twice"),
        ("interface x { use y }", "interface `y` is not in this file. Fix: declare its types in this file"),
        ("interface x { use x }", "interface `x` is not in this file"),
        ("interface x { use typs } interface types {}", "Did you mean `types`?"),
        ("interface x { use y.{k} } interface y { type kk = u8 }", "declares no type `k`. Did you mean `kk`?"),
        ("interface x { type t = u8 use y } interface y { type t = u16 }", "collides with another `t`"),
        ("@a string", "expected `:` and a type after `@a`"),
        ("@a: string", "expected `=` and a literal"),
        ("@a: string = nothing", "expected a literal"),
        ("@a: u8 = " + "1" * 41, "a number of more than 40 characters"),
        ("@a: list<u8> = [1 2]", "expected `,` or `]` in the list"),
        ("@a: value = { b: 1, b: 2 }", "field `b` is given twice"),
        ("@a: value = { b 1 }", "expected `:` after the field name"),
        ("@a: value = { 1: 1 }", "expected a field name"),
        ("@a: u8 = 1 @a: u8 = 2", "annotation `@a` is given twice"),
        ("type", "expected the name of the type"),
        ("type t<a", "expected `,` or `>` after a type parameter"),
        ("type t<a, a> = u8", "type parameter `a` is declared twice"),
        ("type t<a>", "expected `=` and a type after `type t`"),
        ("type t: ", "expected the interface that constrains"),
        ("type t = u8 type t = u8", "type `t` is declared twice"),
        ("type string = u8", "`string` is a built-in type"),
        ("record r { a u8 }", "expected `:` and a type after `a`"),
        ("record r { a: u8, a: u8 }", "`r` declares `a` twice"),
        ("record r { read-only: u8, readOnly: u8 }", "`r` declares `readOnly` beside `read-only`"),
        ("variant v { a(u8 }", "expected `)` after the payload"),
        ("variant v { a, a }", "`v` declares `a` twice"),
        ("enum e { a, a }", "`e` declares `a` twice"),
        ("flags f { " + " ".join(f"f{n}" for n in range(65)) + " }", "flags `f` has more than 64 names"),
        ("imports { a.1 }", "expected the name of a function"),
        ("imports { a/1 }", "expected a name after `/`"),
        ("imports { t: }", "expected the interface that constrains"),
        ("exports { a:b/c: func() }", "`a:b/c` names an interface. Fix: write `a:b/c.name: func(…)`"),
        ("exports { f func() }", "expected `:` and `func(…)` after `f`"),
        ("exports { a.f: u8 }", "expected `func` for the function `f`"),
        ("exports { f: func }", "expected `(` after `func`"),
        ("exports { f: func(a: u8 b: u8) }", "expected `,` or `)` in the parameters of `f`"),
        ("exports { f: func(a: u8, a: u8) }", "parameter `a` is declared twice"),
        ("exports { f: func() f: func() }", "function `f` is declared twice"),
        ("exports { a.f: func() a { f: func() } }", "function `a.f` is declared twice"),
    ],
)
def test_grammar_and_names_are_refused_with_what_was_expected(text: str, message: str) -> None:
    assert message in str(refusal(text))


@pytest.mark.parametrize(
    ("expression", "declarations", "message"),
    [
        ("list", "", "`list` takes 1 type argument, 0 given"),
        ("map<u8>", "", "`map` takes 2 type arguments, 1 given"),
        ("result<u8>", "", "`result` takes 2 type arguments, 1 given"),
        ("u8<u8>", "", "`u8` takes no type arguments, 1 given"),
        ("list<>", "", "`list<>` names no type argument"),
        ("list<u8 u8>", "", "expected `,` or `>` in the arguments of `list`"),
        ("pair<u8>", "record pair<a, b> { x: a, y: b }", "`pair` takes 2 type arguments, 1 given"),
        ("r", "record r<a> { x: a }", "`r` takes 1 type argument, 0 given"),
        ("r<u8>", "record r<a> { x: a<u8> }", "type parameter `a` takes no arguments"),
        ("self", "", "`self` stands outside of a record or variant"),
        ("t", "type t = list<t>", "type `t` stands for itself"),
        ("a", "record a { b: b } record b { a: option<a> }", "`a` contains itself through `b`"),
        ("r<u8>", "record r<a> { x: option<r<list<a>>> }", "with other type arguments, which has no finite type"),
        ("r", "record box<a> { x: a } record r { b: box<self> }", "`self` cannot be an argument of `box`"),
        ("poin", "record point { x: u8 }", "Did you mean `point`?"),
        ("x" * 70, "", "unknown type"),
        ("list<" * 65 + "u8" + ">" * 65, "", "types nest deeper than 64"),
        ("list<" * 50 + "u8" + ">" * 50, "", "nests deeper than 48 when written out"),
    ],
)
def test_types_that_mean_nothing_are_refused(expression: str, declarations: str, message: str) -> None:
    assert message in of_type(expression, declarations)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@package: u8 = 1", "`@package` has the type u8, it must be string"),
        ('@package: string = "theater simple"', "`@package` is not a package name"),
        ('@external: list<string> = ["f"]', "`@external` names `f`, which is not exported"),
        ('interface x { @queued: list<string> = ["sned"] exports { send: func() } }', "Did you mean `send`?"),
        ('@queued: list<string> = ["f"] @external: list<string> = ["f"] exports { f: func() }', "both `@queued` and"),
        ('@calls: string = "x"', "`@calls` has the type string, it must be list<string>"),
        ("@a: u8 = 256", "the value of `@a` is not a u8"),
        ("@a: u8 = -1", "is not a u8"),
        ("@a: u8 = 1.5", "is not a u8"),
        ("@a: u8 = true", "is not a u8"),
        ("@a: s8 = 128", "is not a s8"),
        ("@a: s8 = 1.0", "is not a s8"),
        ('@a: f32 = "1"', "is not a f32"),
        ("@a: bool = 1", "is not a bool"),
        ("@a: string = 1", "is not a string"),
        ('@a: char = "ab"', "is not a char"),
        ("@a: list<u8> = 1", "is not a list<u8>"),
        ("@a: list<u8> = [300]", "is not a list<u8>"),
        ("record r { a: u8 } @a: r = { b: 1 }", "is not a r"),
        ("record r { a: u8 } @a: r = 1", "is not a r"),
        ("enum e { a } @a: e = 1", "is not a e"),
        ("@a: value = " + "[" * 70, "literals nest deeper than 64"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(text: str, message: str) -> None:
    assert message in str(refusal(text))


def test_a_source_that_is_too_long_is_refused_before_it_is_read() -> None:
    assert "the limit is" in str(refusal(" " * (pact_lexer.MAX_SOURCE_CHARS + 1)))


def doubling(levels: int, last: str) -> str:
    lines = [f"record r{n} {{ a: r{n + 1}, b: r{n + 1} }}" for n in range(levels)]
    return "\n".join([*lines, f"record r{levels} {{ x: {last} }}"])


def test_types_that_grow_exponentially_when_written_out_are_refused_at_once(cpu_seconds: CpuSeconds) -> None:
    def refuse() -> None:
        assert f"more than {pact_resolver.MAX_TYPE_NODES} parts" in of_type("r0", doubling(40, "u8"))
        through_aliases = "\n".join(f"type t{n} = tuple<t{n + 1}, t{n + 1}>" for n in range(40))
        text = f"record node {{ x: t0 }} {through_aliases} type t40 = node"
        assert "when written out" in of_type("node", text)

    refuse()  # once for the coverage, which is not counted while time is measured
    assert cpu_seconds(refuse) < 2


def test_a_file_that_is_large_when_written_out_is_refused() -> None:
    functions = "\n".join(f"f{n}: func(a: r0)" for n in range(200))
    message = str(refusal(f"{doubling(9, 'u8')} exports {{ {functions} }}"))
    assert f"the types of this file have more than {pact_resolver.MAX_FILE_NODES} parts" in message


@pytest.mark.parametrize("unit", ["record r {", "list<", "[", "@a: value = {", "exports {", "//", '"', "a:b/", ", ; "])
def test_repeated_hostile_input_takes_linear_time(unit: str, cpu_seconds: CpuSeconds) -> None:
    text = "interface x { exports { f: func(a: " + unit * 20_000
    assert cpu_seconds(lambda: refusal(text)) < 2
