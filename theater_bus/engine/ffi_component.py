"""The component half of `ffi`: typed functions over addresses, on the same async C API.

The invariants are those of `ffi`. In addition: what wasmtime hands out to describe a type belongs to whoever asked and
is deleted by the functions here before they return, except where a docstring says otherwise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_size_t, c_uint32, c_void_p
from functools import partial
from struct import Struct
from typing import Any, ClassVar, Final, NamedTuple, cast

from theater_bus.engine import ffi
from theater_bus.engine.ffi import bindings, check_error, long_call, short_call

__all__ = [
    "FUNCTION_CALLBACK",
    "RESOURCE_DESTRUCTOR",
    "VALUE_BYTES",
    "Item",
    "ItemKind",
    "call_function_async",
    "clone_value",
    "compile_component",
    "define_function",
    "define_resource",
    "delete_component",
    "delete_linker",
    "delete_value",
    "export_index",
    "exports_of",
    "imports_of",
    "instantiate_async",
    "linked_instance",
    "make_linker",
    "resource_number",
    "resource_value",
]

_P = c_void_p
VALUE_BYTES: Final = 32
"""The size of a `wasmtime_component_val_t`: its kind at 0, its payload at 8."""

SIZES: Final = {
    "wasmtime_component_val_t": VALUE_BYTES,
    "wasmtime_component_valrecord_entry_t": 48,
    "wasmtime_component_func_t": 32,
    "wasmtime_component_instance_t": 16,
    "wasmtime_component_valtype_t": 16,
    "wasmtime_component_item_t": 24,
}
SYMBOLS: Final = (
    "wasmtime_component_func_call_async",
    "wasmtime_component_linker_instantiate_async",
    "wasmtime_component_linker_instance_add_func_async",
    "wasmtime_component_val_clone",
)

FUNCTION_CALLBACK = CFUNCTYPE(None, *([c_size_t] * 9))
"""A host function: env, context, type, args, nargs, results, nresults, &error, &continuation."""

RESOURCE_DESTRUCTOR = CFUNCTYPE(c_void_p, c_size_t, c_size_t, c_uint32)
"""A guest let go of a host resource: env, context, number → error or None."""

_new = long_call("wasmtime_component_new", _P, _P, c_char_p, c_size_t, _P)
_serialize = long_call("wasmtime_component_serialize", _P, _P, _P)
_open = long_call("wasmtime_component_deserialize_file", _P, _P, c_char_p, _P)
delete_component: Callable[[int], None] = short_call("wasmtime_component_delete", None, _P)
make_linker: Callable[[int], int] = short_call("wasmtime_component_linker_new", _P, _P)
delete_linker: Callable[[int], None] = short_call("wasmtime_component_linker_delete", None, _P)
_root = short_call("wasmtime_component_linker_root", _P, _P)
_add_instance = short_call("wasmtime_component_linker_instance_add_instance", _P, _P, c_char_p, c_size_t, _P)
_delete_linked = short_call("wasmtime_component_linker_instance_delete", None, _P)
_add_function = short_call(
    "wasmtime_component_linker_instance_add_func_async", _P, _P, c_char_p, c_size_t, _P, c_size_t, _P
)
_add_resource = short_call(
    "wasmtime_component_linker_instance_add_resource", _P, _P, c_char_p, c_size_t, _P, _P, c_size_t, _P
)
_resource_type = short_call("wasmtime_component_resource_type_new_host", _P, c_uint32)
_delete_resource_type = short_call("wasmtime_component_resource_type_delete", None, _P)
instantiate_async: Callable[[int, int, int, int, int], int] = short_call(
    "wasmtime_component_linker_instantiate_async", _P, _P, _P, _P, _P, _P
)
"""`instantiate_async(linker, context, component, &instance, &error)` → future."""

call_function_async: Callable[..., int] = short_call(
    "wasmtime_component_func_call_async", _P, _P, _P, _P, c_size_t, _P, c_size_t, _P
)
"""`call_function_async(&function, context, args, nargs, results, nresults, &error)` → future."""

clone_value: Callable[[int, int], None] = short_call("wasmtime_component_val_clone", None, _P, _P)
"""Copy a value, whatever memory it lies in, into one that wasmtime owns."""

delete_value: Callable[[int], None] = short_call("wasmtime_component_val_delete", None, _P)
_export_index = short_call("wasmtime_component_get_export_index", _P, _P, _P, c_char_p, c_size_t)
_delete_export_index = short_call("wasmtime_component_export_index_delete", None, _P)
_get_function = short_call("wasmtime_component_instance_get_func", c_bool, _P, _P, _P, _P)
_host_new = short_call("wasmtime_component_resource_host_new", _P, c_bool, c_uint32, c_uint32)
_host_number = short_call("wasmtime_component_resource_host_rep", c_uint32, _P)
_host_delete = short_call("wasmtime_component_resource_host_delete", None, _P)
_host_to_any = short_call("wasmtime_component_resource_host_to_any", _P, _P, _P, _P)
_any_to_host = short_call("wasmtime_component_resource_any_to_host", _P, _P, _P, _P)
delete_resource: Callable[[int], None] = short_call("wasmtime_component_resource_any_delete", None, _P)

_component_type = short_call("wasmtime_component_type", _P, _P)
_component_type_delete = short_call("wasmtime_component_type_delete", None, _P)
_count = {side: short_call(f"wasmtime_component_type_{side}_count", c_size_t, _P, _P) for side in ("import", "export")}
_nth = {
    side: short_call(f"wasmtime_component_type_{side}_nth", c_bool, _P, _P, c_size_t, _P, _P, _P)
    for side in ("import", "export")
}
_instance_count = short_call("wasmtime_component_instance_type_export_count", c_size_t, _P, _P)
_instance_nth = short_call("wasmtime_component_instance_type_export_nth", c_bool, _P, _P, c_size_t, _P, _P, _P)
_extern_type = short_call("wasmtime_component_extern_type", None, _P, _P)
_extern_delete = short_call("wasmtime_component_extern_delete", None, _P)
_item_delete = short_call("wasmtime_component_item_delete", None, _P)
_func_async = short_call("wasmtime_component_func_type_async", c_bool, _P)
_func_count = short_call("wasmtime_component_func_type_param_count", c_size_t, _P)
_func_nth = short_call("wasmtime_component_func_type_param_nth", c_bool, _P, c_size_t, _P, _P, _P)
_func_result = short_call("wasmtime_component_func_type_result", c_bool, _P, _P)
_valtype_delete = short_call("wasmtime_component_valtype_delete", None, _P)
resource_types_equal: Callable[[int, int], bool] = short_call("wasmtime_component_resource_type_equal", c_bool, _P, _P)
clone_resource_type: Callable[[int], int] = short_call("wasmtime_component_resource_type_clone", _P, _P)
delete_resource_type: Callable[[int], None] = _delete_resource_type

_WORDS: Final = Struct("<B7xQ").unpack_from


class ItemKind:
    """What an import or export is (`wasmtime_component_item_kind_t`)."""

    INSTANCE = 1
    FUNCTION = 3
    RESOURCE = 4
    TYPE = 6


class ValType:
    """The kinds of `wasmtime_component_valtype_t`; below `STRING` the value is the whole type."""

    SCALARS = ("bool", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "string")
    LIST, RECORD, TUPLE, VARIANT, ENUM, OPTION, RESULT, FLAGS, OWN, BORROW = range(13, 23)
    OTHERS: ClassVar = {23: "future", 24: "stream", 25: "error-context", 26: "map", 27: "fixed-size list"}


class Item(NamedTuple):
    """A named import or export while it is being looked at; `pointer` is of its kind's own C type."""

    name: str
    kind: int
    pointer: int


def check_symbols() -> list[str]:
    """What the installed library lacks or has in another size, for `check_runtime`."""
    missing = [name for name in SYMBOLS if not hasattr(ffi.library, name)]
    wrong = [name for name, size in SIZES.items() if ctypes.sizeof(getattr(bindings, name)) != size]
    return missing + wrong


def compile_component(engine: int, wasm: bytes) -> int:
    """Compile. Takes long and releases the GIL: call it from a worker thread."""
    out = c_void_p()
    check_error(_new(engine, wasm, len(wasm), ctypes.addressof(out)))
    return cast("int", out.value)


def serialize(component: int) -> bytes:
    """The compiled artifact of a component, for `deserialize_file` of the same engine configuration."""
    vector = bindings.wasm_byte_vec_t()
    check_error(_serialize(component, ctypes.addressof(vector)))
    return ffi.take_vector(vector)


def deserialize_file(engine: int, path: str) -> int:
    """Map an artifact. Its bytes become machine code: the caller has verified them."""
    out = c_void_p()
    check_error(_open(engine, path.encode(), ctypes.addressof(out)))
    return cast("int", out.value)


# -- types -----------------------------------------------------------------------------------------------------------


def imports_of(component: int, engine: int) -> Iterator[Item]:
    """What the component imports, each valid until the next is asked for."""
    return _top(component, engine, "import")


def exports_of(component: int, engine: int) -> Iterator[Item]:
    """What the component exports, each valid until the next is asked for."""
    return _top(component, engine, "export")


def _top(component: int, engine: int, side: str) -> Iterator[Item]:
    type_ = _component_type(component)
    try:
        for index in range(_count[side](type_, engine)):
            yield from _item(partial(_nth[side], type_, engine, index))
    finally:
        _component_type_delete(type_)


def items_of_instance(instance_type: int, engine: int) -> Iterator[Item]:
    """What an instance (an interface) holds, each valid until the next is asked for."""
    for index in range(_instance_count(instance_type, engine)):
        yield from _item(partial(_instance_nth, instance_type, engine, index))


def _item(ask: Callable[..., bool]) -> Iterator[Item]:
    name, size, extern = c_void_p(), c_size_t(), c_void_p()
    if not ask(ctypes.addressof(name), ctypes.addressof(size), ctypes.addressof(extern)):
        return
    item = ctypes.create_string_buffer(SIZES["wasmtime_component_item_t"])
    _extern_type(extern, ctypes.addressof(item))
    _extern_delete(extern)
    try:
        kind, pointer = _WORDS(item)
        # A type lies in the item itself.
        at = ctypes.addressof(item) + 8 if kind == ItemKind.TYPE else pointer
        yield Item(_text(name, size), kind, at)
    finally:
        _item_delete(ctypes.addressof(item))


def _text(pointer: c_void_p, size: c_size_t) -> str:
    return ctypes.string_at(pointer.value or 0, size.value).decode() if size.value else ""


def is_async(function_type: int) -> bool:
    """Whether the function is async-lifted (WASI 0.3)."""
    return bool(_func_async(function_type))


def parameters(function_type: int) -> Iterator[tuple[str, int]]:
    """Names and types (`wasmtime_component_valtype_t*`) of the parameters, each valid until the next is asked for."""
    for index in range(_func_count(function_type)):
        yield from _named(partial(_func_nth, function_type, index))


def result(function_type: int) -> Iterator[int]:
    """The result's type, if there is one; valid while iterated over."""
    yield from _valtype(partial(_func_result, function_type))


def _valtype(ask: Callable[[int], bool | None]) -> Iterator[int]:
    out = ctypes.create_string_buffer(16)
    if ask(ctypes.addressof(out)) is not False:
        try:
            yield ctypes.addressof(out)
        finally:
            _valtype_delete(ctypes.addressof(out))


def _named(ask: Callable[..., bool]) -> Iterator[tuple[str, int]]:
    name, size = c_void_p(), c_size_t()
    for pointer in _valtype(lambda out: ask(ctypes.addressof(name), ctypes.addressof(size), out)):
        yield _text(name, size), pointer


def kind_of(valtype: int) -> tuple[int, int]:
    """The kind of a type and the pointer to what it consists of."""
    return cast("tuple[int, int]", _WORDS(ctypes.string_at(valtype, 16)))


def inner(kind: str, pointer: int) -> Iterator[int]:
    """The type inside: `list_type_element`, `option_type_ty`, `result_type_ok` or `result_type_err`."""
    ask = short_call(f"wasmtime_component_{kind}", c_bool if kind.startswith("result") else None, _P, _P)
    yield from _valtype(partial(ask, pointer))


def fields(pointer: int) -> Iterator[tuple[str, int]]:
    """Names and types of a record's fields."""
    nth = short_call("wasmtime_component_record_type_field_nth", c_bool, _P, c_size_t, _P, _P, _P)
    for index in range(short_call("wasmtime_component_record_type_field_count", c_size_t, _P)(pointer)):
        yield from _named(partial(nth, pointer, index))


def elements(pointer: int) -> Iterator[int]:
    """The types of a tuple."""
    nth = short_call("wasmtime_component_tuple_type_types_nth", c_bool, _P, c_size_t, _P)
    for index in range(short_call("wasmtime_component_tuple_type_types_count", c_size_t, _P)(pointer)):
        yield from _valtype(partial(nth, pointer, index))


def cases(pointer: int) -> Iterator[tuple[str, int]]:
    """Names and payload types (0: none) of a variant's cases."""
    nth = short_call("wasmtime_component_variant_type_case_nth", c_bool, _P, c_size_t, _P, _P, _P, _P)
    name, size, has, out = c_void_p(), c_size_t(), c_bool(), ctypes.create_string_buffer(16)
    for index in range(short_call("wasmtime_component_variant_type_case_count", c_size_t, _P)(pointer)):
        nth(pointer, index, *(ctypes.addressof(one) for one in (name, size, has, out)))
        yield _text(name, size), ctypes.addressof(out) if has.value else 0
        if has.value:
            _valtype_delete(ctypes.addressof(out))


def names(kind: str, pointer: int) -> list[str]:
    """The names of an `enum` or `flags` type."""
    nth = short_call(f"wasmtime_component_{kind}_type_names_nth", c_bool, _P, c_size_t, _P, _P)
    name, size, found = c_void_p(), c_size_t(), []
    for index in range(short_call(f"wasmtime_component_{kind}_type_names_count", c_size_t, _P)(pointer)):
        nth(pointer, index, ctypes.addressof(name), ctypes.addressof(size))
        found.append(_text(name, size))
    return found


# -- linking ---------------------------------------------------------------------------------------------------------


def linked_instance(linker: int, name: str) -> Iterator[int]:
    """The place in a linker where the items of the interface `name` are defined ('': the root); once per name."""
    root = _root(linker)
    try:
        if not name:
            yield root
            return
        out, raw = c_void_p(), name.encode()
        check_error(_add_instance(root, raw, len(raw), ctypes.addressof(out)))
        try:
            yield cast("int", out.value)
        finally:
            _delete_linked(out.value)
    finally:
        _delete_linked(root)


def define_function(place: int, name: str, callback: Any, env: int) -> None:
    """Define an async host function; `callback` stays alive as long as the linker."""
    raw = name.encode()
    check_error(_add_function(place, raw, len(raw), ctypes.cast(callback, c_void_p), env, None))


def define_resource(place: int, name: str, number: int, destructor: Any) -> None:
    """Define the host's resource type `number` under a name; `destructor` gets the number as its env."""
    raw, type_ = name.encode(), _resource_type(number)
    error = _add_resource(place, raw, len(raw), type_, ctypes.cast(destructor, c_void_p), number, None)
    _delete_resource_type(type_)
    check_error(error)


def export_index(component: int, interface: str, function: str) -> bytes | None:
    """Where an export lies: 8 bytes that belong to the caller (`free_export_index`), or None."""
    outer = None
    if interface:
        outer = _export_index(component, None, interface.encode(), len(interface.encode()))
        if not outer:
            return None
    raw = function.encode()
    found = _export_index(component, outer, raw, len(raw))
    if outer:
        _delete_export_index(outer)
    return cast("int", found).to_bytes(8, "little") if found else None


def free_export_index(index: bytes) -> None:
    """Free what `export_index` gave."""
    _delete_export_index(int.from_bytes(index, "little"))


def function_of(instance: int, context: int, index: bytes) -> Any:
    """The function of an instance behind an export index, as the 32-byte buffer that calls need."""
    out = ctypes.create_string_buffer(SIZES["wasmtime_component_func_t"])
    found = _get_function(instance, context, int.from_bytes(index, "little"), ctypes.addressof(out))
    return out if found else None


# -- resources -------------------------------------------------------------------------------------------------------


def resource_number(context: int, resource: int) -> int:
    """The number of a host resource that the guest passed; a borrow ends with that. Raises `NativeError`."""
    out = c_void_p()
    check_error(_any_to_host(context, resource, ctypes.addressof(out)))
    number = _host_number(out)
    _host_delete(out)
    return cast("int", number)


def resource_value(context: int, type_number: int, number: int) -> int:
    """An owned handle on a host resource, to be deleted with `delete_resource` after it was cloned or passed."""
    host, out = _host_new(True, number, type_number), c_void_p()
    error = _host_to_any(context, host, ctypes.addressof(out))
    _host_delete(host)
    check_error(error)
    return cast("int", out.value)
