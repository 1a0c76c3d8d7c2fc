"""Digests that tell repeats from new requests, and name the effects of an operation.

Invariants: both are functions of recorded facts only, so that a repeat, a replay and another host compute the same;
equal requests have equal digests whether they came as JSON, msgpack or CGRF.
Source: event chain, "Guarantees" 4.
"""

from __future__ import annotations

from hashlib import sha256

from theater_bus.core.wire.strict import write_msgpack

__all__ = ["effect_key", "operation_digest"]

_OPERATION = sha256(b"theater-op-1\0")
_EFFECT = sha256(b"theater-effect-1\0")


def operation_digest(function: str, parameters: bytes) -> bytes:
    """The 32 bytes that identify what is asked: the export's full name and its recorded CGRF parameter tuple."""
    digest = _OPERATION.copy()
    digest.update(write_msgpack((function, parameters)))
    return digest.digest()


def effect_key(
    actor: str,
    incarnation: bytes,
    operation: tuple[str, str] | bytes,
    index: int,
    interface: str,
    function: str,
    call_input: bytes,
) -> str:
    """The hex key under which a host call's effect is done once.

    `operation` is (caller scope, idempotency key), or the 16 bytes made at admission of an operation without a key;
    `index` counts the operation's host calls from 0; `call_input` is the input as it is recorded.
    """
    digest = _EFFECT.copy()
    fields = (actor, incarnation, operation, index, interface, function, sha256(call_input).digest())
    digest.update(write_msgpack(fields))
    return digest.hexdigest()
