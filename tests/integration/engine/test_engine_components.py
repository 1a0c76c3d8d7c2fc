"""What only components have: WIT types, handles on resources, worlds that do not fit, and traps that end a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import (
    Case,
    Field,
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Variant,
)
from theater_bus.engine import Budget, CallResult, Component, Engine, HostImport, Limits, inspect, wat2wasm
from theater_bus.errors import SpawnRefused

POINT = Record("point", (Field("x", Scalar.S32), Field("label", Scalar.STRING)))
SHAPE = Variant("shape", (Case("nothing", None), Case("dot", Scalar.U8), Case("text", Scalar.STRING)))
COLOR = Variant("color", (Case("red", None), Case("dark-blue", None)))
RIGHTS = Flags("rights", ("read", "write", "list"))
U64 = (1 << 64) - 1

# name: the type in WAT, its name where it must have one, the core types that it is flattened to, the type, and values.
TYPES: dict[str, tuple[str, str, str, Type, list[Any]]] = {
    "bool": ("bool", "", "i32", Scalar.BOOL, [True, False]),
    "u8": ("u8", "", "i32", Scalar.U8, [0, 255]),
    "s8": ("s8", "", "i32", Scalar.S8, [-128, 127]),
    "u16": ("u16", "", "i32", Scalar.U16, [65535]),
    "s16": ("s16", "", "i32", Scalar.S16, [-32768]),
    "u32": ("u32", "", "i32", Scalar.U32, [0xFFFFFFFF]),
    "s32": ("s32", "", "i32", Scalar.S32, [-1]),
    "u64": ("u64", "", "i64", Scalar.U64, [U64]),
    "s64": ("s64", "", "i64", Scalar.S64, [-(1 << 63)]),
    "f32": ("f32", "", "f32", Scalar.F32, [1.5, float("inf")]),
    "f64": ("f64", "", "f64", Scalar.F64, [0.1, -0.0]),
    "char": ("char", "", "i32", Scalar.CHAR, ["é", "🙂"]),
    "string": ("string", "", "i32 i32", Scalar.STRING, ["", "héllo\0🙂", "x" * 100_000]),
    "bytes": ("(list u8)", "", "i32 i32", ListOf(Scalar.U8), [b"", bytes(range(256)), b"\7" * 70_000]),
    "numbers": ("(list u32)", "", "i32 i32", ListOf(Scalar.U32), [[], [1, 0xFFFFFFFF, 3]]),
    "floats": ("(list f64)", "", "i32 i32", ListOf(Scalar.F64), [[0.5, -2.0]]),
    "shorts": ("(list s16)", "", "i32 i32", ListOf(Scalar.S16), [[-1, 2, -32768]]),
    "truths": ("(list bool)", "", "i32 i32", ListOf(Scalar.BOOL), [[True, False, True]]),
    "chars": ("(list char)", "", "i32 i32", ListOf(Scalar.CHAR), [["a", "é"]]),
    "texts": ("(list string)", "", "i32 i32", ListOf(Scalar.STRING), [[], ["a", "", "ccc"]]),
    "nested": ("(list (list u8))", "", "i32 i32", ListOf(ListOf(Scalar.U8)), [[b"a", b"", b"bc"]]),
    "pair": ("(tuple u8 s64)", "", "i32 i64", TupleOf((Scalar.U8, Scalar.S64)), [[7, -7]]),
    "maybe": ("(option u64)", "", "i32 i64", OptionOf(Scalar.U64), [None, 0, 5]),
    "maybe-maybe": ("(option (option u8))", "", "i32 i32 i32", OptionOf(OptionOf(Scalar.U8)), [None, {"some": None}]),
    "outcome": (
        "(result u32 (error string))",
        "",
        "i32 i32 i32",
        ResultOf(Scalar.U32, Scalar.STRING),
        [{"ok": 3}, {"err": "no"}],
    ),
    "bare-outcome": ("(result)", "", "i32", ResultOf(None, None), [{"ok": None}, {"err": None}]),
    "point": (
        '(record (field "x" s32) (field "label" string))',
        "point",
        "i32 i32 i32",
        POINT,
        [{"x": -5, "label": "here"}],
    ),
    "shape": (
        '(variant (case "nothing") (case "dot" u8) (case "text" string))',
        "shape",
        "i32 i32 i32",
        SHAPE,
        ["nothing", {"dot": 9}, {"text": "t"}],
    ),
    "color": ('(enum "red" "dark-blue")', "color", "i32", COLOR, ["red", "dark-blue"]),
    "rights": ('(flags "read" "write" "list")', "rights", "i32", RIGHTS, [[], ["read", "list"]]),
}


def mirror(name: str) -> bytes:
    """A component whose `back: func(value: T) -> T` asks the host's function of the same type and says what it got."""
    text, label, flat, _, _ = TYPES[name]
    direct = " " not in flat
    params = f"(param {flat}{'' if direct else ' i32'})"
    result = f"(result {flat})" if direct else ""
    gets = " ".join(f"(local.get {n})" for n in range(len(flat.split())))
    call = f"(call $host {gets})" if direct else f"(call $host {gets} (i32.const 16)) (i32.const 16)"
    inner = f'(type $t {text}) (export "{label}" (type $u (eq $t)))' if label else f"(type $u {text})"
    outer = f'(alias export $api "{label}" (type $u))' if label else f"(type $u {text})"
    return wat2wasm(f"""(component
      (import "test:host/mirror" (instance $api {inner} (export "back" (func (param "value" $u) (result $u)))))
      {outer}
      (core module $memory (memory (export "memory") 1) (global $top (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
          (local.set 4 (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
          (global.set $top (i32.add (local.get 4) (local.get 3)))
          (loop $more
            (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
              (then (drop (memory.grow (i32.const 1))) (br $more))))
          (local.get 4)))
      (core instance $memory (instantiate $memory))
      (alias core export $memory "memory" (core memory $m))
      (alias core export $memory "realloc" (core func $realloc))
      (alias export $api "back" (func $back))
      (core func $host (canon lower (func $back) (memory $m) (realloc (core func $realloc))))
      (core module $main
        (import "host" "back" (func $host {params} {result}))
        (func (export "back") (param {flat}) (result {flat if direct else "i32"}) {call}))
      (core instance $main (instantiate $main (with "host" (instance (export "back" (func $host))))))
      (func $lifted (param "value" $u) (result $u)
        (canon lift (core func $main "back") (memory $m) (realloc (core func $realloc))))
      (export "back" (func $lifted)))""")


async def called(instance: Any, symbol: str, types: tuple[Type, ...], *values: Any, cpu_ms: float = 2000) -> CallResult:
    """Call with plain values."""
    ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    data = value_codec(TupleOf(types)).encode(list(values)).standalone()
    result = instance.call(symbol, data, Budget(cpu_ms), ended.set_result)
    return result if result is not None else await ended


async def load(engine: Engine, wasm: bytes) -> Component:
    found = await engine.load(wasm)
    assert isinstance(found, Component)
    return found


@pytest.mark.parametrize("name", TYPES)
async def test_values_of_every_type_reach_the_guest_the_host_and_the_caller_unchanged(
    engine: Engine, name: str
) -> None:
    _, _, _, type_, values = TYPES[name]
    component = await load(engine, mirror(name))
    codec, seen = value_codec(type_), []

    def back(data: bytes) -> bytes:
        value = value_codec(TupleOf((type_,))).decode(value_codec(TupleOf((type_,))).check(data))
        assert isinstance(value, list)
        seen.append(value[0])
        return codec.encode(value[0]).standalone()

    assert component.world.import_interfaces()[0].functions[0].params[0].type == type_
    instance = await engine.instantiate(component, [HostImport("test:host/mirror", "back", back)], Limits())
    for value in values:
        result = await called(instance, "back", (type_,), value)
        assert result.failure is None, result.failure
        assert result.output is not None
        assert codec.decode(codec.check(result.output)) == value
        assert codec.encode(value).standalone() == result.output, "what is recorded is canonical"
    assert seen == values


async def test_a_megabyte_passes_both_ways(engine: Engine) -> None:
    component = await load(engine, mirror("bytes"))
    type_ = ListOf(Scalar.U8)

    def back(data: bytes) -> bytes:
        value = value_codec(TupleOf((type_,))).decode(value_codec(TupleOf((type_,))).check(data))
        return value_codec(type_).encode(value[0]).standalone()  # type: ignore[index]

    instance = await engine.instantiate(component, [HostImport("test:host/mirror", "back", back)], Limits())
    megabyte = bytes(range(256)) * 4096
    result = await called(instance, "back", (type_,), megabyte, cpu_ms=30_000)
    assert result.output == value_codec(type_).encode(megabyte).standalone()


@pytest.mark.parametrize("answer", [b"", b"CGRF", value_codec(Scalar.STRING).encode("no number").standalone()])
async def test_an_answer_of_another_type_ends_the_call_and_is_never_seen_by_the_guest(
    engine: Engine, answer: bytes
) -> None:
    component = await load(engine, mirror("bool"))
    host = HostImport("test:host/mirror", "back", lambda data: answer)
    instance = await engine.instantiate(component, [host], Limits())
    result = await called(instance, "back", (Scalar.BOOL,), True)
    assert result.failure is not None
    assert result.failure.reason == "host-call"
    assert "answer cannot be written" in result.failure.message
    assert instance.closed


async def test_more_list_items_than_are_decoded_end_the_call_by_name(engine: Engine) -> None:
    component = await load(engine, mirror("texts"))
    type_ = ListOf(Scalar.STRING)
    instance = await engine.instantiate(
        component, [HostImport("test:host/mirror", "back", lambda data: data)], Limits(decode_nodes=100)
    )
    result = await called(instance, "back", (type_,), ["x"] * 101)
    assert result.failure is not None
    assert "decode_nodes" in result.failure.message


async def test_longer_text_than_results_may_have_ends_the_call_by_name(engine: Engine) -> None:
    component = await load(engine, mirror("string"))
    instance = await engine.instantiate(
        component, [HostImport("test:host/mirror", "back", lambda data: data)], Limits(result_bytes=1000)
    )
    result = await called(instance, "back", (Scalar.STRING,), "x" * 1001)
    assert result.failure is not None
    assert "result_bytes" in result.failure.message


# -- resources -------------------------------------------------------------------------------------------------------

RESOURCES = """(component
  (import "test:host/things" (instance $api
    (export "thing" (type $thing (sub resource)))
    (export "make" (func (param "n" u32) (result (own $thing))))
    (export "[method]thing.look" (func (param "self" (borrow $thing)) (result u32)))))
  (alias export $api "make" (func $make))
  (alias export $api "[method]thing.look" (func $look))
  (alias export $api "thing" (type $t))
  (core func $make (canon lower (func $make)))
  (core func $look (canon lower (func $look)))
  (core func $drop (canon resource.drop $t))
  (core module $main
    (import "host" "make" (func $make (param i32) (result i32)))
    (import "host" "look" (func $look (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func (export "use") (param i32) (result i32) (local i32)
      (local.set 1 (call $make (local.get 0)))
      (local.set 0 (call $look (local.get 1)))
      (call $drop (local.get 1))
      (local.get 0))
    (func (export "leak") (param i32) (result i32) (call $make (local.get 0)))
    (func (export "twice") (param i32) (result i32) (local i32)
      (local.set 1 (call $make (local.get 0)))
      (call $drop (local.get 1))
      (call $drop (local.get 1))
      (i32.const 0))
    (func (export "forged") (param i32) (result i32) (call $look (local.get 0))))
  (core instance $main (instantiate $main (with "host" (instance
    (export "make" (func $make)) (export "look" (func $look)) (export "drop" (func $drop))))))
  %s)"""
LIFTED = """
  (func ${0} (param "n" u32) (result u32) (canon lift (core func $main "{0}")))
  (export "{0}" (func ${0}))"""


class Things:
    """The host's end: numbers from 100 on."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.looked: list[int] = []

    def imports(self) -> list[HostImport]:
        return [
            HostImport("test:host/things", "make", self._number(self.make)),
            HostImport("test:host/things", "[method]thing.look", self._number(self.look)),
        ]

    def make(self, number: int) -> int:
        self.made.append(number)
        return 100 + number

    def look(self, number: int) -> int:
        self.looked.append(number)
        return 2 * number

    @staticmethod
    def _number(function: Callable[[int], int]) -> Callable[[bytes], bytes]:
        def call(data: bytes) -> bytes:
            codec = value_codec(TupleOf((Scalar.U32,)))
            (number,) = codec.decode(codec.check(data))  # type: ignore[misc]
            return value_codec(Scalar.U32).encode(function(number)).standalone()

        return call


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def resourceful(engine: Engine, things: Things) -> Any:
    lifted = "".join(LIFTED.format(name) for name in ("use", "leak", "twice", "forged"))
    component = await load(engine, wat2wasm(RESOURCES % lifted))
    return engine.instantiate_now(component, things.imports(), Limits())


async def test_handles_are_numbers_of_the_host_and_dropping_one_is_told(resourceful: Any, things: Things) -> None:
    dropped: list[tuple[str, int]] = []
    resourceful.on_drop = lambda resource, number: dropped.append((resource, number))
    result = await called(resourceful, "use", (Scalar.U32,), 7)
    assert value_codec(Scalar.U32).decode(value_codec(Scalar.U32).check(result.output or b"")) == 214
    assert (things.made, things.looked) == ([7], [107])
    assert dropped == [("test:host/things/thing", 107)]


async def test_a_handle_that_is_leaked_does_not_keep_the_instance_from_working(
    resourceful: Any, things: Things
) -> None:
    for _ in range(100):
        assert (await called(resourceful, "leak", (Scalar.U32,), 1)).failure is None
    assert (await called(resourceful, "use", (Scalar.U32,), 1)).failure is None


@pytest.mark.parametrize("function", ["twice", "forged"])
async def test_dropping_twice_and_forging_a_handle_are_traps_that_end_the_instance(
    resourceful: Any, things: Things, function: str
) -> None:
    result = await called(resourceful, function, (Scalar.U32,), 55)
    assert result.failure is not None
    assert "handle" in result.failure.message
    assert things.looked == []
    assert resourceful.closed


# -- what cannot be an actor -----------------------------------------------------------------------------------------

ASYNC = """(component
  (core module $m (func (export "f") (param i32) (result i32) (i32.const 0))
    (func (export "cb") (param i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $f async (param "x" u32) (canon lift (core func $i "f") async (callback (core func $i "cb"))))
  (export "f" (func $f)))"""
OWN_RESOURCE = """(component
  (type $r (resource (rep i32)))
  (export $e "thing" (type $r))
  (core module $m (func (export "f") (param i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $f (param "x" u32) (result (own $e)) (canon lift (core func $i "f")))
  (export "f" (func $f)))"""
MODULE_IMPORT = """(component (import "m" (core module $m))
  (core module $c (func (export "f"))) (core instance $i (instantiate $c))
  (func $f (canon lift (core func $i "f"))) (export "f" (func $f)))"""

REFUSED = {
    "nothing to call": ("(component)", "exports no function"),
    "async": (ASYNC, "async"),
    "own resource": (OWN_RESOURCE, "resource that the component defines itself"),
    "module import": (MODULE_IMPORT, "the import m is no function"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_component_that_cannot_be_an_actor_is_refused_with_the_reason(engine: Engine, name: str) -> None:
    text, why = REFUSED[name]
    with pytest.raises(SpawnRefused, match=why):
        await engine.load(wat2wasm(text))


async def test_what_is_cut_off_or_damaged_is_refused_or_loads_and_harms_nobody(engine: Engine) -> None:
    wasm = mirror("u8")
    for at in range(0, len(wasm), 7):
        for broken in (wasm[:at], wasm[:at] + bytes([wasm[at] ^ 0x55]) + wasm[at + 1 :]):
            try:
                await engine.load(broken)
            except SpawnRefused:
                continue
    assert (await load(engine, wasm)).callables == ("back",)


async def test_a_component_over_the_size_limit_names_the_setting(make_engine: Any) -> None:
    engine = make_engine(max_module_bytes=1_000_000)
    padded = mirror("u8") + b"\0" + bytes([0x81, 0x80, 0x80, 0x14]) + b"\0" + bytes(40 * 1024 * 1024)
    with pytest.raises(SpawnRefused, match="max_module_bytes"):
        await engine.load(padded)


async def test_a_component_of_forty_megabytes_loads_where_it_is_allowed(engine: Engine) -> None:
    size = 40 * 1024 * 1024
    name = b"\4junk"
    length = size + len(name)
    leb = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14 & 0x7F | 0x80, length >> 21])
    component = await load(engine, mirror("u8") + b"\0" + leb + name + bytes(size))
    assert component.size_bytes > size


async def test_two_thousand_loads_at_once_compile_once(make_engine: Any) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.results: list[str] = []

        def count(self, name: str, amount: int = 1, **attributes: str) -> None:
            if name == "theater.modules.loaded":
                self.results.append(attributes["theater.cache.result"])

        def record(self, *args: Any, **attributes: str) -> None: ...
        def event(self, *args: Any, **fields: object) -> None: ...

    recorder = Recorder()
    engine = make_engine(instrumentation=recorder)
    wasm = mirror("texts")
    found = await asyncio.gather(*(engine.load(wasm) for _ in range(2000)))
    assert len(set(map(id, found))) == 1
    assert recorder.results == ["compiled"]


def test_a_component_tells_its_memory_and_its_sections_before_it_is_compiled() -> None:
    info = inspect(mirror("texts"))
    assert info.memories == 1
    assert ("core module", True) in [(name, size > 0) for name, size in info.sections]
