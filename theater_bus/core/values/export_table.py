"""What of a package can be called, under which name, through which symbol, and how.

Invariants
* Callable names are those of the metadata (`interface.function`, or the bare name of a function without interface),
  never those of the wasm export section; the section only says which code a metadata name stands for.
* One symbol is one callable name: a module where two metadata names lead to one symbol is refused, since whoever may
  call one name could call the other.
* A declared export without code is refused at spawn, not at the first call.

Source: the Pack ABI, "What a guest module exports"; the engine's rule on Pack modules.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from theater_bus.core.values.metadata import PackageMetadata
from theater_bus.core.values.pact_resolver import suggest
from theater_bus.core.values.types import Dynamic, Function, ResultOf
from theater_bus.errors import SpawnRefused

__all__ = ["LIFECYCLE_INTERFACE", "Export", "exported_functions", "is_stateful"]

LIFECYCLE_INTERFACE = "theater:simple/actor"
_RESERVED = frozenset({"memory", "__wasm_call_ctors", "_start", "_initialize"})


@dataclass(frozen=True, slots=True)
class Export:
    """One callable function of a package.

    `name` is what callers use, `symbol` the wasm export behind it. `stateful`: the first declared parameter is the
    actor's state, which the host supplies. `lifecycle`: called by the host itself (`theater:simple/actor.init`).
    """

    name: str
    interface: str
    function: Function
    symbol: str
    stateful: bool
    lifecycle: bool


def is_stateful(function: Function) -> bool:
    """Whether an export is an actor function: the host passes the state first and takes a new state from the result.

    The rule: it has at least one parameter, and its declared result is a `result<…>`, or `value`, which declares
    nothing more specific. Everything else is a plain function, called without state. The metadata of Pack guests does
    not say which is meant, and real ones declare `result<tuple<>, string>` for functions that answer with a state; so
    the shape inside the result does not count.
    """
    return bool(function.params) and isinstance(function.result, ResultOf | Dynamic)


def exported_functions(metadata: PackageMetadata, wasm_export_names: Collection[str]) -> dict[str, Export]:
    """Callable name → export, in the order of the metadata.

    The symbol is `interface.function` if the module exports that, else the function's bare name. Raises `SpawnRefused`
    that lists every export without code, twice declared, reserved, or sharing its symbol with another.
    """
    symbols = frozenset(wasm_export_names)
    table: dict[str, Export] = {}
    by_symbol: dict[str, str] = {}
    problems: list[str] = []
    for interface in metadata.exports:
        for function in interface.functions:
            name = f"{interface.name}.{function.name}" if interface.name else function.name
            symbol = name if name in symbols else function.name
            problem = _problem(name, symbol, symbols, table, by_symbol)
            if problem:
                problems.append(problem)
                continue
            by_symbol[symbol] = name
            lifecycle = interface.name == LIFECYCLE_INTERFACE
            table[name] = Export(name, interface.name, function, symbol, is_stateful(function), lifecycle)
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
        raise SpawnRefused(
            f"the package's exports cannot be called: {listed}. Fix: export each declared function under its name",
            problems=problems,
        )
    return table


def _problem(
    name: str, symbol: str, symbols: frozenset[str], table: dict[str, Export], by_symbol: dict[str, str]
) -> str:
    if name in table:
        return f"`{name}` is declared twice in the metadata"
    if symbol not in symbols:
        hint = suggest(name, sorted(symbols))
        code = f"no `{name}`" if name == symbol else f"neither that nor `{symbol}`"
        return f"the metadata declares `{name}`, but the module exports {code}{hint}"
    if symbol in _RESERVED or symbol.startswith("__pack_"):
        return f"`{name}` leads to the symbol `{symbol}`, which is reserved for the runtime"
    if symbol in by_symbol:
        return f"`{name}` and `{by_symbol[symbol]}` both lead to the symbol `{symbol}`"
    return ""
