"""What a capability can see and do: the actor it serves, the operation at hand, and the host behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from theater_bus.capability.bus import CapabilityBus
from theater_bus.capability.children import Children
from theater_bus.core.instrumentation import Instrumentation
from theater_bus.errors import ActorError

if TYPE_CHECKING:
    from theater_bus.capability.clock import TimeSource
    from theater_bus.capability.configuration import Configuration
    from theater_bus.capability.secret import Secret

__all__ = ["ActorIdentity", "Context", "Logger"]


@dataclass(frozen=True, slots=True)
class ActorIdentity:
    """Who an actor is: its id, its namespace, the name in its manifest, and the host that runs it."""

    id: str
    namespace: str
    name: str
    host: str


class Logger(Protocol):
    """A structured logger bound to the actor: an event name, and fields."""

    def debug(self, event: str, **fields: object) -> None:
        """Log for people who look for a fault."""

    def info(self, event: str, **fields: object) -> None:
        """Log what happened."""

    def warning(self, event: str, **fields: object) -> None:
        """Log what somebody should look at."""

    def error(self, event: str, **fields: object) -> None:
        """Log a failure."""


class Context(Protocol):
    """Given to a capability when it is made. Everything is bound to one actor.

    Members that speak of the current operation (`deadline`, `call_id`, `effect_key`) raise `LookupError` outside one.
    """

    @property
    def actor(self) -> ActorIdentity:
        """The actor that this instance serves."""

    @property
    def log(self) -> Logger:
        """A logger with the actor's fields."""

    @property
    def meter(self) -> Instrumentation:
        """Counts, records and emits what the plugin's `theater_telemetry` registered; any other name is dropped."""

    @property
    def tracer(self) -> Any:
        """An OpenTelemetry `Tracer` named after the capability; what it starts within a host call is below that call.

        It records nothing where the host does not trace.
        """

    @property
    def grants(self) -> Mapping[str, Any]:
        """The effective settings of this capability: host ∩ parent ∩ manifest, as plain values."""

    @property
    def clock(self) -> TimeSource:
        """The time, and waiting by it. Use it rather than `time` and `asyncio.sleep`: tests can move it."""

    def capability(self, name: str) -> Any:
        """The instance of another capability of the same actor, with its own grants; None where it has none of it.

        What may be called of it are the functions of its pact, from within a host call.
        """

    @property
    def bus(self) -> CapabilityBus:
        """NATS, within the settings `publish`, `subscribe`, `buckets` and `consumers` of the capability."""

    @property
    def data_dir(self) -> Path | None:
        """Where the capability may keep files of all its actors: a directory of its own on the host.

        It need not exist yet. None where the host has no data directory.
        """

    @property
    def configuration(self) -> Configuration:
        """What the host's operator has configured: for this capability, and for the actor within its grants."""

    async def secret(self, handle: str, destination: str) -> Secret:
        """The value behind a guest's handle (`secret:NAME`), to be sent to the host `destination` and nowhere else.

        Ask for it after the call's input was recorded, as every host function does by itself, and keep its value out
        of results, errors and logs. Raises `SecretRefused` unless the actor's grants and the operator name the host.
        """

    @property
    def deadline(self) -> float:
        """When the current operation ends, in seconds of the event loop's clock."""

    @property
    def call_id(self) -> int:
        """The number of this host call within its operation, from 0."""

    @property
    def effect_key(self) -> str:
        """The key (64 hex characters) by which the outside can deduplicate this call when its operation is repeated."""

    def guest_log(self, text: str) -> None:
        """Emit a line of the guest's as a log record of the actor: rate-limited, with the operation's trace."""

    async def chain(self) -> list[dict[str, Any]]:
        """The recorded events that the host still holds, oldest first: `seq`, `hash`, `parent`, `type`, `time_ns`."""

    async def approval(self, what: str) -> None:
        """Wait until an operator lets the current call go on (`control.<id>.approve`); `what` is what they read.

        It waits as long as the operation may take. Raises `CapabilityError` when it is refused.
        """

    def emit_part(self, value: Any) -> bool:
        """Send a plain value to the caller of the current operation, ahead of its answer, if the caller takes parts.

        Says whether it does. Parts are provisional: the operation may still fail, and one that runs again sends them
        again. Raises `TooLarge` for more than one message holds, `SerializationError` for what is no plain value,
        `LookupError` outside a host call.
        """

    def request_shutdown(self, result: bytes | None = None) -> None:
        """End the actor when the current operation is done, with reason `exited` and this result."""

    def has_export(self, function: str) -> bool:
        """Whether the capability may `enqueue` this function."""

    def enqueue(
        self,
        function: str,
        params: list[Any] | None = None,
        then: Callable[[ActorError | None], None] | None = None,
        *,
        answered: Callable[[Any], None] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Callable[[], bool]:
        """Put a call of the actor's own export into its mailbox, as the host. Raises `Overloaded` at the bounds
        (`mailbox.enqueues`, `mailbox.enqueue_bytes`).

        `then` is called once when the call is over, with what it failed with (its `ran` says whether it ran), a
        `GuestError` for an `err`. Where the call worked, `answered` is called before it with the plain value that the
        guest answered. What comes back is a function that takes the call out of the mailbox; it says False for one that
        waits no more. Calls with the same `key` (unique within the capability) are one: repeats get its answer, also
        after a recovery. `headers` are those of the message that causes the call; its trace links to theirs.
        """

    def on_operation_end(self, then: Callable[[bool], None], *, kept: bool = False) -> None:
        """Have `then` called once, with whether the current operation took effect: no for an `err`, a trap, a timeout.

        With `kept` it is whether what the operation queued is sent, which it is after an `err` too.

        It is called when that is settled, before anybody gets the answer. Of several, the last one is called first, so
        that each can undo what it did. Raises `LookupError` outside a host call.
        """

    def snapshot_changed(self) -> None:
        """Ask for a checkpoint, so that `snapshot` is up to date after a crash. It costs as much as a pause."""

    async def call_actor(
        self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int | None = None
    ) -> Any:
        """Call another actor in the name of this one and return its plain value.

        The call carries the path of waiting actors, so that a cycle ends in `CallCycle`, and no more than what is left
        of the current operation's time. Raises the `ActorError` that the other side answered.
        """

    async def call_exact(self, actor: str, function: str, params: bytes, *, timeout_ms: int | None = None) -> bytes:
        """As `call_actor`, with the parameter tuple and the answer as CGRF: see `theater_bus.capability.exact`."""

    async def exports_of(self, actor: str) -> dict[str, bytes]:
        """What callers of another actor can call, by full name, and the hash of each signature as they see it."""

    def imported(self, interface: str) -> dict[str, bytes]:
        """The functions of an interface that the actor's own package imports, each with the hash of its signature."""

    async def call_peer(self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int) -> Any:
        """Call a function of this capability's own `peer_pact` at another actor, outside of any operation.

        Within a host call, use `call_actor` and `queue_call`, which take the names of peer functions too. Raises the
        `ActorError` that the other side answered.
        """

    def is_inbox(self, subject: str) -> bool:
        """Whether `reply_to` and `queue_reply` may send there."""

    @property
    def will_return(self) -> bool:
        """Whether the actor stops on this host only, and comes back with its snapshots (its host ends, it moves)."""

    async def reply_to(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a message to the inbox of a client now. Raises `ChannelClosed` when nobody listens there."""

    @property
    def children(self) -> Children:
        """The actors that this actor has spawned, and how to spawn, watch and stop them."""

    def queue_call(self, actor: str, function: str, params: list[Any] | None = None) -> None:
        """Have another actor called once the running operation is kept; nothing is sent if it fails.

        For functions that the pact names in `@queued`, once and last in each: what they do is asked again after a
        recovery, with the same arguments. The send is repeated until the other side has answered, in the order of the
        sends to that actor, for up to 10 minutes; `undelivered` is told when it is given up. Raises `Overloaded` for a
        full outbox, which ends the operation, and the `ActorError` for what can never be sent.
        """

    def queue_reply(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """As `queue_call`, a message to the inbox of a client, which gets it when it listens within 10 s.

        Raises `PermissionDenied` for a subject that is no inbox.
        """

    def report_failure(self, why: str) -> None:
        """Say that background work of the capability failed: visible in the actor's status, counted, logged."""
