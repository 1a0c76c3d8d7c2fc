"""Hooks, discovery and composition of plugins. pluggy collects; it is never on the path of a message."""

from theater_bus.plugins.adopted import AdoptedFunction, adopt
from theater_bus.plugins.binding import WrongArguments
from theater_bus.plugins.bounded import bounded
from theater_bus.plugins.discovery import GROUP, Found, Plugin, find
from theater_bus.plugins.foreign import ForeignFunction, foreign_function, is_compatible, unversioned
from theater_bus.plugins.hookspecs import HOOK_NAMES
from theater_bus.plugins.interface import (
    BoundFunction,
    CapabilityType,
    HostFunction,
    compile_capability,
    method_name,
)
from theater_bus.plugins.peer import PeerFunction
from theater_bus.plugins.registry import HookResult, PluginRegistry

__all__ = [
    "GROUP",
    "HOOK_NAMES",
    "AdoptedFunction",
    "BoundFunction",
    "CapabilityType",
    "ForeignFunction",
    "Found",
    "HookResult",
    "HostFunction",
    "PeerFunction",
    "Plugin",
    "PluginRegistry",
    "WrongArguments",
    "adopt",
    "bounded",
    "compile_capability",
    "find",
    "foreign_function",
    "is_compatible",
    "method_name",
    "unversioned",
]
