"""A component in front of a guest's functions, through which `list<u8>` passes as one string.

wasmtime hands a list to its host as one tagged value of 32 bytes for every element, a string as one piece. A bridge has
a memory of its own. Between it and the guest values cross as the guest declares them, copied by code that wasmtime
compiles. Between it and the host every `list<u8>` is a *span*, an address and a length in that memory, and the memory
itself crosses beside the value, as one string of hexadecimal digits (the *cargo*).

Invariants
* A call's values lie in `[ARENA, top)`; the memory is empty between calls.
* The arena always ends at least 64 bytes before the memory does, since digits are read and written 16 at a time.
* A bridge is validated and compiled by wasmtime like any component; what a guest does cannot reach its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from theater_bus.engine.component.wit_type import (
    BYTES,
    MAX_FLAT,
    Naming,
    WitType,
    flatten,
    has,
    layout,
    resources,
    spans,
)

__all__ = [
    "ARENA",
    "BRIDGE_FUNCTION",
    "BRIDGE_VERSION",
    "MEMORY_LIMIT",
    "Bridged",
    "arguments_base",
    "guest_side",
    "host_side",
    "instance_text",
    "resources_of",
    "types_text",
]

BRIDGE_VERSION: Final = 1
"""Part of the key of compiled artifacts: to be raised with every change of what is written around a component."""

ARENA: Final = 16
"""The address at which a call's values begin."""

MEMORY_LIMIT: Final = "theater-bus-bridge-memory-limit"
"""The function at the top of the backtrace when a bridge may not have more memory."""

BRIDGE_FUNCTION: Final = "theater-bus-bridge-"
"""How the functions of a bridge are called in a backtrace, with their numbers."""

_MAX_NODES: Final = 1000
_STRING: Final = WitType("string")
_WORD: Final = WitType("u64")


@dataclass(frozen=True, slots=True)
class Bridged:
    """One function: `number` is its place among the imports or exports, `params` and `result` are the guest's types.

    `interface` is empty where it is the world's own.
    """

    number: int
    interface: str
    function: str
    params: tuple[tuple[str, WitType], ...]
    result: WitType | None
    imported: bool

    @property
    def sends(self) -> bool:
        """Whether there are bytes among the parameters."""
        return any(has(type_, (BYTES,)) for _, type_ in self.params)

    @property
    def gives(self) -> bool:
        """Whether there are bytes in the result."""
        return self.result is not None and has(self.result, (BYTES,))

    @property
    def head(self) -> tuple[WitType, ...]:
        """What the host's side has before the parameters: the cargo, and where the cargo of the answer is to lie."""
        return (_STRING,) * self.sends + (_WORD,) * (self.imported and self.gives)

    @property
    def possible(self) -> bool:
        """Whether it gains from a bridge, and can have one."""
        if not (self.sends or self.gives) or self.nodes > _MAX_NODES:
            return False
        flat = len(self.flat)
        if self.resources:
            inside = [part for type_ in self._types for part in type_.parts if part is not None]
            return self.imported and flat + len(self.flat_head) <= MAX_FLAT and not any(map(_borrows, inside))
        return flat > MAX_FLAT or flat + len(self.flat_head) <= MAX_FLAT

    @property
    def nodes(self) -> int:
        """How large its types are."""
        return sum(_nodes(one) for one in self._types)

    @property
    def resources(self) -> list[str]:
        """The resources of the handles that are passed."""
        return sorted({name for type_ in self._types for name in resources(type_)})

    @property
    def borrowed(self) -> list[tuple[int, str]]:
        """The core parameters on the guest's side that are borrowed handles, and their resources."""
        found: list[tuple[int, str]] = []
        place = 0
        for _, type_ in self.params:
            if type_.kind == "borrow":
                found.append((place, type_.names[0]))
            place += len(flatten(type_))
        return found

    @property
    def _types(self) -> list[WitType]:
        return [type_ for _, type_ in self.params] + ([self.result] if self.result else [])

    @property
    def flat(self) -> list[str]:
        """The core parameters on the guest's side."""
        return [flat for _, type_ in self.params for flat in flatten(type_)]

    @property
    def flat_head(self) -> list[str]:
        """The core parameters that the host's side has more."""
        return [flat for type_ in self.head for flat in flatten(type_)]

    @property
    def frame(self) -> tuple[int, int]:
        """Bytes of the head and of all parameters where they are passed in memory."""
        types = tuple(type_ for _, type_ in self.params)
        return 8 * len(self.head), layout(WitType("tuple", parts=types))[0]

    @property
    def flat_result(self) -> list[str]:
        """The core result, one of `i32` for an address where it is passed in memory."""
        flat = [] if self.result is None else flatten(self.result)
        return flat if len(flat) <= 1 else ["i32"]

    @property
    def in_memory(self) -> bool:
        """Whether the result is passed in memory."""
        return self.result is not None and len(flatten(self.result)) > 1


def _borrows(type_: WitType) -> bool:
    return type_.kind == "borrow" or any(part is not None and _borrows(part) for part in type_.parts)


def _nodes(type_: WitType) -> int:
    return 1 + len(type_.names) + sum(_nodes(part) for part in type_.parts if part is not None)


def arguments_base(function: Bridged) -> int:
    """The address at which the cargo of a call of an export lies."""
    head, params = function.frame
    return ARENA if len(function.flat) <= MAX_FLAT else _aligned(ARENA + head + params)


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


# -- types -----------------------------------------------------------------------------------------------------------


def guest_side(function: Bridged, names: Naming) -> str:
    """Parameters and result as the guest declares them, as text."""
    """Parameters and result as the guest declares them, as text."""
    params = "".join(f' (param "{name}" {names.text(type_)})' for name, type_ in function.params)
    return params + ("" if function.result is None else f" (result {names.text(function.result)})")


def host_side(function: Bridged, names: Naming) -> str:
    """Parameters and result as the host sees them, as text."""
    """Parameters and result as the host sees them, as text."""
    types = [*function.head, *(spans(type_) for _, type_ in function.params)]
    params = "".join(f' (param "p{place}" {names.text(type_)})' for place, type_ in enumerate(types))
    if function.result is None:
        return params
    result = names.text(spans(function.result))
    return f"{params} (result {f'(tuple string {result})' if function.gives else result})"


def types_text(functions: Sequence[Bridged]) -> tuple[str, list[str]]:
    """A component that exports the named types of the guest's side, and their names."""
    names = Naming("g")
    for function in functions:
        guest_side(function, names)
    parts = [f'(import "{name}" (type ${name} (sub resource)))' for name in resources_of(functions)]
    parts += [f'(type ${name}d {text}) (export ${name} "{name}" (type ${name}d))' for name, text in names.definitions]
    return f"(component {' '.join(parts)})", [name for name, _ in names.definitions]


def resources_of(functions: Sequence[Bridged]) -> list[str]:
    """The resources of all functions, in the order in which a bridge knows them."""
    return sorted({name for one in functions for name in one.resources})


def instance_text(functions: Sequence[Bridged], imported: bool) -> str:
    """The type of the instance that a bridge imports: the guest's exports, or the host's side of its imports.

    The resources are those that the component around it knows under their names.
    """
    side, names = (host_side, Naming("h")) if imported else (guest_side, Naming("g"))
    written = [f'(export "f{one.number}" (func{side(one, names)}))' for one in functions]
    types = [
        f'(type ${name}d {text}) (export "{name}" (type ${name} (eq ${name}d)))' for name, text in names.definitions
    ]
    outside = [f"(alias outer 1 ${name} (type ${name}))" for name in resources_of(functions)]
    return f"{' '.join([*outside, *types, *written])}"
