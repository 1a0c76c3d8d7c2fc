"""What each error means for whoever receives it: when it comes, what became of the operation, what to do.

Invariant: there is one entry for every error that travels, in the order of the error tree.
Source: wire protocol, "Errors". The reference pages are generated from here; the command line shows `advice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import theater_bus.errors as errors
from theater_bus.errors import ActorError, Ran

__all__ = ["GUIDE", "Guide"]


@dataclass(frozen=True, slots=True)
class Guide:
    """One error: the outcomes it can have, when it comes, and what to do about it."""

    error: type[ActorError]
    ran: tuple[Ran, ...]
    when: str
    advice: str


_ENTRIES = (
    Guide(
        errors.OperationTimeout,
        ("never", "rolled-back", "unknown"),
        "the deadline passed: in the mailbox (never), while running (rolled-back), or, as the client saw it, "
        "without any answer (unknown); `phase` or `limit_ms` tells",
        "allow more time, or send again with the same key; after `unknown` ask `info.<id>.operation`",
    ),
    Guide(
        errors.Cancelled,
        ("never", "rolled-back"),
        "somebody cancelled it: in the mailbox (never) or while running (rolled-back)",
        "nothing; send it again if it is still wanted",
    ),
    Guide(
        errors.ChannelClosed,
        ("never", "unknown"),
        "nobody listens for an actor that exists, or there was no connection to send on; unknown when an earlier "
        "attempt of the same request had been sent",
        "send again in a moment; the actor may be moving to another host",
    ),
    Guide(
        errors.ActorNotFound,
        ("never", "unknown"),
        "nobody listens, and no host answered `fleet.where` within 250 ms; unknown when an earlier attempt of the same "
        "request had been sent, to a host that is gone now",
        "check the id and the namespace; `theater-bus ps` lists what lives",
    ),
    Guide(
        errors.ActorExists,
        ("never",),
        "spawn of an id that lives, or whose chain ended and neither `continue` nor `fresh` was sent",
        "choose another id, or say `continue` (last state) or `fresh` (initial state)",
    ),
    Guide(
        errors.ShuttingDown,
        ("never",),
        "the actor is stopping; what was in its mailbox gets this too",
        "spawn it again, or ask another actor",
    ),
    Guide(
        errors.Overloaded,
        ("never", "rolled-back"),
        "a bound is reached; `bound` names it; rolled back where the operation found its outbox full",
        "slow down and send again, or raise the bound",
    ),
    Guide(
        errors.Unavailable,
        ("never", "rolled-back"),
        "the chain or a store refuses for good, for example because it is full",
        "make room; the actor goes on by itself when an append succeeds",
    ),
    Guide(
        errors.FunctionNotFound,
        ("never",),
        "no export of that name can be called, or its subject is spelt in another way than the encoding; "
        "`nearest` lists similar names",
        "look at `info.<id>.exports`; the manifest's `expose` may hide it",
    ),
    Guide(
        errors.TypeMismatch,
        ("never", "rolled-back"),
        "parameters (never), state or result (rolled-back) break the contract, or the guest's own decoder said so; "
        "`path` leads to the fault",
        "send what `info.<id>.exports` declares; for state and result, mend the guest",
    ),
    Guide(
        errors.SerializationError,
        ("never", "unknown"),
        "the envelope or a value cannot be decoded; unknown when it was the reply that the client could not read",
        "the message names the key and what it takes",
    ),
    Guide(
        errors.TooLarge,
        ("never", "rolled-back"),
        "the request (never) or the result (rolled-back) is over a limit; `size_bytes` and `limit_bytes` tell",
        "send a digest and keep the bytes in the object store, or ask for pages",
    ),
    Guide(
        errors.UnsupportedVersion,
        ("never",),
        "`v` is not 1; `supported` lists what is",
        "send the envelope of a version that is supported",
    ),
    Guide(
        errors.UnknownVerb,
        ("never",),
        "no such query or verb; `nearest` lists similar ones",
        "use one of the tables of the wire protocol",
    ),
    Guide(
        errors.KeyReused,
        ("never",),
        "the key was used before for another function or other parameters",
        "make a new key for every new request",
    ),
    Guide(
        errors.CallCycle,
        ("never",),
        "the receiver already waits for this request; `path` is the circle",
        "send one way, or let a third actor hold what both need",
    ),
    Guide(
        errors.PermissionDenied,
        ("never",),
        "outside the grant, or refused by an authoriser or by NATS",
        "have the grant, or the user's permissions, extended",
    ),
    Guide(
        errors.SpawnRefused,
        ("never",),
        "manifest, package, hash, capability or grant do not fit",
        "change the manifest, the package or the grant as the message says",
    ),
    Guide(
        errors.GuestError,
        ("committed",),
        "the guest returned `err(…)`: its own answer, in `value`",
        "what it means is the actor's business; the operation is recorded",
    ),
    Guide(
        errors.Internal,
        ("rolled-back",),
        "the guest trapped or hit a limit; `reason` names which: `unreachable`, `out-of-bounds`, `cpu-limit`, "
        "`memory-limit`, `stack-overflow`, `record-limit` and others",
        "mend the guest, or raise the limit that `reason` names; the actor's chain shows what led to it",
    ),
    Guide(
        errors.HandlerError,
        ("rolled-back",),
        "a capability failed in a way that it does not report to the guest",
        "find `correlation` in the host's log; the actor goes on",
    ),
    Guide(errors.Paused, ("never",), "pause of an actor that is paused", "nothing"),
    Guide(errors.NotPaused, ("never",), "resume of an actor that is not paused", "nothing"),
    Guide(
        errors.UpdatePackageError,
        ("never",),
        "a live update was refused; the old package goes on",
        "the message says what the new package lacks",
    ),
    Guide(
        errors.OutcomeUnknown,
        ("unknown",),
        "the connection was lost after sending, before the deadline",
        "ask `info.<id>.operation {op}`, or send again with the same key",
    ),
    Guide(
        errors.Fenced,
        ("never",),
        "asked of a host that has lost the actor to another",
        "ask `fleet.where` for the host that has it",
    ),
    Guide(
        errors.UnexpectedError,
        ("unknown",),
        "a fault of theater_bus itself",
        "find `correlation` in the host's log and report it",
    ),
)

GUIDE: Mapping[str, Guide] = {guide.error.code: guide for guide in _ENTRIES}
"""The entries by code."""
