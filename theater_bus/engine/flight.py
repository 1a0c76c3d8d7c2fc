"""A call that did not finish in its first poll: who owns it, what it waits for, how it ends.

Invariants
* One owner polls a store at any time: the loop, or one pool thread while `place` is POOL.
* A future is deleted only by the loop's thread, between polls, and a nested allocation before the call around it.
* The call ends exactly once: `call` returns the result, or `done` gets it, on the loop.
* After a failure the instance is closed: partial writes are never seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import Enum
from time import thread_time_ns
from typing import TYPE_CHECKING

from theater_bus.engine import ffi
from theater_bus.engine.answer import answer_of, ask_host, fatal
from theater_bus.engine.hostcall import Ask
from theater_bus.engine.outcome import CallResult, GuestFailure, failure_of_trap, near_memory_limit

if TYPE_CHECKING:
    from theater_bus.engine.eager import Running
    from theater_bus.engine.instance import Instance
    from theater_bus.engine.settings import Budget

__all__ = ["Flight", "Place"]


class Place(Enum):
    """Where a flight is between polls."""

    LOOP = "loop"
    QUEUED = "queued"
    HOST_CALL = "host-call"
    POOL = "pool"
    OVER = "over"


class Flight:
    """One call in progress. Made, advanced and ended on the loop's thread; polled there or in the pool."""

    __slots__ = (
        "budget_ns",
        "context",
        "cpu_ns",
        "data",
        "done",
        "entry",
        "failure",
        "fatal",
        "frame",
        "future",
        "inline",
        "instance",
        "own_ns",
        "place",
        "polled",
        "promoted",
        "result",
        "running",
        "running_function",
        "slices",
        "timer",
    )

    def __init__(
        self,
        instance: Instance,
        entry: bytes,
        data: bytes,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: Context | None,
    ) -> None:
        self.instance = instance
        self.entry = entry
        self.data = data
        self.budget_ns = int(budget.cpu_ms * 1_000_000)
        self.done = done
        self.context = context
        self.frame: ffi.Frame | None = None
        self.future = 0
        self.running_function = False
        self.place = Place.LOOP
        self.cpu_ns = self.own_ns = self.slices = 0
        self.promoted = self.inline = self.polled = False
        self.failure: GuestFailure | None = None
        self.fatal: BaseException | None = None
        self.result: CallResult | None = None
        self.running: Running | None = None
        self.timer: asyncio.TimerHandle | None = None
        instance.flight = self
        instance.runtime.flights.add(self)

    # -- on the loop ---------------------------------------------------------------------------------------------

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

    def begin_inline(self) -> CallResult | None:
        """Begin from inside `call`. Returns the result if that ends the call."""
        self.inline = True
        self.begin()
        self.inline = False
        return self.result

    def begin(self) -> None:
        """Make the first future and poll it: the function, or the allocation that it needs first."""
        if self.place is Place.OVER:
            return
        self.place = Place.LOOP
        self._start()
        self._advance(finished=self._poll())

    def resume(self) -> None:
        """Poll again after having waited for a turn or for a host call."""
        if self.place is not Place.QUEUED:
            return
        self.place = Place.LOOP
        self._advance(finished=self.failure is None and self._poll())

    def wait_for_turn(self, work: Callable[[], None]) -> None:
        """Go on in a later turn of the loop."""
        self.place = Place.QUEUED
        self.instance.runtime.turn.queue(work)

    def _start(self) -> None:
        """Make the future of the next stage: room for the input if it lacks, else the function."""
        instance, size = self.instance, len(self.data)
        self.running_function = bool(instance.base) and size <= instance.room
        if self.running_function:
            self.frame, self.future = instance.start_call(self.entry, self.data)
        else:
            self.frame, self.future = instance.start_buffer(size)

    def _poll(self) -> bool:
        runtime = self.instance.runtime
        runtime.turn.watch()
        started = thread_time_ns()
        finished = ffi.poll(self.future)
        spent = thread_time_ns() - started
        self.cpu_ns += spent
        self.own_ns += spent
        self.slices += 1
        return finished

    def _advance(self, finished: bool) -> None:
        """Go on until the call has ended, waits, or has left the loop."""
        turn = self.instance.runtime.turn
        while True:
            if self.failure is not None:
                self._end_cancelled()
                return
            if finished:
                if self._finish_stage():
                    return
            elif not self._settle():
                return
            elif self.promoted:
                self._promote()
                return
            elif turn.expired():
                self.wait_for_turn(self.resume)
                return
            finished = self._poll()

    def _settle(self) -> bool:
        """After a poll that did not finish: whether to poll again now."""
        instance = self.instance
        if self.cpu_ns > self.budget_ns:
            self._end_over_budget()
            return False
        ask = instance.ask
        if ask is not None and ask.fresh:
            ask.fresh = False
            self.own_ns = 0
            return self._serve(ask)
        if self.own_ns >= instance.runtime.slice_ns:
            self._promote()
            return False
        return True

    def _promote(self) -> None:
        runtime = self.instance.runtime
        if not self.promoted:
            self.promoted = True
            runtime.instrumentation.count("theater.guests.promoted", 1)
        self.place = Place.POOL
        runtime.pool.submit(self)

    # -- host calls ----------------------------------------------------------------------------------------------

    def _serve(self, ask: Ask) -> bool:
        """Ask the host. True when the answer is there; otherwise the guest waits and so does this flight."""
        context = self.context
        if context is None:
            context = self.context = copy_context()
        running = ask_host(self.instance, ask, context, self._answered)
        if running is None:
            self.fatal = fatal(ask.answer)
            return True
        self.running = running
        self.place = Place.HOST_CALL
        self.instance.runtime.instrumentation.count("theater.guests.suspended", 1)
        if self.failure is not None:
            self._cancel_host_call()
        return False

    def _answered(self, task: asyncio.Task[bytes]) -> None:
        """The host function that made the guest wait has ended."""
        runtime = self.instance.runtime
        runtime.instrumentation.count("theater.guests.suspended", -1)
        self.running = None
        if self.place is not Place.HOST_CALL:
            return
        if self.failure is not None:
            self._end_cancelled()
            return
        ask = self.instance.ask
        assert ask is not None
        ask.answer = answer_of(task)
        if self.promoted:
            self.place = Place.POOL
            runtime.pool.submit(self)
        elif runtime.turn.expired():
            self.wait_for_turn(self.resume)
        else:
            self.place = Place.LOOP
            self._advance(finished=self._poll())

    # -- in the pool ---------------------------------------------------------------------------------------------

    def poll_slice(self) -> bool:
        """One slice in a pool thread. True when only time was used up and nothing else happened."""
        if self._ending():
            return False
        started = thread_time_ns()
        self.polled = ffi.poll(self.future)
        self.cpu_ns += thread_time_ns() - started
        self.slices += 1
        if self.polled or self._ending() or self.cpu_ns > self.budget_ns:
            return False
        ask = self.instance.ask
        return ask is None or not ask.fresh

    def _ending(self) -> bool:
        """Whether the loop wants to end this call; it may say so while a pool thread polls."""
        return self.failure is not None

    def after_slice(self) -> None:
        """Back on the loop: finished, over its budget, cancelled, or with a host call to make."""
        self.place = Place.LOOP
        self.own_ns = self.instance.runtime.slice_ns
        finished, self.polled = self.polled, False
        self._advance(finished)

    # -- the end -------------------------------------------------------------------------------------------------

    def cancel(self, failure: GuestFailure) -> None:
        """End this call with `failure`, wherever it is. `done` is called in a later turn, if `call` has returned."""
        if self.failure is not None or self.place is Place.OVER:
            return
        self.failure = failure
        if self.place is Place.QUEUED:
            self._end_cancelled(later=True)
        elif self.place is Place.HOST_CALL and self.running is not None:
            self._cancel_host_call()

    def _cancel_host_call(self) -> None:
        """Cancel the coroutine that the guest waits for. The call ends when it has ended, or after a grace time."""
        runtime = self.instance.runtime
        assert self.running is not None
        self.running.cancel()
        self.timer = runtime.loop.call_later(runtime.settings.cancel_grace_ms / 1000, self._end_cancelled)

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

    def _end_over_budget(self) -> None:
        used, allowed = self.cpu_ns / 1e6, self.budget_ns / 1e6
        self._end_failed(
            GuestFailure("cpu-limit", f"{used:.0f} ms of CPU time used, {allowed:.0f} ms allowed (cpu_ms)")
        )

    def _end_cancelled(self, later: bool = False) -> None:
        assert self.failure is not None
        if self.place is not Place.OVER:
            self._end_failed(self.failure, later)

    def _end_failed(self, failure: GuestFailure, later: bool = False) -> None:
        instance = self.instance
        self._drop()
        instance.delete()
        failure = near_memory_limit(failure, instance.memory_bytes, instance.limits.memory_bytes)
        self._end(CallResult(-1, None, failure, self.cpu_ns, self.slices, self.promoted), later)

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

    def _end(self, result: CallResult, later: bool = False) -> None:
        runtime, instance = self.instance.runtime, self.instance
        if self.timer is not None:
            self.timer.cancel()
        if self.promoted:
            runtime.instrumentation.count("theater.guests.promoted", -1)
        self.place = Place.OVER
        runtime.landed(self)
        instance.flight = None
        instance.fault = None
        if self.fatal is not None:
            runtime.loop.call_soon(_raise, self.fatal)
        if self.inline:
            self.result = result
        elif later:
            runtime.loop.call_soon(self.done, result)
        else:
            self.done(result)


def _raise(error: BaseException) -> None:
    raise error
