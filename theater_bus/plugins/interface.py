"""A capability class held against its pact: names, arity and types agree, or the plugin does not load.

What comes out is frozen: for every function the method's name, how it is called (plain, async, on a thread), its
compiled codec and its effect. `bind` turns it into the callable that the engine calls with the guest's bytes.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from theater_bus.capability import Capability, WitCapability
from theater_bus.core.values.codec import ExactCodec, ImportCodec, exact_codec, import_codec
from theater_bus.core.values.codec_wit import loose_codec, wit_import_codec
from theater_bus.core.values.contract import function_difference
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.pact import Effect, PactFile, parse
from theater_bus.core.values.types import Function, Interface, ResultOf, Unit
from theater_bus.errors import PluginError
from theater_bus.plugins.agreement import Agreement, Declared, declared_functions, line_of, read_pact
from theater_bus.plugins.annotation import arrives_as
from theater_bus.plugins.binding import BoundFunction, RunBlocking, bind_plain, bind_waiting, on_a_thread
from theater_bus.plugins.declaring import declared_name, refuse_unusable_settings
from theater_bus.plugins.peer import PeerFunction, compile_peers

__all__ = ["BoundFunction", "CapabilityType", "Effect", "HostFunction", "compile_capability", "method_name"]

Way = Literal["plain", "async", "blocking"]

_TAKEN = frozenset({"self", "name", "pact", "context", "settings"})
"""Names that `Capability` does not define and that yet mean something in every class or instance."""


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function of a capability, ready to be bound to an actor's instance."""

    interface: str
    declaration: Function
    method: str
    call: Way
    effect: Effect
    codec: ImportCodec
    fallible: bool

    @property
    def name(self) -> str:
        """The name in the pact (`get-chain`)."""
        return self.declaration.name

    def for_components(self) -> HostFunction:
        """The same function as components call it: with a tuple of arguments, and the types that WIT has."""
        codec = loose_codec if isinstance(self.codec, ExactCodec) else wit_import_codec
        return replace(self, codec=codec(self.declaration))

    def bind(self, instance: Capability, run_blocking: RunBlocking) -> BoundFunction:
        """The callable for the engine: CGRF in, CGRF out; a coroutine suspends the guest.

        It raises what the method raises, except a `CapabilityError` of a fallible function, which is its `err`.
        """
        method = getattr(instance, self.method)
        if self.call == "plain":
            return bind_plain(method, self.codec, self.fallible)
        if self.call == "blocking":
            method = on_a_thread(method, run_blocking)
        return bind_waiting(method, self.codec, self.fallible)


@dataclass(frozen=True, slots=True)
class CapabilityType:
    """A capability class whose pact and methods agree.

    `functions` go by (interface, function); `calls` are the interfaces of the actor that the capability calls back;
    `pact` is the parsed source of all of it. `peers` are the functions by which the same capability of other actors,
    and clients, reach this one, by `interface.function`. `earlier` are the versions of it for older guests. A
    `WitCapability` has none of this.
    """

    name: str
    plugin: str
    cls: type[Capability]
    interfaces: tuple[Interface, ...]
    functions: Mapping[tuple[str, str], HostFunction]
    calls: tuple[str, ...]
    pact: PactFile
    peers: Mapping[str, PeerFunction]
    earlier: tuple[CapabilityType, ...] = ()

    def version_for(self, imports: Mapping[str, Interface]) -> CapabilityType:
        """The latest version that has what a guest declares to import, or this one where none has."""
        return next((one for one in (self, *self.earlier) if one.satisfies(imports)), self)

    def satisfies(self, imports: Mapping[str, Interface]) -> bool:
        """Whether everything that is imported of the interfaces here is declared alike."""
        return all(
            (theirs := offered.function(ours.name)) is not None and function_difference(ours, theirs) is None
            for offered in self.interfaces
            if offered.name in imports
            for ours in imports[offered.name].functions
        )

    def hashes(self) -> dict[str, bytes]:
        """Interface name → structural hash (32 bytes) of the whole interface."""
        return {interface.name: interface_hash(interface) for interface in self.interfaces}


def method_name(function: str) -> str:
    """The method that implements a function of the pact: `-` as `_`, and one `_` behind a keyword or a taken name."""
    name = function.replace("-", "_")
    return name + "_" if keyword.iskeyword(name) or name in _TAKEN or hasattr(Capability, name) else name


def compile_capability(plugin: str, cls: type[Capability]) -> CapabilityType:
    """Hold `cls` against its pact. Raises `PluginError` that shows both lines where they do not agree.

    Its name and its settings are checked too: see `declaring`.
    """
    where = f"{cls.__module__}.{cls.__qualname__}"
    name = declared_name(plugin, where, cls)
    refuse_unusable_settings(plugin, where, cls)
    if issubclass(cls, WitCapability):
        return CapabilityType(
            name, plugin, cls, (), {}, (), parse("", source="no pact"), compile_peers(plugin, where, cls)
        )
    pact = read_pact(plugin, where, cls)
    declared = declared_functions(pact)
    if not declared:
        raise PluginError(plugin, pact.source, "the pact exports no function", "add an `exports { … }` block")
    _refuse_shared_methods(plugin, declared)
    functions = {(one.interface, one.function.name): _host_function(plugin, cls, one) for one in declared}
    interfaces = tuple(interface for interface in pact.interfaces if interface.functions)
    earlier = tuple(_earlier(plugin, cls, one) for one in vars(cls).get("earlier", ()))
    return CapabilityType(
        name,
        plugin,
        cls,
        interfaces,
        functions,
        tuple(pact.annotation_list("calls")),
        pact,
        compile_peers(plugin, where, cls),
        earlier,
    )


def _earlier(plugin: str, cls: type[Capability], earlier: type[Capability]) -> CapabilityType:
    """An earlier version: the same capability to manifests and grants."""
    if not issubclass(earlier, cls) or earlier.name != cls.name or earlier.Settings is not cls.Settings:
        where = f"{cls.__module__}.{cls.__qualname__}"
        problem = f"`earlier` names {earlier.__qualname__}, which is no subclass with the same name and settings"
        raise PluginError(plugin, where, problem, f"derive it from {cls.__qualname__} and change its pact only")
    return compile_capability(plugin, earlier)


def _refuse_shared_methods(plugin: str, declared: list[Declared]) -> None:
    """Two functions of one interface must not end up in one method (`get-x` and `get_x`)."""
    known: dict[tuple[str, str], Declared] = {}
    for one in declared:
        other = known.setdefault((one.interface, method_name(one.function.name)), one)
        if other is not one:
            problem = f"`{other.function.name}` ({other.line}) has the method {method_name(one.function.name)} too"
            raise PluginError(plugin, str(one), problem, "rename one of the two functions")


def _host_function(plugin: str, cls: type[Capability], declared: Declared) -> HostFunction:
    function = declared.function
    name = method_name(function.name)
    method = inspect.getattr_static(cls, name, None)
    if not inspect.isfunction(method):
        where = f"{cls.__module__}.{cls.__qualname__}"
        problem = f"there is no method {name}, but {declared}"
        raise PluginError(plugin, where, problem, f"add `{_stub(name, function)}`")
    Agreement(plugin, cls, method, declared).check()
    if declared.effect == "queued" and _way(plugin, cls, method) != "plain":
        problem = "the pact names it in @queued, and it waits: what it sends leaves after the operation"
        raise PluginError(plugin, line_of(cls, method), problem, "make it a plain function that calls queue_call")
    return HostFunction(
        declared.interface,
        function,
        name,
        _way(plugin, cls, method),
        declared.effect,
        exact_codec(function) if getattr(method, "__theater_exact__", False) else import_codec(function),
        isinstance(function.result, ResultOf),
    )


def _way(plugin: str, cls: type[Capability], method: Callable[..., Any]) -> Way:
    blocks = getattr(method, "__theater_blocking__", False)
    waits = inspect.iscoroutinefunction(method)
    if blocks and waits:
        problem = "`@blocking` is for plain functions"
        raise PluginError(plugin, line_of(cls, method), problem, "drop `async` or `@blocking`")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise PluginError(plugin, line_of(cls, method), "it is a generator", "return the whole value")
    return "blocking" if blocks else "async" if waits else "plain"


def _stub(name: str, function: Function) -> str:
    params = "".join(f", {method_name(p.name)}: {arrives_as(p.type)}" for p in function.params)
    result = function.result.ok if isinstance(function.result, ResultOf) else function.result
    return f"def {name}(self{params}) -> {arrives_as(result or Unit())}"
