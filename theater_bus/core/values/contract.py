"""Whether what a guest imports is what the capabilities of its host provide, with the place where it is not.

Invariants
* Only imports that the module really has are held against the capabilities: metadata may list functions that the linker
  dropped, and a module may import functions that its metadata does not list.
* Two declarations agree if their structural hashes are equal and the cases of every variant are in the same order, or
  if they differ in the spelling of field and case names only (`read-only`, `readOnly`): values are matched without it.
* Every disagreement is reported, not the first one, each with both declarations or with who would provide what lacks.

Source: the Pack ABI, "Host imports" and "Hash algorithm" (compatibility at spawn).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from theater_bus.core.published import distribution, provider
from theater_bus.core.values.metadata import PackageMetadata
from theater_bus.core.values.pact_format import format_function
from theater_bus.core.values.pact_resolver import suggest
from theater_bus.core.values.type_difference import Difference, first_difference
from theater_bus.core.values.types import Function, Interface, Type, Unit
from theater_bus.errors import SpawnRefused

__all__ = [
    "ENGINE_MODULES",
    "Difference",
    "ImportBinding",
    "ImportCheck",
    "ImportProblem",
    "Provided",
    "check_imports",
    "first_difference",
    "function_difference",
]

Provided = Mapping[str, Sequence[tuple[str, Interface]]]
"""Interface name → who provides it (the capability's name) and how they declare it."""

ENGINE_MODULES = frozenset({"env", "pack:alloc", "GOT.mem", "GOT.func"})
"""Import modules that only an engine could satisfy, never a capability."""


@dataclass(frozen=True, slots=True)
class ImportBinding:
    """One import of the module and the function that satisfies it.

    `declared` is the capability's declaration, `guest` the guest's own, None where its metadata does not list it.
    """

    interface: str
    provider: str
    declared: Function
    guest: Function | None

    @property
    def name(self) -> str:
        """The function's name, which is the import's field."""
        return self.declared.name


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """One reason why the imports are not satisfied. `function` is empty if it concerns the whole interface."""

    kind: Literal["missing-interface", "missing-function", "mismatch", "ambiguous"]
    interface: str
    function: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportCheck:
    """The outcome: what binds to what, and everything that stands against it."""

    bindings: tuple[ImportBinding, ...]
    problems: tuple[ImportProblem, ...]

    def require(self) -> tuple[ImportBinding, ...]:
        """The bindings, if there is no problem. Raises `SpawnRefused` that lists all problems otherwise."""
        if self.problems:
            messages = [problem.message for problem in self.problems]
            listed = messages[0] if len(messages) == 1 else "".join(f"\n  {message}" for message in messages)
            raise SpawnRefused(f"the package's imports are not satisfied: {listed}", problems=messages)
        return self.bindings


def check_imports(
    metadata: PackageMetadata,
    actual_imports: Iterable[tuple[str, str]],
    provided: Provided,
    available: Provided | None = None,
) -> ImportCheck:
    """Bind the imports of a module to the functions that its capabilities provide.

    `actual_imports` are (module, field) pairs of the wasm import section; `provided` is what this actor's capabilities
    give, `available` what the installed ones could give, for messages.
    """
    wanted: dict[str, dict[str, None]] = {}
    for module, field in actual_imports:
        if module not in ENGINE_MODULES:
            wanted.setdefault(module, {})[field] = None
    guest = {interface.name: interface for interface in metadata.imports}
    bindings: list[ImportBinding] = []
    problems: list[ImportProblem] = []
    for name, functions in wanted.items():
        providers = provided.get(name, ())
        if len(providers) != 1:
            problems.append(_not_one(name, list(functions), providers, available or {}))
            continue
        provider, offered = providers[0]
        for function in functions:
            found = _bind(provider, offered, guest.get(name), function)
            if isinstance(found, ImportBinding):
                bindings.append(found)
            else:
                problems.append(found)
    return ImportCheck(tuple(bindings), tuple(problems))


def function_difference(a: Function, b: Function) -> Difference | None:
    """The first difference between two signatures, or None. Paths start with `param N` (from 0) or `result`."""
    for number, (left, right) in enumerate(zip(a.params, b.params, strict=False)):
        found = first_difference(left.type, right.type, f"param {number}")
        if found is not None:
            return found
    if len(a.params) != len(b.params):
        return Difference("parameters", str(len(a.params)), str(len(b.params)))
    if a.result is None or b.result is None:
        if a.result is b.result:
            return None
        return Difference("result", _result(a.result), _result(b.result))
    return first_difference(a.result, b.result, "result")


def _result(type: Type | None) -> str:
    return "no result" if type is None else "an empty result" if isinstance(type, Unit) else "a result"


def _bind(provider: str, offered: Interface, guest: Interface | None, name: str) -> ImportBinding | ImportProblem:
    declared = offered.function(name)
    where = f"{offered.name}.{name}"
    if declared is None:
        hint = suggest(name, (function.name for function in offered.functions))
        message = f"{where}: capability `{provider}` has no function `{name}`{hint}"
        return ImportProblem("missing-function", offered.name, name, message)
    own = None if guest is None else guest.function(name)
    difference = None if own is None else function_difference(own, declared)
    if own is None or difference is None:
        return ImportBinding(offered.name, provider, declared, own)
    message = (
        f"{where}: {difference.path}: guest declares {difference.left}, capability declares {difference.right} "
        f"(guest: {format_function(own)}; capability `{provider}`: {format_function(declared)}). Fix: build the guest "
        "against the capability's pact"
    )
    return ImportProblem("mismatch", offered.name, name, message)


def _not_one(
    interface: str, functions: list[str], providers: Sequence[tuple[str, Interface]], available: Provided
) -> ImportProblem:
    if providers:
        names = " and ".join(f"`{name}`" for name, _ in providers)
        message = f"{interface}: capabilities {names} both provide it. Fix: name one of them in `[capabilities]`"
        return ImportProblem("ambiguous", interface, "", message)
    listed = ", ".join(functions[:5]) + (", …" if len(functions) > 5 else "")
    message = f"{interface} ({listed}): no capability of this actor provides it"
    could = [name for name, _ in available.get(interface, ())]
    if could:
        fix = " or ".join(f"`[capabilities.{name}]`" for name in could)
        message += f". Fix: add {fix} to the manifest"
    elif ours := provider(interface):
        message += (
            f", and no installed plugin offers it. Fix: install {distribution(ours)} where the host runs, and add "
            f"`[capabilities.{ours}]` to the manifest"
        )
    else:
        hint = suggest(interface, available)
        message += f", and no installed plugin offers it{hint or '. Fix: install the plugin that offers it'}"
    return ImportProblem("missing-interface", interface, "", message)
