"""The binary form of a component that is written around another one.

Invariant: indices are counted as wasmtime counts them, or the component is refused. Source: Component Model, "Binary
Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from theater_bus.core.values.wasm_binary import WasmReader, leb
from theater_bus.engine import ffi
from theater_bus.engine.component.binary import HEADER_BYTES, SectionNumber, sections_of
from theater_bus.errors import ConfigurationError

__all__ = ["Sort", "Writer", "copy_imports"]

_MAX_TYPES: Final = 50_000


class Sort:
    """What an index counts (`sort`)."""

    CORE, FUNCTION, VALUE, TYPE, COMPONENT, INSTANCE = range(6)


# -- reading ---------------------------------------------------------------------------------------------------------

_BEFORE_IMPORTS: Final = (SectionNumber.CORE_TYPE, SectionNumber.ALIAS, SectionNumber.TYPE, SectionNumber.IMPORT)


def copy_imports(wasm: bytes, writer: Writer) -> Iterable[tuple[str, int]]:
    """Copy all sections up to the last with imports; gives each import's name and sort before it is counted."""
    sections = list(sections_of(wasm, HEADER_BYTES, len(wasm)))
    last = max((place for place, (number, _, _) in enumerate(sections) if number == SectionNumber.IMPORT), default=-1)
    for number, start, end in sections[: last + 1]:
        if number == SectionNumber.CUSTOM:
            continue
        reader = WasmReader(wasm, "component", start)
        if number not in _BEFORE_IMPORTS:
            reader.refuse("it has imports behind other sections")
        writer.section(number, wasm[start:end])
        if number == SectionNumber.TYPE:
            writer.add(Sort.TYPE, reader.number())
        elif number == SectionNumber.ALIAS:
            for _ in reader.vector():
                writer.add(_alias(reader))
        elif number == SectionNumber.IMPORT:
            for _ in reader.vector():
                name, sort = _import(reader)
                yield name, sort
                writer.add(sort)


def _alias(reader: WasmReader) -> int:
    sort, target = reader.byte(), reader.byte()
    if sort not in (Sort.FUNCTION, Sort.TYPE, Sort.COMPONENT, Sort.INSTANCE) or target != 0:
        reader.refuse(f"it has an alias of sort {sort} and target {target} before its imports")
    reader.number()
    reader.text()
    return sort


def _import(reader: WasmReader) -> tuple[str, int]:
    if reader.byte() > 1:
        reader.refuse("it has an import name of an unknown kind")
    name, sort = reader.text(), reader.byte()
    if sort == Sort.TYPE:
        if reader.byte() == 0:
            reader.number()
    elif sort in (Sort.FUNCTION, Sort.COMPONENT, Sort.INSTANCE):
        reader.number()
    else:
        reader.refuse(f"it has an import of sort {sort}")
    return name, sort


# -- writing ---------------------------------------------------------------------------------------------------------


def _text(text: str) -> bytes:
    raw = text.encode()
    return leb(len(raw)) + raw


def _around(type_text: str, resources: Mapping[int, str]) -> str:
    """A component whose last section with types holds only this instance type; resources have the index they are given.

    A text knows them by name, its binary form by index: where the index is that of the component that is written, the
    section can be taken over.
    """
    if max(resources, default=0) > _MAX_TYPES:
        raise ConfigurationError("component", f"it declares more than {_MAX_TYPES} types before its resources")
    before = [
        f'(import "{resources[place]}" (type ${resources[place]} (sub resource)))'
        if place in resources
        else "(type u8)"
        for place in range(max(resources, default=-1) + 1)
    ]
    return f"(component {' '.join(before)} (type (instance {type_text})))"


class Writer:
    """Sections of a component, and how many items of each sort they made. Methods give the index of what is new."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._counts = dict.fromkeys((Sort.FUNCTION, Sort.TYPE, Sort.COMPONENT, Sort.INSTANCE), 0)

    def count(self, sort: int) -> int:
        """The index of the next item of a sort."""
        return self._counts[sort]

    def add(self, sort: int, count: int = 1) -> int:
        """Count items that a section made; gives the index of the first."""
        index = self._counts[sort]
        self._counts[sort] += count
        return index

    def section(self, number: int, payload: bytes) -> None:
        """Write a section."""
        self.parts += [bytes([number]), leb(len(payload)), payload]

    def component(self, wasm: bytes) -> int:
        """A component within."""
        self.section(SectionNumber.COMPONENT, wasm)
        return self.add(Sort.COMPONENT)

    def instantiate(self, component: int, arguments: Mapping[str, tuple[int, int]]) -> int:
        """An instance of a component; `arguments` by name, each as sort and index."""
        items = [_text(name) + bytes([sort]) + leb(index) for name, (sort, index) in arguments.items()]
        self.section(SectionNumber.INSTANCE, b"\1\0" + leb(component) + leb(len(items)) + b"".join(items))
        return self.add(Sort.INSTANCE)

    def bundle(self, items: Sequence[tuple[str, int, int]]) -> int:
        """An instance of what there is; `items` as name, sort and index."""
        raw = [b"\0" + _text(name) + bytes([sort]) + leb(index) for name, sort, index in items]
        self.section(SectionNumber.INSTANCE, b"\1\1" + leb(len(raw)) + b"".join(raw))
        return self.add(Sort.INSTANCE)

    def alias(self, instance: int, sort: int, name: str) -> int:
        """What an instance exports under a name."""
        self.section(SectionNumber.ALIAS, bytes([1, sort, 0]) + leb(instance) + _text(name))
        return self.add(sort)

    def export(self, name: str, sort: int, index: int) -> None:
        """Export something."""
        self.section(SectionNumber.EXPORT, b"\1\0" + _text(name) + bytes([sort]) + leb(index) + b"\0")
        self.add(sort)

    def imported_instance(self, name: str, type_text: str, resources: Mapping[str, tuple[int, int]]) -> int:
        """An import of an instance, whose type is given as text; `resources` are those that the text may name."""
        compiled = ffi.text_to_wasm(_around(type_text, {index: one for one, (_, index) in resources.items()}))
        sections = [
            (start, end)
            for number, start, end in sections_of(compiled, HEADER_BYTES, len(compiled))
            if number == SectionNumber.TYPE
        ]
        self.section(SectionNumber.TYPE, compiled[slice(*sections[-1])])
        type_ = self.add(Sort.TYPE)
        self.section(SectionNumber.IMPORT, b"\1\0" + _text(name) + bytes([Sort.INSTANCE]) + leb(type_))
        return self.add(Sort.INSTANCE)
