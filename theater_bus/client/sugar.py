"""Exported functions as Python methods: by name on the fly, or through a Protocol that type checkers know.

A name is sent as it is written. Only when the actor answers that it has no such function, its exports are asked for
once: `add_item` then finds `add-item`, and a bare name finds the one interface function of that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from theater_bus.client.session import DEFAULT_TIMEOUT_S
from theater_bus.errors import ConfigurationError, FunctionNotFound

if TYPE_CHECKING:
    from theater_bus.client.actor import ActorHandle, Params

__all__ = ["Calls", "bind", "methods_of"]

P = TypeVar("P")
Method = Callable[..., Coroutine[Any, Any, Any]]


class Calls:
    """Functions of an actor as attributes: `calls.increment(5)`, `calls["acme:shop/cart.add"](item="tea")`.

    Positional arguments travel as an array, keyword arguments by parameter name; not both. Calling it returns another
    one with other options: `handle.call(timeout=2, keyed=False).increment(5)`.
    """

    __slots__ = ("_handle", "_keyed", "_names", "_timeout")

    def __init__(self, handle: ActorHandle, timeout: float = DEFAULT_TIMEOUT_S, keyed: bool | None = None) -> None:
        self._handle = handle
        self._timeout = timeout
        self._keyed = keyed
        self._names: dict[str, str] = {}

    def __call__(self, *, timeout: float = DEFAULT_TIMEOUT_S, keyed: bool | None = None) -> Calls:
        """The same functions with other options of `call_function`."""
        return Calls(self._handle, timeout, keyed)

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__"):
            # Python's own protocols (copy, pickle, inspect) ask for such names; no export has one.
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Method:
        async def method(*args: Any, **kwargs: Any) -> Any:
            if args and kwargs:
                raise TypeError(f"{name}() takes its arguments by position or by name, not both")
            return await self._invoke(name, kwargs or args)

        method.__name__ = method.__qualname__ = name
        return method

    async def _invoke(self, name: str, params: Params) -> Any:
        handle, timeout, keyed = self._handle, self._timeout, self._keyed
        try:
            return await handle.call_function(self._names.get(name, name), params, timeout=timeout, keyed=keyed)
        except FunctionNotFound as error:
            found = None if name in self._names else await self._resolve(name)
            if found is None:
                raise
            refused = error
        self._names[name] = found
        try:
            return await handle.call_function(found, params, timeout=timeout, keyed=keyed)
        except FunctionNotFound:
            raise refused from None

    async def _resolve(self, name: str) -> str | None:
        """The one export that `name` can stand for, or None."""
        exports = await self._handle.inspect.exports(timeout=self._timeout)
        wanted = _folded(name)
        names = [function.name for function in exports.functions]
        found = [full for full in names if _folded(full) == wanted]
        found = found or [full for full in names if _folded(full.rpartition(".")[2]) == wanted]
        return found[0] if len(found) == 1 else None


def bind(
    handle: ActorHandle,
    protocol: Callable[..., P],
    interface: str | None,
    timeout: float,
    run: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
) -> P:
    """An object with the methods of `protocol`, each of which calls the function of its name.

    `protocol` is a class; it is not annotated `type[P]` because mypy lets no protocol stand for that. With `run`,
    which waits for a coroutine, the methods are plain ones. Raises `ConfigurationError` for what is no protocol, or has
    a method of the wrong kind.
    """
    calls = Calls(handle, timeout)
    prefix = "" if interface is None else f"{interface}."
    found: dict[str, Any] = {"__slots__": (), "__repr__": lambda self: f"<{protocol.__name__} of {handle!r}>"}
    wanted = "async def" if run is None else "def"
    for name, function in methods_of(protocol).items():
        if inspect.iscoroutinefunction(function) != (run is None):
            raise ConfigurationError(f"{protocol.__name__}.{name}", f"it is not `{wanted}`", "declare it so")
        found[name] = staticmethod(_method(calls, prefix + name, function, run))
    bound: P = type(f"Bound{protocol.__name__}", (), found)()
    return bound


def methods_of(protocol: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """The public methods that `protocol`, or a protocol that it extends, declares. Raises `ConfigurationError`."""
    if not isinstance(protocol, type) or not getattr(protocol, "_is_protocol", False):
        raise ConfigurationError("protocol", f"{protocol!r} is none", "declare class Name(typing.Protocol)")
    found: dict[str, Callable[..., Any]] = {}
    for cls in reversed(protocol.__mro__):
        if getattr(cls, "_is_protocol", False):
            found.update(
                {name: one for name, one in vars(cls).items() if inspect.isfunction(one) and not name.startswith("_")}
            )
    return found


def _method(
    calls: Calls,
    name: str,
    declared: Callable[..., Any],
    run: Callable[[Coroutine[Any, Any, Any]], Any] | None,
) -> Callable[..., Any]:
    signature = inspect.signature(declared)

    async def call(params: list[Any]) -> Any:
        return await calls._invoke(name, params)

    @wraps(declared)
    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        calling = call(list(bound.args[1:]))
        return calling if run is None else run(calling)

    return method


def _folded(name: str) -> str:
    return name.replace("_", "-")
