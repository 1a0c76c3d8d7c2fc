"""One guest's store: its memory, the buffers the host keeps in it, and the futures made of its functions.

Invariants
* The cached view is as large as the memory was when last looked at; every poll is followed by `noticed` or
  `current_view` before the view is used, since a grown memory may have moved.
* The view is released before the store is deleted.
* Buffers are the guest's own allocations: `base` holds the result slots (8 bytes), the input (`room` bytes) and, until
  an answer outgrows it, the scratch buffer for host answers. They live as long as the instance.
* Numbers that come from the guest are checked against the memory before they are used.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from theater_bus.engine import ffi
from theater_bus.engine.hostcall import Ask, Growth
from theater_bus.engine.outcome import GuestFailure, failure_of_trap
from theater_bus.engine.weave import ROOM, SETUP

if TYPE_CHECKING:
    from theater_bus.engine.runtime import Runtime
    from theater_bus.engine.settings import Limits

__all__ = ["EMPTY_SLOTS", "PAGE_BYTES", "SLOTS", "SLOT_BYTES", "Store"]

PAGE_BYTES: Final = 65536
SLOT_BYTES: Final = 8
SLOTS: Final = Struct("<II").unpack_from
EMPTY_SLOTS: Final = bytes(SLOT_BYTES)
_GRAIN: Final = 1024
_U32: Final = 0xFFFFFFFF
_NO_VIEW: Final = memoryview(b"")


class Store:
    """The C side of an instance and what the host keeps in the guest's memory."""

    __slots__ = (
        "_context",
        "_handle",
        "_memory",
        "_scratch_size_in_base",
        "_store",
        "_wanted",
        "ask",
        "base",
        "fault",
        "growth",
        "limits",
        "old",
        "old_size",
        "pages",
        "record",
        "room",
        "runtime",
        "scratch",
        "scratch_size",
        "view",
    )

    def __init__(self, runtime: Runtime, limits: Limits, store: int, context: int, handle: bytes, scratch: int) -> None:
        self.runtime, self.limits = runtime, limits
        self._store, self._context, self._handle = store, context, handle
        memory = ffi.export(context, handle, b"memory", ffi.EXTERN_MEMORY)
        assert memory is not None
        self._memory = memory
        self._scratch_size_in_base = scratch
        self._wanted = 0
        self.view = _NO_VIEW
        self.pages = ffi.memory_size(context, memory) // PAGE_BYTES
        self.base = self.room = self.old = self.old_size = self.scratch = self.scratch_size = 0
        self.record = b""
        self.ask: Ask | None = None
        self.growth: Growth | None = None
        self.fault: GuestFailure | None = None

    @property
    def closed(self) -> bool:
        """Whether the store is gone."""
        return not self._store

    @property
    def memory_bytes(self) -> int:
        """The size of the guest's memory as last seen; it stays known after the store is gone."""
        return self.pages * PAGE_BYTES

    def function(self, name: str) -> bytes | None:
        """The handle of an exported function."""
        return ffi.export(self._context, self._handle, name.encode(), ffi.EXTERN_FUNC)

    # -- memory --------------------------------------------------------------------------------------------------

    def noticed(self, pages: int) -> None:
        """The memory has this many pages now."""
        if pages != self.pages or len(self.view) != pages * PAGE_BYTES:
            self._release_view()
            self.view = ffi.memory_view(self._context, self._memory)
            self.pages = len(self.view) // PAGE_BYTES

    def current_view(self) -> memoryview:
        """The whole memory as it is at this moment; only the owner of the store asks, between or in its own polls."""
        self.noticed(ffi.memory_size(self._context, self._memory) // PAGE_BYTES)
        return self.view

    def read(self, pointer: int, length: int) -> bytes | None:
        """A copy of guest memory, or None where there is none."""
        view = self.current_view()
        return view[pointer : pointer + length].tobytes() if pointer + length <= len(view) else None

    def take_output(self) -> bytes | GuestFailure:
        """The bytes that the result slots point to. They are freed by the next call."""
        pointer, length = SLOTS(self.view, self.base)
        if length > self.limits.result_bytes:
            limit = self.limits.result_bytes
            return GuestFailure("result-limit", f"the result has {length} bytes, {limit} are allowed (result_bytes)")
        if length and pointer + length > len(self.view):
            return GuestFailure("out-of-bounds", f"the result ({length} bytes at {pointer}) is outside guest memory")
        self.old, self.old_size = pointer, length
        return self.view[pointer : pointer + length].tobytes()

    # -- futures -------------------------------------------------------------------------------------------------

    def start_call(self, entry: bytes, data: bytes) -> tuple[ffi.Frame, int]:
        """The future of a call whose input fits."""
        view, base, size = self.current_view(), self.base, len(data)
        view[base : base + SLOT_BYTES] = EMPTY_SLOTS
        view[base + SLOT_BYTES : base + SLOT_BYTES + size] = data
        return self._start(self.old, self.old_size, base, size, entry)

    def start_buffer(self, size: int) -> tuple[ffi.Frame, int]:
        """The future of the allocation that makes room for `size` bytes of input."""
        room = _rounded(size + SLOT_BYTES) - SLOT_BYTES
        self._wanted = room
        name = ROOM if self.base else SETUP
        function = self.function(name)
        assert function is not None
        total = self._base_size(room)
        old = self._base_size(self.room) if self.base else 0
        return self._start(self.base, old, total, 0, function)

    def accept_buffer(self, status: int) -> bool:
        """Use what `start_buffer` allocated. False when the guest's allocator gave nothing usable."""
        pointer = status & _U32
        room = self._wanted
        if not pointer or pointer + self._base_size(room) > self.memory_bytes:
            return False
        self.base, self.room = pointer, room
        if self._scratch_size_in_base:
            self.scratch, self.scratch_size = pointer + SLOT_BYTES + room, self._scratch_size_in_base
        return True

    def start_growth(self, size: int) -> Growth:
        """A nested call that replaces the scratch buffer while the guest waits for a host call."""
        function = self.function(ROOM)
        assert function is not None
        own = 0 if self._scratch_size_in_base else self.scratch_size
        total = _rounded(size)
        frame = ffi.Frame()
        ffi.Frame.FILL(frame.buffer, 0, self.scratch, own, total, 0, function)
        self.growth = Growth(frame, ffi.call_async(self._context, *frame.tail), total)
        return self.growth

    def finish_growth(self) -> GuestFailure | None:
        """Use the new scratch buffer; returns why there is none."""
        growth = self.growth
        assert growth is not None
        status, pages, trap, error = ffi.Frame.OUTCOME(growth.frame.buffer, 128)
        ffi.delete_future(growth.future)
        self.growth = None
        if trap or error:
            failure = failure_of_trap(ffi.take_trap(trap) if trap else ffi.Trap(None, ffi.take_error(error)))
            return self.fault or failure
        self.noticed(pages)
        pointer = status & _U32
        if not pointer or pointer + growth.size > self.memory_bytes:
            return GuestFailure("memory-limit", f"the guest cannot allocate {growth.size} bytes for a host's answer")
        self.scratch, self.scratch_size = pointer, growth.size
        self._scratch_size_in_base = 0
        return None

    def drop_growth(self) -> None:
        """Delete the nested call, finished or not."""
        if self.growth is not None:
            ffi.delete_future(self.growth.future)
            self.growth.frame.forget()
            self.growth = None

    def _start(self, a: int, b: int, c: int, d: int, function: bytes) -> tuple[ffi.Frame, int]:
        frames = self.runtime.frames
        frame = frames.pop() if frames else ffi.Frame()
        ffi.Frame.FILL(frame.buffer, 0, a, b, c, d, function)
        ffi.set_epoch_deadline(self._context, self.runtime.ticker.patience)
        return frame, ffi.call_async(self._context, *frame.tail)

    def _base_size(self, room: int) -> int:
        return SLOT_BYTES + room + self._scratch_size_in_base

    def delete(self) -> None:
        """Free the store and everything in it. Nothing of it may be in flight."""
        if self._store:
            store, self._store = self._store, 0
            self.pages = ffi.memory_size(self._context, self._memory) // PAGE_BYTES
            self._release_view()
            self.runtime.instances.pop(self._context, None)
            ffi.delete_store(store)

    def _release_view(self) -> None:
        view, self.view = self.view, _NO_VIEW
        if view is not _NO_VIEW:
            view.release()


def _rounded(size: int) -> int:
    return -(-size // _GRAIN) * _GRAIN
