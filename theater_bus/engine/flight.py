"""A call that did not finish in its first poll: who owns it, what it waits for, how it ends.

Invariants
* One owner polls a store at any time: the loop, or one pool thread while `place` is POOL.
* A future is deleted only by the loop's thread, between polls, and a nested allocation before the call around it.
* The call ends exactly once: `call` returns the result, or `done` gets it, on the loop.
* After a failure the instance is closed: partial writes are never seen.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from enum import Enum
from time import thread_time_ns
from typing import TYPE_CHECKING, Protocol, TypeAlias

from theater_bus.engine import ffi
from theater_bus.engine.answer import Question, answer_of, ask_host, fatal
from theater_bus.engine.outcome import CallResult, GuestFailure, near_memory_limit

if TYPE_CHECKING:
    from theater_bus.engine.eager import Running
    from theater_bus.engine.instance import HostFunction
    from theater_bus.engine.runtime import Runtime
    from theater_bus.engine.settings import Budget, Limits

__all__ = ["Callee", "Flight", "InContext", "Place"]

InContext: TypeAlias = "Context | Callable[[], Context]"
"""The context of a call's host functions, or what makes it when the first is called."""


class Place(Enum):
    """Where a flight is between polls."""

    LOOP = "loop"
    QUEUED = "queued"
    HOST_CALL = "host-call"
    POOL = "pool"
    OVER = "over"


class Callee(Protocol):
    """The instance that a flight is a call of."""

    runtime: Runtime
    limits: Limits
    fault: GuestFailure | None

    @property
    def ask(self) -> Question | None:
        """The host call that the guest waits for."""

    @property
    def calls(self) -> Sequence[HostFunction]:
        """The host functions, in the order of their numbers."""

    @property
    def memory_bytes(self) -> int:
        """The size of the guest's memory as last seen."""

    def landed(self) -> None:
        """The call in progress has ended."""

    def delete(self) -> None:
        """Free the store."""


class Flight(ABC):
    """One call in progress. Made, advanced and ended on the loop's thread; polled there or in the pool.

    Each kind of guest has its own: how a future is made (`_start`), what is read from one that has finished
    (`_finish_stage`), and what is deleted with one that has not (`_drop`).
    """

    __slots__ = (
        "budget_ns",
        "callee",
        "context",
        "cpu_ns",
        "done",
        "failure",
        "fatal",
        "future",
        "inline",
        "own_ns",
        "place",
        "polled",
        "promoted",
        "result",
        "running",
        "slices",
        "timer",
    )

    def __init__(
        self,
        callee: Callee,
        budget: Budget,
        done: Callable[[CallResult], None],
        context: InContext | None,
    ) -> None:
        self.callee = callee
        self.budget_ns = int(budget.cpu_ms * 1_000_000)
        self.done = done
        self.context = context
        self.future = 0
        self.place = Place.LOOP
        self.cpu_ns = self.own_ns = self.slices = 0
        self.promoted = self.inline = self.polled = False
        self.failure: GuestFailure | None = None
        self.fatal: BaseException | None = None
        self.result: CallResult | None = None
        self.running: Running | None = None
        self.timer: asyncio.TimerHandle | None = None
        callee.runtime.flights.add(self)

    # -- on the loop ---------------------------------------------------------------------------------------------

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
        self.callee.runtime.turn.queue(work)

    @abstractmethod
    def _start(self) -> None:
        """Make the future of the next stage."""

    @abstractmethod
    def _finish_stage(self) -> bool:
        """A future has finished. True when the call has ended with it."""

    @abstractmethod
    def _drop(self) -> None:
        """Delete what C still holds of this call."""

    def _poll(self) -> bool:
        runtime = self.callee.runtime
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
        turn = self.callee.runtime.turn
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
        callee = self.callee
        if self.cpu_ns > self.budget_ns:
            self._end_over_budget()
            return False
        ask = callee.ask
        if ask is not None and ask.fresh:
            ask.fresh = False
            self.own_ns = 0
            return self._serve(ask)
        if self.own_ns >= callee.runtime.slice_ns:
            self._promote()
            return False
        return True

    def _promote(self) -> None:
        runtime = self.callee.runtime
        if not self.promoted:
            self.promoted = True
            runtime.instrumentation.count("theater.guests.promoted", 1)
        self.place = Place.POOL
        runtime.pool.submit(self)

    # -- host calls ----------------------------------------------------------------------------------------------

    def _serve(self, ask: Question) -> bool:
        """Ask the host. True when the answer is there; otherwise the guest waits and so does this flight."""
        context = self.context
        if not isinstance(context, Context):
            context = self.context = copy_context() if context is None else context()
        running = ask_host(self.callee, ask, context, self._answered)
        if running is None:
            self.fatal = fatal(ask.answer)
            return True
        self.running = running
        self.place = Place.HOST_CALL
        self.callee.runtime.instrumentation.count("theater.guests.suspended", 1)
        if self.failure is not None:
            self._cancel_host_call()
        return False

    def _answered(self, task: asyncio.Task[bytes]) -> None:
        """The host function that made the guest wait has ended."""
        runtime = self.callee.runtime
        runtime.instrumentation.count("theater.guests.suspended", -1)
        self.running = None
        if self.place is not Place.HOST_CALL:
            return
        if self.failure is not None:
            self._end_cancelled()
            return
        ask = self.callee.ask
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
        ask = self.callee.ask
        return ask is None or not ask.fresh

    def _ending(self) -> bool:
        """Whether the loop wants to end this call; it may say so while a pool thread polls."""
        return self.failure is not None

    def after_slice(self) -> None:
        """Back on the loop: finished, over its budget, cancelled, or with a host call to make."""
        self.place = Place.LOOP
        self.own_ns = self.callee.runtime.slice_ns
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
        runtime = self.callee.runtime
        assert self.running is not None
        self.running.cancel()
        self.timer = runtime.loop.call_later(runtime.settings.cancel_grace_ms / 1000, self._end_cancelled)

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
        callee = self.callee
        self._drop()
        callee.delete()
        failure = near_memory_limit(failure, callee.memory_bytes, callee.limits.memory_bytes)
        self._end(CallResult(-1, None, failure, self.cpu_ns, self.slices, self.promoted), later)

    def _end(self, result: CallResult, later: bool = False) -> None:
        runtime = self.callee.runtime
        if self.timer is not None:
            self.timer.cancel()
        if self.promoted:
            runtime.instrumentation.count("theater.guests.promoted", -1)
        self.place = Place.OVER
        runtime.landed(self)
        self.callee.landed()
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
