"""A capability class held against its pact: names, arity and types agree, or the plugin does not load.

What comes out is frozen: for every function the method's name, how it is called (plain, async, on a thread), its
compiled codec and its effect. `bind` turns it into the callable that the engine calls with the guest's bytes.
"""

from __future__ import annotations

import inspect
import keyword
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from theater_bus.capability import Capability
from theater_bus.core.values.codec import ImportCodec, import_codec
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.pact import Effect, PactFile, format_type, parse
from theater_bus.core.values.pact_format import format_function
from theater_bus.core.values.types import Function, Interface, ResultOf, Unit
from theater_bus.errors import PactSyntaxError, PluginError
from theater_bus.plugins.annotation import arrives_as, gives, shown, takes
from theater_bus.plugins.binding import BoundFunction, RunBlocking, bind_plain, bind_waiting, on_a_thread

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
    `pact` is the parsed source of all of it.
    """

    name: str
    plugin: str
    cls: type[Capability]
    interfaces: tuple[Interface, ...]
    functions: Mapping[tuple[str, str], HostFunction]
    calls: tuple[str, ...]
    pact: PactFile

    def hashes(self) -> dict[str, bytes]:
        """Interface name → structural hash (32 bytes) of the whole interface."""
        return {interface.name: interface_hash(interface) for interface in self.interfaces}


def method_name(function: str) -> str:
    """The method that implements a function of the pact: `-` as `_`, and one `_` behind a keyword or a taken name."""
    name = function.replace("-", "_")
    return name + "_" if keyword.iskeyword(name) or name in _TAKEN or hasattr(Capability, name) else name


def compile_capability(plugin: str, cls: type[Capability]) -> CapabilityType:
    """Hold `cls` against its pact. Raises `PluginError` that shows both lines where they do not agree."""
    where = f"{cls.__module__}.{cls.__qualname__}"
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginError(plugin, where, "the class has no `name`", 'add `name = "…"`, as manifests will write it')
    text, source = _pact_text(plugin, where, cls)
    try:
        pact = parse(text, source=source)
    except PactSyntaxError as error:
        raise PluginError(plugin, where, str(error), "correct the pact") from error
    declared = _declared(pact)
    if not declared:
        raise PluginError(plugin, source, "the pact exports no function", "add an `exports { … }` block")
    _refuse_shared_methods(plugin, declared)
    functions = {(one.interface, one.function.name): _host_function(plugin, cls, one) for one in declared}
    interfaces = tuple(interface for interface in pact.interfaces if interface.functions)
    return CapabilityType(name, plugin, cls, interfaces, functions, tuple(pact.annotation_list("calls")), pact)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A function where the pact declares it."""

    interface: str
    function: Function
    effect: Effect
    line: str

    def __str__(self) -> str:
        return f"{self.line}: {self.function.name}: {format_function(self.function)}"


def _declared(pact: PactFile) -> list[_Declared]:
    found = []
    for one in pact.declared:
        for interface in (one.interface, *one.groups):
            for function in interface.functions:
                own = interface is one.interface
                line = one.lines.get(function.name if own else f"{interface.name}.{function.name}", 0)
                found.append(_Declared(interface.name, function, one.effect(function.name), f"{pact.source}:{line}"))
    return found


def _pact_text(plugin: str, where: str, cls: type[Capability]) -> tuple[str, str]:
    """The pact's text and what to call it. A file lies beside the module of the class that names it."""
    owner = next((one for one in cls.__mro__ if "pact" in vars(one)), None)
    pact = None if owner is None else vars(owner)["pact"]
    if owner is None or not isinstance(pact, str):
        raise PluginError(plugin, where, "the class has no `pact`", 'add `pact = "NAME.pact"`')
    if "\n" in pact:
        return pact, f"{owner.__qualname__}.pact"
    path = Path(getattr(sys.modules[owner.__module__], "__file__", None) or "").parent / pact
    try:
        return path.read_text(encoding="utf-8"), path.name
    except OSError as error:
        raise PluginError(
            plugin, where, f"{pact}: {error.strerror}", "put the pact file beside the module, and into the wheel"
        ) from error


def _refuse_shared_methods(plugin: str, declared: list[_Declared]) -> None:
    """Two functions of one interface must not end up in one method (`get-x` and `get_x`)."""
    known: dict[tuple[str, str], _Declared] = {}
    for one in declared:
        other = known.setdefault((one.interface, method_name(one.function.name)), one)
        if other is not one:
            problem = f"`{other.function.name}` ({other.line}) has the method {method_name(one.function.name)} too"
            raise PluginError(plugin, str(one), problem, "rename one of the two functions")


def _host_function(plugin: str, cls: type[Capability], declared: _Declared) -> HostFunction:
    function = declared.function
    name = method_name(function.name)
    method = inspect.getattr_static(cls, name, None)
    if not inspect.isfunction(method):
        where = f"{cls.__module__}.{cls.__qualname__}"
        problem = f"there is no method {name}, but {declared}"
        raise PluginError(plugin, where, problem, f"add `{_stub(name, function)}`")
    _Agreement(plugin, cls, method, declared).check()
    if declared.effect == "queued" and _way(plugin, cls, method) != "plain":
        problem = "the pact names it in @queued, and it waits: what it sends leaves after the operation"
        raise PluginError(plugin, _line_of(cls, method), problem, "make it a plain function that calls queue_call")
    return HostFunction(
        declared.interface,
        function,
        name,
        _way(plugin, cls, method),
        declared.effect,
        import_codec(function),
        isinstance(function.result, ResultOf),
    )


def _way(plugin: str, cls: type[Capability], method: Callable[..., Any]) -> Way:
    blocks = getattr(method, "__theater_blocking__", False)
    waits = inspect.iscoroutinefunction(method)
    if blocks and waits:
        problem = "`@blocking` is for plain functions"
        raise PluginError(plugin, _line_of(cls, method), problem, "drop `async` or `@blocking`")
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise PluginError(plugin, _line_of(cls, method), "it is a generator", "return the whole value")
    return "blocking" if blocks else "async" if waits else "plain"


class _Agreement:
    """The check of one method against one declaration."""

    __slots__ = ("_declared", "_method", "_plugin", "_where")

    def __init__(self, plugin: str, cls: type, method: Callable[..., Any], declared: _Declared) -> None:
        self._plugin, self._method, self._declared = plugin, method, declared
        self._where = _line_of(cls, method)

    def check(self) -> None:
        """Raise `PluginError` for the first thing that does not agree."""
        function = self._declared.function
        signature = inspect.signature(self._method)
        count = len(function.params)
        try:
            signature.bind(None, *([None] * count))
        except TypeError:
            raise self._fault(f"it does not take {count} parameter{'' if count == 1 else 's'}") from None
        hints = self._hints()
        for parameter, param in zip(list(signature.parameters.values())[1:], function.params, strict=False):
            hint = hints.get(parameter.name, Any)
            if not takes(hint, param.type):
                arriving = f"{format_type(param.type)} arrives as {arrives_as(param.type)}"
                raise self._fault(f"parameter {parameter.name!r} is {shown(hint)}, and {arriving}")
        result = function.result.ok if isinstance(function.result, ResultOf) else function.result
        hint = hints.get("return", Any)
        if not gives(hint, result or Unit()):
            due = "nothing" if result is None else f"{format_type(result)}: {arrives_as(result)}"
            raise self._fault(f"it returns {shown(hint)}, and the pact says {due}")

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._method)
        except (NameError, TypeError, AttributeError) as error:
            raise self._fault(f"an annotation cannot be resolved: {error}") from error

    def _fault(self, problem: str) -> PluginError:
        fix = f"make it agree with {self._declared}"
        return PluginError(self._plugin, self._where, problem, fix)


def _line_of(cls: type, method: Callable[..., Any]) -> str:
    """`clock.py:12: Clock.now(self) -> int`."""
    code = inspect.unwrap(method).__code__
    place = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    signature = str(inspect.signature(method)).replace("'", "")
    return f"{place}: {cls.__qualname__}.{method.__name__}{signature}"


def _stub(name: str, function: Function) -> str:
    params = "".join(f", {method_name(p.name)}: {arrives_as(p.type)}" for p in function.params)
    result = function.result.ok if isinstance(function.result, ResultOf) else function.result
    return f"def {name}(self{params}) -> {arrives_as(result or Unit())}"
