"""What queries answer, as types: frozen dataclasses made from the plain values that travel.

Fields are the wire's; what a newer host adds is left out. Sizes are bytes, durations nanoseconds or milliseconds as
their names say, digests 32 bytes.
Source: wire protocol, the answers of `info`, `host` and `fleet`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeVar

from theater_bus.errors import ActorError, SerializationError, from_wire

__all__ = [
    "ActorMetrics",
    "ActorStatus",
    "ActorSummary",
    "AsOf",
    "Exports",
    "FunctionExport",
    "HostInfo",
    "HostSummary",
    "InterfaceHash",
    "OperationMetrics",
    "OperationOutcome",
    "Parameter",
    "PendingApproval",
    "ResourceMetrics",
    "RunningOperation",
    "Whereabouts",
    "parsed",
]

T = TypeVar("T")
Wire = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AsOf:
    """The acknowledged event that an answer describes: its sequence (−1: none yet) and its hash."""

    sequence: int
    head: bytes


@dataclass(frozen=True, slots=True)
class RunningOperation:
    """The operation in progress: its function, for how long, its key, and the actors that wait for it."""

    function: str
    since_ms: int
    op: str | None
    path: tuple[str, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        return cls(wire["function"], wire["since_ms"], wire.get("op"), tuple(wire.get("path") or ()))


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A host call that waits for a person: under which id, which function, what it would do, for how long."""

    id: str
    function: str
    what: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """What an actor is and does. `phase` and `reason` are the words of the phase machine."""

    id: str
    name: str
    phase: str
    reason: str | None
    host: str
    incarnation: bytes
    package: bytes
    durability: str
    running: RunningOperation | None
    queued: int
    approvals: tuple[PendingApproval, ...]
    parent: str | None
    children: int
    as_of: AsOf

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        running = wire.get("running")
        return cls(
            id=wire["id"],
            name=wire["name"],
            phase=wire["phase"],
            reason=wire.get("reason"),
            host=wire["host"],
            incarnation=wire["incarnation"],
            package=digest_of(wire["package"]),
            durability=wire["durability"],
            running=None if running is None else RunningOperation.from_wire(running),
            queued=wire["queued"],
            approvals=tuple(
                PendingApproval(one["id"], one["function"], one["what"], one["since_ms"])
                for one in wire.get("approvals") or ()
            ),
            parent=wire.get("parent"),
            children=wire.get("children", 0),
            as_of=_as_of(wire),
        )


@dataclass(frozen=True, slots=True)
class OperationMetrics:
    """Operations since the actor started on its host: how many, how they ended, how long they took.

    `refused_operations` never entered the guest and are not part of `total_operations`.
    """

    total_operations: int
    failed_operations: int
    refused_operations: int
    errors_by_code: Mapping[str, int]
    total_processing_time_ns: int
    max_processing_time_ns: int
    min_processing_time_ns: int | None
    total_processing_time_with_wait_ns: int
    max_processing_time_with_wait_ns: int
    min_processing_time_with_wait_ns: int | None


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """What the actor takes: guest memory and mailbox, now and at most."""

    memory_usage_bytes: int
    peak_memory_usage_bytes: int
    operation_queue_size: int
    peak_queue_size: int
    operation_queue_bytes: int
    peak_queue_bytes: int


@dataclass(frozen=True, slots=True)
class ActorMetrics:
    """Counts and times of one actor since it started on its host. Times of day are unix time."""

    operation_metrics: OperationMetrics
    resource_metrics: ResourceMetrics
    start_time_ns: int
    last_update_ns: int | None
    uptime_ms: int
    as_of: AsOf

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        return cls(
            _flat(OperationMetrics, wire["operation_metrics"]),
            _flat(ResourceMetrics, wire["resource_metrics"]),
            wire["start_time_ns"],
            wire["last_update_ns"],
            wire["uptime_ms"],
            _as_of(wire),
        )


@dataclass(frozen=True, slots=True)
class InterfaceHash:
    """An interface that an actor exports, and the SHA-256 of its structure."""

    name: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function: its name and its type as pact text."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class FunctionExport:
    """A function that can be called: its name as `call_function` takes it, and its types as pact text."""

    name: str
    params: tuple[Parameter, ...]
    result: str | None

    def __str__(self) -> str:
        params = ", ".join(f"{parameter.name}: {parameter.type}" for parameter in self.params)
        return f"{self.name}({params})" + ("" if self.result is None else f" -> {self.result}")


@dataclass(frozen=True, slots=True)
class Exports:
    """What an actor offers: the functions that can be called, and the hashes of its interfaces."""

    functions: tuple[FunctionExport, ...]
    hashes: tuple[InterfaceHash, ...]

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        functions = tuple(
            FunctionExport(one["name"], tuple(Parameter(p["name"], p["type"]) for p in one["params"]), one["result"])
            for one in wire["functions"]
        )
        return cls(functions, tuple(InterfaceHash(one["interface"], one["hash"]) for one in wire["hashes"]))


@dataclass(frozen=True, slots=True)
class OperationOutcome:
    """What became of a request with a key; `value` or `error` is the answer of a committed one."""

    outcome: Literal["committed", "running", "not-recorded"]
    value: Any = None
    error: ActorError | None = None

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        answer = wire.get("answer") or {}
        error = answer.get("error")
        return cls(wire["outcome"], answer.get("value"), None if error is None else from_wire(error))


@dataclass(frozen=True, slots=True)
class HostSummary:
    """A host that answered a ping."""

    id: str
    version: str
    actors: int

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        return cls(wire["host"], wire["version"], wire["actors"])


@dataclass(frozen=True, slots=True)
class HostInfo:
    """What a host is and has. `capacity` holds its bounds, `phases` its actors by phase."""

    id: str
    version: str
    namespace: str
    labels: Mapping[str, str]
    capacity: Mapping[str, int]
    phases: Mapping[str, int]
    capabilities: tuple[Mapping[str, Any], ...]
    wire_features: tuple[str, ...]
    started_ms: int

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        return cls(
            wire["host"],
            wire["version"],
            wire["namespace"],
            wire["labels"],
            wire["capacity"],
            wire["phases"],
            tuple(wire["capabilities"]),
            tuple(wire["wire_features"]),
            wire["started_ms"],
        )


@dataclass(frozen=True, slots=True)
class ActorSummary:
    """One actor in a listing."""

    id: str
    name: str
    phase: str
    host: str


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The host that runs an actor now."""

    id: str
    host: str
    incarnation: bytes

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Make it from what travelled."""
        return cls(wire["id"], wire["host"], wire["incarnation"])


def parsed(make: Callable[[Wire], T], wire: Any, what: str) -> T:
    """`make(wire)`, or `SerializationError` when a host answered something else than the wire protocol says."""
    try:
        return make(wire)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SerializationError(
            f"the answer to {what} is not what it should be ({type(error).__name__}: {error}). "
            "Fix: check that client and host have compatible versions",
            ran="unknown",
        ) from error


def digest_of(value: str | bytes) -> bytes:
    """The 32 bytes of a digest, written as `sha256:<hex>`, as hex, or as they are."""
    if isinstance(value, bytes):
        return value
    return bytes.fromhex(value.removeprefix("sha256:"))


def _as_of(wire: Wire) -> AsOf:
    return AsOf(wire["as_of"]["sequence"], wire["as_of"]["head"])


def _flat(cls: type[T], wire: Wire) -> T:
    return cls(**{field.name: wire[field.name] for field in fields(cls)})  # type: ignore[arg-type]
