"""A guest that can be called."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from theater_bus.engine import ffi
from theater_bus.engine.capacity import maps_of_instance
from theater_bus.engine.module_flight import ModuleFlight
from theater_bus.engine.outcome import CallResult, GuestFailure
from theater_bus.engine.settings import Budget
from theater_bus.engine.store import EMPTY_SLOTS, SLOT_BYTES, SLOTS, Store
from theater_bus.engine.weave import ENTRY, TYPES
from theater_bus.errors import FunctionNotFound, IllegalTransition

if TYPE_CHECKING:
    from theater_bus.engine.flight import InContext
    from theater_bus.engine.module import Module
    from theater_bus.engine.runtime import Runtime
    from theater_bus.engine.settings import Limits

__all__ = ["HostFunction", "HostImport", "Instance"]

HostFunction = Callable[[bytes], bytes | Coroutine[Any, Any, bytes]]

FIRST_SCRATCH: Final = 1024


@dataclass(frozen=True, slots=True)
class HostImport:
    """A host function that a guest may import.

    `call` gets the encoded argument as it lay in guest memory and returns the encoded result, at once or as a
    coroutine. What it raises ends the guest's call with the reason `host-call`.
    """

    interface: str
    function: str
    call: HostFunction


class Instance(Store):
    """A guest that can be called, one call at a time. Made by `Engine.instantiate`.

    Dead after any call that ended in a failure, and after `close`; then `closed` is true, and a fresh instance of the
    same module is a matter of microseconds.
    """

    __slots__ = ("_deadline", "_entries", "calls", "flight", "module")

    def __init__(
        self,
        runtime: Runtime,
        module: Module,
        limits: Limits,
        calls: Sequence[HostFunction],
        place: tuple[int, int, bytes],
    ) -> None:
        store, context, handle = place
        super().__init__(runtime, limits, store, context, handle, FIRST_SCRATCH if calls else 0)
        self.module, self.calls = module, calls
        self.flight: ModuleFlight | None = None
        self._entries: dict[str, bytes] = {}
        self._deadline = -1

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return self.flight is not None

    def call(
        self,
        symbol: str,
        data: bytes,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: InContext | None = None,
    ) -> CallResult | None:
        """Call the exported function `symbol` with encoded input.

        A call that finishes in its first polls returns its result, and `done` is never called. Otherwise None is
        returned and `done` gets the result exactly once, on the loop. Host functions run in `context`, a copy of the
        current one by default; what makes one is asked at the first of them. It must not be entered while `call` runs.
        Raises FunctionNotFound, and IllegalTransition on a closed or busy instance.
        """
        # Written out in one piece: most operations begin and end here, and a function call costs a tenth of one.
        entry = self._entries.get(symbol) if self.flight is None else None
        if entry is None:
            entry = self._find(symbol)
        runtime = self.runtime
        started = perf_counter_ns()
        if started > runtime.turn.until and not runtime.turn.renew(started):
            flight = ModuleFlight(self, entry, data, budget, done, context)
            flight.wait_for_turn(flight.begin)
            return None
        base, size = self.base, len(data)
        if size > self.room or not base:
            flight = ModuleFlight(self, entry, data, budget, done, context)
            return flight.begin_inline()
        view = self.view
        view[base : base + SLOT_BYTES] = EMPTY_SLOTS
        view[base + SLOT_BYTES : base + SLOT_BYTES + size] = data
        frame = runtime.frames.pop() if runtime.frames else ffi.Frame()
        buffer = frame.buffer
        ffi.Frame.FILL(buffer, 0, self.old, self.old_size, base, size, entry)
        ticker = runtime.ticker
        store_context = self._context
        if self._deadline != ticker.epoch:
            self._deadline = ticker.epoch
            ffi.set_epoch_deadline(store_context, ticker.patience)
        future = ffi.call_async(store_context, *frame.tail)
        finished = ffi.poll(future)
        spent = perf_counter_ns() - started
        if finished:
            status, pages, trap, error = ffi.Frame.OUTCOME(buffer, 128)
            if not (trap or error):
                if pages != self.pages:
                    self.noticed(pages)
                    view = self.view
                pointer, length = SLOTS(view, base)
                if pointer + length <= len(view) and length <= self.limits.result_bytes:
                    ffi.delete_future(future)
                    runtime.frames.append(frame)
                    self.old, self.old_size = pointer, length
                    return CallResult(status, view[pointer : pointer + length].tobytes(), None, spent, 1, False)
        self._deadline = -1
        flight = ModuleFlight(self, entry, data, budget, done, context)
        return flight.adopt_inline(frame, future, spent, finished)

    def call_metadata(self, budget: Budget, done: Callable[[CallResult], None]) -> CallResult | None:
        """Call `__pack_types`, for an instance that is thrown away afterwards: its answer must not be freed."""
        handle = self.function(TYPES)
        assert handle is not None
        self._entries[TYPES] = handle
        return self.call(TYPES, b"", budget, done)

    def cancel(self, reason: str, message: str = "") -> None:
        """End the call in progress, if any: its fiber is unwound and `done` gets a failure with `reason`.

        A host coroutine that the guest waits for is cancelled and awaited first; a guest in the pool ends at its next
        slice.
        """
        if self.flight is not None:
            self.flight.cancel(GuestFailure(reason, message or f"ended by its host: {reason}"))

    def close(self) -> None:
        """Free everything. A call in progress ends with the reason `closed`, and the memory goes with it."""
        if self.flight is not None:
            self.cancel("closed")
        else:
            self.delete()

    def _find(self, symbol: str) -> bytes:
        """The handle of the woven function behind `symbol`; the first call of each function comes here."""
        if self.flight is not None:
            raise IllegalTransition("busy", "calling")
        if not self._store:
            raise IllegalTransition("closed", "calling")
        handle = self.function(ENTRY + symbol)
        if handle is None:
            nearest = get_close_matches(symbol, self.module.callables, 3)
            raise FunctionNotFound(f"the module exports no function {symbol!r} that can be called", nearest=nearest)
        self._entries[symbol] = handle
        return handle

    def landed(self) -> None:
        """The call in progress has ended."""
        self.flight = None
        self.fault = None

    def delete(self) -> None:
        """Free the store; `call` is refused from now on."""
        if self._store:
            self._entries = {}
            self.runtime.maps -= maps_of_instance(self.module.memories)
            super().delete()
