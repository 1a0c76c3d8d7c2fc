"""The ops lane of one actor: from a message to an admitted operation, or to a refusal.

Called by the bus for every message, in its reader: everything here is synchronous, bounded and never raises.
"""

from __future__ import annotations

from dataclasses import replace
from time import time, time_ns
from typing import TYPE_CHECKING

from theater_bus.bus import Connection, Message
from theater_bus.capability import Proof as ProofWord
from theater_bus.capability import Request as AccessRequest
from theater_bus.core.wire.caller import Caller, Proof, proof_of, scope_of, sender_of
from theater_bus.core.wire.callpath import check_cycle
from theater_bus.core.wire.deadline import remaining
from theater_bus.core.wire.form import Form, content_type_of
from theater_bus.core.wire.request import Request, decode_request
from theater_bus.core.wire.subjects import OpsSubjects
from theater_bus.errors import ActorError, PermissionDenied, TheaterError
from theater_bus.host.answering import has_taken, refuse_unadmitted
from theater_bus.host.failure import unexpected
from theater_bus.host.operation import Answer, Operation
from theater_bus.host.package import PeerEntry
from theater_bus.host.peer import PeerAnswer, ask_peer
from theater_bus.host.progress import Listener, Progress
from theater_bus.host.reply import MessageReply, acknowledge, refuse

if TYPE_CHECKING:
    from theater_bus.host.access import Access
    from theater_bus.host.actor import Actor
    from theater_bus.host.package import FunctionEntry
    from theater_bus.host.shared import Shared

__all__ = ["OpsLane"]

_ENVELOPE_BYTES = 256


class OpsLane:
    """Takes the messages of `theater.<ns>.ops.<id>.>`."""

    __slots__ = ("_actor", "_connection", "_limits", "_shared", "_subjects")

    def __init__(self, actor: Actor, connection: Connection, subjects: OpsSubjects, shared: Shared) -> None:
        self._actor = actor
        self._connection = connection
        self._subjects = subjects
        self._shared = shared
        nodes, self._limits = actor.type.manifest.limits.decode_nodes, shared.limits
        if nodes > self._limits.containers:
            self._limits = replace(self._limits, containers=nodes)

    def receive(self, message: Message) -> None:
        """Admit the request in `message`, or answer why not. A reply subject that is no inbox gets nothing at all."""
        arrival = time_ns()
        reply = message.reply
        shared = self._shared
        if reply and not shared.replies.allows(reply):
            shared.refused_reply(message.subject, reply)
            return
        request: Request | None = None
        entry: FunctionEntry | None = None
        try:
            target = self._subjects.parse(message.subject)
            headers = message.headers
            request = decode_request(message.data, content_type_of(headers), headers, self._limits)
            actor = self._actor
            entry = actor.type.entry(target.function)
            self._admit(message, arrival, entry, request, target.caller)
        except ActorError as error:
            self._refuse(message, request, entry, error, arrival)
        except Exception as error:  # noqa: BLE001  a bug here must not end the connection's reader
            self._refuse(message, request, entry, self._bug(entry, error), arrival)

    def _bug(self, entry: FunctionEntry | None, error: Exception) -> ActorError:
        name = "_OTHER" if entry is None else entry.name
        return unexpected(self._shared.telemetry, self._actor.identity.id, name, error)

    def _admit(
        self, message: Message, arrival: int, entry: FunctionEntry, request: Request, caller: Caller | None
    ) -> None:
        actor, shared = self._actor, self._shared
        if request.path:
            check_cycle(request.path, actor.identity.id)
        timeout_ms = request.timeout_ms
        if request.sent_ms is not None or timeout_ms is None or timeout_ms <= 0:
            budget = remaining(timeout_ms, request.sent_ms, int(time() * 1000), actor.type.manifest.limits.timeout_ms)
            timeout_ms = budget.left_ms
            if budget.skewed:
                shared.telemetry.count("theater.requests.skewed")
        if timeout_ms > shared.max_timeout_ms:
            timeout_ms = shared.max_timeout_ms
        if caller is None:
            caller_id, proof, scope = "", "none", ""
        else:
            found = proof_of(caller, caller_subjects=shared.caller_subjects)
            caller_id, proof, scope = caller.id, found.value, scope_of(caller.id, found)
        if request.outbox is not None and (caller is None or not caller.is_actor):
            raise PermissionDenied(
                "'outbox' comes from the host of another actor, under .@actor.<id>. Fix: leave it out"
            )
        manifest = actor.type.manifest
        if proof == "none" and manifest.require_caller:
            raise PermissionDenied(
                f"{entry.name} needs a proven caller and this request has none. "
                "Fix: end the subject in .@.<caller>, with permissions that prove it, and set caller_subjects"
            )
        if request.outbox is not None and has_taken(actor, sender_of(caller_id, Proof(proof)), *request.outbox):
            acknowledge(self._connection, message.reply, request)
            return
        if request.cgrf is not None:
            params = entry.cgrf_params(request.cgrf)
        else:
            params = entry.plain_params(request.params, request.form is not Form.MSGPACK, len(message.data))
        reply = MessageReply(self._connection, message.reply, request)
        answer: Answer = PeerAnswer(reply, entry, caller) if type(entry) is PeerEntry else reply
        op = Operation(
            actor,
            entry,
            params,
            answer,
            caller=caller_id,
            proof=_PROOFS[proof],
            scope=scope,
            op=request.op,
            deadline=shared.loop.time() + timeout_ms / 1000,
            reply=message.reply,
            path=request.path,
            arrival_ns=arrival,
            size_bytes=len(message.data) + _ENVELOPE_BYTES,
            outbox=request.outbox,
            headers=message.headers,
            trace=shared.telemetry.start_operation(
                entry.spec, message.headers, actor.attributes, arrival, one_way=not message.reply
            ),
        )
        if request.stream and message.reply:
            op.progress = Progress(shared.loop, Listener(self._connection, message.reply, request))
        try:
            if shared.access is not None:
                self._judge(shared.access, op)
            else:
                self._enter(op)
        except BaseException:
            if op.progress is not None:
                op.progress.end()  # the refusal is told by whoever admits; nothing else ends it
            raise

    def _judge(self, access: Access, op: Operation) -> None:
        identity = self._actor.identity
        question = AccessRequest(identity.namespace, identity.id, op.entry.name, op.caller, op.proof)
        known = access.remembered(question)
        if known is not None:
            self._decided(op, known)
        else:
            access.ask(question, lambda refusal: self._decided(op, refusal))

    def _decided(self, op: Operation, refusal: ActorError | bool) -> None:
        if isinstance(refusal, ActorError):
            refuse_unadmitted(op, refusal)
            return
        try:
            self._enter(op)
        except ActorError as error:
            refuse_unadmitted(op, error)

    def _enter(self, op: Operation) -> None:
        actor, entry = self._actor, op.entry
        if type(entry) is PeerEntry:
            self._enter_peer(op, entry)
        elif op.key is None or self._shared.admits(actor, op):
            actor.queue.submit(op)
        if op.path and actor.waits and op.answers:  # one that was refused is answered, and waits for nobody
            actor.services.calls.waiting.arrived(actor, op.path)

    def _enter_peer(self, op: Operation, entry: PeerEntry) -> None:
        if not ask_peer(op, entry):
            if op.progress is not None:
                op.progress.end()
            if op.trace is not None:
                op.trace.end(None)
            return
        try:
            if op.key is None or self._shared.admits(self._actor, op):
                self._actor.queue.submit(op)
        except ActorError as error:  # the capability hears of what it let in
            refuse_unadmitted(op, error)

    def _refuse(
        self,
        message: Message,
        request: Request | None,
        entry: FunctionEntry | None,
        error: ActorError,
        arrival: int,
    ) -> None:
        actor, telemetry = self._actor, self._shared.telemetry
        spec = actor.type.unknown if entry is None else entry.spec
        now = time_ns()
        try:
            telemetry.observe_operation(spec, error.code, 0, 0, now - arrival)
            trace = telemetry.start_operation(
                spec, message.headers, actor.attributes, arrival, one_way=not message.reply
            )
            if trace is not None:
                trace.end(error.code, None, now)
            actor.metrics.refused(error.code, now)
            if not message.reply:
                self._shared.dropped(actor, message.subject, error)
            refuse(self._connection, message, error, request)
        except TheaterError as failure:
            self._shared.dropped(actor, message.subject, failure)


_PROOFS: dict[str, ProofWord] = {"subject": "subject", "actor": "actor", "host": "host", "none": "none"}
