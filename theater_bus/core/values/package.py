"""From the pact of a guest to the metadata that is embedded in it.

Invariants: every import in the metadata has a signature, written in the guest's own pact or taken from whoever provides
the interface; what cannot be completed is refused with the line of the guest's pact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from theater_bus.core.values.metadata import emit_metadata
from theater_bus.core.values.pact import Import, PactFile
from theater_bus.core.values.pact_resolver import suggest
from theater_bus.core.values.types import Function, Interface
from theater_bus.errors import PactSyntaxError

__all__ = ["linked_imports", "package_metadata"]


def package_metadata(pact: PactFile, provided: Mapping[str, Interface]) -> bytes:
    """The metadata blob of the guest that a pact file declares: its `exports`, and its `imports` made complete.

    `provided` are the interfaces that installed capabilities offer, by full name. Raises `PactSyntaxError`.
    """
    return emit_metadata(linked_imports(pact, provided), pact.exports)


def linked_imports(pact: PactFile, provided: Mapping[str, Interface]) -> tuple[Interface, ...]:
    """The imports of a pact file with all signatures, one interface per name. Raises `PactSyntaxError`."""
    wanted: dict[str, dict[str, Function]] = {}
    for one in pact.imports:
        functions = wanted.setdefault(one.interface, {})
        for function in _functions(pact, one, provided):
            known = functions.setdefault(function.name, function)
            if known != function:
                name = f"{one.interface}.{function.name}"
                raise _refused(pact, one, f"`{name}` is imported twice with different signatures")
    return tuple(Interface(name, tuple(functions.values())) for name, functions in wanted.items())


def _functions(pact: PactFile, wanted: Import, provided: Mapping[str, Interface]) -> Iterable[Function]:
    if wanted.declared is not None:
        return wanted.declared.functions
    interface = provided.get(wanted.interface)
    if interface is None:
        hint = suggest(wanted.interface, sorted(provided))
        fix = hint or ". Fix: install the plugin that does, or spell the functions out, like `a:b/c { f: func() }`"
        raise _refused(pact, wanted, f"no installed plugin provides `{wanted.interface}`{fix}")
    by_name = {function.name: function for function in interface.functions}
    names = wanted.functions or tuple(by_name)
    for name in names:
        if name not in by_name:
            raise _refused(pact, wanted, f"`{wanted.interface}` has no function `{name}`{suggest(name, by_name)}")
    return [by_name[name] for name in names]


def _refused(pact: PactFile, wanted: Import, problem: str) -> PactSyntaxError:
    return PactSyntaxError(problem, line=wanted.line, column=1, source=pact.source)
