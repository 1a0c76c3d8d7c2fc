"""A WIT type as a tree: what the canonical ABI makes of it, and its text.

A handle is `own` or `borrow`, with the name under which its resource is known as its only name.

Source: the Component Model's "Canonical ABI Explainer" (alignment, size, flattening) and its text format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["BYTES", "MAX_FLAT", "SPAN", "U8", "Naming", "WitType", "flatten", "has", "layout", "resources", "spans"]

MAX_FLAT: Final = 16
"""So many core parameters a function takes; with more it takes one pointer to all of them."""


@dataclass(frozen=True, slots=True)
class WitType:
    """`kind` is the word of the text format; `names` those of fields or cases, `parts` what the type consists of.

    A part is None where a case or a side of a result carries nothing.
    """

    kind: str
    names: tuple[str, ...] = ()
    parts: tuple[WitType | None, ...] = ()


U8: Final = WitType("u8")
BYTES: Final = WitType("list", parts=(U8,))
SPAN: Final = WitType("tuple", parts=(WitType("u32"), WitType("u32")))
"""An address and a number of bytes: in core WebAssembly the same as `BYTES`."""

_SCALARS: Final = {
    "bool": (1, "i32"),
    "s8": (1, "i32"),
    "u8": (1, "i32"),
    "s16": (2, "i32"),
    "u16": (2, "i32"),
    "s32": (4, "i32"),
    "u32": (4, "i32"),
    "s64": (8, "i64"),
    "u64": (8, "i64"),
    "f32": (4, "f32"),
    "f64": (8, "f64"),
    "char": (4, "i32"),
}
_NOMINAL: Final = ("record", "variant", "enum", "flags")
_HANDLES: Final = ("own", "borrow")


def spans(type_: WitType) -> WitType:
    """The type with a `SPAN` in place of every `list<u8>`."""
    if type_ == BYTES:
        return SPAN
    return WitType(type_.kind, type_.names, tuple(part and spans(part) for part in type_.parts))


def has(type_: WitType, wanted: Iterable[WitType]) -> bool:
    """Whether one of `wanted` is part of the type."""
    return type_ in wanted or any(part is not None and has(part, wanted) for part in type_.parts)


def resources(type_: WitType) -> set[str]:
    """The resources of the handles in a type."""
    if type_.kind in _HANDLES:
        return set(type_.names)
    return {name for part in type_.parts if part is not None for name in resources(part)}


def layout(type_: WitType) -> tuple[int, int]:
    """Size and alignment in memory, in bytes."""
    if type_.kind in _SCALARS:
        size = _SCALARS[type_.kind][0]
        return size, size
    match type_.kind:
        case "own" | "borrow":
            return 4, 4
        case "string" | "list":
            return 8, 4
        case "record" | "tuple":
            return _sequence([part for part in type_.parts if part is not None])
        case "flags":
            size = 1 if len(type_.names) <= 8 else 2 if len(type_.names) <= 16 else 4
            return size, size
    case_size = 1 if len(type_.parts) <= 1 << 8 else 2 if len(type_.parts) <= 1 << 16 else 4
    payloads = [layout(part) for part in type_.parts if part is not None]
    align = max([case_size, *(one for _, one in payloads)])
    size = _aligned(case_size, max([1, *(one for _, one in payloads)])) + max([0, *(one for one, _ in payloads)])
    return _aligned(size, align), align


def _sequence(parts: Sequence[WitType]) -> tuple[int, int]:
    size, most = 0, 1
    for part in parts:
        width, align = layout(part)
        size, most = _aligned(size, align) + width, max(most, align)
    return _aligned(size, most), most


def _aligned(size: int, align: int) -> int:
    return -(-size // align) * align


def flatten(type_: WitType) -> list[str]:
    """The core types that a value becomes when it is passed without memory."""
    if type_.kind in _SCALARS:
        return [_SCALARS[type_.kind][1]]
    match type_.kind:
        case "string" | "list":
            return ["i32", "i32"]
        case "record" | "tuple":
            return [flat for part in type_.parts if part is not None for flat in flatten(part)]
        case "flags" | "enum" | "own" | "borrow":
            return ["i32"]
    joined: list[str] = []
    for part in type_.parts:
        for place, flat in enumerate(flatten(part) if part is not None else []):
            if place == len(joined):
                joined.append(flat)
            elif joined[place] != flat:
                joined[place] = "i32" if {joined[place], flat} == {"i32", "f32"} else "i64"
    return ["i32", *joined]


class Naming:
    """Writes types as text; what must have a name (records and the like) is declared once, under a name of ours.

    `declare(identifier, definition, name)` gives the text that makes a type known as `$identifier` and `"name"`.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[WitType, str] = {}
        self._resources: dict[str, str] = {}
        self.definitions: list[tuple[str, str]] = []

    def text(self, type_: WitType) -> str:
        """The type as it is written where it is used."""
        if type_.kind in _NOMINAL:
            return self._nominal(type_)
        if type_.kind in _HANDLES:
            return f"({type_.kind} ${self._resources.get(type_.names[0], type_.names[0])})"
        if not type_.parts:
            return type_.kind
        if type_.kind == "result":
            ok, error = ("" if part is None else self.text(part) for part in type_.parts)
            return f"(result {ok} (error {error}))" if error else f"(result {ok})"
        return f"({type_.kind} {' '.join(self.text(part) for part in type_.parts if part is not None)})"

    def know(self, type_: WitType, name: str) -> None:
        """A type has been declared as `$name`."""
        if type_.kind in _NOMINAL:
            self._known[type_] = f"${name}"

    def know_resource(self, resource: str, name: str) -> None:
        """A resource has been declared as `$name`; its first name is the one that its methods have."""
        self._resources.setdefault(resource, name)

    def definition(self, type_: WitType) -> str:
        """The type as it is written where it is declared."""
        return f"({type_.kind} {' '.join(self._members(type_))})" if type_.kind in _NOMINAL else self.text(type_)

    def _nominal(self, type_: WitType) -> str:
        if type_ not in self._known:
            definition = self.definition(type_)
            name = f"{self._prefix}{len(self._known)}"
            self._known[type_] = f"${name}"
            self.definitions.append((name, definition))
        return self._known[type_]

    def _members(self, type_: WitType) -> Iterator[str]:
        if type_.kind in ("enum", "flags"):
            yield from (f'"{name}"' for name in type_.names)
            return
        word = "field" if type_.kind == "record" else "case"
        for name, part in zip(type_.names, type_.parts, strict=True):
            yield f'({word} "{name}")' if part is None else f'({word} "{name}" {self.text(part)})'
