"""How a call ended: a result, or a failure with a stable reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from theater_bus.engine.component.bridge import BRIDGE_FUNCTION, MEMORY_LIMIT
from theater_bus.engine.ffi import Trap

__all__ = ["CallResult", "GuestFailure", "failure_of_text", "failure_of_trap", "near_memory_limit"]

_REASONS: Final = {
    0: "stack-overflow",
    1: "out-of-bounds",
    2: "heap-misaligned",
    3: "table-out-of-bounds",
    4: "indirect-call-to-null",
    5: "indirect-call-type-mismatch",
    6: "integer-overflow",
    7: "integer-divide-by-zero",
    8: "bad-conversion-to-integer",
    9: "unreachable",
    10: "cpu-limit",
    12: "atomic-wait-non-shared-memory",
    13: "null-reference",
    14: "array-out-of-bounds",
    15: "allocation-too-large",
    16: "cast-failure",
    49: "uncaught-exception",
}
_WORDS: Final = (
    ("call stack exhausted", "stack-overflow"),
    ("out of bounds memory access", "out-of-bounds"),
    ("out of bounds of memory", "out-of-bounds"),
    ("undefined element: out of bounds table access", "table-out-of-bounds"),
    ("misaligned", "heap-misaligned"),
    ("uninitialized element", "indirect-call-to-null"),
    ("indirect call type mismatch", "indirect-call-type-mismatch"),
    ("integer overflow", "integer-overflow"),
    ("integer divide by zero", "integer-divide-by-zero"),
    ("invalid conversion to integer", "bad-conversion-to-integer"),
    ("`unreachable` instruction", "unreachable"),
    ("interrupt", "cpu-limit"),
    ("exceeds memory limits", "memory-limit"),
    ("exceeds table limits", "table-limit"),
    ("too much data is being copied", "copy-limit"),
    ("discriminant", "invalid-value"),
    ("utf-8", "invalid-value"),
    # the same, where it is a bridge to which a value is given
    ("content out-of-bounds", "out-of-bounds"),
    ("utf8", "invalid-value"),
    ("`char` bit pattern", "invalid-value"),
    ("unaligned pointer", "invalid-value"),
    ("out of range for `char`", "invalid-value"),
    ("not aligned", "invalid-value"),
    ("handle index", "invalid-handle"),
)
"""What wasmtime says of a trap, and our reason for it. Pinned with wasmtime's version, and tested."""

_PARTS: Final = " (in one call, where each item of a list counts 32 bytes). Fix: pass it in parts, or as list<u8>"

_TO_A_BRIDGE: Final = re.compile(rf"^ +1: +0x[0-9a-f]+ - \S*!{BRIDGE_FUNCTION}\d+$", re.MULTILINE).search
"""Whether a bridge had called when a value was refused, in the code between it and the guest: it was a result."""

_PRESSED: Final = frozenset({"unreachable", "cpu-limit", "out-of-bounds"})
_PAGE: Final = 65536


@dataclass(frozen=True, slots=True)
class GuestFailure:
    """Why a call has no result. The instance is gone; its partial writes are never seen.

    `reason` is one of the trap names (`unreachable`, `out-of-bounds`, `stack-overflow`, …); for what a component must
    not pass `invalid-value` (its result), `invalid-argument` (of a host function) or `invalid-handle`; a limit
    (`cpu-limit`, `memory-limit`, `result-limit`, of a component `copy-limit` and `node-limit`); `host-call` when a host
    function raised (then `exception` is what it raised); or the word given to `Instance.cancel`. `backtrace` is
    wasmtime's text, empty where there is none.
    """

    reason: str
    message: str
    backtrace: str = ""
    exception: BaseException | None = None


@dataclass(slots=True)
class CallResult:
    """The end of one call.

    `status` 0: `output` is the encoded value. `status` not 0: `output` is the guest's UTF-8 message. With a `failure`
    there is no output and `status` is -1. `cpu_ns` is the CPU time of the call's own polls (of the first one the wall
    time, since asking a thread's clock costs as much as a short call), `slices` their number; `promoted` tells whether
    it left the event loop's thread.
    """

    status: int
    output: bytes | None
    failure: GuestFailure | None
    cpu_ns: int
    slices: int
    promoted: bool


def failure_of_trap(trap: Trap) -> GuestFailure:
    """The failure behind a trap or an error that wasmtime reported."""
    text, _, cause = trap.text.partition("Caused by:")
    reason = _REASONS.get(trap.code, "trap") if trap.code is not None else "trap"
    message = cause.strip() or text.strip()
    return GuestFailure(reason, message.removeprefix("wasm trap: "), text.strip() if cause else "")


def failure_of_text(text: str) -> GuestFailure:
    """The failure behind an error of a component call, which says the trap only in words."""
    head, _, cause = text.partition("Caused by:")
    message = (cause or head).strip()
    reason = next((reason for words, reason in _WORDS if words in message), "trap")
    if cause and reason == "invalid-value" and not _TO_A_BRIDGE(head):
        reason = "invalid-argument"  # only what is found while the guest runs has a backtrace
    message = message.rpartition("wasm trap: ")[2]
    if MEMORY_LIMIT in text:
        reason, message = "memory-limit", "its bytes do not fit into the memory that carries them (memory_bytes)"
    if reason == "copy-limit":
        message += _PARTS
    return GuestFailure(reason, message, text.strip() if cause else "")


def near_memory_limit(failure: GuestFailure, memory_bytes: int, limit_bytes: int) -> GuestFailure:
    """Name the limit behind a failure.

    `memory.grow` over the limit returns -1 and the guest then traps or (a Pack guest's panic) spins. A failure with
    the memory within a sixteenth of its limit, at least one page, is therefore a `memory-limit`.
    """
    step = max(_PAGE, limit_bytes // 16)
    if failure.reason not in _PRESSED or memory_bytes + step <= limit_bytes:
        return failure
    message = f"{memory_bytes} of {limit_bytes} bytes of memory in use (memory_bytes); the guest then ended with: "
    return GuestFailure("memory-limit", message + f"{failure.reason}: {failure.message}", failure.backtrace)
