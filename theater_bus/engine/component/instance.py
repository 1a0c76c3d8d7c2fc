"""A component that can be called, one call at a time; each in a store of its own, since a trap poisons the store."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component.flight import ComponentFlight
from theater_bus.engine.component.passage import Passage
from theater_bus.engine.outcome import CallResult, GuestFailure
from theater_bus.errors import FunctionNotFound, IllegalTransition

if TYPE_CHECKING:
    from theater_bus.engine.component.component import Component
    from theater_bus.engine.component.linking import ComponentAsk
    from theater_bus.engine.flight import InContext
    from theater_bus.engine.instance import HostFunction
    from theater_bus.engine.runtime import Runtime
    from theater_bus.engine.settings import Budget, Limits

__all__ = ["ComponentInstance"]


class ComponentInstance:
    """A component that can be called. Made by `Engine.instantiate`; the counterpart of `Instance`.

    Its code runs for the first time in the first call, which therefore also pays for instantiating it. Dead after any
    call that ended in a failure, and after `close`.
    """

    __slots__ = (
        "_context",
        "_functions",
        "_handle",
        "_store",
        "ask",
        "calls",
        "dropped",
        "fault",
        "flight",
        "limits",
        "maps",
        "max_nodes",
        "module",
        "on_drop",
        "ready",
        "runtime",
    )

    def __init__(
        self,
        runtime: Runtime,
        module: Component,
        limits: Limits,
        calls: Sequence[HostFunction],
        store: int,
        maps: int,
    ) -> None:
        self.runtime, self.module, self.limits, self.calls, self.maps = runtime, module, limits, calls, maps
        self._store = store
        self._context = ffi.context_of(store)
        self._handle = ctypes.create_string_buffer(native.SIZES["wasmtime_component_instance_t"])
        self._functions: dict[str, Any] = {}
        self.ready = False
        self.max_nodes = limits.decode_nodes
        self.flight: ComponentFlight | None = None
        self.ask: ComponentAsk | None = None
        self.fault: GuestFailure | None = None
        self.dropped: list[tuple[int, int]] = []
        self.on_drop: Callable[[str, int], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return self.flight is not None

    @property
    def closed(self) -> bool:
        """Whether the store is gone."""
        return not self._store

    @property
    def memory_bytes(self) -> int:
        """The memory that the component declares; what it grew to is not visible from outside."""
        return self.module.declared.memory_bytes

    @property
    def context(self) -> int:
        """The store's context, by which callbacks find this instance."""
        return self._context

    def call(
        self,
        symbol: str,
        data: bytes,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: InContext | None = None,
    ) -> CallResult | None:
        """Call an export with its encoded parameter tuple; as `Instance.call`."""
        if self.flight is not None:
            raise IllegalTransition("busy", "calling")
        if not self._store:
            raise IllegalTransition("closed", "calling")
        crossing = self.module.functions.get(symbol)
        if crossing is None:
            nearest = get_close_matches(symbol, self.module.callables, 3)
            raise FunctionNotFound(f"the component exports no function {symbol!r} that can be called", nearest=nearest)
        passage = Passage(self._context, self.max_nodes, self.limits.result_bytes)
        flight = ComponentFlight(self, crossing, crossing.lower_params(data, passage), passage, budget, done, context)
        if self.runtime.turn.expired():
            flight.wait_for_turn(flight.begin)
            return None
        return flight.begin_inline()

    def cancel(self, reason: str, message: str = "") -> None:
        """End the call in progress, if any; as `Instance.cancel`."""
        if self.flight is not None:
            self.flight.cancel(GuestFailure(reason, message or f"ended by its host: {reason}"))

    def close(self) -> None:
        """Free everything. A call in progress ends with the reason `closed`, and the store goes with it."""
        if self.flight is not None:
            self.cancel("closed")
        else:
            self.delete()

    def landed(self) -> None:
        """The call in progress has ended."""
        self.flight = None
        self.fault = None

    def delete(self) -> None:
        """Free the store; nothing of it may be in flight."""
        if self._store:
            store, self._store = self._store, 0
            self.runtime.maps -= self.maps
            self.runtime.instances.pop(self._context, None)
            ffi.delete_store(store)

    def drain(self) -> None:
        """Tell the host which of its resources the guest has let go of."""
        dropped, self.dropped = self.dropped, []
        if self.on_drop is not None:
            for type_number, number in dropped:
                self.on_drop(self.module.resource_names[type_number], number)

    # -- for flights ---------------------------------------------------------------------------------------------

    def start_instance(self, error: int) -> int:
        """The future that makes the instance; the address of its error slot is `error`."""
        compiled = self.module.compiled
        ffi.set_epoch_deadline(self._context, self.runtime.ticker.patience)
        handle = ctypes.addressof(self._handle)
        return native.instantiate_async(compiled.linker, self._context, compiled.pointer, handle, error)

    def function(self, name: str) -> Any:
        """The export `name` as C takes it."""
        found = self._functions.get(name)
        if found is None:
            index = self.module.compiled.exports[name]
            found = native.function_of(ctypes.addressof(self._handle), self._context, index)
            assert found is not None, "the export was found when the component was loaded"
            self._functions[name] = found
        return found
