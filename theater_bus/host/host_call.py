"""Host calls of one actor: from the guest's import to the capability's method, recorded and traced on the way.

Invariants: what is recorded is what the guest saw; a call is recorded in the order in which it was made, whatever
became of it; a call of a cancelled operation is recorded as `unknown`; code that outlives its call finds no operation;
what reaches the outside at once (`@external`) runs only when everything before its operation is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context, ContextVar
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any, TypeAlias

from theater_bus.capability import ActorIdentity, Children, HostCall, HostCallMiddleware, Logger, Secret, TimeSource
from theater_bus.core.chain.events import decode_event
from theater_bus.core.instrumentation import Instrumentation
from theater_bus.core.lifecycle import StopReason
from theater_bus.core.values.hashing import function_hash
from theater_bus.core.values.types import Scalar
from theater_bus.core.wire.deadline import nested_ms
from theater_bus.core.wire.digest import effect_key
from theater_bus.engine import HostImport
from theater_bus.errors import ActorError, ChainTampered, GuestError, PermissionDenied
from theater_bus.host.approval import Approvals
from theater_bus.host.calling import NestedCall, OperationEnd, OwnCall
from theater_bus.host.capability_bus import ActorBus
from theater_bus.host.configuration import ActorConfiguration
from theater_bus.host.middleware import around_host_call
from theater_bus.host.outbox import Delivery, Send
from theater_bus.host.progress import check_part
from theater_bus.plugins import BoundFunction, ForeignFunction, HostFunction

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation
    from theater_bus.telemetry import HostCallOutcome, HostCallTrace

__all__ = ["ActorContext", "HostCalls"]

log = logging.getLogger("theater_bus.capability")

Imported: TypeAlias = HostFunction | ForeignFunction

CHAIN_EVENTS = 1024
INFO_MS = 2_000
"""How long an actor's host may take to answer about it."""


class _Frame:
    """One host call in progress."""

    __slots__ = ("delivery", "function", "index", "input", "is_log", "op", "open", "started", "trace")

    def __init__(
        self,
        op: Operation,
        index: int,
        function: Imported,
        data: bytes,
        started: int,
        is_log: bool,
    ) -> None:
        self.op = op
        self.started = started
        self.is_log = is_log
        self.index = index
        self.function = function
        self.input = data
        self.trace: HostCallTrace | None = None
        self.delivery: Delivery | None = None
        self.open = True


class _Asked:
    """A queued function that is asked outside of an operation what it sends."""

    __slots__ = ("actor", "delivery")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.delivery: Delivery | None = None


_FRAME: ContextVar[_Frame | None] = ContextVar("theater_bus_host_call", default=None)
_ASKED: ContextVar[_Asked | None] = ContextVar("theater_bus_asked", default=None)


class HostCalls:
    """The imports of one actor, bound to its capability instances."""

    __slots__ = ("_actor", "_middleware", "_pending", "_queued", "imports")

    def __init__(
        self,
        actor: Actor,
        functions: Sequence[tuple[Imported, BoundFunction]],
        middleware: Sequence[HostCallMiddleware],
    ) -> None:
        self._actor = actor
        self._middleware = tuple(middleware)
        self._pending: _Frame | None = None
        self._queued = {(f.interface, f.name): (f, bound) for f, bound in functions if f.effect == "queued"}
        self.imports = tuple(
            HostImport(function.interface, function.name, self._import(function, bound))
            for function, bound in functions
        )

    def context_of(self, op: Operation) -> Context | None:
        """The context that the operation's coroutines run in; None for a guest that imports nothing."""
        if not self.imports:
            return None
        if op.trace is None:
            return self._actor.services.telemetry.untraced_context(op.headers)
        return op.trace.context()

    def _import(self, function: Imported, bound: BoundFunction) -> BoundFunction:
        actor = self._actor
        if self._middleware:
            bound = self._behind_middleware(function, bound)
        declared = function.declaration
        is_log = function.name == "log" and [p.type for p in declared.params] == [Scalar.STRING]
        is_log = is_log and declared.result is None  # a run of `log` keeps no answers
        is_external = function.effect == "external"

        def call(data: bytes) -> bytes | Coroutine[Any, Any, bytes]:
            op = actor.current
            if op is None or op.recording is None:
                raise RuntimeError("a host call without an operation")
            started = time_ns()
            frame = _Frame(op, op.recording.calls, function, data, started, is_log)
            if op.trace is not None:
                frame.trace = op.trace.host_call(function.interface, function.name, is_external, started)
            token = _FRAME.set(frame)
            try:
                answer = self._committed(bound, data) if is_external and actor.journal.ahead else bound(data)
            except BaseException as error:
                self._ended(frame, "raised", None, error)
                raise
            finally:
                _FRAME.reset(token)
            if type(answer) is not bytes:
                return self._waiting(answer, frame)  # type: ignore[arg-type]
            self._answered(frame, answer)
            return answer

        return call

    async def _committed(self, bound: BoundFunction, data: bytes) -> bytes:
        """Call what cannot be undone once all that came before the running operation is kept (output commit)."""
        await self._actor.journal.quiet()
        answer = bound(data)
        return answer if isinstance(answer, bytes) else await answer

    def delivery_of(self, interface: str, function: str, data: bytes) -> Delivery:
        """What a queued call that was recorded sends now: the capability is asked again. Raises an `ActorError`."""
        known = self._queued.get((interface, function))
        if known is None:
            raise PermissionDenied(f"the actor does not have {interface}.{function} any more")
        frame = _Asked(self._actor)
        token = _ASKED.set(frame)
        try:
            known[1](data)
        except ActorError:
            raise
        except Exception as error:
            raise PermissionDenied(f"{interface}.{function} refuses it now: {error}") from error
        finally:
            _ASKED.reset(token)
        if frame.delivery is None:
            raise PermissionDenied(f"{interface}.{function} refuses it now")
        return frame.delivery

    def undelivered(self, interface: str, function: str, data: bytes, error: ActorError) -> None:
        """Tell the capability that one of its sends was given up."""
        for capability in self._actor.type.capabilities:
            known = capability.functions.get((interface, function))
            instance = self._actor.capabilities.get(capability.name)
            if known is not None and instance is not None:
                try:
                    instance.undelivered(function, known.codec.decode_args(data), error)
                except Exception:
                    log.exception("capability %s failed at the end of a send", capability.name)

    def abandon(self, op: Operation) -> None:
        """`op` is over. A host function of it that still runs, in spite of its cancellation, is left and named."""
        frame = self._pending
        if frame is None or frame.op is not op:
            return
        self._event("capability.abandoned", frame)
        self._ended(frame, "unknown", None, TimeoutError("abandoned"))

    def _event(self, name: str, frame: _Frame, **fields: object) -> None:
        identity, function = self._actor.identity, frame.function
        self._actor.services.telemetry.event(
            name,
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            interface=function.interface,
            function=function.name,
            **fields,
        )

    async def _waiting(self, answer: Coroutine[Any, Any, bytes], frame: _Frame) -> bytes:
        _FRAME.set(frame)
        self._pending = frame
        if frame.trace is not None:
            frame.trace.activate()
        try:
            output = await answer
        except asyncio.CancelledError as error:
            self._ended(frame, "unknown", None, error)
            raise
        except BaseException as error:
            self._ended(frame, "raised", None, error)
            raise
        self._answered(frame, output)
        return output

    def _answered(self, frame: _Frame, output: bytes) -> None:
        """The call worked. What it sends waits for the end of the operation."""
        delivery, outbox, op = frame.delivery, self._actor.outbox, frame.op
        if delivery is None or outbox is None:
            self._ended(frame, "returned", output, None)
            return
        function, trace = frame.function, frame.trace
        headers = None if trace is None else trace.headers()
        key = _effect_key(self._actor, frame)
        outbox.stage(op, Send(function.interface, function.name, frame.input, key, frame.started, delivery, headers))
        self._ended(frame, "queued", output, None)

    def _ended(
        self, frame: _Frame, outcome: HostCallOutcome, output: bytes | None, error: BaseException | None
    ) -> None:
        """Observe and record a call, once: an abandoned one ends a second time, when nobody listens any more."""
        if not frame.open:
            return
        frame.open = False
        self._pending = None
        function, recording = frame.function, frame.op.recording
        self._observe(frame, outcome, error)
        if outcome == "raised":
            self._event("capability.failed", frame, error=f"{type(error).__name__}: {error}")
        if recording is None:
            return
        try:
            if frame.is_log and error is None:
                text = str(function.codec.decode_args(frame.input)[0])
                recording.log(frame.started, function.interface, frame.input, text)
            else:
                recording.host_call(frame.started, function.interface, function.name, frame.input, outcome, output)
        except ActorError:
            if error is None:
                raise

    def _observe(self, frame: _Frame, outcome: HostCallOutcome, error: BaseException | None) -> None:
        function = frame.function
        now = time_ns()
        self._actor.services.telemetry.observe_host_call(
            function.interface, function.name, outcome, now - frame.started
        )
        if frame.trace is not None:
            frame.trace.end(outcome, None if error is None else _error_type(error), now)

    def _behind_middleware(self, function: Imported, bound: BoundFunction) -> BoundFunction:
        actor_id = self._actor.identity.id

        async def wrapped(data: bytes) -> bytes:
            async def proceed() -> bytes:
                answer = bound(data)
                return answer if isinstance(answer, bytes) else await answer

            return await around_host_call(
                self._middleware, HostCall(actor_id, function.interface, function.name, data), proceed
            )

        return wrapped


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
        return _effect_key(self._actor, self._frame())

    def guest_log(self, text: str) -> None:
        """Emit a line of the guest's as a log record of the actor."""
        frame = _FRAME.get()
        trace = frame.trace if frame is not None and frame.open else None
        self._actor.services.telemetry.guest_log(self._actor.attributes, "info", text, trace)

    async def chain(self) -> list[dict[str, Any]]:
        """The recorded events that the host still holds, oldest first."""
        events: list[dict[str, Any]] = []
        for data in await self._actor.services.recent_events(self._actor, CHAIN_EVENTS):
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
            actor.resume_or_exit()

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
        asked = _ASKED.get()
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
        frame = _FRAME.get()
        if frame is None or not frame.open or frame.op.actor is not self._actor:
            return None
        if frame.trace is None:
            return self._actor.services.telemetry.untraced_headers(frame.op.headers)
        return frame.trace.headers()

    def left_ms(self) -> int | None:
        """What is left of the current operation's time; None outside a host call."""
        frame = _FRAME.get()
        if frame is None or not frame.open:
            return None
        return nested_ms(None, int((frame.op.deadline - self._actor.services.loop.time()) * 1000))

    async def close(self) -> None:
        """The actor ends: let go of what the capability did not."""
        if self._bus is not None:
            await self._bus.close()

    def _operation(self) -> Operation | None:
        """The operation whose host call asks; None for background work."""
        frame = _FRAME.get()
        return None if frame is None or not frame.open or frame.op.actor is not self._actor else frame.op

    def _frame(self) -> _Frame:
        frame = _FRAME.get()
        if frame is None or not frame.open or frame.op.actor is not self._actor:
            raise LookupError("there is no current operation: this code does not run within a host call")
        return frame


def _effect_key(actor: Actor, frame: _Frame) -> str:
    op, function = frame.op, frame.function
    identity = op.identity if op.key is None else op.key
    return effect_key(
        actor.identity.id,
        actor.journal.writer.incarnation,
        identity,  # type: ignore[arg-type]  # without a key it is the 16 bytes made at admission
        frame.index,
        function.interface,
        function.name,
        frame.input,
    )


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


def _error_type(error: BaseException) -> str:
    return error.code if isinstance(error, ActorError) else type(error).__name__
