"""Capabilities for interfaces that are defined in WIT elsewhere, with resources: WASI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from theater_bus.capability.declaration import Capability

__all__ = ["WitCapability"]


class WitCapability(Capability):
    """Satisfies what components import of WIT packages that have no pact; the guest's own declarations are the types.

    `packages` names the WIT packages and the version of each whose interfaces are implemented (`{"wasi:io": "0.2"}`); a
    guest that was built for another version with the same beginning gets the same functions. `offers` names them, as
    `interface.function` without the version (`wasi:io/streams.[method]input-stream.read`), and `functions` gives the
    callable of each for one actor. They take and return plain values as methods of a `Capability` do; a handle on a
    resource is a number that the capability chose, positive and below 2³².

    An actor whose manifest does not name the capability gets it with default settings, which must grant nothing: what
    was not granted is then refused call by call, as WIT says it, and a guest whose language runtime imports more than
    it needs runs all the same.
    """

    pact: ClassVar[str] = ""
    packages: ClassVar[Mapping[str, str]]
    external: ClassVar[frozenset[str]] = frozenset()
    """Functions, named as in `offers`, that reach the outside at once, like `@external` ones of pact."""
    fronts: ClassVar[str] = ""
    """Exports of the guest that take handles, as callers see them instead: pact text with their plain parameters and
    results. `enter` puts something behind the handles of one call, `leave` gives the result, which must follow from the
    arguments and the host calls alone."""

    @classmethod
    def offers(cls) -> frozenset[str]:
        """The functions that are implemented, without versions."""
        raise TypeError(f"{cls.__qualname__} does not say what it offers")

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The callables of this actor's instance, by the names of `offers`."""
        raise TypeError(f"{type(self).__qualname__} has no functions")

    def enter(self, function: str, arguments: list[Any], handles: list[int]) -> None:
        """A call of a front (`wasi:http/incoming-handler.handle`) with these arguments begins.

        The guest is going to get `handles` as its parameters. They are the same numbers for every call.
        """
        raise TypeError(f"{type(self).__qualname__} has no fronts")

    def leave(self, function: str) -> Any:
        """The plain result of the front's call that has just returned. What it raises fails the operation."""
        raise TypeError(f"{type(self).__qualname__} has no fronts")

    def dropped(self, resource: str, number: int) -> None:
        """The guest has let go of a resource (`wasi:io/streams/input-stream`, without version) that it owned."""

    def renewed(self) -> None:
        """The guest's instance was replaced: whatever handles it had are gone."""
