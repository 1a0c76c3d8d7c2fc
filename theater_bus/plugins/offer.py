"""What one plugin registers, taken from its hooks and checked. A plugin offers all of it or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from theater_bus.capability import Authorizer, Capability, HostCallMiddleware, OperationMiddleware
from theater_bus.errors import PluginError
from theater_bus.plugins.discovery import Plugin
from theater_bus.plugins.interface import CapabilityType, compile_capability

__all__ = ["Offer", "collect"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer:
    """The registrations of one plugin."""

    plugin: str
    capabilities: tuple[CapabilityType, ...]
    operation_middleware: tuple[OperationMiddleware, ...]
    host_call_middleware: tuple[HostCallMiddleware, ...]
    authorizers: tuple[Authorizer, ...]
    commands: Mapping[str, str]
    package_resolvers: Mapping[str, Callable[[str], Awaitable[bytes]]]
    telemetry: tuple[Any, ...]


def collect(plugin: Plugin) -> Offer:
    """Call the plugin's registering hooks and check what they return. Raises `PluginError`."""
    hooks = _Hooks(plugin)
    classes = hooks.items("theater_capabilities", type)
    for cls in classes:
        if not issubclass(cls, Capability):
            raise hooks.fault("theater_capabilities", f"{cls.__qualname__} is no subclass of Capability")
    authorizers = hooks.items("theater_authorizers", Authorizer)
    return Offer(
        plugin.name,
        tuple(compile_capability(plugin.name, cls) for cls in classes),
        hooks.items("theater_operation_middleware", OperationMiddleware),
        hooks.items("theater_host_call_middleware", HostCallMiddleware),
        tuple(one if one.name else replace(one, name=plugin.name) for one in authorizers),
        hooks.mapping("theater_cli"),
        hooks.mapping("theater_package_resolvers"),
        hooks.items("theater_telemetry", object),
    )


class _Hooks:
    """The registering hooks of one plugin, called with its name on every failure."""

    __slots__ = ("_plugin",)

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def items(self, hook: str, kind: type[T]) -> tuple[T, ...]:
        """What the hook returned, one or several, each of which must be a `kind`."""
        value = self._call(hook, lambda value: tuple(value) if isinstance(value, Iterable) else (value,))
        for item in value or ():
            if not isinstance(item, kind):
                raise self.fault(hook, f"it returned {item!r}, and {kind.__name__} is due")
        return value or ()

    def mapping(self, hook: str) -> dict[str, Any]:
        """What the hook returned, which must be a mapping."""
        value = self._call(hook, lambda value: value)
        if value is not None and not isinstance(value, Mapping):
            raise self.fault(hook, f"it returned {value!r}, and a mapping is due")
        return dict(value or {})

    def fault(self, hook: str, problem: str) -> PluginError:
        """The error for what a hook returned."""
        return PluginError(self._plugin.name, f"{self._plugin.found}: {hook}", problem, "see the hook's specification")

    def _call(self, hook: str, read: Callable[[Any], Any]) -> Any:
        function = self._plugin.implementations.get(hook)
        if function is None:
            return None
        try:
            value = function()
            if inspect.iscoroutine(value):
                value.close()
                raise self.fault(hook, "it is async, and hooks that register are not awaited")
            return None if value is None else read(value)
        except PluginError:
            raise
        except Exception as error:
            raise self.fault(hook, f"{type(error).__name__}: {error}") from error
