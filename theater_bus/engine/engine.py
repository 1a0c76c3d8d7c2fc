"""The engine of a process: compiled modules, their instances, and everything that runs them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from weakref import WeakSet

from theater_bus.core.instrumentation import SILENT, Instrumentation
from theater_bus.engine import ffi
from theater_bus.engine.capacity import map_budget, maps_of_component, maps_of_instance
from theater_bus.engine.component.component import CompiledComponent, Component
from theater_bus.engine.component.factory import Components
from theater_bus.engine.component.instance import ComponentInstance
from theater_bus.engine.configuration import FLAGS
from theater_bus.engine.ffi_component import check_symbols
from theater_bus.engine.hostcall import Callbacks
from theater_bus.engine.instance import HostFunction, HostImport, Instance
from theater_bus.engine.loader import Loader, check_format
from theater_bus.engine.module import Compiled, Module
from theater_bus.engine.outcome import CallResult
from theater_bus.engine.outline import is_component
from theater_bus.engine.runtime import Runtime
from theater_bus.engine.settings import Budget, EngineSettings, Limits
from theater_bus.engine.turn import Turn
from theater_bus.errors import IllegalTransition, Overloaded, SpawnRefused

__all__ = ["Engine"]

_SMALL: Final = 1 << 20
_TABLES: Final = 16
_METADATA_BUDGET: Final = Budget(cpu_ms=500)
_METADATA_LIMITS: Final = Limits(memory_bytes=1 << 30, table_elements=10_000_000)


class Engine:
    """Loads guest modules and makes instances of them. One per process and event loop.

    Bound to the running loop by the first `load` or `instantiate`. `close` ends every call in progress. Raises
    ConfigurationError when the installed wasmtime is not the one that this version was made for, or when `cache_dir`
    cannot be trusted.
    """

    def __init__(self, settings: EngineSettings | None = None, instrumentation: Instrumentation = SILENT) -> None:
        ffi.check_runtime(check_symbols)
        self.settings = settings or EngineSettings()
        self._instrumentation = instrumentation
        self._engine = ffi.make_engine(FLAGS)
        self._loader = Loader(self._engine, self.settings, instrumentation)
        self._compilers = ThreadPoolExecutor(self.settings.compile_threads, "theater-bus-compiler")
        self._runtime: Runtime | None = None
        self._callbacks: Callbacks | None = None
        self._components: Components | None = None
        self._modules: OrderedDict[str, Module | Component] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Module | Component]] = {}
        self._linkers: dict[tuple[tuple[str, str], ...], int] = {}
        self._compiled: WeakSet[Compiled | CompiledComponent] = WeakSet()
        self._hashed: tuple[bytes, str] = (b"", "")
        self._closed = False
        self._map_budget = map_budget()

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def instances(self) -> int:
        """How many instances are alive."""
        return len(self._runtime.instances) if self._runtime is not None else 0

    @property
    def max_instances(self) -> int:
        """How many instances of one memory each may be alive at once."""
        by_maps = self._map_budget // maps_of_instance(1)
        return by_maps if self.settings.max_instances is None else min(by_maps, self.settings.max_instances)

    @property
    def modules(self) -> int:
        """How many compiled modules are held in memory."""
        return len(self._modules)

    @property
    def memory_bytes(self) -> int:
        """The linear memory of all instances together."""
        return sum(i.memory_bytes for i in self._runtime.instances.values()) if self._runtime is not None else 0

    @property
    def turn(self) -> Turn:
        """The inline allowance of the event loop: ask `expired` before work that will call guests, `queue` the rest."""
        return self._bind().turn

    # -- modules -------------------------------------------------------------------------------------------------

    async def load(self, wasm: bytes) -> Module | Component:
        """The compiled guest for these bytes, compiled at most once per process (and per cache directory).

        The first eight bytes decide whether it is a Pack module or a component.

        Raises SpawnRefused for what cannot be a guest here, with the reason and what to do.
        """
        runtime = self._bind()
        check_format(wasm, self.settings.max_module_bytes)
        sha256 = await self._sha256(wasm)
        module = self._modules.get(sha256)
        if module is not None:
            self._modules.move_to_end(sha256)
            self._instrumentation.count("theater.modules.loaded", 1, **{"theater.cache.result": "memory"})
            return module
        task = self._loading.get(sha256)
        if task is None:
            task = self._loading[sha256] = runtime.loop.create_task(self._load(wasm, sha256))
            task.add_done_callback(lambda done: self._loaded(sha256, done))
        return await asyncio.shield(task)

    async def _sha256(self, wasm: bytes) -> str:
        """The digest. That of a large guest takes longer than its spawn, so the last one is remembered."""
        if len(wasm) < _SMALL:
            return hashlib.sha256(wasm).hexdigest()
        if self._hashed[0] is not wasm:
            digest = self._bind().loop.run_in_executor(self._compilers, lambda: hashlib.sha256(wasm).hexdigest())
            self._hashed = wasm, await digest
        return self._hashed[1]

    async def _load(self, wasm: bytes, sha256: str) -> Module | Component:
        runtime = self._bind()
        if is_component(wasm):
            if self._components is None:
                self._components = Components(runtime, self.settings, self._instrumentation)
            component = await runtime.loop.run_in_executor(self._compilers, self._components.load, wasm, sha256)
            self._compiled.add(component.compiled)
            return component
        module = await runtime.loop.run_in_executor(self._compilers, self._loader.load, wasm, sha256)
        self._compiled.add(module.compiled)
        await self._read_metadata(module)
        return module

    def _loaded(self, sha256: str, task: asyncio.Task[Module | Component]) -> None:
        self._loading.pop(sha256, None)
        if task.cancelled() or task.exception() is not None:
            return
        self._modules[sha256] = task.result()
        while len(self._modules) > self.settings.cached_modules:
            self._modules.popitem(last=False)

    async def _read_metadata(self, module: Module) -> None:
        """Ask the module itself, in an instance of its own whose host functions all fail."""
        if "__pack_types" not in module.exports:
            return
        imports = [HostImport(interface, function, _refuse) for interface, function in module.imports]
        instance = self._module(module, imports, _METADATA_LIMITS)
        ended: asyncio.Future[CallResult] = self._bind().loop.create_future()
        try:
            result = instance.call_metadata(_METADATA_BUDGET, ended.set_result)
            if result is None:
                result = await ended
        finally:
            instance.close()
        if result.failure is not None or result.status != 0:
            why = result.failure.message if result.failure is not None else f"status {result.status}"
            raise SpawnRefused(
                f"the module's metadata (__pack_types, after its start function) cannot be read: {why}. Fix: build it "
                "with packr-guest, or with `theater-bus build`"
            )
        module.metadata = result.output

    # -- instances -----------------------------------------------------------------------------------------------

    async def instantiate(
        self, module: Module | Component, imports: Sequence[HostImport], limits: Limits
    ) -> Instance | ComponentInstance:
        """A fresh instance of `module` with these host functions, in any order; more than it imports is fine.

        Raises SpawnRefused naming the imports that are missing or the limit that the module's own declarations
        exceed, and Overloaded when the process cannot hold another instance.
        """
        return self.instantiate_now(module, imports, limits)

    def instantiate_now(
        self, module: Module | Component, imports: Sequence[HostImport], limits: Limits
    ) -> Instance | ComponentInstance:
        """`instantiate` without an await, for replacing an instance: no guest code runs before its first call."""
        if isinstance(module, Component):
            return self._component(module, imports, limits)
        return self._module(module, imports, limits)

    def _component(self, component: Component, imports: Sequence[HostImport], limits: Limits) -> ComponentInstance:
        runtime = self._bind()
        assert self._components is not None
        calls = _resolve(component.imports, imports, component.imports)
        maps = maps_of_component(component.memories, component.bridges)
        self._check_capacity(runtime, maps)
        instance = self._components.instantiate(runtime, component, calls, limits, maps)
        runtime.instances[instance.context] = instance
        runtime.maps += maps
        return instance

    def _module(self, module: Module, imports: Sequence[HostImport], limits: Limits) -> Instance:
        runtime = self._bind()
        calls = _resolve(module.imports, imports, sorted(module.imports))
        self._check_capacity(runtime, maps_of_instance(module.memories))
        pre = module.compiled.instance_pre or self._prepare(module)
        place = self._place(runtime, module, pre, limits)
        instance = Instance(runtime, module, limits, calls, place)
        runtime.instances[place[1]] = instance
        runtime.maps += maps_of_instance(module.memories)
        if calls:
            assert self._callbacks is not None
            instance.record = self._callbacks.record(place[1])
        return instance

    def _check_capacity(self, runtime: Runtime, maps: int) -> None:
        alive, most = len(runtime.instances), self.settings.max_instances
        if most is not None and alive >= most:
            raise Overloaded(
                f"{alive} instances are alive, {most} are allowed (max_instances)", bound="max_instances", limit=most
            )
        if runtime.maps + maps > self._map_budget:
            raise Overloaded(
                f"{alive} instances are alive, and the kernel's memory maps for another are not there "
                "(vm.max_map_count). Fix: use more hosts, or raise that sysctl",
                bound="vm.max_map_count",
                limit=self._map_budget,
            )

    def _place(self, runtime: Runtime, module: Module, pre: int, limits: Limits) -> tuple[int, int, bytes]:
        store = ffi.make_store(self._engine)
        context = ffi.context_of(store)
        ffi.limit_store(
            store, limits.memory_bytes // max(1, module.memories), limits.table_elements, module.memories, _TABLES
        )
        ffi.yield_at_deadline(context)
        ffi.set_epoch_deadline(context, 2)
        frame = runtime.frames.pop() if runtime.frames else ffi.Frame()
        future = ffi.instantiate_async(pre, context, frame)
        while not ffi.poll(future):
            continue
        ffi.delete_future(future)
        _, _, trap, error = ffi.Frame.OUTCOME(frame.buffer, 128)
        handle = frame.buffer.raw[176:192]
        runtime.frames.append(frame)
        if trap or error:
            why = ffi.take_trap(trap).text if trap else ffi.take_error(error)
            ffi.delete_store(store)
            raise SpawnRefused(f"the module cannot be instantiated: {why}{_limit_behind(why)}")
        return store, context, handle

    def _prepare(self, module: Module) -> int:
        """What the module's instances share; one linker serves all modules with the same imports."""
        key = tuple(sorted(module.imports))
        linker = self._linkers.get(key)
        if linker is None:
            linker = self._linkers[key] = ffi.make_linker(self._engine)
            assert self._callbacks is not None
            for which, (interface, function) in enumerate(key):
                ffi.linker_define(linker, interface, function, self._callbacks.on_call, which)
        module.compiled.instance_pre = ffi.instance_pre(linker, module.compiled.pointer)
        return module.compiled.instance_pre

    # -- life ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """End every call with the reason `closed`, free every instance and module, stop the threads."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._compilers.shutdown)
        runtime = self._runtime
        if runtime is not None:
            await runtime.close()
        for compiled in list(self._compiled):
            compiled.free()
        for linker in self._linkers.values():
            ffi.delete_linker(linker)
        if self._components is not None:
            self._components.close()
        ffi.delete_engine(self._engine)

    def _bind(self) -> Runtime:
        runtime = self._runtime
        if self._closed:
            raise IllegalTransition("closed", "running")
        if runtime is None:
            loop = asyncio.get_running_loop()
            runtime = self._runtime = Runtime(loop, self._engine, self.settings, self._instrumentation)
            self._callbacks = Callbacks(runtime.instances)
        return runtime


def _resolve(
    needed: Sequence[tuple[str, str]], imports: Sequence[HostImport], order: Sequence[tuple[str, str]]
) -> tuple[HostFunction, ...]:
    """The host functions in the order of the linker's keys."""
    if not needed:
        return ()
    offered = {(entry.interface, entry.function): entry.call for entry in imports}
    missing = [f"{interface}.{function}" for interface, function in needed if (interface, function) not in offered]
    if missing:
        raise SpawnRefused(
            f"the module imports {', '.join(missing)}, which no capability of this actor provides. Fix: declare the "
            "capability in the manifest"
        )
    return tuple(offered[key] for key in order)


def _refuse(data: bytes) -> bytes | Coroutine[Any, Any, bytes]:
    raise PermissionError("host functions are not available while metadata is read")


def _limit_behind(text: str) -> str:
    if "limit" not in text:
        return ""
    if "memory" in text:
        return " (memory-limit). Fix: raise limits.memory_bytes in the manifest, or declare less in the module"
    return ". Fix: raise limits.table_elements in the manifest" if "table" in text else ""
