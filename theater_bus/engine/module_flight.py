"""A call of a Pack module: room for the input if it lacks, then the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from theater_bus.engine import ffi
from theater_bus.engine.flight import Flight, InContext
from theater_bus.engine.outcome import CallResult, GuestFailure, failure_of_trap

if TYPE_CHECKING:
    from theater_bus.engine.instance import Instance
    from theater_bus.engine.settings import Budget

__all__ = ["ModuleFlight"]


class ModuleFlight(Flight):
    """One call of a Pack module in progress."""

    __slots__ = ("data", "entry", "frame", "instance", "running_function")

    def __init__(
        self,
        instance: Instance,
        entry: bytes,
        data: bytes,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: InContext | None,
    ) -> None:
        super().__init__(instance, budget, done, context)
        self.instance, self.entry, self.data = instance, entry, data
        self.frame: ffi.Frame | None = None
        self.running_function = False
        instance.flight = self

    def adopt_inline(self, frame: ffi.Frame, future: int, spent_ns: int, finished: bool) -> CallResult | None:
        """Take over a future after its first poll, from inside `call`. Returns the result if that ends the call."""
        self.frame, self.future, self.running_function = frame, future, True
        # The first poll was timed by the wall clock, since a thread's clock costs as much as a short call; a guest
        # that was preempted in it is charged two slices, after which it would have yielded.
        self.cpu_ns = self.own_ns = min(spent_ns, 2 * self.instance.runtime.slice_ns)
        self.slices = 1
        self.inline = True
        self._advance(finished)
        self.inline = False
        return self.result

    def _start(self) -> None:
        """Make the future of the next stage: room for the input if it lacks, else the function."""
        instance, size = self.instance, len(self.data)
        self.running_function = bool(instance.base) and size <= instance.room
        if self.running_function:
            self.frame, self.future = instance.start_call(self.entry, self.data)
        else:
            self.frame, self.future = instance.start_buffer(size)

    def _finish_stage(self) -> bool:
        """A future has finished. True when the call has ended with it."""
        instance = self.instance
        assert self.frame is not None
        status, pages, trap, error = ffi.Frame.OUTCOME(self.frame.buffer, 128)
        ffi.delete_future(self.future)
        self._free_frame()
        if trap or error:
            self._end_trapped(trap, error)
            return True
        instance.noticed(pages)
        if not self.running_function:
            if not instance.accept_buffer(status):
                failure = GuestFailure("memory-limit", f"the guest cannot allocate {len(self.data)} bytes of input")
                self._end_failed(failure)
                return True
            self._start()
            return False
        outcome = instance.take_output()
        if isinstance(outcome, GuestFailure):
            self._end_failed(outcome)
        else:
            self._end(CallResult(status, outcome, None, self.cpu_ns, self.slices, self.promoted))
        return True

    def _end_trapped(self, trap: int, error: int) -> None:
        instance = self.instance
        failure = failure_of_trap(ffi.take_trap(trap) if trap else ffi.Trap(None, ffi.take_error(error)))
        fault = instance.fault
        if fault is not None:
            failure = GuestFailure(fault.reason, fault.message, failure.backtrace, fault.exception)
        self._end_failed(failure)

    def _drop(self) -> None:
        """Delete what C still holds of this call: the nested allocation first, the guest's fiber then."""
        instance = self.instance
        instance.drop_growth()
        instance.ask = None
        if self.frame is not None:
            ffi.delete_future(self.future)
            self.frame.forget()
            self._free_frame()

    def _free_frame(self) -> None:
        assert self.frame is not None
        self.instance.runtime.frames.append(self.frame)
        self.frame = None
