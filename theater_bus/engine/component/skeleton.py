"""A component without its code: of the same types, but compiled at once, to learn what it imports and exports.

Every function of its modules becomes `unreachable`, and data is left out. Nothing of it ever runs.
"""

from __future__ import annotations

from typing import Final

from theater_bus.core.values.wasm_binary import Section, WasmReader, leb
from theater_bus.engine.component.binary import HEADER_BYTES, SectionNumber, sections_of

__all__ = ["skeleton"]

_UNREACHABLE: Final = b"\x03\x00\x00\x0b"
"""A function body of three bytes: no locals, `unreachable`, `end`."""

_DROPPED: Final = (Section.CUSTOM, Section.DATA, Section.DATA_COUNT)


def skeleton(wasm: bytes) -> bytes:
    """The component `wasm` without code. Raises `ConfigurationError` for what is cut off."""
    return _component(wasm, 0, len(wasm))


def _component(data: bytes, at: int, end: int) -> bytes:
    parts = [data[at : at + HEADER_BYTES]]
    for number, start, stop in sections_of(data, at + HEADER_BYTES, end):
        if number == SectionNumber.CUSTOM:
            continue
        if number == SectionNumber.CORE_MODULE:
            payload = _module(data, start, stop)
        elif number == SectionNumber.COMPONENT:
            payload = _component(data, start, stop)
        else:
            payload = data[start:stop]
        parts += [bytes([number]), leb(len(payload)), payload]
    return b"".join(parts)


def _module(data: bytes, at: int, end: int) -> bytes:
    parts = [data[at : at + HEADER_BYTES]]
    for number, start, stop in sections_of(data, at + HEADER_BYTES, end):
        if number in _DROPPED:
            continue
        payload = _bodies(data, start) if number == Section.CODE else data[start:stop]
        parts += [bytes([number]), leb(len(payload)), payload]
    return b"".join(parts)


def _bodies(data: bytes, at: int) -> bytes:
    reader = WasmReader(data, "component", at)
    count = sum(1 for _ in reader.vector())
    return leb(count) + _UNREACHABLE * count
