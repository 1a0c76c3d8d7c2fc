"""Components for tests, made from WebAssembly text: no toolchain, and every byte in sight.

A Pack module whose functions take bytes and give bytes becomes a component whose functions take and give `list<u8>`:
the same code, called by the other way.
"""

from __future__ import annotations

from collections.abc import Sequence

from theater_bus.engine import wat2wasm

__all__ = ["component_around", "component_around_text"]

_AREA = 80
"""Where the adapter writes what it returns: in the first page, which the module leaves free below 4096."""

_HEAD = """
(component
  (import "{interface}" (instance $api (export "{function}" (func (param "data" (list u8)) (result (list u8))))))
  (core module $shim
    (type $lowered (func (param i32 i32 i32)))
    (table (export "table") 1 funcref)
    (func (export "{function}") (param i32 i32 i32 i32) (result i32)
      (call_indirect (type $lowered) (local.get 0) (local.get 1) (local.get 2) (i32.const 0))
      (i32.const 0)))
  (core instance $shim (instantiate $shim))
  (core module $guest {body})
  (core instance $guest
    (instantiate $guest (with "{interface}" (instance (export "{function}" (func $shim "{function}"))))))
  (core module $adapter
    (import "guest" "memory" (memory 1))
    (import "guest" "__pack_alloc" (func $alloc (param i32) (result i32)))
    (import "guest" "__pack_free" (func $free (param i32 i32)))
    {imports}
    (global $input (mut i32) (i32.const 0))
    (global $size (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (if (i32.eqz (local.get 3)) (then (return (local.get 2))))
      (local.set 4 (call $alloc (local.get 3)))
      (if (i32.eqz (local.get 4)) (then unreachable))
      (local.get 4))
    (func (export "done") (param i32)
      (call $free (i32.load (local.get 0)) (i32.load offset=4 (local.get 0)))
      (call $free (global.get $input) (global.get $size)))
    {functions})
  (core instance $adapter (instantiate $adapter (with "guest" (instance $guest))))
  (alias core export $guest "memory" (core memory $memory))
  (alias core export $adapter "realloc" (core func $realloc))
  (alias core export $adapter "done" (core func $done))
  (alias export $api "{function}" (func $host))
  (core func $lowered (canon lower (func $host) (memory $memory) (realloc (core func $realloc))))
  (core module $fixup
    (import "shim" "table" (table 1 funcref))
    (import "host" "call" (func $call (param i32 i32 i32)))
    (elem (i32.const 0) func $call))
  (core instance (instantiate $fixup
    (with "shim" (instance $shim)) (with "host" (instance (export "call" (func $lowered))))))
  {exports})
"""

_IMPORT = '(import "guest" "{name}" (func $f{n} (param i32 i32 i32 i32) (result i32)))'
_FUNCTION = """
    (func (export "{name}") (param i32 i32) (result i32)
      (global.set $input (local.get 0)) (global.set $size (local.get 1))
      (drop (call $f{n} (local.get 0) (local.get 1) (i32.const {area}) (i32.const {next})))
      (i32.const {area}))"""
_EXPORT = """
  (func $e{n} (param "data" (list u8)) (result (list u8))
    (canon lift (core func $adapter "{name}") (memory $memory)
      (realloc (core func $realloc)) (post-return (core func $done))))
  (export "{kebab}" (func $e{n}))"""


def component_around(module: str, functions: Sequence[str], interface: str, function: str) -> bytes:
    """The component around the text of a Pack module. Raises `SpawnRefused` for wrong WebAssembly text."""
    return wat2wasm(component_around_text(module, functions, interface, function))


def component_around_text(module: str, functions: Sequence[str], interface: str, function: str) -> str:
    """As `component_around`, as text.

    `functions` are the module's symbols (`_` becomes `-`); `interface` and `function` name its one import. The module
    exports `memory`, `__pack_alloc` and `__pack_free`, and leaves the bytes from 80 to 88 alone.
    """
    body = module[module.index("(module") + len("(module") : module.rindex(")")]
    numbered = [{"n": n, "name": name, "kebab": name.replace("_", "-")} for n, name in enumerate(functions)]
    return _HEAD.format(
        interface=interface,
        function=function,
        body=body,
        imports="\n    ".join(_IMPORT.format(**one) for one in numbered),
        functions="".join(_FUNCTION.format(area=_AREA, next=_AREA + 4, **one) for one in numbered),
        exports="".join(_EXPORT.format(**one) for one in numbered),
    )
