"""What an event says: one class per array layout, its fields in the order of the positions.

A field of kind *payload* is the bytes themselves, or `[SHA-256, length]` when they are longer than the chain's
`inline_max`. Control bodies are in `control`. Source: the chain page, "Events".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from theater_bus.core.chain.layout import (
    BOOL,
    DIGEST,
    ID16,
    IDENTITY,
    PAYLOAD,
    TEXT,
    UINT,
    Payload,
    Record,
    array_of,
    choice,
    map_of,
    optional,
    record,
)

__all__ = [
    "Call",
    "Checkpoint",
    "Exit",
    "Failure",
    "Genesis",
    "HostCall",
    "LogRun",
    "Origin",
    "Outcome",
    "ProofWord",
    "Received",
    "Result",
    "Unsent",
    "WindowEntry",
]

Outcome = Literal["returned", "raised", "queued", "dropped", "unknown"]
ProofWord = Literal["subject", "actor", "host", "none"]


@dataclass(frozen=True, slots=True)
class Origin(Record):
    """Which event of which chain a continuation or fork takes its state from."""

    mode: Annotated[str, choice("continue", "fork"), "how it goes on"]
    actor: Annotated[str, TEXT, "id of that chain's actor"]
    incarnation: Annotated[bytes, ID16, "its incarnation"]
    seq: Annotated[int, UINT, "the last event that counts"]
    hash: Annotated[bytes, DIGEST, "that event's hash"]


@dataclass(frozen=True, slots=True)
class Genesis(Record):
    """Begins an incarnation: all that a replay must start from."""

    TYPE: ClassVar[str] = "genesis"
    actor: Annotated[str, TEXT, "the actor's id"]
    incarnation: Annotated[bytes, ID16, "UUIDv7 made at spawn"]
    package: Annotated[bytes, DIGEST, "SHA-256 of the module"]
    manifest: Annotated[bytes, DIGEST, "SHA-256 of the manifest"]
    grants: Annotated[bytes, DIGEST, "SHA-256 of the effective grants"]
    state: Annotated[Payload | None, optional(PAYLOAD), "initial state, canonical CGRF; nil = none"]
    engine: Annotated[str, TEXT, "engine and its version"]
    abi: Annotated[str, TEXT, "how the package is called, with the version: `pack/2` or `component/0.2`"]
    inline_max: Annotated[int, UINT, "payloads longer than this are replaced, for the whole incarnation"]
    parent_actor: Annotated[str | None, optional(TEXT), "id of the actor that spawned it"]
    origin: Annotated[Origin | None, optional(record(Origin)), "for a continuation or fork, what it continues"]


@dataclass(frozen=True, slots=True)
class Received(Record):
    """Where a send stands in its sender's outbox."""

    incarnation: Annotated[bytes, ID16, "the sender's incarnation"]
    number: Annotated[int, UINT, "the outbox number, from 1"]


@dataclass(frozen=True, slots=True)
class Call(Record):
    """An operation entered the guest."""

    TYPE: ClassVar[str] = "call"
    function: Annotated[str, TEXT, "name in the metadata (`iface.fn`, or bare)"]
    params: Annotated[Payload, PAYLOAD, "the standalone CGRF parameter tuple, without the state"]
    identity: Annotated[str | bytes, IDENTITY, "the idempotency key, or the id made at admission"]
    caller: Annotated[str, TEXT, "who asked; empty when unknown"]
    proof: Annotated[ProofWord, choice(*get_args(ProofWord)), "what the name rests on"]
    outbox: Annotated[Received | None, optional(record(Received)), "for a send from a durable actor's outbox"]


@dataclass(frozen=True, slots=True)
class HostCall(Record):
    """The guest called a host function, and how that ended."""

    TYPE: ClassVar[str] = "host-call"
    interface: Annotated[str, TEXT, "the interface, with its version if it has one"]
    function: Annotated[str, TEXT, "the function"]
    input: Annotated[
        Payload, PAYLOAD, "the parameters as a module had them in memory; of a component canonical CGRF, always a tuple"
    ]
    outcome: Annotated[Outcome, choice(*get_args(Outcome)), "how it ended"]
    output: Annotated[Payload | None, optional(PAYLOAD), "what the guest got; nil when it got nothing"]


@dataclass(frozen=True, slots=True)
class LogRun(Record):
    """Consecutive `log` calls, also a single one; position 2 is an integer, where a `HostCall` has its input."""

    TYPE: ClassVar[str] = "host-call"
    interface: Annotated[str, TEXT, "the interface, with its version if it has one"]
    function: Annotated[str, choice("log"), "the function"]
    count: Annotated[int, UINT, "how many calls"]
    digest: Annotated[bytes, DIGEST, "SHA-256 over (u32le length + input) of each"]
    lines: Annotated[tuple[str, ...], array_of(TEXT), "the first texts, within 4 KiB"]


@dataclass(frozen=True, slots=True)
class Result(Record):
    """The guest returned."""

    TYPE: ClassVar[str] = "result"
    function: Annotated[str, TEXT, "the function of the call"]
    value: Annotated[Payload, PAYLOAD, "what it returned, canonical CGRF; the empty tuple when nothing"]
    state: Annotated[Payload | None, optional(PAYLOAD), "the new state; nil when its bytes are as before"]


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """The operation ended without a result; the state is what it was before."""

    TYPE: ClassVar[str] = "error"
    function: Annotated[str, TEXT, "the function of the call"]
    code: Annotated[str, TEXT, "wire code of the error"]
    reason: Annotated[str | None, optional(TEXT), "which limit or trap, where the code has several"]
    message: Annotated[str, TEXT, "what people read, within 4 KiB"]
    value: Annotated[Payload | None, optional(PAYLOAD), "for `guest-error`, the guest's `err` payload, canonical CGRF"]


@dataclass(frozen=True, slots=True)
class WindowEntry(Record):
    """An answered idempotency key."""

    scope: Annotated[str, TEXT, "the caller's scope"]
    key: Annotated[str, TEXT, "the idempotency key"]
    request: Annotated[bytes, DIGEST, "digest of function and parameters"]
    answer: Annotated[bytes, DIGEST, "SHA-256 of the answer: the value, or the text of an error without one"]
    seq: Annotated[int, UINT, "sequence of the event that holds it"]
    is_error: Annotated[bool, BOOL, "whether it is a `guest-error`"]


@dataclass(frozen=True, slots=True)
class Unsent(Record):
    """A send of a committed operation that is not settled."""

    number: Annotated[int, UINT, "its outbox number"]
    interface: Annotated[str, TEXT, "the interface"]
    function: Annotated[str, TEXT, "the function"]
    input: Annotated[Payload, PAYLOAD, "the parameters"]
    effect_key: Annotated[bytes, DIGEST, "its effect key"]
    time_ns: Annotated[int, UINT, "when it was queued"]


@dataclass(frozen=True, slots=True)
class Checkpoint(Record):
    """All that recovery needs of what lies before it."""

    TYPE: ClassVar[str] = "checkpoint"
    phase: Annotated[str, choice("running", "paused"), "the phase to come back in"]
    package: Annotated[bytes, DIGEST, "SHA-256 of the module"]
    manifest: Annotated[bytes, DIGEST, "SHA-256 of the manifest"]
    grants: Annotated[bytes, DIGEST, "SHA-256 of the effective grants"]
    abi: Annotated[str, TEXT, "how the package is called, with the version: `pack/2` or `component/0.2`"]
    inline_max: Annotated[int, UINT, "as in genesis"]
    state: Annotated[Payload | None, optional(PAYLOAD), "the state; nil = none"]
    window: Annotated[tuple[WindowEntry, ...], array_of(record(WindowEntry)), "the idempotency window, oldest first"]
    next_outbox: Annotated[int, UINT, "the number of the next queued send, from 1"]
    unsent: Annotated[tuple[Unsent, ...], array_of(record(Unsent)), "queued sends that are not settled, by number"]
    received: Annotated[Mapping[str, Received], map_of(record(Received)), "the highest number had from each sender"]
    snapshots: Annotated[Mapping[str, Payload], map_of(PAYLOAD), "what each capability wants back"]


@dataclass(frozen=True, slots=True)
class Exit(Record):
    """Ends an incarnation."""

    TYPE: ClassVar[str] = "exit"
    reason: Annotated[str, choice("exited", "shutdown", "failed", "terminated"), "why it stopped"]
    result: Annotated[Payload | None, optional(PAYLOAD), "result bytes, when it exited with some"]
