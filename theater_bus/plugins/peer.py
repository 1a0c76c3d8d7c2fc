"""The functions by which a capability is reached from outside its actor, held against the methods behind them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from theater_bus.capability import Capability
from theater_bus.core.values.types import Function
from theater_bus.errors import PluginError
from theater_bus.plugins.agreement import Agreement, declared_functions, line_of, read_pact

__all__ = ["PeerFunction", "compile_peers"]


@dataclass(frozen=True, slots=True)
class PeerFunction:
    """One function of a capability's `peer_pact`, and the method that judges its requests."""

    interface: str
    declaration: Function
    method: str

    @property
    def name(self) -> str:
        """`interface.function`, as it is addressed."""
        return f"{self.interface}.{self.declaration.name}"


def compile_peers(plugin: str, where: str, cls: type[Capability]) -> Mapping[str, PeerFunction]:
    """The peer functions of a class, by name; none without a `peer_pact`. Raises `PluginError`."""
    if not cls.peer_pact:
        return {}
    found: dict[str, PeerFunction] = {}
    for declared in declared_functions(read_pact(plugin, where, cls, "peer_pact")):
        function = declared.function
        method_name = f"peer_{function.name.replace('-', '_')}"
        method = inspect.getattr_static(cls, method_name, None)
        if not inspect.isfunction(method):
            raise PluginError(plugin, where, f"there is no method {method_name}, but {declared}", "add it")
        if inspect.iscoroutinefunction(method):
            problem = "it is async, and requests of peers are judged at once"
            raise PluginError(plugin, line_of(cls, method), problem, "make it a plain function")
        Agreement(plugin, cls, method, declared).check_params(leading=1)
        peer = PeerFunction(declared.interface, function, method_name)
        found[peer.name] = peer
    return found
