"""The one configuration of wasmtime. Fixed, because a wrong combination aborts the process."""

from __future__ import annotations

import hashlib
import platform
from typing import Final

from theater_bus.engine.component.bridge import BRIDGE_VERSION
from theater_bus.engine.ffi import REQUIRED_WASMTIME
from theater_bus.engine.weave import WEAVE_VERSION

__all__ = ["COMPONENT_FLAGS", "FLAGS", "SKELETON_FLAGS", "cache_key"]

FLAGS: Final = (
    # fibers, and yielding from them
    ("epoch_interruption", 1),
    ("consume_fuel", 0),
    ("concurrency_support", 0),
    ("max_wasm_stack", 512 * 1024),
    ("async_stack_size", 2 * 1024 * 1024),
    # no signal handlers: with them, a faulthandler enabled after the engine turns a guest's trap into a dead process
    ("signals_based_traps", 0),
    # the same answer from the same input, on every machine
    ("cranelift_nan_canonicalization", 1),
    ("wasm_threads", 0),
    ("shared_memory", 0),
    ("wasm_relaxed_simd", 0),
    # what guests may use
    ("wasm_multi_memory", 1),
    ("wasm_memory64", 0),
    ("wasm_function_references", 0),
    ("wasm_gc", 0),
    ("wasm_exceptions", 0),
    ("wasm_stack_switching", 0),
    ("wasm_custom_page_sizes", 0),
    # few kernel maps and few resident pages for each of thousands of instances: a memory that grows within its
    # reservation stays where it is (moving it would touch every page of it), and reserves only what is usual
    ("memory_may_move", 1),
    ("memory_reservation", 64 * 1024),
    ("memory_guard_size", 0),
    ("memory_reservation_for_growth", 1024 * 1024),
    ("memory_init_cow", 0),
)


_FOR_COMPONENTS: Final = {
    # the memory of a language runtime is an image of ten megabytes: instances share what they do not change
    "memory_init_cow": 1,
    # and it grows: within its reservation it stays where it is, and keeps sharing
    "memory_reservation_for_growth": 16 * 1024 * 1024,
}
COMPONENT_FLAGS: Final = tuple((name, _FOR_COMPONENTS.get(name, value)) for name, value in FLAGS)
"""The configuration for components: the same but for how memory is made."""

SKELETON_FLAGS: Final = (
    *((name, value) for name, value in COMPONENT_FLAGS if name != "epoch_interruption"),
    ("epoch_interruption", 0),
    ("cranelift_opt_level", 0),
)
"""The configuration for components that only tell of their types: nothing of them ever runs, so they compile sooner."""


def cache_key(flags: tuple[tuple[str, int], ...] | None = None) -> str:
    """What a compiled artifact depends on besides the module: engine, configuration, weaving, processor."""
    parts = (
        REQUIRED_WASMTIME,
        repr(FLAGS if flags is None else flags),
        str(WEAVE_VERSION),
        str(BRIDGE_VERSION),
        platform.machine(),
        platform.system(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
