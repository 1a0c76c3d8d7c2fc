"""Structural hashes: the vectors of real guests, and what may not change a hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import function_hash, interface_hash, subset_hash, type_hash
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import (
    Dynamic,
    Function,
    Interface,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Type,
    Unit,
)

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "values" / "vectors.json").read_text(encoding="utf-8")
)
DECLARED = [one for one in VECTORS["interface_hashes"] if "declaration" in one]

# The interfaces of Theater's handlers that real guests were built against, by what their guests' metadata says.
HANDLERS = {
    "theater:simple/runtime": """
        log: func(msg: string)
        self: func() -> string
        shutdown: func(data: option<list<u8>>) -> result<_, string>
    """,
    "theater:simple/timer": """
        set-interval: func(name: string, interval-ms: u64) -> result<string, string>
        clear-interval: func(name: string) -> result<_, string>
        now: func() -> u64
    """,
    "theater:simple/rpc": """
        call: func(actor-id: string, function: string, params: value, options: value) -> value
        implements: func(actor-id: string, interface: string) -> value
        exports: func(actor-id: string) -> value
    """,
    "theater:simple/podman": """
        run: func(spec: container-spec) -> result<string, string>
        stop: func(name: string) -> result<_, string>
        rm: func(name: string, force: bool) -> result<_, string>
        list: func() -> result<list<container-info>, string>
    }
    record mount-spec { source: string, target: string, read-only: bool }
    record container-spec {
        image: string, name: string, env: list<tuple<string, string>>, mounts: list<mount-spec>, cmd: list<string>,
        tty: bool, interactive: bool
    }
    record container-info { id: string, name: string, image: string, status: string, exit-code: s32
    """,
}
HANDLER_HASHES = {
    "theater:simple/runtime": "5a8a7706304c531bd5a5aa83d0b3f60c3c5ca58e5ad99854175fb74660b2dfc4",
    **{one["interface"]: one["sha256"] for one in VECTORS["interface_hashes"] if "declaration_file" in one},
}


def declared(name: str, text: str) -> Interface:
    package, _, bare = name.rpartition("/")
    (found,) = parse(f'interface {bare} {{ @package: string = "{package}" {text} }}').interfaces
    return found


def of(expression: str, declarations: str = "") -> bytes:
    (function,) = parse(f"{declarations} exports {{ f: func(a: {expression}) }}").interfaces[0].functions
    return type_hash(function.params[0].type)


@pytest.mark.parametrize("vector", DECLARED, ids=lambda vector: vector["interface"])
def test_interfaces_hash_as_real_guests_hash_them(vector: dict[str, Any]) -> None:
    text: str = vector["declaration"]
    first = min(text.find(start) for start in ("f: func", "b: func") if start in text)
    found = declared(vector["interface"], f"{text[:first]} exports {{ {text[first:]} }}")
    assert interface_hash(found).hex() == vector["sha256"]


@pytest.mark.parametrize("name", list(HANDLERS))
def test_handler_interfaces_hash_as_the_guests_that_import_them(name: str) -> None:
    assert interface_hash(declared(name, f"exports {{ {HANDLERS[name]} }}")).hex() == HANDLER_HASHES[name]


def test_the_hash_of_a_subset_is_that_of_an_interface_with_only_those_functions() -> None:
    runtime = declared("theater:simple/runtime", f"exports {{ {HANDLERS['theater:simple/runtime']} }}")
    only_log = "1dd3d02d5f489296fab56691f915636091203b3899500d8d6eb1706d54249e54"
    assert subset_hash(runtime, ["log", "log"]).hex() == only_log
    assert subset_hash(runtime, ["self", "shutdown", "log"]) == interface_hash(runtime)
    with pytest.raises(KeyError, match="get-chain"):
        subset_hash(runtime, ["log", "get-chain"])


@pytest.mark.parametrize("vector", VECTORS["type_hashes"], ids=lambda vector: vector["type"])
def test_types_hash_as_listed(vector: dict[str, Any]) -> None:
    known: dict[str, bytes] = {
        "flags": of("f", "flags f { a }"),
        "value / self / generic parameter": type_hash(Dynamic()),
        "record{x:s32,y:s32}": of("r", "record r { x: s32, y: s32 }"),
        "enum{red,green,blue}": of("e", "enum e { red, green, blue }"),
        "func(s64)->s64": function_hash(parse("exports { f: func(a: s64) -> s64 }").interfaces[0].functions[0]),
    }
    found = known.get(vector["type"]) or of(vector["type"])
    assert found.hex() == vector["hex"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("record a { x: u8, y: bool } type t = a", "record b { y: bool, x: u8 } type t = b"),
        ("variant a { p(u8), q } type t = a", "variant b { q, p(u8) } type t = b"),
        ("type t = map<u8, bool>", "type t = list<tuple<u8, bool>>"),
        ("type t = set<u8>", "type t = list<u8>"),
        ("enum a { p, q } type t = a", "variant b { p, q } type t = b"),
        ("flags a { p } type t = a", "flags b { q, r } type t = b"),
        ("type t = result<_, _>", "type t = result<bool, string>"),
        ("type t = _", "type t = tuple<>"),
        ("type u = u8 type v = u type t = list<v>", "type t = list<u8>"),
        ("variant a { p(list<self>) } type t = a", "variant a { p(list<a>) } type t = a"),
    ],
)
def test_structure_alone_makes_the_hash(one: str, other: str) -> None:
    assert of("t", one) == of("t", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("record a { x: u8 } type t = a", "record a { y: u8 } type t = a"),
        ("variant a { x(u8) } type t = a", "variant a { x } type t = a"),
        ("type t = tuple<u8, bool>", "type t = tuple<bool, u8>"),
        ("type t = option<u8>", "type t = list<u8>"),
        ("type t = result<u8, string>", "type t = result<string, u8>"),
    ],
)
def test_different_structure_makes_another_hash(one: str, other: str) -> None:
    assert of("t", one) != of("t", other)


def test_the_interface_name_and_the_presence_of_a_result_count() -> None:
    functions = (Function("f", (), None),)
    assert interface_hash(Interface("a", functions)) != interface_hash(Interface("b", functions))
    assert function_hash(Function("f", (), None)) != function_hash(Function("f", (), Unit()))


def test_recursion_hashes_like_any_value() -> None:
    types: tuple[Type, ...] = (SelfRef(), Dynamic())
    assert type_hash(types[0]) == type_hash(types[1])
    assert type_hash(ResultOf(TupleOf(types), Scalar.U8)) == type_hash(ResultOf(TupleOf(types[::-1]), Scalar.U8))
