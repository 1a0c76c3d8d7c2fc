"""Bytes that pass a bridge: the same values as without one, at any place of any type, and no component is worse off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from theater_bus.engine import Budget, CallResult, Component, Engine, EngineSettings, HostImport, Limits, ffi, wat2wasm
from theater_bus.engine.component import factory
from theater_bus.engine.component.bridge import Bridged
from theater_bus.engine.component.skeleton import skeleton
from theater_bus.engine.component.wit_type import BYTES, MAX_FLAT, Naming, WitType, flatten, has, layout, spans
from theater_bus.engine.component.world import Endpoint
from theater_bus.engine.component.wrapping import Surface, bridge_name, wrap
from theater_bus.errors import ConfigurationError

BUDGET = Budget(30_000)


# -- any type with its values -----------------------------------------------------------------------------------------

Typed = tuple[WitType, Type, st.SearchStrategy[Any]]

TEXT = st.text(max_size=40)
RAW = st.binary(max_size=200)


def scalar(scalar_: Scalar, values: st.SearchStrategy[Any]) -> Typed:
    return WitType(scalar_.value), scalar_, values


LEAVES: tuple[Typed, ...] = (
    (BYTES, ListOf(Scalar.U8), RAW),
    (BYTES, ListOf(Scalar.U8), RAW),
    scalar(Scalar.STRING, TEXT),
    scalar(Scalar.U8, st.integers(0, 255)),
    scalar(Scalar.S16, st.integers(-(1 << 15), (1 << 15) - 1)),
    scalar(Scalar.U32, st.integers(0, (1 << 32) - 1)),
    scalar(Scalar.S64, st.integers(-(1 << 63), (1 << 63) - 1)),
    scalar(Scalar.F32, st.floats(width=32, allow_nan=False)),
    scalar(Scalar.F64, st.floats(allow_nan=False)),
    scalar(Scalar.BOOL, st.booleans()),
    scalar(Scalar.CHAR, st.characters(exclude_categories=["Cs"])),
    (
        WitType("enum", ("red", "blue"), (None, None)),
        Variant("", (Case("red", None), Case("blue", None))),
        st.sampled_from(["red", "blue"]),
    ),
    (
        WitType("flags", ("read", "write")),
        Flags("", ("read", "write")),
        st.sampled_from([[], ["read"], ["read", "write"]]),
    ),
)


def listed(inner: Typed) -> Typed:
    wit, type_, values = inner
    if wit == WitType("u8"):
        return inner
    return WitType("list", parts=(wit,)), ListOf(type_), st.lists(values, max_size=4)


def optional(inner: Typed) -> Typed:
    wit, type_, values = inner
    some = values.map(lambda one: {"some": one}) if isinstance(type_, OptionOf) else values
    return WitType("option", parts=(wit,)), OptionOf(type_), st.none() | some


def several(items: list[Typed]) -> Typed:
    return (
        WitType("tuple", parts=tuple(wit for wit, _, _ in items)),
        TupleOf(tuple(type_ for _, type_, _ in items)),
        st.tuples(*(values for _, _, values in items)).map(list),
    )


def recorded(items: list[Typed]) -> Typed:
    names = [f"field-{place}" for place in range(len(items))]
    return (
        WitType("record", tuple(names), tuple(wit for wit, _, _ in items)),
        Record("", tuple(Field(name, type_) for name, (_, type_, _) in zip(names, items, strict=True))),
        st.fixed_dictionaries({name: values for name, (_, _, values) in zip(names, items, strict=True)}),
    )


def varied(items: list[Typed | None]) -> Typed:
    names = [f"case-{place}" for place in range(len(items))]
    pairs = list(zip(names, items, strict=True))
    return (
        WitType("variant", tuple(names), tuple(one and one[0] for one in items)),
        Variant("", tuple(Case(name, one and one[1]) for name, one in pairs)),
        st.one_of(
            [
                st.just(name) if one is None else one[2].map(lambda value, name=name: {name: value})
                for name, one in pairs
            ]
        ),
    )


def either(sides: tuple[Typed | None, Typed | None]) -> Typed:
    ok, err = sides
    return (
        WitType("result", parts=(ok and ok[0], err and err[0])),
        ResultOf(ok and ok[1], err and err[1]),
        st.one_of(
            (st.none() if ok is None else ok[2]).map(lambda value: {"ok": value}),
            (st.none() if err is None else err[2]).map(lambda value: {"err": value}),
        ),
    )


def deeper(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    some = st.lists(inner, min_size=1, max_size=4)
    maybe = st.none() | inner
    return st.one_of(
        inner.map(listed),
        inner.map(optional),
        some.map(several),
        some.map(recorded),
        st.lists(maybe, min_size=1, max_size=3).map(varied),
        st.tuples(maybe, maybe).map(either),
    )


ANY: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(LEAVES), deeper, max_leaves=8)


def mirror(params: list[WitType], result: WitType) -> bytes:
    """A component whose `back` passes its parameters to the host's function of the same type, and its answer back."""
    names = Naming("t")
    signature = "".join(f' (param "p{place}" {names.text(one)})' for place, one in enumerate(params))
    signature += f" (result {names.text(result)})"
    types = " ".join(
        f'(type ${one}d {text}) (export "{one}" (type ${one} (eq ${one}d)))' for one, text in names.definitions
    )
    outer = " ".join(f'(alias export $api "{one}" (type ${one}))' for one, _ in names.definitions)
    flat = [one for type_ in params for one in flatten(type_)]
    spread = flat if len(flat) <= MAX_FLAT else ["i32"]
    gets = " ".join(f"(local.get {place})" for place in range(len(spread)))
    direct = len(flatten(result)) == 1
    back = flatten(result)[0] if direct else "i32"
    core = f"(param {' '.join(spread)}{'' if direct else ' i32'}) {f'(result {back})' if direct else ''}"
    call = f"(call $host {gets})" if direct else f"(call $host {gets} (i32.const 16)) (i32.const 16)"
    return wat2wasm(f"""(component
      (import "test:host/mirror" (instance $api {types} (export "back" (func{signature}))))
      {outer}
      (core module $memory (memory (export "memory") 1) (global $top (mut i32) (i32.const 16384))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
          (local.set 4 (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
          (global.set $top (i32.add (local.get 4) (local.get 3)))
          (loop $more
            (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
              (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br $more))))
          (local.get 4)))
      (core instance $memory (instantiate $memory))
      (alias core export $memory "memory" (core memory $m))
      (alias core export $memory "realloc" (core func $realloc))
      (alias export $api "back" (func $back))
      (core func $host (canon lower (func $back) (memory $m) (realloc (core func $realloc))))
      (core module $main
        (import "host" "back" (func $host {core}))
        (func (export "back") (param {" ".join(spread)}) (result {back}) {call}))
      (core instance $main (instantiate $main (with "host" (instance (export "back" (func $host))))))
      (func $lifted{signature}
        (canon lift (core func $main "back") (memory $m) (realloc (core func $realloc))))
      (export "back" (func $lifted)))""")


class Mirror:
    """An instance of a mirror, in an engine with bridges or without; the host answers with the last parameter."""

    def __init__(self, component: Component, engine: Engine, params: tuple[Type, ...], **limits: int) -> None:
        self.component, self.params = component, params
        self.asked: list[bytes] = []
        host = HostImport("test:host/mirror", "back", self._answer)
        self.instance: Any = engine.instantiate_now(component, [host], Limits(**limits))

    def _answer(self, data: bytes) -> bytes:
        self.asked.append(data)
        codec = value_codec(TupleOf(self.params))
        values = codec.decode(codec.check(data))
        assert isinstance(values, list)
        return value_codec(self.params[-1]).encode(values[-1]).standalone()

    async def back(self, values: list[Any]) -> CallResult:
        ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        data = value_codec(TupleOf(self.params)).encode(values).standalone()
        result = self.instance.call("back", data, BUDGET, ended.set_result)
        return result if result is not None else await ended


async def loaded(engine: Engine, wasm: bytes) -> Component:
    component = await engine.load(wasm)
    assert isinstance(component, Component)
    return component


async def without_bridges(engine: Engine, wasm: bytes) -> Component:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "compile_bridged", lambda *_: None)
        return await loaded(engine, wasm)


class Pair:
    """Two engines, in which components run with bridges and without."""

    def __init__(self) -> None:
        self.bridged, self.plain = Engine(EngineSettings()), Engine(EngineSettings())

    async def same(self, params: list[Typed], values: list[Any]) -> bool:
        """Call a mirror of these types in both; whether it has bridges in the first."""
        types = tuple(type_ for _, type_, _ in params)
        wits = [wit for wit, _, _ in params]
        wasm = mirror(wits, wits[-1])
        with_, without = await loaded(self.bridged, wasm), await without_bridges(self.plain, wasm)
        assert without.bridges == 0
        assert with_.world.import_interfaces() == without.world.import_interfaces()
        assert with_.world.export_interfaces() == without.world.export_interfaces()
        first, second = Mirror(with_, self.bridged, types), Mirror(without, self.plain, types)
        for _ in range(2):  # the second call finds what the first has left
            got, wanted = await first.back(values), await second.back(values)
            assert got.failure is None, got.failure
            assert (got.output, first.asked) == (wanted.output, second.asked)
        first.instance.close()
        second.instance.close()
        return with_.bridges == 2

    async def close(self) -> None:
        await self.bridged.close()
        await self.plain.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_values_of_any_type_are_the_same_with_bridges_and_without(data: st.DataObject) -> None:
    params = data.draw(st.lists(ANY, min_size=1, max_size=3))
    values = [data.draw(strategy) for _, _, strategy in params]

    async def both() -> None:
        pair = Pair()
        try:
            bridged = await pair.same(params, values)
        finally:
            await pair.close()
        flat = sum(len(flatten(wit)) for wit, _, _ in params)
        contains = any(has(wit, (BYTES,)) for wit, _, _ in params)
        assert bridged == contains or MAX_FLAT - 4 < flat <= MAX_FLAT

    asyncio.run(both())


COUNTS = {"in registers": 3, "in memory": 12, "between": 7}


@pytest.mark.parametrize("count", COUNTS.values(), ids=COUNTS)
async def test_parameters_pass_in_registers_and_in_memory(count: int) -> None:
    """Two core parameters each: 6, 24 and, which no bridge can have besides its own two, 14 or more."""
    params: list[Typed] = [(BYTES, ListOf(Scalar.U8), RAW)] * count
    pair = Pair()
    try:
        bridged = await pair.same(params, [bytes([place]) * (place * 1000) for place in range(count)])
    finally:
        await pair.close()
    assert bridged == (count != 7)


async def test_more_than_four_megabytes_pass_at_once(engine: Engine) -> None:
    types = (ListOf(Scalar.U8),)
    mirrored = Mirror(
        await loaded(engine, mirror([BYTES], BYTES)), engine, types, memory_bytes=1 << 27, result_bytes=1 << 24
    )
    value = bytes(range(256)) * (6 << 12)
    result = await mirrored.back([value])
    assert result.output == value_codec(types[0]).encode(value).standalone()


async def test_bytes_that_the_memory_between_cannot_hold_are_named(engine: Engine) -> None:
    types = (ListOf(Scalar.U8),)
    mirrored = Mirror(
        await loaded(engine, mirror([BYTES], BYTES)), engine, types, memory_bytes=4 << 20, result_bytes=1 << 24
    )
    assert (await mirrored.back([b"x" * (1 << 20)])).failure is None
    result = await mirrored.back([b"x" * (3 << 20)])
    assert result.failure is not None
    assert result.failure.reason == "memory-limit"
    assert "memory_bytes" in result.failure.message


async def test_a_result_over_its_limit_is_refused(engine: Engine) -> None:
    types = (ListOf(Scalar.U8),)
    mirrored = Mirror(await loaded(engine, mirror([BYTES], BYTES)), engine, types, result_bytes=1000)
    result = await mirrored.back([b"x" * 1001])
    assert result.failure is not None
    assert result.failure.reason == "host-call", "an argument of the host's is bounded alike"
    assert "result_bytes" in result.failure.message


async def test_without_bridges_large_bytes_are_refused_with_a_way_out() -> None:
    engine = Engine(EngineSettings())
    types = (ListOf(Scalar.U8),)
    wasm = mirror([BYTES], BYTES)
    mirrored = Mirror(await without_bridges(engine, wasm), engine, types, memory_bytes=1 << 27, result_bytes=1 << 24)
    result = await mirrored.back([b"x" * (5 << 20)])
    await engine.close()
    assert result.failure is not None
    assert result.failure.reason == "copy-limit"
    assert "too much data is being copied" in result.failure.message
    assert "Fix: pass it in parts" in result.failure.message


LIAR = """(component
  (core module $m (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "lie") (param $disc i32) (param $list i32) (param $size i32) (param $text i32) (param $length i32)
      (param i32 i32) (result i32)
      (i32.store (i32.const 1000) (i32.const -1))
      (i32.store8 (i32.const 16) (local.get $disc))
      (i32.store (i32.const 20) (local.get $list)) (i32.store (i32.const 24) (local.get $size))
      (i32.store (i32.const 28) (local.get $text)) (i32.store (i32.const 32) (local.get $length))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "lie") (param "disc" u32) (param "list" u32) (param "size" u32) (param "text" u32) (param "length" u32)
    (param "data" (list u8)) (result (result (tuple (list u8) string) (error char)))
    (canon lift (core func $i "lie") (memory $memory) (realloc (core func $realloc)))))"""


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ((2, 0, 0, 0, 0), "invalid-value"),
        ((1, 0xD800, 0, 0, 0), "invalid-value"),
        ((0, 65_530, 7, 0, 0), "out-of-bounds"),
        ((0, 0xFFFFFFFF, 2, 0, 0), "out-of-bounds"),
        ((0, 0, 0, 65_530, 7), "out-of-bounds"),
        ((0, 0, 0, 1000, 4), "invalid-value"),
    ],
    ids=["case", "char", "list", "list that wraps", "text", "text that is none"],
)
async def test_what_a_guest_must_not_give_has_the_same_name_on_both_ways(lie: tuple[int, ...], reason: str) -> None:
    for load in (loaded, without_bridges):
        engine = Engine(EngineSettings())
        component = await load(engine, wat2wasm(LIAR))
        assert component.bridges == (load is loaded)
        instance: Any = engine.instantiate_now(component, [], Limits())
        ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        types = (*(Scalar.U32,) * 5, ListOf(Scalar.U8))
        data = value_codec(TupleOf(types)).encode([*lie, b"data"]).standalone()
        result = instance.call("lie", data, BUDGET, ended.set_result) or await ended
        await engine.close()
        assert result.failure is not None
        assert result.failure.reason == reason, result.failure


# -- resources --------------------------------------------------------------------------------------------------------

DRAWERS = """(component
  (import "test:host/drawers" (instance $api
    (export "drawer" (type $drawer (sub resource)))
    (type $named (record (field "text" string) (field "seal" (list u8))))
    (export "label" (type $label (eq $named)))
    (type $either (variant (case "plain") (case "labelled" $label)))
    (export "note" (type $note (eq $either)))
    (export "open" (func (param "n" u32) (result (own $drawer))))
    (export "[method]drawer.count" (func (param "self" (borrow $drawer)) (result u32)))
    (export "[method]drawer.put" (func (param "self" (borrow $drawer)) (param "note" $note) (param "data" (list u8))
      (result (result (list u8) (error (own $drawer))))))
    (export "[static]drawer.close" (func (param "drawer" (own $drawer)) (param "data" (list u8))))))
  (alias export $api "open" (func $open))
  (alias export $api "[method]drawer.count" (func $count))
  (alias export $api "[method]drawer.put" (func $put))
  (alias export $api "[static]drawer.close" (func $close))
  (alias export $api "drawer" (type $t))
  (core module $memory (memory (export "memory") 8) (global $top (mut i32) (i32.const 1024))
    (data (i32.const 512) "seal")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.add (global.get $top) (local.get 3)))
      (i32.sub (global.get $top) (local.get 3))))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $open (canon lower (func $open)))
  (core func $count (canon lower (func $count)))
  (core func $put (canon lower (func $put) (memory $m) (realloc (core func $realloc))))
  (core func $close (canon lower (func $close) (memory $m)))
  (core func $drop (canon resource.drop $t))
  (core module $main
    (import "host" "memory" (memory 1))
    (import "host" "open" (func $open (param i32) (result i32)))
    (import "host" "count" (func $count (param i32) (result i32)))
    (import "host" "put" (func $put (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "close" (func $close (param i32 i32 i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func (export "run") (param $at i32) (param $size i32) (result i32) (local $drawer i32)
      (local.set $drawer (call $open (call $count (local.tee $drawer (call $open (i32.const 1))))))
      (call $put (local.get $drawer)
        (i32.const 1) (local.get $at) (i32.const 1) (i32.const 512) (i32.const 4)
        (local.get $at) (local.get $size) (i32.const 16))
      (if (i32.load8_u (i32.const 16))
        (then (call $drop (i32.load (i32.const 20))) (i64.store (i32.const 20) (i64.const 0))))
      (call $close (local.get $drawer) (i32.load (i32.const 20)) (i32.load (i32.const 24)))
      (i32.const 20)))
  (core instance $main (instantiate $main (with "host" (instance
    (export "memory" (memory $m)) (export "open" (func $open)) (export "count" (func $count))
    (export "put" (func $put)) (export "close" (func $close)) (export "drop" (func $drop))))))
  (func (export "run") (param "data" (list u8)) (result (list u8))
    (canon lift (core func $main "run") (memory $m) (realloc (core func $realloc)))))"""


class Drawers:
    """The host's end: a drawer takes bytes with a note, and gives them back the other way round."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def imports(self, component: Component) -> list[HostImport]:
        return [HostImport(one.interface, one.function.name, self._serve(one)) for one in component.world.imports]

    def _serve(self, endpoint: Endpoint) -> Callable[[bytes], bytes]:
        function = endpoint.function
        params = value_codec(TupleOf(tuple(param.type for param in function.params)))

        def serve(data: bytes) -> bytes:
            values = params.decode(params.check(data))
            assert isinstance(values, list)
            self.seen.append((function.name, values))
            answer = self._answer(function.name, *values)
            return value_codec(TupleOf(()) if function.result is None else function.result).encode(answer).standalone()

        return serve

    def _answer(self, name: str, *values: Any) -> object:
        match name:
            case "open":
                return 100 + values[0]
            case "[method]drawer.count":
                return 7
            case "[method]drawer.put":
                data = values[2]
                return {"ok": data[::-1]} if len(data) > 3 else {"err": 999}
        return []


@pytest.mark.parametrize("data", [b"four", b"abc", bytes(range(256)) * 100], ids=["short", "refused", "long"])
async def test_methods_of_resources_pass_a_bridge_with_handles_beside_their_bytes(data: bytes) -> None:
    outcomes = []
    for load in (loaded, without_bridges):
        engine, drawers, dropped = Engine(EngineSettings()), Drawers(), []
        component = await load(engine, wat2wasm(DRAWERS))
        bridged = [one.function.name for one in component.world.imports if one.bridge is not None]
        assert bridged == (["[method]drawer.put", "[static]drawer.close"] if load is loaded else [])
        instance: Any = engine.instantiate_now(component, drawers.imports(component), Limits())
        instance.on_drop = lambda resource, number, dropped=dropped: dropped.append((resource, number))
        for _ in range(2):
            ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
            given = value_codec(TupleOf((ListOf(Scalar.U8),))).encode([data]).standalone()
            result = instance.call("run", given, BUDGET, ended.set_result) or await ended
            assert result.failure is None, result.failure
            assert result.output == value_codec(ListOf(Scalar.U8)).encode(data[::-1] * (len(data) > 3)).standalone()
        outcomes.append((component.imports, component.world.resources, drawers.seen, dropped))
        await engine.close()
    assert outcomes[0] == outcomes[1]
    seen = dict(outcomes[0][2])
    assert seen["[method]drawer.put"][:2] == [107, {"labelled": {"text": data[:1].decode("latin-1"), "seal": b"seal"}}]
    assert outcomes[0][3] == ([("test:host/drawers/drawer", 999)] * 2 if data == b"abc" else [])


# -- components that cannot have bridges, or would like to seem to have them -----------------------------------------


def with_late_import() -> bytes:
    """An import behind what no import lies behind in a component of the usual tools."""
    return wat2wasm("""(component
      (core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "back") (param i32 i32) (result i32)
          (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
      (core instance $i (instantiate $m))
      (import "late" (func $late))
      (alias core export $i "memory" (core memory $memory))
      (alias core export $i "realloc" (core func $realloc))
      (func (export "back") (param "p0" (list u8)) (result (list u8))
        (canon lift (core func $i "back") (memory $memory) (realloc (core func $realloc)))))""")


async def test_a_component_that_cannot_be_wrapped_runs_as_it_is(engine: Engine) -> None:
    component = await loaded(engine, with_late_import())
    assert component.bridges == 0
    instance: Any = engine.instantiate_now(component, [HostImport("", "late", bytes)], Limits())
    ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    data = value_codec(TupleOf((ListOf(Scalar.U8),))).encode([b"abc"]).standalone()
    result = instance.call("back", data, BUDGET, ended.set_result) or await ended
    assert result.output == value_codec(ListOf(Scalar.U8)).encode(b"abc").standalone()


async def test_an_interface_named_like_a_bridge_is_an_interface_like_others(engine: Engine) -> None:
    name = bridge_name("0" * 64)
    wasm = mirror([BYTES], BYTES)
    text = "theater-bus:bridge/x" + "0" * 64
    forged = wat2wasm(f"""(component (import "{text}" (instance (export "f0" (func (param "n" u32)))))
      (core module $m (func (export "f"))) (core instance $i (instantiate $m))
      (func (export "run") (canon lift (core func $i "f"))))""")
    component = await loaded(engine, forged)
    assert name == text
    assert component.imports == ((name, "f0"),)
    assert (await loaded(engine, wasm)).imports == (("test:host/mirror", "back"),)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_wrapping_broken_bytes_refuses_them_and_nothing_else_happens(data: st.DataObject) -> None:
    wasm = bytearray(mirror([BYTES], BYTES))
    for _ in range(data.draw(st.integers(1, 4))):
        wasm[data.draw(st.integers(8, len(wasm) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(wasm[: data.draw(st.integers(8, len(wasm)))])
    function = Bridged(0, "", "back", (("p0", BYTES),), BYTES, False)
    try:
        skeleton(raw)
        wrap(raw, bridge_name("1" * 64), Surface((("back", 1),), {}, {}, {}), [function])
    except (ConfigurationError, ffi.NativeError):
        return


# -- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "size", "flat"),
    [
        (BYTES, (8, 4), ["i32", "i32"]),
        (WitType("option", parts=(WitType("u64"),)), (16, 8), ["i32", "i64"]),
        (WitType("result", parts=(None, None)), (1, 1), ["i32"]),
        (WitType("result", parts=(WitType("f32"), WitType("u32"))), (8, 4), ["i32", "i32"]),
        (WitType("result", parts=(WitType("f32"), WitType("f64"))), (16, 8), ["i32", "i64"]),
        (WitType("tuple", parts=(WitType("u8"), WitType("u16"), WitType("u8"))), (6, 2), ["i32"] * 3),
        (WitType("flags", tuple("abcdefghi")), (2, 2), ["i32"]),
        (WitType("variant", ("a", "b"), (None, WitType("string"))), (12, 4), ["i32", "i32", "i32"]),
        (WitType("enum", tuple(f"c{n}" for n in range(257)), (None,) * 257), (2, 2), ["i32"]),
    ],
    ids=lambda one: one.kind if isinstance(one, WitType) else None,
)
def test_layout_is_that_of_the_canonical_abi(type_: WitType, size: tuple[int, int], flat: list[str]) -> None:
    assert layout(type_) == size
    assert flatten(type_) == flat
    assert (layout(spans(type_)), flatten(spans(type_))) == (size, flat), "a span is laid out like a list"


def test_large_types_have_no_bridge() -> None:
    many = WitType("tuple", parts=(BYTES,) * 600)
    one = Bridged(0, "", "f", (("p", BYTES),), None, False)
    assert one.possible
    assert not replace(one, params=(("p", many),)).possible
    assert not replace(one, params=(("p", WitType("string")),)).possible
