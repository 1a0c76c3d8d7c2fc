"""Values as bytes, for who passes them on without looking: whole CGRF buffers in, whole buffers out.

Invariant: what is passed on is what came, to the last type tag. Source: pack-abi §3.4, §3.5 (how parameters travel).
"""

from __future__ import annotations

from dataclasses import dataclass

from theater_bus.core.values.cgrf_decode import decode
from theater_bus.core.values.cgrf_encode import encode
from theater_bus.core.values.codec_value import value_codec
from theater_bus.core.values.model import UNIT, Kind, ResultValue, ScalarValue, Tag, TupleValue, tag_of
from theater_bus.core.values.types import Dynamic

__all__ = ["Loose", "err_value", "exact_value", "ok_value", "one_parameter", "parameters", "plain_value"]

_ANY = value_codec(Dynamic())


@dataclass(frozen=True, slots=True)
class Loose:
    """A value without types of its own, as JSON writes it: an array may be a list or a tuple, a number of any width."""

    plain: object


def parameters(value: bytes) -> bytes:
    """The parameter tuple that a value stands for: a tuple is one, anything else the only parameter.

    Raises `SerializationError` for bytes that are no value, as all functions here.
    """
    found = decode(value)
    return value if isinstance(found, TupleValue) else encode(TupleValue((found,)))


def one_parameter(value: bytes) -> bytes:
    """The parameter tuple of a function with one parameter, which guests pass without the tuple."""
    return encode(TupleValue((decode(value),)))


def ok_value(value: bytes) -> bytes:
    """`ok(value)`, as a host answers."""
    found = decode(value)
    return encode(ResultValue(tag_of(found), Tag(Kind.STRING), True, found))


def err_value(text: str) -> bytes:
    """`err(text)`, as a host answers."""
    return encode(ResultValue(tag_of(UNIT), Tag(Kind.STRING), False, ScalarValue(Kind.STRING, text)))


def exact_value(plain: object) -> bytes:
    """A plain value as a value of no declared type. Raises `TypeMismatch` for what none can be made of."""
    return _ANY.encode(plain).standalone()


def plain_value(value: bytes) -> object:
    """What a value says by itself, as a plain value."""
    return _ANY.decode(_ANY.check(value))
