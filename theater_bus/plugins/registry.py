"""What all loaded plugins offer together: capabilities by name and by interface, composed middleware, hooks to run.

Made once when a host starts, then read only. pluggy is not called for any message.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from theater_bus.capability import Authorizer, HostCallMiddleware, OperationMiddleware
from theater_bus.capability.hooks import PROJECT
from theater_bus.core.values.types import Interface
from theater_bus.errors import PluginError
from theater_bus.plugins.discovery import Found, Plugin, find, load
from theater_bus.plugins.interface import CapabilityType, compile_capability

__all__ = ["HookResult", "PluginRegistry"]

T = TypeVar("T")
HOOK_BOUND_S = 10.0


@dataclass(frozen=True, slots=True)
class HookResult:
    """What one plugin's hook did: its result, or the exception that it ended with."""

    plugin: str
    result: Any
    exception: BaseException | None


class PluginRegistry:
    """Everything that plugins registered. Use `PluginRegistry.discover`."""

    def __init__(self, manager: pluggy.PluginManager, plugins: Sequence[Plugin]) -> None:
        self._manager = manager
        self.plugins = list(plugins)
        self.capabilities: dict[str, CapabilityType] = {}
        self._collect_capabilities()
        self.operation_middleware = self._ordered("theater_operation_middleware", OperationMiddleware)
        self.host_call_middleware = self._ordered("theater_host_call_middleware", HostCallMiddleware)
        self.authorizers: list[Authorizer] = [a for _, a in self._returned("theater_authorizers", Authorizer)]
        self.commands: dict[str, str] = self._merged("theater_cli")
        self.package_resolvers: dict[str, Callable[[str], Awaitable[bytes]]] = self._merged("theater_package_resolvers")
        self.telemetry: list[tuple[str, Any]] = [
            (name, item) for name, items in self._call("theater_telemetry") for item in items
        ]

    @classmethod
    def discover(
        cls,
        *,
        allow: Iterable[str] | None = None,
        extra: Iterable[tuple[str, object]] = (),
        found: Sequence[Found] | None = None,
    ) -> PluginRegistry:
        """Load the installed plugins. `allow` None allows all; else only the named ones are imported."""
        manager = pluggy.PluginManager(PROJECT)
        allowed = None if allow is None else frozenset(allow)
        return cls(manager, load(manager, find() if found is None else found, allow=allowed, extra=extra))

    @property
    def failures(self) -> list[PluginError]:
        """The plugins that could not be loaded, each with what to do."""
        return [p.error for p in self.plugins if p.error is not None]

    def providers(self, interface: str) -> list[tuple[CapabilityType, Interface]]:
        """The capabilities that offer an interface of this name."""
        return [
            (capability, offered)
            for capability in self.capabilities.values()
            for offered in capability.interfaces
            if offered.name == interface
        ]

    async def run(self, hook: str, **arguments: Any) -> list[HookResult]:
        """Call a lifecycle hook of every plugin in order; awaitables are awaited, each within 10 s.

        One failure names its plugin and hides no other: look at every `HookResult.exception`.
        """
        results: list[HookResult] = []
        for plugin, function in self._implementations(hook):
            try:
                value = function(**_accepted(function, arguments))
                if inspect.isawaitable(value):
                    async with asyncio.timeout(HOOK_BOUND_S):
                        value = await value
            except Exception as error:  # noqa: BLE001  it is handed to the caller under the plugin's name
                results.append(HookResult(plugin, None, error))
            else:
                results.append(HookResult(plugin, value, None))
        return results

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements `hook`."""
        return bool(self._implementations(hook))

    def _implementations(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        caller = getattr(self._manager.hook, hook)
        functions = [(str(impl.plugin_name), impl.function) for impl in caller.get_hookimpls()]
        return sorted(functions, key=lambda pair: pair[0])

    def _call(self, hook: str) -> list[tuple[str, Any]]:
        returned: list[tuple[str, Any]] = []
        for name, function in self._implementations(hook):
            try:
                value = function()
            except Exception as error:  # noqa: BLE001  recorded under the plugin's name
                self._fail(name, hook, f"{type(error).__name__}: {error}")
            else:
                if value is not None:
                    returned.append((name, value))
        return returned

    def _returned(self, hook: str, kind: type[T]) -> list[tuple[str, T]]:
        items: list[tuple[str, T]] = []
        for name, value in self._call(hook):
            for item in value if isinstance(value, Iterable) else (value,):
                if isinstance(item, kind):
                    items.append((name, item))
                else:
                    self._fail(name, hook, f"it returned {type(item).__name__}, not {kind.__name__}")
        return items

    def _ordered(self, hook: str, kind: type[T]) -> list[T]:
        pairs = self._returned(hook, kind)
        return [item for _, item in sorted(pairs, key=lambda pair: (getattr(pair[1], "order", 0), pair[0]))]

    def _merged(self, hook: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        owner: dict[str, str] = {}
        for name, value in self._call(hook):
            if not isinstance(value, Mapping):
                self._fail(name, hook, f"it returned {type(value).__name__}, not a mapping")
                continue
            for key, item in value.items():
                if key in merged:
                    self._fail(name, hook, f"{key!r} is already offered by plugin {owner[key]!r}")
                    continue
                merged[key], owner[key] = item, name
        return merged

    def _collect_capabilities(self) -> None:
        by_name = {plugin.name: plugin for plugin in self.plugins}
        for name, classes in self._call("theater_capabilities"):
            for cls in classes if isinstance(classes, Iterable) else (classes,):
                try:
                    capability = compile_capability(name, cls)
                    self._refuse_duplicate(name, capability)
                except PluginError as error:
                    by_name[name].fail(error)
                else:
                    self.capabilities[capability.name] = capability
                    by_name[name].capabilities.append(capability.name)

    def _refuse_duplicate(self, plugin: str, capability: CapabilityType) -> None:
        other = self.capabilities.get(capability.name)
        if other is not None:
            raise PluginError(
                plugin,
                f"capability {capability.name!r}",
                f"plugin {other.plugin!r} already offers a capability of that name",
                "rename one, or leave one of the two out of plugins.allow",
            )

    def _fail(self, name: str, subject: str, problem: str) -> None:
        for plugin in self.plugins:
            if plugin.name == name:
                plugin.fail(PluginError(name, subject, problem))


def _accepted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Only the parameters that the implementation takes, as pluggy passes them."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names}
