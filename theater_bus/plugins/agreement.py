"""Whether a method agrees with a declaration of a pact, and where both stand."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theater_bus.capability import Capability
from theater_bus.core.values.pact import Effect, PactFile, format_type, parse
from theater_bus.core.values.pact_format import format_function
from theater_bus.core.values.types import Function, ResultOf, Unit
from theater_bus.errors import PactSyntaxError, PluginError
from theater_bus.plugins.annotation import arrives_as, gives, shown, takes

__all__ = ["Agreement", "Declared", "declared_functions", "line_of", "read_pact"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A function where the pact declares it."""

    interface: str
    function: Function
    effect: Effect
    line: str

    def __str__(self) -> str:
        return f"{self.line}: {self.function.name}: {format_function(self.function)}"


def declared_functions(pact: PactFile) -> list[Declared]:
    """Every function that a pact exports, with its line."""
    found = []
    for one in pact.declared:
        for interface in (one.interface, *one.groups):
            for function in interface.functions:
                own = interface is one.interface
                line = one.lines.get(function.name if own else f"{interface.name}.{function.name}", 0)
                found.append(Declared(interface.name, function, one.effect(function.name), f"{pact.source}:{line}"))
    return found


def read_pact(plugin: str, where: str, cls: type[Capability], attribute: str = "pact") -> PactFile:
    """The pact that an attribute of the class names: a file beside the module of the class that has it, or its text.

    Raises `PluginError` for one that is not there or not right.
    """
    text, source = _pact_text(plugin, where, cls, attribute)
    try:
        return parse(text, source=source)
    except PactSyntaxError as error:
        raise PluginError(plugin, where, str(error), "correct the pact") from error


def _pact_text(plugin: str, where: str, cls: type[Capability], attribute: str) -> tuple[str, str]:
    owner = next((one for one in cls.__mro__ if attribute in vars(one)), None)
    pact = None if owner is None else vars(owner)[attribute]
    if owner is None or not isinstance(pact, str):
        raise PluginError(plugin, where, f"the class has no `{attribute}`", f'add `{attribute} = "NAME.pact"`')
    if "\n" in pact:
        return pact, f"{owner.__qualname__}.pact"
    path = Path(getattr(sys.modules[owner.__module__], "__file__", None) or "").parent / pact
    try:
        return path.read_text(encoding="utf-8"), path.name
    except OSError as error:
        raise PluginError(
            plugin, where, f"{pact}: {error.strerror}", "put the pact file beside the module, and into the wheel"
        ) from error


class Agreement:
    """The check of one method against one declaration."""

    __slots__ = ("_declared", "_method", "_plugin", "_where")

    def __init__(self, plugin: str, cls: type, method: Callable[..., Any], declared: Declared) -> None:
        self._plugin, self._method, self._declared = plugin, method, declared
        self._where = line_of(cls, method)

    def check(self) -> None:
        """Raise `PluginError` for the first thing that does not agree."""
        self.check_params()
        function, hints = self._declared.function, self._hints()
        result = function.result.ok if isinstance(function.result, ResultOf) else function.result
        hint = hints.get("return", Any)
        if not gives(hint, result or Unit()):
            due = "nothing" if result is None else f"{format_type(result)}: {arrives_as(result)}"
            raise self._fault(f"it returns {shown(hint)}, and the pact says {due}")

    def check_params(self, leading: int = 0) -> None:
        """The same for the parameters alone, behind `leading` ones that are not in the pact."""
        function = self._declared.function
        signature = inspect.signature(self._method)
        count = len(function.params) + leading
        try:
            signature.bind(None, *([None] * count))
        except TypeError:
            raise self._fault(f"it does not take {count} parameter{'' if count == 1 else 's'}") from None
        hints = self._hints()
        given = list(signature.parameters.values())[1 + leading :]
        for parameter, param in zip(given, function.params, strict=False):
            hint = hints.get(parameter.name, Any)
            if not takes(hint, param.type):
                arriving = f"{format_type(param.type)} arrives as {arrives_as(param.type)}"
                raise self._fault(f"parameter {parameter.name!r} is {shown(hint)}, and {arriving}")

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self._method)
        except (NameError, TypeError, AttributeError) as error:
            raise self._fault(f"an annotation cannot be resolved: {error}") from error

    def _fault(self, problem: str) -> PluginError:
        fix = f"make it agree with {self._declared}"
        return PluginError(self._plugin, self._where, problem, fix)


def line_of(cls: type, method: Callable[..., Any]) -> str:
    """`clock.py:12: Clock.now(self) -> int`."""
    code = inspect.unwrap(method).__code__
    place = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    signature = str(inspect.signature(method)).replace("'", "")
    return f"{place}: {cls.__qualname__}.{method.__name__}{signature}"
