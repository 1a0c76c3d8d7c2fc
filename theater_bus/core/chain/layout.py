"""Fixed-position arrays: the shapes that event bodies are made of, checked in both directions.

Invariants:

* A body is a frozen dataclass whose fields are the positions of its array, in order; every field names its `Kind`
  and its meaning, and the reference page is made from them, so that code and page cannot differ.
* `load` accepts exactly the values that `dump` produces. A wrong length, type or range is a `Misshapen`, which names
  the position; nothing is coerced.
* Numbers are integers of msgpack; there are no floats, no extension types and no nil except where `optional` says so.

Source of the layouts: the chain page, "Events".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

__all__ = [
    "BOOL",
    "DIGEST",
    "ID16",
    "IDENTITY",
    "PAYLOAD",
    "TEXT",
    "UINT",
    "Kind",
    "Misshapen",
    "Payload",
    "Record",
    "Stored",
    "array_of",
    "choice",
    "dump_record",
    "load_record",
    "map_of",
    "optional",
    "positions",
    "record",
]

UINT_MAX = 2**64 - 1


class Misshapen(ValueError):
    """A value does not have the shape that its position demands; the text says where and what was seen."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one position is written: its label for people, and the two checked directions."""

    label: str
    load: Callable[[object], object]
    dump: Callable[[Any], object]


class Record:
    """A dataclass whose fields are the positions of an array, each `Annotated[type, kind, meaning]`."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


R = TypeVar("R", bound=Record)


def positions(cls: type[Record]) -> tuple[tuple[str, Kind, str], ...]:
    """Name, kind and meaning of every position of a record class, in order."""
    found = _positions.get(cls)
    if found is None:
        hints = get_type_hints(cls, include_extras=True)
        found = _positions[cls] = tuple((f.name, *hints[f.name].__metadata__) for f in dataclasses.fields(cls))
    return found


_positions: dict[type[Record], tuple[tuple[str, Kind, str], ...]] = {}
_loaders: dict[type[Record], tuple[tuple[str, Callable[[object], object]], ...]] = {}
_dumpers: dict[type[Record], tuple[tuple[str, Callable[[Any], object]], ...]] = {}


def load_record(cls: type[R], values: Sequence[object]) -> R:
    """The record that an array stands for. Raises `Misshapen` naming the first wrong position."""
    loaders = _loaders.get(cls)
    if loaders is None:
        loaders = _loaders[cls] = tuple((name, kind.load) for name, kind, _ in positions(cls))
    if len(values) != len(loaders):
        raise Misshapen(f"{len(values)} positions where {cls.__name__} has {len(loaders)}")
    loaded = []
    for (name, load), value in zip(loaders, values, strict=True):
        try:
            loaded.append(load(value))
        except Misshapen as wrong:
            raise Misshapen(f"{name}: {wrong}") from None
    return cls(*loaded)


def dump_record(body: Record) -> list[object]:
    """The array that stands for a record, ready for msgpack."""
    cls = type(body)
    dumpers = _dumpers.get(cls)
    if dumpers is None:
        dumpers = _dumpers[cls] = tuple((name, kind.dump) for name, kind, _ in positions(cls))
    return [dump(getattr(body, name)) for name, dump in dumpers]


def _same(value: object) -> object:
    return value


def _wrong(value: object, wanted: str) -> Misshapen:
    seen = f"bin of {len(value)}" if isinstance(value, bytes) else f"{value!r:.60}"
    return Misshapen(f"{seen} where {wanted} is due")


def _load_text(value: object) -> object:
    if type(value) is str:
        return value
    raise _wrong(value, "a str")


def _load_uint(value: object) -> object:
    if type(value) is int and 0 <= value <= UINT_MAX:
        return value
    raise _wrong(value, "an unsigned integer")


def _load_bool(value: object) -> object:
    if type(value) is bool:
        return value
    raise _wrong(value, "a bool")


def _sized(size: int) -> Kind:
    def load(value: object) -> object:
        if type(value) is bytes and len(value) == size:
            return value
        raise _wrong(value, f"a bin of {size}")

    return Kind(f"bin {size}", load, _same)


TEXT = Kind("str", _load_text, _same)
BOOL = Kind("bool", _load_bool, _same)
UINT = Kind("uint", _load_uint, _same)
DIGEST = _sized(32)
ID16 = _sized(16)


def optional(kind: Kind) -> Kind:
    """`kind`, or nil for "none"."""
    load, dump = kind.load, kind.dump
    return Kind(
        f"{kind.label} or nil",
        lambda value: None if value is None else load(value),
        lambda value: None if value is None else dump(value),
    )


def choice(*words: str) -> Kind:
    """One of these words."""
    allowed = frozenset(words)

    def load(value: object) -> object:
        if type(value) is str and value in allowed:
            return value
        raise _wrong(value, "one of " + ", ".join(words))

    return Kind(" or ".join(f"`{word}`" for word in words), load, _same)


def array_of(kind: Kind) -> Kind:
    """An array whose every element is of `kind`; a tuple in Python."""

    def load(value: object) -> object:
        if type(value) is list:
            return tuple(map(kind.load, value))
        raise _wrong(value, "an array")

    return Kind(f"array of {kind.label}", load, lambda value: [kind.dump(item) for item in value])


def map_of(kind: Kind) -> Kind:
    """A map from str, its keys ascending (by code point, as by their UTF-8 bytes), so that there is one encoding."""

    def load(value: object) -> object:
        if type(value) is not dict:
            raise _wrong(value, "a map")
        keys = [str(_load_text(key)) for key in value]
        if keys != sorted(keys):
            raise Misshapen("map keys are not in ascending order")
        return {key: kind.load(item) for key, item in value.items()}

    def dump(value: Mapping[str, object]) -> object:
        return {key: kind.dump(value[key]) for key in sorted(value)}

    return Kind(f"map of str to {kind.label}", load, dump)


def record(cls: type[Record], label: str = "") -> Kind:
    """A nested record."""

    def load(value: object) -> object:
        if type(value) is list:
            return load_record(cls, value)
        raise _wrong(value, f"an array for {cls.__name__}")

    return Kind(label or f"`{cls.__name__}`", load, dump_record)


@dataclass(frozen=True, slots=True)
class Stored(Record):
    """What stands in place of a payload longer than `inline_max`: the bytes lie in the object store by this digest."""

    digest: Annotated[bytes, DIGEST, "SHA-256 of the bytes, which is also their name in the object store"]
    size_bytes: Annotated[int, UINT, "how many bytes they are"]


Payload = bytes | Stored


def _load_payload(value: object) -> object:
    if type(value) is bytes:
        return value
    if type(value) is list:
        return load_record(Stored, value)
    raise _wrong(value, "a bin or [digest, length]")


def _dump_payload(value: object) -> object:
    return dump_record(value) if isinstance(value, Stored) else value


PAYLOAD = Kind("payload", _load_payload, _dump_payload)


def _load_identity(value: object) -> object:
    if type(value) is str or (type(value) is bytes and len(value) == 16):
        return value
    raise _wrong(value, "a key (str) or an id (bin 16)")


IDENTITY = Kind("str or bin 16", _load_identity, _same)
