"""A capability class held against its pact: names, arity and types agree, or the plugin does not load.

What comes out is frozen: for every function the method's name, how it is called (plain, async, on a thread), its
compiled codec and its effect. `bind` turns it into the callable that the engine calls with the guest's bytes.
"""

from __future__ import annotations

import inspect
import keyword
import typing
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal

from theater_bus.capability import Capability, CapabilityError
from theater_bus.core.values.codec import ImportCodec, import_codec
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.pact import PactFile, format_type, parse
from theater_bus.core.values.types import (
    Dynamic,
    Flags,
    Function,
    Interface,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Type,
    Unit,
)
from theater_bus.errors import PactSyntaxError, PluginError

__all__ = ["BoundFunction", "CapabilityType", "Effect", "HostFunction", "compile_capability", "method_name"]

Effect = Literal["none", "queued", "external"]
BoundFunction = Callable[[bytes], "bytes | Coroutine[Any, Any, bytes]"]
RunBlocking = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]

_SCALARS: dict[Scalar, type] = {
    Scalar.BOOL: bool,
    Scalar.F32: float,
    Scalar.F64: float,
    Scalar.CHAR: str,
    Scalar.STRING: str,
}


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function of a capability, ready to be bound to an actor's instance."""

    interface: str
    declaration: Function
    method: str
    call: Literal["plain", "async", "blocking"]
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
        decode, encode, fallible = self.codec.decode_args, self.codec.encode_result, self.fallible

        def ok(value: Any) -> bytes:
            return encode({"ok": value} if fallible else value)

        def err(error: CapabilityError) -> bytes:
            if not fallible:
                raise error
            return encode({"err": error.value})

        async def waiting(data: bytes) -> bytes:
            args = decode(data)
            try:
                value = await (run_blocking(lambda: method(*args)) if self.call == "blocking" else method(*args))
            except CapabilityError as error:
                return err(error)
            return ok(value)

        def direct(data: bytes) -> bytes:
            args = decode(data)
            try:
                value = method(*args)
            except CapabilityError as error:
                return err(error)
            return ok(value)

        return direct if self.call == "plain" else waiting


@dataclass(frozen=True, slots=True)
class CapabilityType:
    """A capability class whose pact and methods agree."""

    name: str
    plugin: str
    cls: type[Capability]
    interfaces: tuple[Interface, ...]
    functions: Mapping[tuple[str, str], HostFunction]
    calls: tuple[str, ...]
    source: str

    def hashes(self) -> dict[str, bytes]:
        """Interface name → structural hash (32 bytes) of the whole interface."""
        return {interface.name: interface_hash(interface) for interface in self.interfaces}


def method_name(cls: type, function: str) -> str:
    """The method that implements pact function `function`: `-` as `_`, and one `_` behind a keyword or a taken name."""
    name = function.replace("-", "_")
    return name + "_" if keyword.iskeyword(name) or name == "self" or hasattr(Capability, name) else name


def compile_capability(plugin: str, cls: type[Capability]) -> CapabilityType:
    """Hold `cls` against its pact. Raises `PluginError` that shows both lines where they do not agree."""
    name = getattr(cls, "name", None)
    where = f"{cls.__module__}.{cls.__qualname__}"
    if not isinstance(name, str) or not name:
        raise PluginError(plugin, where, "the class has no `name`", 'add `name = "…"`, as manifests will write it')
    text, source = _pact_text(plugin, where, cls)
    try:
        pact = parse(text, source=source)
    except PactSyntaxError as error:
        raise PluginError(plugin, where, str(error), "correct the pact file") from error
    interfaces = tuple(i for i in pact.interfaces if i.functions)
    if not interfaces:
        raise PluginError(plugin, source, "the pact exports no function", "add an `exports { … }` block")
    effects = _effects(plugin, source, pact)
    functions = {
        (interface.name, function.name): _host_function(plugin, where, source, cls, interface.name, function, effects)
        for interface in interfaces
        for function in interface.functions
    }
    return CapabilityType(name, plugin, cls, interfaces, functions, tuple(pact.annotation_list("calls")), source)


def _pact_text(plugin: str, where: str, cls: type[Capability]) -> tuple[str, str]:
    pact = getattr(cls, "pact", None)
    if not isinstance(pact, str):
        raise PluginError(plugin, where, "the class has no `pact`", 'add `pact = "NAME.pact"`')
    if "\n" in pact:
        return pact, f"{where}.pact"
    path = Path(inspect.getfile(cls)).parent / pact
    try:
        return path.read_text(encoding="utf-8"), path.name
    except OSError as error:
        raise PluginError(
            plugin, where, f"{pact}: {error.strerror}", "put the pact file beside the module, and into the wheel"
        ) from error


def _effects(plugin: str, source: str, pact: PactFile) -> dict[str, Effect]:
    known = {function.name for interface in pact.interfaces for function in interface.functions}
    effects: dict[str, Effect] = {}
    for effect in typing.cast("tuple[Effect, ...]", ("queued", "external")):
        for function in pact.annotation_list(effect):
            if function not in known:
                raise PluginError(plugin, source, f"@{effect} names {function!r}, which is not exported")
            effects[function] = effect
    return effects


def _host_function(
    plugin: str,
    where: str,
    source: str,
    cls: type[Capability],
    interface: str,
    function: Function,
    effects: Mapping[str, Effect],
) -> HostFunction:
    name = method_name(cls, function.name)
    method = inspect.getattr_static(cls, name, None)
    declared = f"{source}: {_signature(function)}"
    if not inspect.isfunction(method):
        raise PluginError(plugin, f"{where}.{name}", f"there is no such method for `{declared}`", f"add `def {name}`")
    _check_signature(plugin, f"{where}.{name}", declared, method, function)
    blocks = getattr(method, "__theater_blocking__", False)
    waits = inspect.iscoroutinefunction(method)
    if blocks and waits:
        raise PluginError(
            plugin, f"{where}.{name}", "`@blocking` is for plain functions", "drop `async` or `@blocking`"
        )
    return HostFunction(
        interface,
        function,
        name,
        "blocking" if blocks else "async" if waits else "plain",
        effects.get(function.name, "none"),
        import_codec(function),
        isinstance(function.result, ResultOf),
    )


def _check_signature(plugin: str, where: str, declared: str, method: Callable[..., Any], function: Function) -> None:
    signature = inspect.signature(method)
    written = f"def {method.__name__}{signature}"
    fix = f"make `{written}` agree with `{declared}`"
    try:
        signature.bind(None, *([None] * len(function.params)))
    except TypeError:
        count = len(function.params)
        problem = f"`{declared}` passes {count} parameter{'' if count == 1 else 's'}, `{written}` does not take them"
        raise PluginError(plugin, where, problem, fix) from None
    hints = _hints(plugin, where, method)
    parameters = list(signature.parameters.values())[1:]
    for parameter, param in zip(parameters, function.params, strict=False):
        hint = hints.get(parameter.name, Any)
        if not _agrees(hint, param.type):
            problem = f"parameter {parameter.name!r} is {_shown(hint)}, the pact says {format_type(param.type)}"
            raise PluginError(plugin, where, problem, fix)
    result = function.result.ok if isinstance(function.result, ResultOf) else function.result
    hint = hints.get("return", Any)
    if not _agrees(hint, Unit() if result is None else result):
        shown = "nothing" if result is None else format_type(result)
        raise PluginError(plugin, where, f"it returns {_shown(hint)}, the pact says {shown}", fix)


def _hints(plugin: str, where: str, method: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(method)
    except NameError as error:
        raise PluginError(plugin, where, f"an annotation cannot be resolved: {error}") from error


def _agrees(hint: Any, declared: Type) -> bool:
    """Whether a Python annotation can hold the plain form of `declared`. `Any` and unknown annotations can."""
    origin = typing.get_origin(hint)
    if hint is Any or hint is object or isinstance(declared, Dynamic) or isinstance(hint, typing.TypeVar):
        return True
    if isinstance(declared, Unit) or (isinstance(declared, TupleOf) and not declared.items):
        return hint is None or hint is type(None)
    if origin in (typing.Union, UnionType):
        members = typing.get_args(hint)
        if isinstance(declared, OptionOf):
            rest = [m for m in members if m is not type(None)]
            return len(rest) < len(members) and any(_agrees(m, declared.inner) for m in rest)
        return any(_agrees(m, declared) for m in members)
    if isinstance(declared, OptionOf):
        return False
    return _agrees_container(hint, origin or hint, declared)


def _agrees_container(hint: Any, kind: Any, declared: Type) -> bool:
    if isinstance(declared, Scalar):
        return kind is _SCALARS.get(declared, int)
    args = typing.get_args(hint)
    if isinstance(declared, ListOf):
        if declared.element is Scalar.U8:
            return kind in (bytes, bytearray, memoryview)
        return kind in (list, typing.cast("Any", typing.Sequence), tuple) or _is_sequence(kind, args, declared)
    if isinstance(declared, TupleOf):
        return kind in (tuple, list) and (not args or Ellipsis in args or len(args) == len(declared.items))
    if isinstance(declared, Flags):
        return kind in (list, set, frozenset, int)
    if isinstance(declared, Record):
        return isinstance(kind, type) and issubclass(kind, Mapping)
    return kind in (str, dict, Mapping) or (isinstance(kind, type) and issubclass(kind, Mapping))


def _is_sequence(kind: Any, args: tuple[Any, ...], declared: ListOf) -> bool:
    if not isinstance(kind, type) or kind in (str, bytes, dict):
        return False
    return issubclass(kind, typing.Sequence) and (not args or _agrees(args[0], declared.element))


def _signature(function: Function) -> str:
    params = ", ".join(f"{p.name}: {format_type(p.type)}" for p in function.params)
    result = "" if function.result is None else f" -> {format_type(function.result)}"
    return f"{function.name}: func({params}){result}"


def _shown(hint: Any) -> str:
    return "None" if hint in (None, type(None)) else getattr(hint, "__name__", str(hint))
