"""What wasmtime calls when a component calls its host, and the linker that knows it.

The rules are those of `hostcall`: callbacks run on the guest's fiber stack and raise nothing into C; `on_call` only
reads what was asked, the answer is worked out by the poller, and `on_poll` alone writes it.

Invariant: a guest whose call failed is never resumed, since wasmtime looks for an error only before the continuation.
The failure is left in `instance.fault`, the guest stays suspended, and its flight ends.
"""

from __future__ import annotations

from ctypes import c_void_p, cast, memmove
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component.crossing import Crossing
from theater_bus.engine.component.passage import Passage, TooMuch
from theater_bus.engine.component.world import World
from theater_bus.engine.ffi import CONTINUATION
from theater_bus.engine.outcome import GuestFailure

if TYPE_CHECKING:
    from theater_bus.engine.component.instance import ComponentInstance

__all__ = ["ComponentAsk", "ComponentCallbacks", "make_linker"]

_RECORD: Final = Struct("<QQQ").pack


class ComponentAsk:
    """One host call, from the guest's call to the written answer. `input` is the parameter tuple in CGRF."""

    __slots__ = ("answer", "base", "crossing", "fresh", "input", "results", "which")

    def __init__(self, which: int, crossing: Crossing, data: bytes, results: int, base: int) -> None:
        self.which, self.crossing, self.input = which, crossing, data
        self.results, self.base = results, base
        self.answer: bytes | GuestFailure | None = None
        self.fresh = True

    def data(self, _instance: object) -> bytes | None:
        """The encoded argument."""
        return self.input


class ComponentCallbacks:
    """The C callables for components of one engine. They must outlive every linker that knows them."""

    __slots__ = ("_instances", "_poll_address", "on_call", "on_drop", "on_poll")

    def __init__(self, instances: dict[int, Any]) -> None:
        self._instances: dict[int, ComponentInstance] = instances
        self.on_call: Any = native.FUNCTION_CALLBACK(self._on_call)
        self.on_poll: Any = CONTINUATION(self._on_poll)
        self.on_drop: Any = native.RESOURCE_DESTRUCTOR(self._on_drop)
        self._poll_address = cast(self.on_poll, c_void_p).value or 0

    def _on_call(
        self,
        which: int,
        context: int,
        _type: int,
        args: int,
        _count: int,
        results: int,
        _results: int,
        _error: int,
        continuation: int,
    ) -> None:
        memmove(continuation, _RECORD(self._poll_address, context, 0), 24)
        try:
            instance = self._instances[context]
            crossing = instance.module.host_functions[which]
            passage = Passage(context, instance.max_nodes, instance.limits.result_bytes)
            data = crossing.lift_params(args, passage)
            instance.ask = ComponentAsk(which, crossing, data, results, passage.base)
        except TooMuch as refused:
            reason = "invalid-argument" if refused.reason == "node-limit" else "host-call"
            self._fault(context, GuestFailure(reason, f"a host call's argument: {refused}"))
        except BaseException as problem:  # noqa: BLE001 - nothing may be raised into C
            self._fault(context, GuestFailure("host-call", f"the host could not take the call: {problem!r}"))

    def _on_poll(self, context: int) -> bool:
        instance = self._instances[context]
        ask = instance.ask
        if ask is None or ask.answer is None:
            return False
        instance.ask = None
        if isinstance(ask.answer, GuestFailure):
            self._fault(context, ask.answer)
            return False
        try:
            passage = Passage(context, 0, 0)
            passage.base = ask.base
            ask.crossing.lower_result(ask.answer, ask.results, passage)
        except BaseException as problem:  # noqa: BLE001 - nothing may be raised into C
            self._fault(context, GuestFailure("host-call", f"the answer cannot be written: {problem!r}", "", problem))
            return False
        return True

    def _fault(self, context: int, failure: GuestFailure) -> None:
        instance = self._instances.get(context)
        if instance is not None:
            instance.fault = failure

    def _on_drop(self, type_number: int, context: int, number: int) -> int | None:
        instance = self._instances.get(context)
        if instance is not None:
            instance.dropped.append((type_number, number))
        return None


def make_linker(engine: int, world: World, callbacks: ComponentCallbacks) -> int:
    """A linker with everything that the world imports. Raises `NativeError` where wasmtime refuses a definition."""
    linker = native.make_linker(engine)
    try:
        for interface in dict.fromkeys([*(one.interface for one in world.resources), *_interfaces(world)]):
            for place in native.linked_instance(linker, interface):
                _define(place, interface, world, callbacks)
    except ffi.NativeError:
        native.delete_linker(linker)
        raise
    return linker


def _interfaces(world: World) -> list[str]:
    found = [one.interface for one in world.imports]
    return [*found, world.bridge] if any(one.bridge is not None for one in world.imports) else found


def _define(place: int, interface: str, world: World, callbacks: ComponentCallbacks) -> None:
    for resource in world.resources:
        if resource.interface == interface:
            native.define_resource(place, resource.name, resource.number, callbacks.on_drop)
    for which, one in enumerate(world.imports):
        if one.interface == interface:
            # Where there is a bridge the guest has no way to the import itself: it has a number that no function has.
            number = which if one.bridge is None else len(world.imports)
            native.define_function(place, one.function.name, callbacks.on_call, number)
        if one.bridge is not None and interface == world.bridge:
            native.define_function(place, f"f{which}", callbacks.on_call, which)
