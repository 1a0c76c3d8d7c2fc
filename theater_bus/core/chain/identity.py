"""Who an operation is: scopes of idempotency keys, request digests, effect keys.

Invariants: a scope names one principal (a user, an actor and a host of one name are three); two requests have one
digest if and only if they name one function and carry the same recorded parameters; an effect key depends on nothing
that a recovery can change, so never on a sequence.

Sources: wire protocol, "Keys"; the chain page, "Guarantees".
"""

from __future__ import annotations

from theater_bus.core.chain.bodies import Call, Proof
from theater_bus.core.chain.events import pack, sha256
from theater_bus.core.chain.layout import Payload, Stored

__all__ = ["call_scope", "effect_key", "key_scope", "request_digest"]

EFFECT_DOMAIN = b"theater-effect-1\0"
REQUEST_DOMAIN = b"theater-op-1\0"


def key_scope(caller: str, proof: Proof) -> str:
    """The scope of a caller's idempotency keys.

    Unproven callers share the scope `""`. A user's is the name itself; that of an actor or a host has a prefix with a
    dot, which no user's name can hold.
    """
    if proof == "none":
        return ""
    return caller if proof == "subject" else f"{proof}.{caller}"


def call_scope(call: Call) -> str:
    """The scope of a recorded call."""
    return key_scope(call.caller, call.proof)


def request_digest(function: str, params: Payload) -> bytes:
    """What is compared to tell a repeat from a reused key, 32 bytes.

    SHA-256 over `"theater-op-1\\0"` and msgpack `[function, parameters]`, with the parameters as they are recorded:
    a payload beyond `inline_max` in its `[digest, length]` form, so that a chain can be checked without its objects.
    """
    recorded = [params.digest, params.size_bytes] if isinstance(params, Stored) else params
    return sha256(REQUEST_DOMAIN + pack((function, recorded)))


def effect_key(
    actor: str,
    incarnation: bytes,
    identity: tuple[str, str] | bytes,
    index: int,
    interface: str,
    function: str,
    input_digest: bytes,
) -> bytes:
    """The key by which the outside world can tell a repeated effect, 32 bytes (its hex form travels).

    `identity` is (scope, key), or the id made at admission; `index` counts the operation's host calls from 0;
    `input_digest` is SHA-256 of the input.
    """
    return sha256(EFFECT_DOMAIN + pack((actor, incarnation, identity, index, interface, function, input_digest)))
