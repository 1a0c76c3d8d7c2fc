"""Imports of a guest that no capability declares and one serves all the same, by the guest's own declaration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from theater_bus.capability import Capability, CapabilityError
from theater_bus.core.values.codec import function_codec, import_codec, tupled_import_codec, value_codec
from theater_bus.core.values.exact import ok_value, one_parameter
from theater_bus.core.values.types import Function, ResultOf, Unit
from theater_bus.errors import SerializationError, TypeMismatch
from theater_bus.plugins.binding import BoundFunction, RunBlocking, WrongArguments
from theater_bus.plugins.interface import HostFunction

__all__ = ["AdoptedFunction", "adopt"]


@dataclass(frozen=True, slots=True)
class AdoptedFunction(HostFunction):
    """One function of an interface that a capability has adopted; calls go to its `call_import`.

    `tupled` says that arguments always come as a tuple, as a component's do.
    """

    tupled: bool = False

    def for_components(self) -> HostFunction:
        """The same function as a component calls it, whose declaration has the types of WIT already."""
        return replace(self, codec=tupled_import_codec(self.declaration), tupled=True)

    def bind(self, instance: Capability, run_blocking: RunBlocking) -> BoundFunction:
        """The callable for the engine.

        A `CapabilityError` is the `err` of a function that declares one, and so is an answer of another type.
        """
        declared, interface, name = self.declaration, self.interface, self.name
        check = function_codec(declared, False).check_params
        is_bare = len(declared.params) == 1 and not self.tupled
        result = declared.result
        answers = value_codec((result.ok if isinstance(result, ResultOf) else result) or Unit())

        async def call(data: bytes) -> bytes:
            try:
                params = one_parameter(data) if is_bare else data
                check(params)
            except (TypeMismatch, SerializationError) as error:
                raise WrongArguments(error) from error
            try:
                given = await instance.call_import(interface, name, params)
            except CapabilityError as error:
                if not self.fallible:
                    raise
                return self._err(error.value)
            try:
                answer = answers.check(given).standalone()
            except (TypeMismatch, SerializationError) as error:
                if not self.fallible:
                    raise
                return self._err(_unlike(error))
            return ok_value(answer) if self.fallible else answer

        return call

    def _err(self, value: Any) -> bytes:
        """The `err` of a function that declares one; what is no such value is told in words."""
        try:
            return self.codec.encode_result({"err": value})
        except (TypeMismatch, SerializationError) as error:
            return self.codec.encode_result({"err": _unlike(error)})


def _unlike(error: TypeMismatch | SerializationError) -> str:
    return f"{error.code}: the answer is not of the type that this actor imports: {error.message}"


def adopt(interface: str, function: Function) -> AdoptedFunction:
    """A function of a guest's own declaration, ready to be bound."""
    fallible: Any = isinstance(function.result, ResultOf)
    codec = import_codec(function)
    return AdoptedFunction(interface, function, "call_import", "async", "external", codec, fallible)
