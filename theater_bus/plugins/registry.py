"""What all loaded plugins offer together: capabilities by name and by interface, composed middleware, hooks to run.

Made once when a host starts, then read only. pluggy is not called for any message.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from theater_bus.capability import Authorizer, HostCallMiddleware, OperationMiddleware
from theater_bus.core.values.types import Interface
from theater_bus.errors import PluginError
from theater_bus.plugins.bounded import bounded
from theater_bus.plugins.discovery import Found, Plugin, find, load
from theater_bus.plugins.interface import CapabilityType
from theater_bus.plugins.offer import Offer, collect

__all__ = ["HOOK_BOUND_S", "HookResult", "PluginRegistry"]

HOOK_BOUND_S = 10.0


@dataclass(frozen=True, slots=True)
class HookResult:
    """What one plugin's hook did: its result, or the exception that it ended with."""

    plugin: str
    result: Any
    exception: Exception | None


class PluginRegistry:
    """Everything that plugins registered, in the order of their names. Use `PluginRegistry.discover`.

    A plugin that fails in any part offers nothing at all; `failures` says why. `capabilities`, `commands` and
    `package_resolvers` go by name; middleware is in the order in which it wraps, the outermost first.
    """

    def __init__(self, plugins: Sequence[Plugin], *, hook_bound_s: float = HOOK_BOUND_S) -> None:
        self.plugins = list(plugins)
        self._bound_s = hook_bound_s
        self.capabilities: dict[str, CapabilityType] = {}
        self.commands: dict[str, str] = {}
        self.package_resolvers: dict[str, Callable[[str], Awaitable[bytes]]] = {}
        self._owners: dict[tuple[str, str], str] = {}
        loaded = sorted((one for one in plugins if one.status == "loaded"), key=attrgetter("name"))
        offers = [offer for plugin in loaded if (offer := self._accept(plugin)) is not None]
        by_order = attrgetter("order")
        self.operation_middleware: list[OperationMiddleware] = sorted(
            (one for offer in offers for one in offer.operation_middleware), key=by_order
        )
        self.host_call_middleware: list[HostCallMiddleware] = sorted(
            (one for offer in offers for one in offer.host_call_middleware), key=by_order
        )
        self.authorizers: list[Authorizer] = [one for offer in offers for one in offer.authorizers]
        self.telemetry: list[tuple[str, Any]] = [(offer.plugin, one) for offer in offers for one in offer.telemetry]
        self._running = [one for one in loaded if one.status == "loaded"]

    @classmethod
    def discover(
        cls,
        *,
        allow: Iterable[str] | None = None,
        extra: Iterable[tuple[str, object]] = (),
        found: Sequence[Found] | None = None,
        hook_bound_s: float = HOOK_BOUND_S,
    ) -> PluginRegistry:
        """Load the installed plugins, or those in `found`. `allow` None allows all; else only the named are imported.

        `extra` are (name, module or object) pairs that are in this process already.
        """
        allowed = None if allow is None else frozenset(allow)
        return cls(load(find() if found is None else found, allow=allowed, extra=extra), hook_bound_s=hook_bound_s)

    @property
    def failures(self) -> list[PluginError]:
        """Why plugins are not loaded, each with what to do."""
        return [p.error for p in self.plugins if p.error is not None]

    def providers(self, interface: str) -> list[tuple[CapabilityType, Interface]]:
        """The capabilities that offer an interface of this name; which of them an actor gets its manifest decides."""
        return [
            (capability, offered)
            for capability in self.capabilities.values()
            for offered in capability.interfaces
            if offered.name == interface
        ]

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements `hook`."""
        return any(hook in plugin.implementations for plugin in self._running)

    async def run(self, hook: str, **arguments: Any) -> list[HookResult]:
        """Call a lifecycle hook of every plugin in order; awaitables are awaited, each within the bound (10 s).

        One failure names its plugin and hides no other: look at every `HookResult.exception`.
        """
        return [
            await self._run_one(plugin.name, function, arguments)
            for plugin in self._running
            if (function := plugin.implementations.get(hook)) is not None
        ]

    async def _run_one(self, plugin: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> HookResult:
        async def call() -> Any:
            value = function(**_accepted(function, arguments))
            return await value if inspect.isawaitable(value) else value

        try:
            return HookResult(plugin, await bounded(call, self._bound_s), None)
        except Exception as error:  # noqa: BLE001  it is handed to the caller under the plugin's name
            return HookResult(plugin, None, error)

    def _accept(self, plugin: Plugin) -> Offer | None:
        try:
            offer = collect(plugin)
            self._refuse_taken(offer)
        except PluginError as error:
            plugin.fail(error)
            return None
        self._owners |= dict.fromkeys(_names(offer), plugin.name)
        self.capabilities |= {capability.name: capability for capability in offer.capabilities}
        self.commands |= offer.commands
        self.package_resolvers |= offer.package_resolvers
        plugin.capabilities = [capability.name for capability in offer.capabilities]
        return offer

    def _refuse_taken(self, offer: Offer) -> None:
        owners = dict(self._owners)
        for kind, name in _names(offer):
            if (kind, name) in owners:
                problem = f"plugin {owners[kind, name]!r} already offers a {kind} of that name"
                fix = "rename one of the two, or leave one plugin out of plugins_allow"
                raise PluginError(offer.plugin, f"{kind} {name!r}", problem, fix)
            owners[kind, name] = offer.plugin


def _names(offer: Offer) -> list[tuple[str, str]]:
    """What must be unique among all plugins."""
    return [
        *(("capability", capability.name) for capability in offer.capabilities),
        *(("peer function", name) for capability in offer.capabilities for name in capability.peers),
        *(("command", name) for name in offer.commands),
        *(("package scheme", name) for name in offer.package_resolvers),
    ]


def _accepted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Only the parameters that the implementation takes, as pluggy passes them."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names}
