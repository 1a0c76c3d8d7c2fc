"""An actor at run time: one operation after another through its guest, each recorded, answered, and then forgotten.

Everything happens in callbacks on the event loop; nothing here awaits. The path of an operation is `Queue.submit` →
`start` → the guest → `_returned` → `_settle` → `answering`; most run through it within one call of `submit`.

Invariants: at most one operation is in the guest; operations start in the order of their admission; the state changes
only by a result that was decoded, checked and linked into the chain; an operation is answered exactly once, a success
or `guest-error` only after the chain has acknowledged it; an instance that failed is never entered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from random import getrandbits
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.grants import Effective
from theater_bus.core.idempotency import Window
from theater_bus.core.lifecycle import Phase, PhaseMachine, StopReason
from theater_bus.core.mailbox import Mailbox
from theater_bus.core.metrics import ActorMetrics
from theater_bus.core.outbox import Receipts
from theater_bus.core.values.subtree import Subtree
from theater_bus.engine import CallResult, ComponentInstance, Instance
from theater_bus.errors import ActorError, Cancelled, OperationTimeout, Unavailable
from theater_bus.host.answering import answer, refuse
from theater_bus.host.failure import error_of, of_message, of_result
from theater_bus.host.operation import Operation
from theater_bus.host.queue import Queue
from theater_bus.host.supervision import Supervision

if TYPE_CHECKING:
    from theater_bus.capability import ActorIdentity, Capability
    from theater_bus.core.supervision import Decision
    from theater_bus.host.actor_context import ActorContext
    from theater_bus.host.approval import Approvals
    from theater_bus.host.checkpoint import Checkpoints
    from theater_bus.host.hidden_state import Watch
    from theater_bus.host.host_call import HostCalls
    from theater_bus.host.household import Household
    from theater_bus.host.journal import Journal
    from theater_bus.host.outbox import Outbox
    from theater_bus.host.package import ActorType
    from theater_bus.host.services import Services
    from theater_bus.host.waiting import Wait
    from theater_bus.telemetry import ActorAttributes

__all__ = ["Actor"]


class Actor:
    """One actor of a host. Make it with `theater_bus.host.spawning`."""

    __slots__ = (
        "approvals",
        "attributes",
        "calls",
        "capabilities",
        "checkpoints",
        "contexts",
        "current",
        "effective",
        "exit_result",
        "failure",
        "failure_note",
        "grants",
        "household",
        "identity",
        "idle",
        "instance",
        "journal",
        "mailbox",
        "metrics",
        "outbox",
        "parent",
        "phases",
        "queue",
        "receipts",
        "services",
        "state",
        "supervision",
        "type",
        "waits",
        "wants_exit",
        "watch",
        "window",
    )

    def __init__(
        self,
        type_: ActorType,
        identity: ActorIdentity,
        attributes: ActorAttributes,
        services: Services,
        state: Subtree | None,
        now: float,
        effective: Effective,
    ) -> None:
        self.type = type_
        self.effective = effective
        self.grants = effective.grants
        self.identity = identity
        self.attributes = attributes
        self.services = services
        self.state = state
        self.phases = PhaseMachine(self._phase_changed)
        self.mailbox: Mailbox[Operation] = Mailbox(type_.mailbox_bounds)
        self.queue = Queue(self)
        self.supervision = Supervision(self)
        self.metrics = ActorMetrics(now, time_ns())
        self.journal: Journal
        self.approvals: Approvals | None = None
        self.checkpoints: Checkpoints | None = None
        self.outbox: Outbox | None = None
        self.receipts: Receipts | None = None
        self.calls: HostCalls
        self.capabilities: dict[str, Capability] = {}
        self.contexts: dict[str, ActorContext] = {}
        self.window: Window[Operation] | None = None
        self.instance: Instance | ComponentInstance | None = None
        self.current: Operation | None = None
        self.idle: asyncio.Future[None] | None = None
        self.waits: list[Wait] = []
        self.wants_exit = False
        self.exit_result: bytes | None = None
        self.failure_note: str | None = None
        self.failure: ActorError | None = None
        self.parent: Actor | None = None
        self.household: Household | None = None
        self.watch: Watch | None = services.hidden_state.watch(self)
        services.telemetry.count("theater.actors", 1, phase=self.phases.phase.value)

    def start(self, op: Operation) -> None:
        """Run `op` now: the guest is free. HOT."""
        self.current = op
        now = op.started_ns = time_ns()
        trace = op.trace
        if trace is not None:
            if now - op.arrival_ns > 100_000:
                trace.queue(op.arrival_ns, now)
            trace.begin_guest(now)
        if self.type.middleware is None:
            self._enter(op)
        else:
            self.type.middleware.run(self, op, self._enter)

    def _enter(self, op: Operation) -> None:
        entry = op.entry
        try:
            if self.checkpoints is not None and self.journal.refusing:
                raise self.journal.refusal()
            instance = self.instance
            if instance is None:
                instance = self.instance = self.services.instantiate(self)
            if entry.front is None:
                data = entry.codec.call_input(self.state, op.params)
            else:
                data = entry.front.call_input(self.capabilities, op.params, entry.decode_nodes)
        except ActorError as error:
            self.refuse_started(op, error)
            return
        identity = op.identity = getrandbits(128).to_bytes(16) if op.op is None else op.op
        op.recording = self.journal.writer.begin(
            op.started_ns, entry.name, op.params.standalone, identity, op.caller, op.proof, op.outbox
        )
        result = instance.call(entry.symbol, data, self.type.budget, self._returned, self.calls.context_of(op))
        if result is not None:
            self._returned(result)
        elif op.deadline is not inf and op is self.current:
            op.timer = self.services.loop.call_at(op.deadline, self._expire, op)

    def refuse_started(self, op: Operation, error: ActorError) -> None:
        """End the current operation, which never entered the guest."""
        if op.timer is not None:
            op.timer.cancel()
            op.timer = None
        self.current = None
        op.started_ns = 0
        refuse(op, error)
        self.go_on()

    def _expire(self, op: Operation) -> None:
        op.timer = None
        if op is self.current:
            end = OperationTimeout(
                f"{op.entry.name} did not end within its deadline", ran="rolled-back", phase="running"
            )
            self.cut(op, end, "deadline")

    def cut(self, op: Operation, end: ActorError, cause: str | None = None) -> None:
        """End the running operation with `end`: its fiber is unwound, its state stays what it was.

        `cause` is who wanted it: `deadline`, `caller`, `terminate` or `shutdown`; None when nobody did.
        """
        if op.end is not None:
            return
        if cause is not None:
            self.services.telemetry.count("theater.cancellations", 1, cause=cause)
        if op.recording is None:
            if self.type.middleware is not None:
                self.type.middleware.cut(op, end)
        elif self.instance is not None:
            op.end = end
            self.instance.cancel(end.code)

    def _returned(self, result: CallResult) -> None:
        op = self.current
        assert op is not None
        assert op.recording is not None
        now = time_ns()
        op.guest_ended_ns = now
        if op.timer is not None:
            op.timer.cancel()
            op.timer = None
        if op.trace is not None:
            op.trace.end_guest(now, result.slices, now if result.promoted else 0, now if op.end is not None else 0)
        if result.failure is None and result.status == 0:
            error = self._decode(op, result.output or b"", now)
        else:
            error = self._broken(op, result)
        self._settle(op, error, result, now)

    def _broken(self, op: Operation, result: CallResult) -> ActorError:
        """The error of a guest that did not come back, or says itself that it cannot read or write."""
        if result.failure is None:
            return of_message(op.entry, result.output or b"")
        self.calls.abandon(op)
        self.discard_instance()
        return op.end or error_of(result.failure, op.entry, self)

    def _decode(self, op: Operation, output: bytes, now: int) -> ActorError | None:
        """Take the outcome that the guest wrote, and record it; gives the error of one that cannot be told or kept."""
        assert op.recording is not None
        entry = op.entry
        try:
            written = output if entry.front is None else entry.front.output(self.capabilities)
            outcome = entry.codec.decode_result(written)
            for one in op.answers:
                one.prepare(entry, outcome)
            state = outcome.state
            if outcome.ok:
                op.recording.result(now, outcome.value.standalone(), None if state is None else state.standalone())
            else:
                op.recording.error(now, "guest-error", None, outcome.text, outcome.value.standalone())
        except ActorError as refused:
            return of_result(entry, output, refused)
        op.outcome = outcome
        return None

    def _settle(self, op: Operation, error: ActorError | None, result: CallResult, now: int) -> None:
        """Link what happened into the chain, then answer: at once for what changed nothing, else when it is kept."""
        assert op.recording is not None
        decision: Decision | None = None
        outcome = op.outcome
        if error is not None:
            op.failure = error
            op.recording.error(now, error.code, error.details.get("reason"), error.message)
            if result.failure is not None:
                decision = self.supervision.decide(op, error, now)
        elif outcome is not None and outcome.ok and outcome.state is not None:
            self.state = outcome.state
        trace = op.trace
        ids = None if trace is None else (trace.trace_id, trace.span_id)
        op.first_seq = self.journal.writer.seq
        op.first_send = self.journal.writer.next_outbox
        before = self.journal.writer.state
        if error is not None:
            answer(op)
            segment = self.journal.commit(op.recording, ids, self.state, _nothing)
        else:
            segment = self.journal.commit(op.recording, ids, self.state, op.decided)
        if self.watch is not None:
            self.watch.ended(segment, before)
        if self.type.fresh_each_time:
            self.discard_instance()
        self.current = None
        if self.checkpoints is not None:
            self.checkpoints.operation(now)
        if decision is not None and error is not None:
            self.supervision.apply(decision, error)
        self.go_on()

    def go_on(self) -> None:
        """The guest is free: stop if that was asked for, else go on with the queue."""
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)
        if self.wants_exit and not self.phases.is_ending:
            self.services.stop_actor(self, StopReason.EXITED)
        elif len(self.mailbox):
            self.queue.resume()

    def discard_instance(self) -> None:
        """Give the instance up; the next operation gets a fresh one."""
        if self.instance is not None:
            self.metrics.memory(self.instance.memory_bytes)
            self.instance.close()
            self.instance = None

    def fallen(self, error: ActorError) -> None:
        """An append was refused: everything after the last acknowledged segment never happened."""
        self.state = self.journal.settled.state
        op = self.current
        if op is not None:
            end = Unavailable(f"the chain refused an append: {error.message}", ran="rolled-back")
            self.cut(op, end)
        if self.instance is not None and not self.instance.busy:
            self.discard_instance()

    def cancel(self, matches: Callable[[Operation], bool], why: str) -> str | None:
        """Cancel the first operation that matches: `queued`, `running`, or None when there is none."""
        op = self.current
        if op is not None and matches(op):
            self.cut(op, Cancelled(why, ran="rolled-back"), "caller")
            return "running"
        return "queued" if self.queue.cancel(matches, why) else None

    def _phase_changed(self, before: Phase, after: Phase) -> None:
        count = self.services.telemetry.count
        count("theater.actors", -1, phase=before.value)
        if after is not Phase.STOPPED:
            count("theater.actors", 1, phase=after.value)
        if self.checkpoints is not None and (after is Phase.PAUSED or after is Phase.RUNNING):
            self.checkpoints.is_paused = after is Phase.PAUSED

    def event(self, name: str, **fields: object) -> None:
        """Log an event of this actor's."""
        identity = self.identity
        self.services.telemetry.event(
            name, actor=identity.id, namespace=identity.namespace, host=identity.host, **fields
        )


def _nothing(_error: ActorError | None) -> None:
    """Nobody waits for this append."""
