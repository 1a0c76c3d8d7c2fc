"""A guest for any capability: each of its functions as an export that passes its input on and answers with the answer.

With it a capability is called through a real guest, host and server, and nobody has to write WebAssembly:

    actor = await host.spawn(relay_guest(Clock), capabilities={"clock": {}})
    await actor.call_function("now")

With `handlers`, a second capability stands for the actor's own code: its functions are exports of the guest, by their
full name, and get what arrives there. So a test answers in Python what a capability calls back, and a real guest lies
between:

    class Handlers(Capability):
        name = "handlers"
        pact = "handlers.pact"   # theater:bus/nats-client { handle-message: func(state: u64, message: message) -> … }

    guest = relay_guest(Nats, handlers=Handlers)

An export has the name and the parameters of the function. A function with parameters whose result is a `result<T, E>`
answers with `tuple<result<T, E>>`, since an export with that result would take the actor's state; so does one with the
result `value`. A side without
content (`_`) is declared as `tuple<>`, which is what arrives: its plain value is `[]`.

`relay_component` of the module beside this one makes the same guest as a component.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from theater_bus.capability import Capability
from theater_bus.core.values.pact import PactFile, format_interface, parse
from theater_bus.core.values.types import Dynamic, Function, Interface, ResultOf, TupleOf
from theater_bus.plugins import HostFunction, compile_capability
from theater_bus.testing.guests import build_wat

__all__ = ["RelayPlan", "Relayed", "relay_guest", "relay_plan"]

_HEAD = """(module
{imports}
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func $alloc (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
    (block $room
      (br_if $room (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $room
        (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
      (global.set $top (local.get $at))
      (return (i32.const 0)))
    (local.get $at))
  (func (export "__pack_free") (param $at i32) (param $size i32)
    (if (i32.eq (global.get $top)
                (i32.add (local.get $at) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
      (then (global.set $top (local.get $at)))))

  ;; An answer in a tuple of its own, copied to where there is room for one more node.
  (func $wrapped (param $out i32) (param $sizes i32) (local $old i32) (local $size i32) (local $at i32)
    (local.set $old (i32.load (local.get $out)))
    (local.set $size (i32.load (local.get $sizes)))
    (local.set $at (call $alloc (i32.add (local.get $size) (i32.const 16))))
    (memory.copy (local.get $at) (local.get $old) (local.get $size))
    (i64.store (i32.add (local.get $at) (local.get $size)) (i64.const 0x80000000b))
    (i32.store offset=8 (i32.add (local.get $at) (local.get $size)) (i32.const 1))
    (i32.store offset=12 (i32.add (local.get $at) (local.get $size)) (i32.load offset=12 (local.get $at)))
    (i32.store offset=12 (local.get $at) (i32.load offset=8 (local.get $at)))
    (i32.store offset=8 (local.get $at) (i32.add (i32.load offset=8 (local.get $at)) (i32.const 1)))
    (i32.store (local.get $out) (local.get $at))
    (i32.store (local.get $sizes) (i32.add (local.get $size) (i32.const 16))))
"""
_IMPORT = '  (import "{interface}" "{name}" (func $host{n} (param i32 i32 i32 i32) (result i32)))'
_EXPORT = """
  (func (export "{name}") (param $in i32) (param $size i32) (param $out i32) (param $sizes i32) (result i32)
    (drop (call $host{n} (local.get $in) (local.get $size) (local.get $out) (local.get $sizes)))
    {after}(i32.const 0))"""
_WRAP = "(call $wrapped (local.get $out) (local.get $sizes))\n    "


def relay_guest(cls: type[Capability], *, handlers: type[Capability] | None = None) -> bytes:
    """The module of a guest that relays to every function of a capability, and to `handlers` what is called back.

    Raises `PluginError` for a wrong class.
    """
    plan = relay_plan(cls, handlers)
    imports = "\n".join(
        _IMPORT.format(interface=one.function.interface, name=one.function.name, n=n)
        for n, one in enumerate(plan.relayed)
    )
    exports = "".join(
        _EXPORT.format(name=one.export, n=n, after=_WRAP if one.is_wrapped else "")
        for n, one in enumerate(plan.relayed)
    )
    return build_wat(_HEAD.format(imports=imports) + exports + ")", plan.pact, plan.provided)


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """What a relaying guest of either kind imports and exports: `pact`, with the interfaces `provided` to it."""

    relayed: tuple[Relayed, ...]
    pact: PactFile
    provided: Mapping[str, Interface]


def relay_plan(cls: type[Capability], handlers: type[Capability] | None) -> RelayPlan:
    """The plan for a capability, and for what it calls back. Raises `PluginError` for a wrong class."""
    type_ = compile_capability("the capability under test", cls)
    types = [type_] if handlers is None else [type_, compile_capability("the handlers", handlers)]
    relayed = tuple(Relayed(function, type_ is not one) for one in types for function in one.functions.values())
    wanted = "\n".join(f"    {interface.name}" for one in types for interface in one.interfaces)
    shown = format_interface(Interface("", tuple(_exported(f.declaration) for f in type_.functions.values())))
    shown += "".join(format_interface(interface) for one in types[1:] for interface in one.interfaces)
    pact = parse(f"imports {{\n{wanted}\n}}\n{shown}", "relay.pact")
    return RelayPlan(relayed, pact, {interface.name: interface for one in types for interface in one.interfaces})


@dataclass(frozen=True, slots=True)
class Relayed:
    """A function and the export that relays to it, which for a handler's is declared as the function is."""

    function: HostFunction
    is_handler: bool

    @property
    def export(self) -> str:
        return f"{self.function.interface}.{self.function.name}" if self.is_handler else self.function.name

    @property
    def is_wrapped(self) -> bool:
        return not self.is_handler and _is_wrapped(self.function.declaration)


def _is_wrapped(function: Function) -> bool:
    return bool(function.params) and isinstance(function.result, ResultOf | Dynamic)


def _exported(function: Function) -> Function:
    if _is_wrapped(function) and isinstance(function.result, Dynamic):
        return Function(function.name, function.params, TupleOf((function.result,)))
    if not isinstance(function.result, ResultOf):
        return function
    # Metadata describes a `_` as bool, and a host answers with the empty tuple.
    sides = ResultOf(function.result.ok or TupleOf(()), function.result.err or TupleOf(()))
    return Function(function.name, function.params, TupleOf((sides,)) if _is_wrapped(function) else sides)
