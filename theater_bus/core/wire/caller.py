"""Who calls, and what proves it.

Invariants: a name that a caller claims is never taken for proof by itself; the scope of an idempotency key is the
proven caller or nobody, and a caller and an actor of the same name have different scopes.
Source: wire protocol, "Who is calling" and "Keys".
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["HOST_SCOPE", "Caller", "Proof", "proof_of", "scope_of", "sender_of"]

HOST_SCOPE = "@host"
"""Scope of what the host itself asks for (timers, supervision)."""


class Proof(Enum):
    """What vouches for a caller's name; the value is what the chain records."""

    SUBJECT = "subject"
    """NATS permissions, through the caller token of the subject."""
    ACTOR = "actor"
    """The host of another actor, through `.@actor.<id>`."""
    HOST = "host"
    """This host asked."""
    NONE = "none"
    """Nothing."""


class Caller(NamedTuple):
    """The caller that a subject ends in: `.@.<id>`, or `.@actor.<id>` when `is_actor`."""

    id: str
    is_actor: bool


def proof_of(caller: Caller | None, *, caller_subjects: bool) -> Proof:
    """What proves `caller`. Without the setting `caller_subjects` a token in a subject proves nothing."""
    if caller is None or not caller_subjects:
        return Proof.NONE
    return Proof.ACTOR if caller.is_actor else Proof.SUBJECT


def scope_of(caller_id: str, proof: Proof) -> str:
    """The scope in which this caller's idempotency keys are unique: `""` for everybody without a proof."""
    if proof is Proof.SUBJECT:
        return caller_id
    if proof is Proof.ACTOR:
        return f"@actor.{caller_id}"
    return HOST_SCOPE if proof is Proof.HOST else ""


def sender_of(caller_id: str, proof: Proof) -> str:
    """Under which name a receiver keeps where this actor's outbox stands: one without a proof is one of its own."""
    return scope_of(caller_id, proof) or f"actor.{caller_id}"
