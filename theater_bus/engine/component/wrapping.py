"""A component around a guest, with bridges between the guest and its host.

The guest lies in it byte for byte. What it imports is imported again, with the bytes of its own sections; what it
exports is exported again; and beside these stand the bridges' functions under a name that only we can give.

Invariant: what was written is validated by wasmtime, as any component is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from theater_bus.engine import ffi
from theater_bus.engine.component.binary import HEADER_BYTES
from theater_bus.engine.component.bridge import Bridged, instance_text, resources_of, types_text
from theater_bus.engine.component.bridge_code import bridge_text
from theater_bus.engine.component.shim import Member, shim_resources, shim_text
from theater_bus.engine.component.writer import Sort, Writer, copy_imports
from theater_bus.errors import ConfigurationError

__all__ = ["Surface", "bridge_name", "wrap"]

K = TypeVar("K")
V = TypeVar("V")
_MAX_NODES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Surface:
    """What a component exports, and what each interface that it imports holds: names in order, each with its sort.

    `resources` says in which interface a resource is found, and its name there; `members` what the types and functions
    of an imported interface are, by interface and name.
    """

    exports: tuple[tuple[str, int], ...]
    interfaces: Mapping[str, tuple[tuple[str, int], ...]]
    resources: Mapping[str, tuple[str, str]]
    members: Mapping[tuple[str, str], Member]


def bridge_name(sha256: str) -> str:
    """The interface of a component's bridges: it holds the component's digest, so that none can have it itself."""
    return f"theater-bus:bridge/x{sha256}"


def wrap(wasm: bytes, name: str, surface: Surface, functions: Sequence[Bridged]) -> bytes:
    """The component around `wasm`, with `functions` bridged; `name` is that of the bridges' interfaces.

    Raises `ConfigurationError` for a component that cannot be read, `NativeError` for types that wasmtime refuses.
    """
    writer = Writer()
    arguments = {one: (sort, writer.count(sort)) for one, sort in copy_imports(wasm, writer)}
    guest = writer.component(wasm)
    imported = [one for one in functions if one.imported]
    if imported:
        _bridge_imports(writer, name, surface, imported, arguments)
    instance = writer.instantiate(guest, arguments)
    for one, sort in surface.exports:
        writer.export(one, sort, writer.alias(instance, sort, one))
    exported = [one for one in functions if not one.imported]
    if exported:
        _bridge_exports(writer, name, instance, exported)
    return wasm[:HEADER_BYTES] + b"".join(writer.parts)


def _bridge_imports(
    writer: Writer,
    name: str,
    surface: Surface,
    functions: Sequence[Bridged],
    arguments: dict[str, tuple[int, int]],
) -> None:
    resources = {one: _resource(writer, _found(surface.resources, one), arguments) for one in resources_of(functions)}
    host = writer.imported_instance(name, instance_text(functions, True), resources)
    bridge = writer.component(ffi.text_to_wasm(bridge_text(functions, True)))
    inside = writer.instantiate(bridge, {**resources, "a": (Sort.INSTANCE, host)})
    replaced: dict[str, dict[str, int]] = {}
    for one in functions:
        index = writer.alias(inside, Sort.FUNCTION, f"f{one.number}")
        if one.interface:
            replaced.setdefault(one.interface, {})[one.function] = index
        else:
            arguments[one.function] = (Sort.FUNCTION, index)
    replaced_by: dict[str, tuple[int, int]] = {}
    for interface, new in replaced.items():
        _, outside = _found(arguments, interface)
        items = [
            (item, sort, new[item] if item in new else writer.alias(outside, sort, item))
            for item, sort in _found(surface.interfaces, interface)
        ]
        made = _shimmed(writer, surface, interface, items, arguments) if _has_methods(new) else writer.bundle(items)
        replaced_by[interface] = (Sort.INSTANCE, made)
    arguments.update(replaced_by)


def _resource(writer: Writer, place: tuple[str, str], arguments: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    interface, name = place
    _, index = found = _found(arguments, interface or name)
    return (Sort.TYPE, writer.alias(index, Sort.TYPE, name)) if interface else found


def _found(known: Mapping[K, V], key: K) -> V:
    """What is known under a key; the component is refused where two readings of it differ."""
    if key not in known:
        raise ConfigurationError("component", f"nothing is known of {key}")
    return known[key]


def _has_methods(functions: Iterable[str]) -> bool:
    return any(name.startswith("[") for name in functions)


def _shimmed(
    writer: Writer,
    surface: Surface,
    interface: str,
    items: Sequence[tuple[str, int, int]],
    arguments: Mapping[str, tuple[int, int]],
) -> int:
    """The interface as an instance of a shim."""
    members = {name: _found(surface.members, (interface, name)) for name, _, _ in items}
    functions = {name: one for name, one in members.items() if isinstance(one, Bridged)}
    if sum(one.nodes for one in functions.values()) > _MAX_NODES:
        raise ConfigurationError("component", f"the types of {interface} have more than {_MAX_NODES} parts")
    resources = {one: _resource(writer, _found(surface.resources, one), arguments) for one in shim_resources(members)}
    inside = _types(writer, list(functions.values()), resources)
    inside += [(f"f{functions[name].number}", sort, index) for name, sort, index in items if name in functions]
    shim = writer.component(ffi.text_to_wasm(shim_text(members)))
    return writer.instantiate(shim, {**resources, "a": (Sort.INSTANCE, writer.bundle(inside))})


def _types(
    writer: Writer, functions: Sequence[Bridged], resources: Mapping[str, tuple[int, int]]
) -> list[tuple[str, int, int]]:
    """The named types of the guest's side, as items of an instance."""
    text, names = types_text(functions)
    if not names:
        return []
    used = {one: resources[one] for one in resources_of(functions)}
    types = writer.instantiate(writer.component(ffi.text_to_wasm(text)), used)
    return [(one, Sort.TYPE, writer.alias(types, Sort.TYPE, one)) for one in names]


def _bridge_exports(writer: Writer, name: str, instance: int, functions: Sequence[Bridged]) -> None:
    items = _types(writer, functions, {})
    for one in functions:
        place = writer.alias(instance, Sort.INSTANCE, one.interface) if one.interface else instance
        items.append((f"f{one.number}", Sort.FUNCTION, writer.alias(place, Sort.FUNCTION, one.function)))
    bridge = writer.component(ffi.text_to_wasm(bridge_text(functions, False)))
    inside = writer.instantiate(bridge, {"a": (Sort.INSTANCE, writer.bundle(items))})
    writer.export(name, Sort.INSTANCE, inside)
