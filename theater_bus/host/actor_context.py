"""What a capability can see and do: the `Context` of one capability of one actor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theater_bus.capability import ActorIdentity, Children, Logger, Secret, TimeSource
from theater_bus.core.chain.events import decode_event
from theater_bus.core.instrumentation import Instrumentation
from theater_bus.core.lifecycle import StopReason
from theater_bus.core.values.hashing import function_hash
from theater_bus.core.wire.deadline import nested_ms
from theater_bus.errors import ActorError, ChainTampered, GuestError
from theater_bus.host.approval import Approvals
from theater_bus.host.calling import NestedCall, OperationEnd, OwnCall
from theater_bus.host.capability_bus import ActorBus
from theater_bus.host.configuration import ActorConfiguration
from theater_bus.host.frame import ASKED, FRAME, Frame, effect_key_of
from theater_bus.host.outbox import Delivery
from theater_bus.host.progress import check_part

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["ActorContext"]

log = logging.getLogger("theater_bus.capability")

CHAIN_EVENTS = 1024
INFO_MS = 2_000
"""How long an actor's host may take to answer about it."""


class ActorContext:
    """The `Context` of one capability instance."""

    __slots__ = ("_actor", "_bus", "_capability", "_configuration", "_grants", "_log")

    def __init__(self, actor: Actor, capability: str, grants: Mapping[str, Any]) -> None:
        self._actor = actor
        self._capability = capability
        self._grants = grants
        self._configuration = ActorConfiguration(actor.services.configuration, actor.grants, capability)
        self._log: Logger = _BoundLogger(actor.identity, capability)
        self._bus: ActorBus | None = None

    @property
    def actor(self) -> ActorIdentity:
        """The actor that this instance serves."""
        return self._actor.identity

    @property
    def log(self) -> Logger:
        """A logger with the actor's fields."""
        return self._log

    @property
    def meter(self) -> Instrumentation:
        """Where the plugin's own metrics and log events go."""
        return self._actor.services.telemetry

    @property
    def tracer(self) -> Any:
        """A tracer named after the capability."""
        return self._actor.services.telemetry.tracer(self._capability)

    @property
    def grants(self) -> Mapping[str, Any]:
        """The effective settings of this capability."""
        return self._grants

    @property
    def clock(self) -> TimeSource:
        """The time, and waiting by it."""
        return self._actor.services.clock

    def capability(self, name: str) -> Any:
        """Another capability of the same actor."""
        return self._actor.capabilities.get(name)

    @property
    def bus(self) -> ActorBus:
        """NATS, within the capability's settings."""
        if self._bus is None:
            self._bus = ActorBus(self, self._actor.services, self._capability, self._grants)
        return self._bus

    @property
    def data_dir(self) -> Path | None:
        """Where the capability may keep files, or None."""
        directory = self._actor.services.data_dir
        return None if directory is None else directory / "capabilities" / self._capability

    @property
    def configuration(self) -> ActorConfiguration:
        """What the host's operator has configured."""
        return self._configuration

    async def secret(self, handle: str, destination: str) -> Secret:
        """The value behind a guest's handle."""
        return await self._configuration.secret(handle, destination)

    @property
    def deadline(self) -> float:
        """When the current operation ends, in seconds of the event loop's clock."""
        return self._frame().op.deadline

    @property
    def call_id(self) -> int:
        """The number of this host call within its operation, from 0."""
        return self._frame().index

    @property
    def effect_key(self) -> str:
        """The key by which the outside can deduplicate this call."""
        return effect_key_of(self._actor, self._frame())

    def guest_log(self, text: str) -> None:
        """Emit a line of the guest's as a log record of the actor."""
        frame = FRAME.get()
        trace = frame.trace if frame is not None and frame.open else None
        self._actor.services.telemetry.guest_log(self._actor.attributes, "info", text, trace)

    async def chain(self) -> list[dict[str, Any]]:
        """The recorded events that the host still holds, oldest first."""
        events: list[dict[str, Any]] = []
        for data in await self._actor.services.archive.recent_events(self._actor, CHAIN_EVENTS):
            try:
                event = decode_event(data)
            except ChainTampered:
                continue
            events.append(
                {
                    "seq": event.seq,
                    "hash": event.hash.hex(),
                    "parent": event.parent.hex(),
                    "type": event.type,
                    "time_ns": event.time_ns,
                }
            )
        return events

    async def approval(self, what: str) -> None:
        """Wait until somebody lets the current call go on."""
        frame, actor = self._frame(), self._actor
        if actor.approvals is None:
            actor.approvals = Approvals(actor.services.telemetry, actor.identity)
        function = f"{frame.function.interface}.{frame.function.name}"
        await actor.approvals.wait(self.effect_key, function, self._capability, what)

    def emit_part(self, value: Any) -> bool:
        """Send a part to the caller of the current operation."""
        check_part(value)
        progress = self._frame().op.progress
        if progress is None:
            return False
        progress.emit(value)
        return True

    def request_shutdown(self, result: bytes | None = None) -> None:
        """End the actor when the current operation is done."""
        actor = self._actor
        actor.wants_exit, actor.exit_result = True, result
        if actor.current is None:
            actor.go_on()

    def has_export(self, function: str) -> bool:
        """Whether the capability may enqueue this function."""
        return self._actor.type.has_own_function(function)

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
        """Put a call of the actor's own export into its mailbox, as the host."""
        call = OwnCall(self._capability, function, params, then, answered, key, headers)
        return self._actor.services.calls.enqueue(self._actor, call)

    def on_operation_end(self, then: Callable[[bool], None], *, kept: bool = False) -> None:
        """Have `then` called with whether the current operation took effect."""

        def over(error: ActorError | None) -> None:
            then(error is None or (kept and isinstance(error, GuestError)))

        self._frame().op.answers.insert(0, OperationEnd(over))

    def snapshot_changed(self) -> None:
        """Ask for a checkpoint."""
        if self._actor.checkpoints is not None:
            self._actor.checkpoints.wanted()

    async def call_actor(
        self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int | None = None
    ) -> Any:
        """Call another actor in the name of this one and return its plain value."""
        frame = self._frame()
        self._actor.services.calls.check_peers(self._capability, function)
        nested = NestedCall(actor, function, params, timeout_ms, self.effect_key, self.trace_headers())
        return await self._actor.services.calls.call(frame.op, nested)

    @property
    def children(self) -> Children:
        """The actors that this actor has spawned."""
        return self._actor.services.children_of(self._actor, self._operation)

    async def call_exact(self, actor: str, function: str, params: bytes, *, timeout_ms: int | None = None) -> bytes:
        """As `call_actor`, with the parameter tuple and the answer as CGRF."""
        frame, calls = self._frame(), self._actor.services.calls
        calls.check_peers(self._capability, function)
        key, headers = self.effect_key, self.trace_headers()
        nested = NestedCall(actor, function, None, timeout_ms, key, headers, params)
        return bytes(await calls.call(frame.op, nested))

    async def exports_of(self, actor: str) -> dict[str, bytes]:
        """What callers of another actor can call, and the hash of each signature as they see it."""
        found = await self._actor.services.calls.ask(actor, "exports", INFO_MS)
        return {one["name"]: one["hash"] for one in found["functions"]}

    def imported(self, interface: str) -> dict[str, bytes]:
        """The functions of an interface that the actor's own package imports, each with the hash of its signature."""
        for one in self._actor.type.package.metadata.imports:
            if one.name == interface:
                return {function.name: function_hash(function) for function in one.functions}
        return {}

    def queue_call(self, actor: str, function: str, params: list[Any] | None = None) -> None:
        """Have another actor called once the operation is kept."""
        calls = self._actor.services.calls
        calls.check_peers(self._capability, function)
        self.queue(calls.to_actor(actor, function, params))

    def queue_reply(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Have a message sent to the inbox of a client once the operation is kept."""
        self.queue(self._actor.services.calls.to_inbox(inbox, body, headers))

    async def call_peer(self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int) -> Any:
        """Call a function of this capability's own `peer_pact` at another actor, outside of any operation."""
        calls = self._actor.services.calls
        calls.check_peers(self._capability, function)
        return await calls.call_peer(self._actor, actor, function, list(params or ()), timeout_ms)

    def is_inbox(self, subject: str) -> bool:
        """Whether `reply_to` and `queue_reply` may send there."""
        return self._actor.services.replies.allows(subject)

    @property
    def will_return(self) -> bool:
        """Whether the actor stops on this host only."""
        return self._actor.phases.reason in (StopReason.MOVED, StopReason.FENCED)

    async def reply_to(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a message to the inbox of a client now."""
        calls = self._actor.services.calls
        await calls.reply(calls.to_inbox(inbox, body, headers))

    def queue(self, delivery: Delivery) -> None:
        """Have this sent once the operation is kept."""
        asked = ASKED.get()
        if asked is not None and asked.actor is self._actor:
            asked.delivery = delivery
            return
        frame = self._frame()
        if frame.function.effect != "queued" or frame.delivery is not None:
            raise RuntimeError(f"{frame.function.name} may queue one send, if the pact names it in @queued")
        if self._actor.outbox is not None:
            self._actor.outbox.check_room()
        frame.delivery = delivery

    def report_failure(self, why: str) -> None:
        """Say that background work of the capability failed."""
        actor, identity = self._actor, self.actor
        actor.failure_note = f"{self._capability}: {why}"
        telemetry = actor.services.telemetry
        telemetry.count("theater.capability.failures")
        telemetry.event(
            "capability.troubled",
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            capability=self._capability,
            reason=why,
        )

    def trace_headers(self) -> dict[str, str] | None:
        """What a message carries that is sent now; None outside a host call, or with nothing to carry."""
        frame = FRAME.get()
        if frame is None or not frame.open or frame.op.actor is not self._actor:
            return None
        if frame.trace is None:
            return self._actor.services.telemetry.untraced_headers(frame.op.headers)
        return frame.trace.headers()

    def left_ms(self) -> int | None:
        """What is left of the current operation's time; None outside a host call."""
        frame = FRAME.get()
        if frame is None or not frame.open:
            return None
        return nested_ms(None, int((frame.op.deadline - self._actor.services.loop.time()) * 1000))

    async def close(self) -> None:
        """The actor ends: let go of what the capability did not."""
        if self._bus is not None:
            await self._bus.close()

    def _operation(self) -> Operation | None:
        """The operation whose host call asks; None for background work."""
        frame = FRAME.get()
        return None if frame is None or not frame.open or frame.op.actor is not self._actor else frame.op

    def _frame(self) -> Frame:
        frame = FRAME.get()
        if frame is None or not frame.open or frame.op.actor is not self._actor:
            raise LookupError("there is no current operation: this code does not run within a host call")
        return frame


class _BoundLogger:
    """stdlib logging with an event name and the actor's fields."""

    __slots__ = ("_extra",)

    def __init__(self, identity: ActorIdentity, capability: str) -> None:
        self._extra = {"actor": identity.id, "namespace": identity.namespace, "capability": capability}

    def debug(self, event: str, **fields: object) -> None:
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._emit(logging.ERROR, event, fields)

    def _emit(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        if log.isEnabledFor(level):
            shown = {**self._extra, **fields}
            log.log(level, "%s %s", event, " ".join(f"{k}={v}" for k, v in shown.items()), extra={"event": event})
