"""The one place that touches wasmtime's C API: typed functions over addresses, and nothing clever.

The `wasmtime` wheel ships the async C API (`wasmtime_func_call_async` and friends) but its Python face does not use it,
and its checked, synchronous calls cost ten times as much. So this module binds the symbols itself. What it relies on is
private to one version of the wheel: the version is pinned, and `check_runtime` compares struct sizes and symbols
before the first use.

Invariants for callers
* A pointer is a Python `int`. Every pointer that a function returns has one owner, who deletes it once.
* Memory that C may still touch (frames, callbacks) stays alive and unmoved until the future using it is deleted.
* `poll` alone releases the GIL, since it alone runs guest code; everything else is short and keeps it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, PYFUNCTYPE, c_bool, c_char_p, c_int, c_int64, c_size_t, c_ssize_t, c_uint64, c_void_p
from importlib.metadata import PackageNotFoundError, version
from struct import Struct
from typing import Any, Final, cast

import wasmtime
from wasmtime import _bindings as bindings
from wasmtime._ffi import dll as library

from theater_bus.errors import ConfigurationError

__all__ = [
    "ASYNC_CALLBACK",
    "CONTINUATION",
    "REQUIRED_WASMTIME",
    "Frame",
    "NativeError",
    "Trap",
    "address_of",
    "bindings",
    "call_async",
    "caller_context",
    "check_error",
    "check_runtime",
    "context_of",
    "delete_future",
    "delete_instance_pre",
    "delete_linker",
    "delete_module",
    "delete_store",
    "deserialize_file",
    "export",
    "increment_epoch",
    "instance_pre",
    "instantiate_async",
    "library",
    "limit_component_store",
    "limit_store",
    "linker_define",
    "long_call",
    "make_engine",
    "make_linker",
    "make_module",
    "make_store",
    "memory_at",
    "memory_base",
    "memory_size",
    "memory_view",
    "poll",
    "serialize",
    "set_epoch_deadline",
    "short_call",
    "take_error",
    "take_trap",
    "take_vector",
    "text_to_wasm",
    "trap_new",
    "yield_at_deadline",
]

REQUIRED_WASMTIME: Final = "50.0.1"

_SIZES: Final = {
    "wasmtime_val_t": 32,
    "wasmtime_func_t": 16,
    "wasmtime_memory_t": 24,
    "wasmtime_instance_t": 16,
    "wasmtime_extern_t": 32,
    "wasmtime_async_continuation_t": 24,
}
_SYMBOLS: Final = (
    "wasmtime_func_call_async",
    "wasmtime_call_future_poll",
    "wasmtime_call_future_delete",
    "wasmtime_instance_pre_instantiate_async",
    "wasmtime_linker_define_async_func",
    "wasmtime_context_epoch_deadline_async_yield_and_update",
    "wasmtime_caller_context",
    "wasmtime_trap_new",
)
EXTERN_FUNC: Final = 0
EXTERN_MEMORY: Final = 3


class NativeError(Exception):
    """wasmtime refused something; the message is its own. Translated where the meaning is known."""


class Trap(Exception):
    """A guest trapped: `code` is wasmtime's number or None, the text ends with the backtrace."""

    def __init__(self, code: int | None, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


def check_runtime(more: Callable[[], Sequence[str]] = tuple) -> None:
    """Refuse to start on a wasmtime whose private layout this module does not know; `more` names what else it lacks."""
    try:
        found = version("wasmtime")
    except PackageNotFoundError:
        found = "unknown"
    fix = f"install wasmtime=={REQUIRED_WASMTIME}"
    if found != REQUIRED_WASMTIME:
        raise ConfigurationError("wasmtime", f"version {found} is installed, {REQUIRED_WASMTIME} is required", fix)
    for name, size in _SIZES.items():
        seen = ctypes.sizeof(getattr(bindings, name))
        if seen != size:
            raise ConfigurationError("wasmtime", f"{name} has {seen} bytes, {size} are expected", fix)
    missing = [*(name for name in _SYMBOLS if not hasattr(library, name)), *more()]
    if missing:
        raise ConfigurationError("wasmtime", f"the library lacks {', '.join(missing)}", fix)


def _address(symbol: str) -> int:
    return cast("int", ctypes.cast(getattr(library, symbol), c_void_p).value)


def short_call(symbol: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A prototype that keeps the GIL: for calls that run no guest code and return in about a microsecond."""
    return cast("Callable[..., Any]", PYFUNCTYPE(result, *arguments)(_address(symbol)))


def long_call(symbol: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A prototype that releases the GIL: for calls that may take long."""
    return cast("Callable[..., Any]", CFUNCTYPE(result, *arguments)(_address(symbol)))


_P = c_void_p

poll: Callable[[int], bool] = long_call("wasmtime_call_future_poll", c_bool, _P)
"""Run the future's guest until it finishes (True), suspends or yields (False)."""

delete_future: Callable[[int], None] = short_call("wasmtime_call_future_delete", None, _P)
"""Drop a future; a suspended guest is unwound."""

call_async: Callable[..., int] = short_call("wasmtime_func_call_async", _P, _P, _P, _P, c_size_t, _P, c_size_t, _P, _P)
"""`call_async(context, *frame.tail)` → future. Nothing runs before the first poll."""

set_epoch_deadline: Callable[[int, int], None] = short_call("wasmtime_context_set_epoch_deadline", None, _P, c_uint64)
increment_epoch: Callable[[int], None] = short_call("wasmtime_engine_increment_epoch", None, _P)
context_of: Callable[[int], int] = short_call("wasmtime_store_context", _P, _P)
caller_context: Callable[[int], int] = short_call("wasmtime_caller_context", _P, _P)
delete_store: Callable[[int], None] = short_call("wasmtime_store_delete", None, _P)
delete_linker: Callable[[int], None] = short_call("wasmtime_linker_delete", None, _P)
delete_module: Callable[[int], None] = short_call("wasmtime_module_delete", None, _P)
delete_engine: Callable[[int], None] = short_call("wasm_engine_delete", None, _P)
delete_instance_pre: Callable[[int], None] = short_call("wasmtime_instance_pre_delete", None, _P)
memory_base: Callable[[int, bytes], int | None] = short_call("wasmtime_memory_data", _P, _P, c_char_p)
memory_size: Callable[[int, bytes], int] = short_call("wasmtime_memory_data_size", c_size_t, _P, c_char_p)

_store_new = short_call("wasmtime_store_new", _P, _P, _P, _P)
_store_limiter = short_call("wasmtime_store_limiter", None, _P, c_int64, c_int64, c_int64, c_int64, c_int64)
# The header announces an error as its result, but the function returns nothing: what is in the register is not one.
_yield_and_update = short_call("wasmtime_context_epoch_deadline_async_yield_and_update", None, _P, c_uint64)
_export_get = short_call("wasmtime_instance_export_get", c_bool, _P, c_char_p, c_char_p, c_size_t, _P)
_trap_new = short_call("wasmtime_trap_new", _P, c_char_p, c_size_t)
_trap_code = short_call("wasmtime_trap_code", c_bool, _P, _P)
_trap_message = short_call("wasm_trap_message", None, _P, _P)
_trap_delete = short_call("wasm_trap_delete", None, _P)
_error_message = short_call("wasmtime_error_message", None, _P, _P)
_error_delete = short_call("wasmtime_error_delete", None, _P)
_bytes_delete = short_call("wasm_byte_vec_delete", None, _P)
_engine_new = short_call("wasm_engine_new_with_config", _P, _P)
_config_new = short_call("wasm_config_new", _P)
_linker_new = short_call("wasmtime_linker_new", _P, _P)
_linker_define = short_call(
    "wasmtime_linker_define_async_func", _P, _P, c_char_p, c_size_t, c_char_p, c_size_t, _P, _P, c_size_t, _P
)
_valtype_new = short_call("wasm_valtype_new", _P, ctypes.c_uint8)
_valtypes_new = short_call("wasm_valtype_vec_new", None, _P, c_size_t, _P)
_functype_new = short_call("wasm_functype_new", _P, _P, _P)
_functype_delete = short_call("wasm_functype_delete", None, _P)
_pre_new = short_call("wasmtime_linker_instantiate_pre", _P, _P, _P, _P)
_pre_start = short_call("wasmtime_instance_pre_instantiate_async", _P, _P, _P, _P, _P, _P)
_module_new = long_call("wasmtime_module_new", _P, _P, c_char_p, c_size_t, _P)
_module_serialize = long_call("wasmtime_module_serialize", _P, _P, _P)
_module_open = long_call("wasmtime_module_deserialize_file", _P, _P, c_char_p, _P)
_from_memory: Callable[[int, int, int], memoryview] = PYFUNCTYPE(ctypes.py_object, _P, c_ssize_t, c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
address_of: Callable[[bytes], int] = PYFUNCTYPE(_P, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
"""Where the content of a bytes object lies, for as long as the object lives."""

ASYNC_CALLBACK = CFUNCTYPE(None, *([c_size_t] * 8))
"""A host function: env, caller, args, nargs, results, nresults, &trap, &continuation."""

CONTINUATION = CFUNCTYPE(c_bool, c_size_t)
"""Asked at every poll while the guest waits; True when the results are written."""


class Frame:
    """The C side of one call: four i32 arguments, one i64 result, trap, error and the function handle, in one block.

    A frame belongs to one future from `call_async` until the future is deleted. Layout (bytes): arguments 0..127 as
    `wasmtime_val_t`, result 128..159, trap pointer 160, error pointer 168, `wasmtime_func_t` 176..191.
    """

    __slots__ = ("buffer", "tail")

    FILL: Final = Struct("<8xI28xI28xI28xI20x32x16x16s").pack_into
    """`FILL(frame.buffer, 0, a, b, c, d, function)`: set the arguments, clear result, trap and error."""

    OUTCOME: Final = Struct("<8xiI16xQQ").unpack_from
    """`OUTCOME(frame.buffer, 128)` → low half (signed) and high half of the result, trap pointer, error pointer."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(192)
        base = ctypes.addressof(self.buffer)
        self.tail = (
            c_void_p(base + 176),
            c_void_p(base),
            c_size_t(4),
            c_void_p(base + 128),
            c_size_t(1),
            c_void_p(base + 160),
            c_void_p(base + 168),
        )

    def forget(self) -> None:
        """Free what a finished future left here that nobody asked for."""
        _, _, trap, error = Frame.OUTCOME(self.buffer, 128)
        if trap:
            _trap_delete(trap)
        if error:
            _error_delete(error)


def make_engine(flags: Sequence[tuple[str, int]]) -> int:
    """An engine with these `wasmtime_config_<flag>_set` values. Wrong ones abort the process: pass constants."""
    config = _config_new()
    for name, value in flags:
        kind = bindings.__dict__[f"_wasmtime_config_{name}_set"].argtypes[1]
        short_call(f"wasmtime_config_{name}_set", None, _P, kind)(config, value)
    return cast("int", _engine_new(config))


def take_error(error: int) -> str:
    """The text of a `wasmtime_error_t`, which is deleted."""
    text = _take_bytes(_error_message, error).decode("utf-8", "replace")
    _error_delete(error)
    return text


def take_trap(trap: int) -> Trap:
    """The code and text of a `wasm_trap_t`, which is deleted."""
    code = ctypes.c_uint8()
    known = _trap_code(trap, ctypes.addressof(code))
    text = _take_bytes(_trap_message, trap).decode("utf-8", "replace").rstrip("\0")
    _trap_delete(trap)
    return Trap(code.value if known else None, text)


def _take_bytes(function: Callable[..., Any], source: int) -> bytes:
    vector = bindings.wasm_byte_vec_t()
    function(source, ctypes.addressof(vector))
    return take_vector(vector)


def take_vector(vector: Any) -> bytes:
    """The content of a `wasm_byte_vec_t`, which is deleted."""
    data = ctypes.string_at(vector.data, vector.size) if vector.size else b""
    _bytes_delete(ctypes.addressof(vector))
    return data


def check_error(error: int | None) -> None:
    """Raise the error that a function of the C API returned, as `NativeError`; it is deleted."""
    if error:
        raise NativeError(take_error(error))


def make_module(engine: int, wasm: bytes) -> int:
    """Compile. Takes long and releases the GIL: call it from a worker thread."""
    out = c_void_p()
    check_error(_module_new(engine, wasm, len(wasm), ctypes.addressof(out)))
    return cast("int", out.value)


def serialize(module: int) -> bytes:
    """The compiled artifact of `module`, for `deserialize_file` of the same engine configuration."""
    vector = bindings.wasm_byte_vec_t()
    check_error(_module_serialize(module, ctypes.addressof(vector)))
    return take_vector(vector)


def deserialize_file(engine: int, path: str) -> int:
    """Map an artifact. Its bytes become machine code: the caller has verified them."""
    out = c_void_p()
    check_error(_module_open(engine, path.encode(), ctypes.addressof(out)))
    return cast("int", out.value)


def make_store(engine: int) -> int:
    """A store; `delete_store` frees it with every instance in it."""
    return cast("int", _store_new(engine, None, None))


def limit_store(store: int, memory_bytes: int, table_elements: int, memories: int, tables: int) -> None:
    """Bound what the one instance of `store` may hold. `memory.grow` beyond it returns -1."""
    _store_limiter(store, memory_bytes, table_elements, 1, tables, memories)


def limit_component_store(
    store: int, memory_bytes: int, table_elements: int, memories: int, tables: int, instances: int
) -> None:
    """Bound what a component may hold; it consists of several core instances."""
    _store_limiter(store, memory_bytes, table_elements, instances, tables, memories)


def yield_at_deadline(context: int) -> None:
    """At an epoch deadline the guest yields from its poll and gets one more tick."""
    _yield_and_update(context, 1)


def make_linker(engine: int) -> int:
    """An empty linker."""
    return cast("int", _linker_new(engine))


def linker_define(linker: int, module: str, name: str, callback: Any, env: int) -> None:
    """Define an async host function `(i32, i32, i32, i32) -> i32`; `callback` stays alive as long as the linker."""
    parameters, results = _value_types(4), _value_types(1)
    function_type = _functype_new(ctypes.addressof(parameters), ctypes.addressof(results))
    module_raw, name_raw = module.encode(), name.encode()
    address = ctypes.cast(callback, c_void_p)
    error = _linker_define(
        linker, module_raw, len(module_raw), name_raw, len(name_raw), function_type, address, env, None
    )
    _functype_delete(function_type)
    check_error(error)


def _value_types(count: int) -> Any:
    """A vector of `count` i32 types. `wasm_functype_new` takes over its contents; the struct itself is Python's."""
    types = (c_void_p * count)(*(_valtype_new(0) for _ in range(count)))
    vector = bindings.wasm_valtype_vec_t()
    _valtypes_new(ctypes.addressof(vector), count, ctypes.addressof(types))
    return vector


def instance_pre(linker: int, module: int) -> int:
    """Everything about instantiating `module` that does not depend on the store."""
    out = c_void_p()
    check_error(_pre_new(linker, module, ctypes.addressof(out)))
    return cast("int", out.value)


def instantiate_async(pre: int, context: int, frame: Frame) -> int:
    """A future that makes the instance; its 16-byte handle ends up in the frame's function slot."""
    base = ctypes.addressof(frame.buffer)
    Frame.FILL(frame.buffer, 0, 0, 0, 0, 0, b"")
    return cast("int", _pre_start(pre, context, base + 176, base + 160, base + 168))


def export(context: int, instance: bytes, name: bytes, kind: int) -> bytes | None:
    """The handle (16 bytes of a function, 24 of a memory) behind the export `name`, or None."""
    extern = ctypes.create_string_buffer(32)
    if not _export_get(context, instance, name, len(name), ctypes.addressof(extern)) or extern.raw[0] != kind:
        return None
    return extern.raw[8:24] if kind == EXTERN_FUNC else extern.raw[8:32]


def memory_view(context: int, memory: bytes) -> memoryview:
    """A writable view of the memory as it is now; stale after it grew, deadly after its store is deleted."""
    return _from_memory(memory_base(context, memory) or 0, memory_size(context, memory), 0x200)


def memory_at(address: int, size: int) -> memoryview:
    """A read-only view of memory that is C's; deadly after C frees it."""
    return _from_memory(address, size, 0x100)


def trap_new(message: str) -> int:
    """A trap to hand to a guest that called a failing host function."""
    raw = message.encode("utf-8", "replace")
    return cast("int", _trap_new(raw, len(raw)))


def text_to_wasm(text: str) -> bytes:
    """The binary form of a module in text form."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise NativeError(str(error)) from None
