"""An answer read back from the chain, as the outcome that it was.

Invariant: what was recorded is always readable; a value that the declared type does not describe (a package without
precise types, a shape that was tolerated) is read as what it is.
Source: chain, "The bytes": *value* is canonical CGRF of what was returned.
"""

from __future__ import annotations

from theater_bus.core.values.codec_outcome import Outcome
from theater_bus.core.values.codec_value import ValueCodec, value_codec
from theater_bus.core.values.types import Dynamic, Function, ResultOf, TupleOf, Type, Unit
from theater_bus.errors import TypeMismatch

__all__ = ["recorded_outcome"]


def recorded_outcome(function: Function, stateful: bool, value: bytes, ok: bool) -> Outcome:
    """The outcome whose value (or err payload, without `ok`) are these CGRF bytes. It carries no state.

    Raises `SerializationError` for bytes that are no CGRF.
    """
    codec: ValueCodec = value_codec(_declared(function.result, stateful, ok))
    try:
        subtree = codec.check(value)
    except TypeMismatch:
        codec = value_codec(Dynamic())
        subtree = codec.check(value)
    return Outcome(ok, None, subtree, codec)


def _declared(result: Type | None, stateful: bool, ok: bool) -> Type:
    if not isinstance(result, ResultOf):
        return Dynamic() if stateful or result is None else result
    if not ok:
        return result.err or Unit()
    if not stateful:
        return result.ok or Unit()
    if not isinstance(result.ok, TupleOf):
        return Dynamic()
    rest = result.ok.items[1:]
    return rest[0] if len(rest) == 1 else TupleOf(rest) if rest else Unit()
