"""Which functions of a component get a bridge, and the component with them, compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component.bridge import Bridged
from theater_bus.engine.component.component import TOOLCHAIN_EXPORTS
from theater_bus.engine.component.shim import Member
from theater_bus.engine.component.skeleton import skeleton
from theater_bus.engine.component.world import Endpoint, World, bridge_of, read_world
from theater_bus.engine.component.wrapping import Surface, wrap
from theater_bus.engine.component.writer import Sort
from theater_bus.engine.configuration import SKELETON_FLAGS
from theater_bus.engine.ffi_component import ItemKind
from theater_bus.errors import ConfigurationError

__all__ = ["compile_bridged"]

_MAX_NODES: Final = 20_000
"""So large may all types of one side be together, which bounds the text that is written."""

_SORTS: Final = {
    ItemKind.FUNCTION: Sort.FUNCTION,
    ItemKind.INSTANCE: Sort.INSTANCE,
    ItemKind.TYPE: Sort.TYPE,
    ItemKind.RESOURCE: Sort.TYPE,
}


def compile_bridged(engine: int, wasm: bytes, name: str) -> int | None:
    """The component with bridges for its bytes, compiled; None where there are none, or where they cannot be added.

    Such a component runs as it is: its bytes then cross one by one.
    """
    try:
        wrapped, world = _wrapped(wasm, name)
        if wrapped is None:
            return None
        pointer = native.compile_component(engine, wrapped)
    except (ConfigurationError, ffi.NativeError):
        return None
    if _facts(read_world(pointer, engine, name)) == _facts(world):
        return pointer
    native.delete_component(pointer)
    return None


def _wrapped(wasm: bytes, name: str) -> tuple[bytes | None, World]:
    engine, outline = ffi.make_engine(SKELETON_FLAGS), 0
    try:
        outline = native.compile_component(engine, skeleton(wasm))
        world = read_world(outline, engine)
        functions = [*_worthwhile(world.imports, True), *_worthwhile(world.exports, False)]
        surface = _surface(outline, engine, world) if functions else None
    finally:
        if outline:
            native.delete_component(outline)
        ffi.delete_engine(engine)
    return None if surface is None else wrap(wasm, name, surface, functions), world


def _worthwhile(side: tuple[Endpoint, ...], imported: bool) -> Iterator[Bridged]:
    left = _MAX_NODES
    for number, one in enumerate(side):
        if not one.problem and one.name not in TOOLCHAIN_EXPORTS:
            bridge = bridge_of(one, number, imported)
            if bridge.possible and bridge.nodes <= left:
                left -= bridge.nodes
                yield bridge


def _surface(component: int, engine: int, world: World) -> Surface:
    exports = tuple((one.name, _sort(one)) for one in native.exports_of(component, engine))
    interfaces = {
        one.name: tuple((inner.name, _sort(inner)) for inner in native.items_of_instance(one.pointer, engine))
        for one in native.imports_of(component, engine)
        if one.kind == ItemKind.INSTANCE
    }
    resources: dict[str, tuple[str, str]] = {}
    for resource in world.resources:
        resources.setdefault(f"r{resource.number}", (resource.interface, resource.name))
    members: dict[tuple[str, str], Member] = dict(world.types)
    for number, one in enumerate(world.imports):
        if not one.problem:
            members[one.interface, one.function.name] = bridge_of(one, number, True)
    return Surface(exports, interfaces, resources, members)


def _sort(item: native.Item) -> int:
    if item.kind not in _SORTS:
        raise ConfigurationError("component", f"{item.name} is an item of kind {item.kind}")
    return _SORTS[item.kind]


def _facts(world: World) -> object:
    """All that must be the same with bridges and without."""
    sides = [
        [(one.interface, one.function, one.problem, one.has_handles) for one in side]
        for side in (world.imports, world.exports)
    ]
    return sides, world.resources, world.resource_names, world.others
