"""Capabilities whose types are the guest's own (`WitCapability`): versions, and functions ready to be bound."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from theater_bus.capability import Capability, WitCapability
from theater_bus.core.values.codec import ImportCodec, tupled_import_codec
from theater_bus.core.values.pact import Effect
from theater_bus.core.values.types import Function, ResultOf
from theater_bus.plugins.binding import BoundFunction, RunBlocking, bind_plain, bind_waiting

__all__ = ["ForeignFunction", "foreign_function", "is_compatible", "unversioned"]


def unversioned(interface: str) -> str:
    """`wasi:io/streams@0.2.9` → `wasi:io/streams`."""
    return interface.partition("@")[0]


def is_compatible(cls: type[WitCapability], interface: str) -> bool:
    """Whether the interface belongs to a package of the capability, in a version that it implements."""
    name, _, version = interface.partition("@")
    implemented = cls.packages.get(name.partition("/")[0])
    return implemented is not None and (version == implemented or version.startswith(f"{implemented}."))


@dataclass(frozen=True, slots=True)
class ForeignFunction:
    """One function that a component imports of a `WitCapability`; the counterpart of `HostFunction`."""

    interface: str
    declaration: Function
    codec: ImportCodec
    fallible: bool
    effect: Effect = "none"

    @property
    def name(self) -> str:
        """The name in WIT (`[method]input-stream.read`)."""
        return self.declaration.name

    @property
    def key(self) -> str:
        """What the capability calls it."""
        return f"{unversioned(self.interface)}.{self.name}"

    def bind(self, instance: Capability, run_blocking: RunBlocking) -> BoundFunction:
        """The callable for the engine, as `HostFunction.bind` gives it."""
        assert isinstance(instance, WitCapability)
        method: Callable[..., Any] = instance.functions()[self.key]
        if inspect.iscoroutinefunction(method):
            return bind_waiting(method, self.codec, self.fallible)
        return bind_plain(method, self.codec, self.fallible)


def foreign_function(cls: type[WitCapability], interface: str, function: Function) -> ForeignFunction:
    """The function of a capability, as the guest declares it."""
    is_external = f"{unversioned(interface)}.{function.name}" in cls.external
    return ForeignFunction(
        interface,
        function,
        tupled_import_codec(function),
        isinstance(function.result, ResultOf),
        "external" if is_external else "none",
    )
