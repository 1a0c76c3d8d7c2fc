"""Components of one engine: loading them, and making instances of them.

They have a wasmtime engine of their own beside that of Pack modules, since a language runtime of ten megabytes is
better mapped copy-on-write than copied into each instance; it is made with the first component, so that who has none
pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.artifact import Artifacts, Format
from theater_bus.engine.component.binary import read_declared
from theater_bus.engine.component.bridging import compile_bridged
from theater_bus.engine.component.component import (
    CompiledComponent,
    Component,
    callable_exports,
    check_component,
)
from theater_bus.engine.component.crossing import Crossing
from theater_bus.engine.component.instance import ComponentInstance
from theater_bus.engine.component.linking import ComponentCallbacks, make_linker
from theater_bus.engine.component.world import World, read_world
from theater_bus.engine.component.wrapping import bridge_name
from theater_bus.engine.configuration import COMPONENT_FLAGS, cache_key
from theater_bus.errors import SpawnRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from theater_bus.core.instrumentation import Instrumentation
    from theater_bus.engine.instance import HostFunction
    from theater_bus.engine.runtime import Runtime
    from theater_bus.engine.settings import EngineSettings, Limits

__all__ = ["Components", "look_into"]

_INSTANCES: Final = 4096
_TABLES: Final = 1024


class Components:
    """Loads components and makes instances of them. `load` blocks: call it in a worker thread."""

    def __init__(self, runtime: Runtime, settings: EngineSettings, instrumentation: Instrumentation) -> None:
        self._engine = ffi.make_engine(COMPONENT_FLAGS)
        self._callbacks = ComponentCallbacks(runtime.instances)
        kind = Format(native.serialize, native.deserialize_file)
        self._artifacts = Artifacts(self._engine, kind, cache_key(COMPONENT_FLAGS), settings, instrumentation)
        runtime.ticker.include(self._engine)

    def load(self, wasm: bytes, sha256: str) -> Component:
        """The compiled component. Raises `SpawnRefused`."""
        declared = read_declared(wasm)
        bridge = bridge_name(sha256)
        compiled = CompiledComponent(self._artifacts.get(sha256, lambda: self._compile(wasm, bridge)))
        world = read_world(compiled.pointer, self._engine, bridge)
        check_component(world)
        exports = callable_exports(world)
        for name, one in exports.items():
            place = (one.interface, one.function.name) if one.bridge is None else (bridge, f"f{one.bridge.number}")
            index = native.export_index(compiled.pointer, *place)
            assert index is not None, "wasmtime named the export itself"
            compiled.exports[name] = index
        compiled.linker = self._linker(world)
        return Component(
            sha256=sha256,
            size_bytes=len(wasm),
            world=world,
            declared=declared,
            compiled=compiled,
            imports=tuple((one.interface, one.function.name) for one in world.imports),
            callables=tuple(exports),
            functions={name: Crossing(one) for name, one in exports.items()},
            host_functions=tuple(Crossing(one) for one in world.imports),
        )

    def instantiate(
        self, runtime: Runtime, component: Component, calls: Sequence[HostFunction], limits: Limits, maps: int
    ) -> ComponentInstance:
        """A fresh instance, in a store of its own. Raises `SpawnRefused` where it declares more than it may have."""
        declared = component.declared
        if declared.memory_bytes > limits.memory_bytes:
            raise SpawnRefused(
                f"the component declares {declared.memory_bytes} bytes of memory, {limits.memory_bytes} are allowed "
                "(memory-limit). Fix: raise limits.memory_bytes in the manifest"
            )
        store = ffi.make_store(self._engine)
        ffi.limit_component_store(
            store,
            limits.memory_bytes // component.memories,
            limits.table_elements,
            component.memories + component.bridges,
            _TABLES,
            _INSTANCES,
        )
        context = ffi.context_of(store)
        ffi.yield_at_deadline(context)
        return ComponentInstance(runtime, component, limits, calls, store, maps)

    def close(self) -> None:
        """Free the engine; every component has been freed."""
        ffi.delete_engine(self._engine)

    def _linker(self, world: World) -> int:
        try:
            return make_linker(self._engine, world, self._callbacks)
        except ffi.NativeError as error:
            raise SpawnRefused(f"the component cannot be linked: {error}") from None

    def _compile(self, wasm: bytes, bridge: str) -> int:
        found = compile_bridged(self._engine, wasm, bridge)
        if found is not None:
            return found
        try:
            return native.compile_component(self._engine, wasm)
        except ffi.NativeError as error:
            raise SpawnRefused(f"the component does not compile: {error}{_hint(str(error))}") from None


def look_into(wasm: bytes) -> tuple[World | None, str]:
    """What a component imports and exports, and why a host would refuse it; it is compiled, and forgotten."""
    engine = ffi.make_engine(COMPONENT_FLAGS)
    compiled = CompiledComponent(0)
    try:
        compiled.pointer = native.compile_component(engine, wasm)
        world = read_world(compiled.pointer, engine)
    except ffi.NativeError as error:
        return None, f"the component does not compile: {error}{_hint(str(error))}"
    finally:
        compiled.free()
        ffi.delete_engine(engine)
    try:
        check_component(world)
    except SpawnRefused as error:
        return world, error.message
    return world, ""


def _hint(text: str) -> str:
    if "async" in text:
        return ". Fix: build it for WASI 0.2, without async functions"
    return ". Fix: build it again"
