"""The text of a bridge: what stands between the types of both sides (see `bridge`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from theater_bus.engine.component.bridge import (
    BRIDGE_FUNCTION,
    Bridged,
    guest_side,
    host_side,
    instance_text,
    resources_of,
)
from theater_bus.engine.component.bridge_memory import MEMORY_MODULE
from theater_bus.engine.component.wit_type import MAX_FLAT, Naming, layout

__all__ = ["bridge_text"]


def bridge_text(functions: Sequence[Bridged], imported: bool) -> str:
    """The bridge for a guest's imports or exports: imports resources and the instance "a", exports `f` and a number."""
    side, names = (guest_side, Naming("g")) if imported else (host_side, Naming("h"))
    signatures = [side(one, names) for one in functions]
    types = [f'(type ${name}d {text}) (export ${name} "{name}" (type ${name}d))' for name, text in names.definitions]
    return "\n".join(
        [
            "(component",
            *(f'(import "{name}" (type ${name} (sub resource)))' for name in resources_of(functions)),
            f'(import "a" (instance $a {instance_text(functions, imported)}))',
            *types,
            MEMORY_MODULE,
            "(core instance $memory (instantiate $memory))",
            '(alias core export $memory "memory" (core memory $m))',
            '(alias core export $memory "realloc" (core func $realloc))',
            *(f"(core func $drop-{name} (canon resource.drop ${name}))" for name in resources_of(functions)),
            *(_lower(one) for one in functions),
            "(core module $code",
            *_IMPORTS,
            *(f'(import "host" "{name}" (func $drop-{name} (param i32)))' for name in resources_of(functions)),
            *(_import(one) for one in functions),
            *(_code(one) for one in functions),
            ")",
            "(core instance $code (instantiate $code",
            '(with "memory" (instance $memory)) (with "host" (instance',
            *(f'(export "f{one.number}" (func $low{one.number}))' for one in functions),
            *(f'(export "{name}" (func $drop-{name}))' for name in resources_of(functions)),
            "))))",
            *(_lift(one, text) for one, text in zip(functions, signatures, strict=True)),
            ")",
        ]
    )


def _lower(function: Bridged) -> str:
    n = function.number
    return (
        f'(alias export $a "f{n}" (func $in{n})) '
        f"(core func $low{n} (canon lower (func $in{n}) (memory $m) (realloc $realloc)))"
    )


def _lift(function: Bridged, signature: str) -> str:
    n = function.number
    return (
        f'(alias core export $code "f{n}" (core func $code{n})) '
        f'(alias core export $code "done{n}" (core func $done{n})) '
        f"(func $out{n}{signature} (canon lift (core func $code{n}) (memory $m) (realloc $realloc) "
        f'(post-return $done{n}))) (export "f{n}" (func $out{n}))'
    )


def _listed(word: str, flats: Sequence[str]) -> str:
    return f"({word} {' '.join(flats)})" if flats else ""


def _incoming(function: Bridged) -> list[str]:
    """The core parameters of the function that the bridge offers."""
    flat = function.flat if function.imported else function.flat_head + function.flat
    return ["i32"] if len(function.flat) > MAX_FLAT else flat


def _import(function: Bridged) -> str:
    flat = function.flat_head + function.flat if function.imported else function.flat
    params = ["i32"] if len(function.flat) > MAX_FLAT else flat
    params = params + ["i32"] * function.in_memory
    result = [] if function.in_memory else function.flat_result
    n = function.number
    return f'(import "host" "f{n}" (func $f{n} {_listed("param", params)} {_listed("result", result)}))'


def _code(function: Bridged) -> str:
    params = _incoming(function)
    at = len(params)
    locals_ = "(local $cargo i32) (local $size i32) (local $frame i32) (local $back i32)"
    body = _for_import(function, at) if function.imported else _for_export(function, at)
    n, result = function.number, _listed("result", function.flat_result)
    return (
        f'(func ${BRIDGE_FUNCTION}{n} (export "f{n}") {_listed("param", params)} {result} {locals_}\n  '
        + "\n  ".join(body)
        + f')\n(func (export "done{n}") {_listed("param", function.flat_result)} (call $reset))'
    )


def _for_export(function: Bridged, count: int) -> Iterator[str]:
    """The host calls: cargo and spans come in, the guest's function gets lists, its answer leaves with its cargo."""
    head = function.frame[0]
    spread = len(function.flat) <= MAX_FLAT
    if function.sends:
        place = (
            ["(local.get 0)", "(local.get 1)"]
            if spread
            else ["(i32.load (local.get 0))", "(i32.load offset=4 (local.get 0))"]
        )
        yield f"(call $undigit {' '.join(place)})"
    # The guest has its copies of the arguments before its answer is written: the space can be used again.
    yield "(call $reset)"
    own = range(len(function.flat_head), count) if spread else ()
    arguments = [f"(local.get {place})" for place in own] if spread else [f"(i32.add (local.get 0) (i32.const {head}))"]
    if not function.in_memory:
        yield f"(call $f{function.number} {' '.join(arguments)})"
        return
    assert function.result is not None
    before = 8 if function.gives else 0
    yield f"(local.set $back (call $new (i32.const {before + layout(function.result)[0]})))"
    yield f"(call $f{function.number} {' '.join(arguments)} (i32.add (local.get $back) (i32.const {before})))"
    if function.gives:
        yield from _load_cargo()
        yield "(i32.store (local.get $back) (local.get $cargo))"
        yield "(i32.store offset=4 (local.get $back) (local.get $size))"
    yield "(local.get $back)"


def _load_cargo() -> Iterator[str]:
    yield "(local.set $size (call $used))"
    yield "(local.set $cargo (call $digits (local.get $size)))"
    yield "(local.set $size (i32.shl (local.get $size) (i32.const 1)))"


def _for_import(function: Bridged, count: int) -> Iterator[str]:
    """The guest calls: its lists are in the arena, cargo and spans leave, and the answer's cargo is unpacked."""
    head, params = function.frame
    spread = len(function.flat) <= MAX_FLAT
    if function.sends:
        yield from _load_cargo()
    if not spread:
        yield f"(local.set $frame (call $new (i32.const {head + params})))"
        yield f"(memory.copy (i32.add (local.get $frame) (i32.const {head})) (local.get 0) (i32.const {params}))"
        if function.sends:
            yield "(i32.store (local.get $frame) (local.get $cargo))"
            yield "(i32.store offset=4 (local.get $frame) (local.get $size))"
    # The host has read all before it writes its answer: the space can be used again.
    yield "(call $reset)"
    before = 8 if function.gives else 0
    if function.in_memory:
        assert function.result is not None
        yield f"(local.set $back (call $new (i32.const {before + layout(function.result)[0]})))"
    base = "(i64.extend_i32_u (call $next))"
    if spread:
        arguments = ["(local.get $cargo)", "(local.get $size)"] * function.sends + [base] * function.gives
        arguments += [f"(local.get {place})" for place in range(count)]
    else:
        arguments = ["(local.get $frame)"]
        if function.gives:
            yield f"(i64.store offset={head - 8} (local.get $frame) {base})"
    back = ["(local.get $back)"] * function.in_memory
    yield f"(call $f{function.number} {' '.join(arguments + back)})"
    yield from (f"(call $drop-{name} (local.get {place}))" for place, name in function.borrowed)
    if function.gives:
        yield "(call $undigit (i32.load (local.get $back)) (i32.load offset=4 (local.get $back)))"
    if function.in_memory:
        yield f"(i32.add (local.get $back) (i32.const {before}))"


_IMPORTS: Final = (
    '(import "memory" "memory" (memory 0))',
    '(import "memory" "new" (func $new (param i32) (result i32)))',
    '(import "memory" "next" (func $next (result i32)))',
    '(import "memory" "used" (func $used (result i32)))',
    '(import "memory" "reset" (func $reset))',
    '(import "memory" "digits" (func $digits (param i32) (result i32)))',
    '(import "memory" "undigit" (func $undigit (param i32 i32)))',
)
