"""Metadata that is put into modules comes out again when wasmtime runs them."""

from __future__ import annotations

import struct

import pytest
from wasmtime import (
    Engine,
    Func,
    FuncType,
    Global,
    GlobalType,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Table,
    TableType,
    Trap,
    Val,
    ValType,
    wat2wasm,
)

from theater_bus.core.values.embed import embed_in_binary, embed_in_wat, find_metadata
from theater_bus.core.values.metadata import emit_metadata
from theater_bus.core.values.pact import parse

BLOB = emit_metadata(
    (),
    parse(
        """
        exports {
            theater:simple/actor.init: func(state: value) -> result<tuple<u64>, string>
            my:app/counter.increment: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>
        }
        """
    ).exports,
)

# A bump allocator that hands out everything from 1024 to the end of memory, as hand-written guests have it.
BUMP = """
  (global $top (mut i32) (i32.const 1024))
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))) (i32.const -1))
          (then (return (i32.const 0))))))
    (local.get $at))
  (func (export "__pack_free") (param i32 i32))
"""

PLAIN = f'(module (memory (export "memory") 1) {BUMP})'
FULL = f"""(module
  (type $unused (func (param externref f64) (result (ref null func))))
  (import "theater:simple/runtime" "log" (func $log (param i32 i32 i32 i32) (result i32)))
  (import "some:where/else" "number" (global $number i32))
  (import "some:where/else" "table" (table 1 4 funcref))
  (memory (export "memory") 1 3)
  (table 2 funcref)
  (global $own f64 (f64.const 1))
  (data (i32.const 16) "CGRF is not always metadata")
  (data "passive")
  (elem (table 1) (i32.const 0) func $twice)
  (func $start) (start $start)
  (func $twice (export "twice") (param i32) (result i32)
    (memory.init 1 (i32.const 64) (i32.const 0) (i32.const 7))
    (i32.mul (local.get 0) (global.get $number)))
  {BUMP})"""


def load(wasm: bytes, memory_pages: int | None = None) -> tuple[Store, Instance]:
    engine = Engine()
    store = Store(engine)
    if memory_pages is not None:
        store.set_limits(memory_size=memory_pages * 65536)
    module = Module(engine, wasm)
    linker = Linker(engine)
    for wanted in module.imports:
        if isinstance(wanted.type, FuncType):
            linker.define(store, wanted.module, wanted.name or "", Func(store, wanted.type, lambda *_: 0))
        elif isinstance(wanted.type, GlobalType):
            number = Global(store, GlobalType(ValType.i32(), False), Val.i32(2))
            linker.define(store, wanted.module, wanted.name or "", number)
        else:
            assert isinstance(wanted.type, TableType)
            linker.define(store, wanted.module, wanted.name or "", Table(store, wanted.type, None))
    return store, linker.instantiate(store, module)


def types_of(store: Store, instance: Instance, slots: int = 8) -> tuple[int, bytes]:
    exports = instance.exports(store)
    call, memory = exports["__pack_types"], exports["memory"]
    assert isinstance(call, Func)
    assert isinstance(memory, Memory)
    assert call(store, slots, slots + 4) == 0
    address, length = struct.unpack("<II", memory.read(store, slots, slots + 8))
    return address, bytes(memory.read(store, address, address + length))


@pytest.mark.parametrize("source", [PLAIN, FULL], ids=["smallest module", "module with every section"])
def test_a_module_answers_with_the_metadata_that_was_appended_to_it(source: str) -> None:
    wasm = embed_in_binary(bytes(wat2wasm(source)), BLOB)
    store, instance = load(wasm)
    address, found = types_of(store, instance)
    assert found == BLOB
    assert types_of(store, instance) == (address, BLOB), "the second call must not take room again"
    assert find_metadata(wasm) == BLOB


def test_appending_metadata_keeps_what_the_module_did() -> None:
    store, instance = load(embed_in_binary(bytes(wat2wasm(FULL)), BLOB))
    exports = instance.exports(store)
    twice, memory = exports["twice"], exports["memory"]
    assert isinstance(twice, Func)
    assert isinstance(memory, Memory)
    assert twice(store, 21) == 42
    assert memory.read(store, 64, 71) == b"passive"


def test_memory_that_the_guest_allocates_never_overlaps_the_metadata() -> None:
    store, instance = load(embed_in_binary(bytes(wat2wasm(PLAIN)), BLOB))
    exports = instance.exports(store)
    alloc, memory = exports["__pack_alloc"], exports["memory"]
    assert isinstance(alloc, Func)
    assert isinstance(memory, Memory)
    types_of(store, instance)
    for size in (10, 60_000, 100_000):
        at = alloc(store, size)
        memory.write(store, b"\xff" * size, at)
    assert types_of(store, instance)[1] == BLOB


def test_a_module_that_cannot_allocate_traps_instead_of_writing_to_address_zero() -> None:
    large = emit_metadata(
        (), parse("record r {" + ",".join(f"f{i}: string" for i in range(900)) + "} exports { f: func(r: r) }").exports
    )
    assert len(large) > 65536
    store, instance = load(embed_in_binary(bytes(wat2wasm(PLAIN)), large), memory_pages=1)
    call = instance.exports(store)["__pack_types"]
    assert isinstance(call, Func)
    with pytest.raises(Trap):
        call(store, 8, 12)


@pytest.mark.parametrize(
    "source",
    [
        '(module (memory (export "memory") 1)\n;; @pack_types\n(func (export "other")))',
        '(module (memory (export "memory") 1) (data (i32.const 9) ")") (; ) (; nested ) ;) ;) ) ;; ) at the end',
        '(memory (export "memory") 1)\n(func (export "x"))',
    ],
    ids=["at the marker", "before the last parenthesis", "source without module"],
)
def test_wat_source_answers_with_the_metadata_that_was_spliced_in(source: str) -> None:
    wasm = bytes(wat2wasm(embed_in_wat(source, BLOB, 4096)))
    store, instance = load(wasm)
    assert types_of(store, instance) == (4096, BLOB)
    assert find_metadata(wasm) == BLOB
