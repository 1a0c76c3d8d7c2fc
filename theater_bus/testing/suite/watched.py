"""A capability class under watch: a subclass that notes what its functions cost, what they read and how they end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator, Mapping
from functools import wraps
from time import thread_time
from types import ModuleType
from typing import Any, Final

from theater_bus.capability import Capability, CapabilityError, Context
from theater_bus.plugins import CapabilityType
from theater_bus.telemetry import Registry, Telemetry, UnregisteredName
from theater_bus.testing.suite.case import Finding

__all__ = ["CPU_MOST_S", "END_S", "Watch", "is_of", "module_of", "places_of"]

CPU_MOST_S: Final = 0.25
"""How long a function may compute in one turn of the loop; CPU time, so that a busy machine fails nobody."""
END_S: Final = 20.0
"""How long a cancelled function, or `stop`, gets. A host gives them a second; this machine may be busier."""


class Watch:
    """What is noted about all instances of `cls`, the class to be run in place of the one under test.

    With `cancels`, every coroutine of a function is cancelled where it first waits. `made` are the tasks that the
    capability's code has begun.
    """

    def __init__(self, case_cls: type[Capability], type_: CapabilityType) -> None:
        self.findings: list[Finding] = []
        self.reads: set[str] = set()
        self.registry: Registry | None = None
        self.cancels = False
        self.made: Collection[asyncio.Task[Any]] = ()
        self.entered: dict[str, asyncio.Event] = {}
        self._where = f"{case_cls.__module__}.{case_cls.__qualname__}"
        self.cls = self._subclass(case_cls, type_)

    def found(self, point: str, function: str, problem: str, fix: str) -> None:
        """Note a finding, once."""
        finding = Finding(point, f"{self._where}.{function}", problem, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    def entry(self, method: str) -> asyncio.Event:
        """Set when the method is entered."""
        return self.entered.setdefault(method, asyncio.Event())

    def _subclass(self, cls: type[Capability], type_: CapabilityType) -> type[Capability]:
        watch = self

        def make(instance: Capability, context: Context, settings: Any) -> None:
            watched: Any = _WatchedContext(watch, context)
            cls.__init__(instance, watched, _recording(settings, watch.reads))

        async def stop(instance: Capability) -> None:
            await watch.stopped(cls.stop(instance))

        members: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
        }
        for function in type_.functions.values():
            method = getattr(cls, function.method)
            if function.call == "async":
                members[function.method] = self._waiting(function.method, method, function.fallible)
            elif function.call == "plain":
                members[function.method] = self._plain(function.method, method)
        return type(cls.__name__, (cls,), {**members, "__init__": make, "stop": stop})

    def _plain(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any) -> Any:
            began = thread_time()
            try:
                return method(*args)
            finally:
                self.spent(name, thread_time() - began)

        return call

    def _waiting(self, name: str, method: Callable[..., Any], fallible: bool) -> Callable[..., Any]:
        @wraps(method)
        async def call(*args: Any) -> Any:
            self.entry(name).set()
            coroutine = method(*args)
            if not self.cancels:
                return await _Measured(self, name, coroutine)
            if (value := await self._cancelled(name, coroutine)) is not _CANCELLED:
                return value
            raise CapabilityError("cancelled") if fallible else RuntimeError("cancelled")

        return call

    async def _cancelled(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Cancel the coroutine where it first waits. What it returned if it never waits, else `_CANCELLED`."""
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=END_S)
        fix = "let CancelledError pass, and clean up in `finally` without waiting for others"
        if not task.done():
            self.found("cancellation", name, f"it goes on {END_S:g} s after it was cancelled", fix)
        elif not task.cancelled():
            ended = "returned" if task.exception() is None else f"raised {task.exception()!r}"
            self.found("cancellation", name, f"cancelled while it waited, it {ended}", fix)
        return _CANCELLED

    async def stopped(self, stopping: Coroutine[Any, Any, None]) -> None:
        """Await `stop`, and note when it fails or never ends."""
        fix = "end background work within a second, and raise nothing"
        try:
            async with asyncio.timeout(END_S):
                await stopping
        except TimeoutError:
            self.found("end", "stop", f"it did not end within {END_S:g} s", fix)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
            self.found("end", "stop", f"it raised {type(error).__name__}: {error}", fix)

    def spent(self, name: str, cpu_s: float) -> None:
        """Note a turn of a function that took `cpu_s` of the event loop's thread."""
        if cpu_s > CPU_MOST_S:
            problem = f"it held the event loop for {cpu_s:.2f} s of CPU time in one turn"
            self.found("non-blocking", name, problem, "mark it `@blocking`, or do less at a time")

    def emit(self, emit: Callable[[Telemetry], None]) -> None:
        """Hold what a plugin emits against what is registered."""
        if self.registry is None:
            return
        try:
            emit(Telemetry(level="metrics", registry=self.registry, strict=True))
        except UnregisteredName as error:
            fix = "name it in the plugin's `theater_telemetry`; a host drops what is not"
            self.found("telemetry", "context.meter", str(error), fix)


_CANCELLED: Final = object()


class _Measured:
    """Awaits a coroutine and measures each of its turns."""

    def __init__(self, watch: Watch, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._watch, self._name, self._coroutine = watch, name, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        while True:
            began = thread_time()
            try:
                waits_for = step(given)
            except StopIteration as end:
                return end.value
            finally:
                self._watch.spent(self._name, thread_time() - began)
            try:
                step, given = self._coroutine.send, (yield waits_for)
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001  whatever is thrown in belongs to the coroutine
                step, given = self._coroutine.throw, error


class _WatchedContext:
    """A `Context` that notes which grants are read and what is emitted."""

    def __init__(self, watch: Watch, context: Context) -> None:
        self._watch, self._context = watch, context
        self.grants = _Reads(context.grants, watch.reads)
        self.meter = _WatchedMeter(watch, context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _WatchedMeter:
    """Passes on what is counted, recorded and emitted, and holds it against the registry."""

    def __init__(self, watch: Watch, context: Context) -> None:
        self._watch, self._context = watch, context

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """See `Instrumentation`."""
        self._watch.emit(lambda strict: strict.count(name, amount, **attributes))
        self._context.meter.count(name, amount, **attributes)

    def record(self, name: str, value: float, **attributes: str) -> None:
        """See `Instrumentation`."""
        self._watch.emit(lambda strict: strict.record(name, value, **attributes))
        self._context.meter.record(name, value, **attributes)

    def event(self, name: str, **fields: object) -> None:
        """See `Instrumentation`."""
        self._watch.emit(lambda strict: strict.event(name, **fields))
        self._context.meter.event(name, **fields)


class _Reads(Mapping[str, Any]):
    """A mapping that notes which keys are read."""

    def __init__(self, inner: Mapping[str, Any], reads: set[str]) -> None:
        self._inner, self._reads = inner, reads

    def __getitem__(self, key: str) -> Any:
        self._reads.add(key)
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


def _recording(settings: Any, reads: set[str]) -> Any:
    """The same settings as an instance that notes which fields are read."""
    cls = type(settings)
    fields = frozenset(cls.model_fields)

    def get(instance: Any, name: str) -> Any:
        if name in fields:
            reads.add(name)
        return object.__getattribute__(instance, name)

    made: Any = type(cls.__name__, (cls,), {"__getattribute__": get, "__module__": cls.__module__})
    return made.model_construct(**{name: getattr(settings, name) for name in fields})


def module_of(cls: type[Capability]) -> ModuleType:
    """The capability's package, or its one module where that lies in no package."""
    top = sys.modules.get(cls.__module__.partition(".")[0])
    return top if top is not None and getattr(top, "__file__", None) else sys.modules[cls.__module__]


def places_of(cls: type[Capability]) -> tuple[str, ...]:
    """Where the files of the capability's code lie: what their paths begin with."""
    module = module_of(cls)
    folders = tuple(f"{folder}{os.sep}" for folder in getattr(module, "__path__", ()))
    return folders or (str(module.__file__),)


def is_of(cls: type[Capability], task: asyncio.Task[Any]) -> bool:
    """Whether the task runs code of the capability's package."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(places_of(cls))
