"""A call of a component: first the instance, if there is none yet, then the function.

What differs from a Pack module is how a future is made and what is read when it has finished; everything else (turns,
promotion, host calls, cancellation, deadlines) is `Flight`'s.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component.passage import Passage, TooMuch
from theater_bus.engine.ffi_component import VALUE_BYTES
from theater_bus.engine.flight import Flight, InContext
from theater_bus.engine.outcome import CallResult, GuestFailure, failure_of_text

if TYPE_CHECKING:
    from theater_bus.engine.component.crossing import Crossing
    from theater_bus.engine.component.instance import ComponentInstance
    from theater_bus.engine.settings import Budget

__all__ = ["ComponentFlight"]


class ComponentFlight(Flight):
    """One call of a component in progress."""

    __slots__ = ("_arguments", "_calling", "_component", "_crossing", "_passage", "_results", "_slot")

    def __init__(
        self,
        instance: ComponentInstance,
        crossing: Crossing,
        arguments: Any,
        passage: Passage,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: InContext | None,
    ) -> None:
        super().__init__(instance, budget, done, context)
        self._component, self._crossing = instance, crossing
        self._arguments, self._passage = arguments, passage
        self._calling = False
        self._results = ctypes.create_string_buffer(VALUE_BYTES)
        self._slot = ctypes.c_uint64()
        instance.flight = self

    def _start(self) -> None:
        instance = self._component
        error = ctypes.addressof(self._slot)
        self._calling = instance.ready
        if not instance.ready:
            self.future = instance.start_instance(error)
            return
        crossing = self._crossing
        ffi.set_epoch_deadline(instance.context, instance.runtime.ticker.patience)
        self.future = native.call_function_async(
            ctypes.addressof(instance.function(crossing.name)),
            instance.context,
            ctypes.addressof(self._arguments),
            crossing.arguments,
            ctypes.addressof(self._results),
            crossing.results,
            error,
        )

    def _ending(self) -> bool:
        return self.failure is not None or self._component.fault is not None

    def _settle(self) -> bool:
        instance = self._component
        if instance.dropped:
            instance.drain()
        fault = instance.fault
        if fault is not None:
            self._end_failed(fault)
            return False
        return super()._settle()

    def _finish_stage(self) -> bool:
        ffi.delete_future(self.future)
        self.future = 0
        if self._component.dropped:
            self._component.drain()
        error, self._slot.value = self._slot.value, 0
        if error:
            self._end_failed(failure_of_text(ffi.take_error(error)))
            return True
        if not self._calling:
            self._component.ready = True
            self._start()
            return False
        try:
            output = self._crossing.lift_result(self._results, self._passage)
        except TooMuch as refused:
            self._end_failed(GuestFailure(refused.reason, f"the result: {refused}"))
            return True
        self._release()
        self._end(CallResult(0, output, None, self.cpu_ns, self.slices, self.promoted))
        return True

    def _drop(self) -> None:
        self._component.ask = None
        if self.future:
            ffi.delete_future(self.future)
            self.future = 0
            if self._slot.value:
                ffi.take_error(self._slot.value)
        self._release()

    def _release(self) -> None:
        self._passage.release()
        self._arguments = None
