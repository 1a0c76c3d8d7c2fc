"""The two functions that wasmtime calls when a guest calls its host. Both run on the guest's own fiber stack.

Invariants
* Nothing is raised into C: ctypes would swallow it and the guest would read garbage. Every failure becomes a trap.
* `on_call` only notes down what was asked. The answer is worked out by the poller, on the loop and on its own stack.
* `on_poll` alone writes into the guest, during a poll, so that whoever polls owns the memory.
* An answer larger than the instance's scratch buffer needs an allocation by the suspended guest itself: `on_poll` makes
  a nested call of its allocator, on a second fiber, and polls that until it is done; a nested call that yields leaves
  the outer one suspended, and the next poll continues both. An allocator that calls the host in turn is refused.

Source: `wasmtime/async.h` of the wasmtime C API.
"""

from __future__ import annotations

from ctypes import c_void_p, cast, memmove, string_at
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from theater_bus.engine import ffi
from theater_bus.engine.outcome import GuestFailure

if TYPE_CHECKING:
    from theater_bus.engine.instance import Instance

__all__ = ["Ask", "Callbacks", "Growth"]

_ARGUMENTS: Final = Struct("<8xI28xI28xI28xI20x").unpack
_U32: Final = Struct("<I").pack_into
_ZERO_I32: Final = bytes(32)


class Ask:
    """One host call, from the guest's call to the written answer.

    `answer` is what to write, or the failure to trap with; None while it is being worked out.
    """

    __slots__ = ("answer", "fresh", "length", "length_slot", "pointer", "pointer_slot", "results", "trap", "which")

    def __init__(self, which: int, arguments: tuple[int, int, int, int], results: int, trap: int) -> None:
        self.which = which
        self.pointer, self.length, self.pointer_slot, self.length_slot = arguments
        self.results, self.trap = results, trap
        self.answer: bytes | GuestFailure | None = None
        self.fresh = True

    def data(self, instance: Instance) -> bytes | None:
        """The encoded argument, as it lies in guest memory; None where there is none."""
        return instance.read(self.pointer, self.length)


class Growth:
    """A nested call of the guest's allocator, made while the guest waits for a host call."""

    __slots__ = ("frame", "future", "size")

    def __init__(self, frame: ffi.Frame, future: int, size: int) -> None:
        self.frame, self.future, self.size = frame, future, size


class Callbacks:
    """The C callables of one engine. They must outlive every linker that knows them."""

    __slots__ = ("_instances", "_refused", "on_call", "on_poll", "record_address")

    def __init__(self, instances: dict[int, Any]) -> None:
        # Modules and components share the table; what calls here is a module.
        self._instances: dict[int, Instance] = instances
        self.on_call: Any = ffi.ASYNC_CALLBACK(self._on_call)
        self.on_poll: Any = ffi.CONTINUATION(self._on_poll)
        address = cast(self.on_poll, c_void_p).value or 0
        self.record_address = address
        self._refused = _record(address, 0)

    def record(self, context: int) -> bytes:
        """The `wasmtime_async_continuation_t` of the instance in `context`."""
        return _record(self.record_address, context)

    def _on_call(
        self, which: int, caller: int, args: int, _n: int, results: int, _m: int, trap: int, continuation: int
    ) -> None:
        memmove(continuation, self._refused, 24)
        try:
            instance = self._instances[ffi.caller_context(caller)]
            if instance.growth is not None:
                failure = GuestFailure("host-call", "the guest's allocator called the host while it allocated for it")
                instance.fault = failure
                _set_trap(trap, failure.message)
                return
            instance.ask = Ask(which, _ARGUMENTS(string_at(args, 128)), results, trap)
            memmove(continuation, instance.record, 24)
        except BaseException as error:  # noqa: BLE001 - nothing may be raised into C
            _set_trap(trap, f"the host could not take the call: {error!r}")

    def _on_poll(self, context: int) -> bool:
        if not context:
            return True
        instance = self._instances[context]
        ask = instance.ask
        if ask is None or ask.answer is None:
            return False
        try:
            return self._write(instance, ask, ask.answer)
        except BaseException as error:  # noqa: BLE001 - nothing may be raised into C
            self._refuse(
                instance, ask, GuestFailure("host-call", f"the answer cannot be written: {error!r}", "", error)
            )
            return True

    def _write(self, instance: Instance, ask: Ask, answer: bytes | GuestFailure) -> bool:
        if not isinstance(answer, bytes):
            self._refuse(instance, ask, answer)
            return True
        size = len(answer)
        if size > instance.scratch_size:
            problem = self._grow(instance, size)
            if problem is None:
                return False
            if problem is not _GROWN:
                self._refuse(instance, ask, problem)
                return True
        view = instance.current_view()
        if max(ask.pointer_slot, ask.length_slot) + 4 > len(view):
            self._refuse(
                instance, ask, GuestFailure("out-of-bounds", "the guest's result slots are outside its memory")
            )
            return True
        scratch = instance.scratch
        view[scratch : scratch + size] = answer
        _U32(view, ask.pointer_slot, scratch)
        _U32(view, ask.length_slot, size)
        memmove(ask.results, _ZERO_I32, 32)
        instance.ask = None
        return True

    def _refuse(self, instance: Instance, ask: Ask, failure: GuestFailure) -> None:
        instance.fault = failure
        instance.ask = None
        _set_trap(ask.trap, failure.message)

    def _grow(self, instance: Instance, size: int) -> GuestFailure | None:
        """Poll the nested allocation: None while it goes on, else `_GROWN` or why there is no room."""
        growth = instance.growth or instance.start_growth(size)
        if not ffi.poll(growth.future):
            return None
        return instance.finish_growth() or _GROWN


_GROWN: Final = GuestFailure("", "")


def _record(callback: int, context: int) -> bytes:
    return Struct("<QQQ").pack(callback, context, 0)


def _set_trap(slot: int, message: str) -> None:
    c_void_p.from_address(slot).value = ffi.trap_new(message)
