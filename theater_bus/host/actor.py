"""An actor at run time: one operation after another through its guest, each recorded, answered, and then forgotten.

Everything happens in callbacks on the event loop; nothing here awaits. The path of an operation is `submit` →
`_start` → the guest → `_returned` → `_settle` → its answer; most run through it within one call of `submit`.

Invariants: at most one operation is in the guest; operations start in the order of their admission; the state changes
only by a result that was decoded, checked and linked into the chain; an operation is answered exactly once, a success
or `guest-error` only after the chain has acknowledged it; an instance that failed is never entered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from random import getrandbits, random
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.chain.control import FreshInstance, Restarted, Resumed
from theater_bus.core.chain.control import Paused as PausedEvent
from theater_bus.core.grants import Effective
from theater_bus.core.idempotency import Window
from theater_bus.core.lifecycle import Phase, PhaseMachine, StopReason
from theater_bus.core.mailbox import Mailbox
from theater_bus.core.metrics import ActorMetrics
from theater_bus.core.outbox import Receipts
from theater_bus.core.supervision import Action, Decision, Supervisor
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.wire.caller import Proof, sender_of
from theater_bus.engine import CallResult, ComponentInstance, Instance
from theater_bus.errors import ActorError, Cancelled, OperationTimeout, Unavailable
from theater_bus.host.failure import error_of, of_message, of_result
from theater_bus.host.front import split_body
from theater_bus.host.operation import Operation

if TYPE_CHECKING:
    from theater_bus.capability import ActorIdentity, Capability
    from theater_bus.core.values.codec import Outcome
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

AHEAD_MAX = 64


class Actor:
    """One actor of a host. Make it with `theater_bus.host.spawning`."""

    __slots__ = (
        "ahead_max",
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
        "receipts",
        "restart_timer",
        "resuming",
        "services",
        "state",
        "supervisor",
        "sweep_timer",
        "turn",
        "type",
        "waiting",
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
        self.metrics = ActorMetrics(now, time_ns())
        self.supervisor = Supervisor(type_.manifest.on_failure)
        self.journal: Journal
        self.approvals: Approvals | None = None
        self.checkpoints: Checkpoints | None = None
        self.outbox: Outbox | None = None
        self.receipts: Receipts | None = None
        self.ahead_max = AHEAD_MAX
        self.calls: HostCalls
        self.capabilities: dict[str, Capability] = {}
        self.contexts: dict[str, ActorContext] = {}
        self.window: Window[Operation] | None = None
        self.instance: Instance | ComponentInstance | None = None
        self.current: Operation | None = None
        self.idle: asyncio.Future[None] | None = None
        self.sweep_timer: asyncio.TimerHandle | None = None
        self.restart_timer: asyncio.TimerHandle | None = None
        self.turn = services.turn
        self.waiting = False
        self.waits: list[Wait] = []
        self.resuming = False
        self.wants_exit = False
        self.exit_result: bytes | None = None
        self.failure_note: str | None = None
        self.failure: ActorError | None = None
        self.parent: Actor | None = None
        self.household: Household | None = None
        self.watch: Watch | None = services.hidden_state.watch(self)
        services.telemetry.count("theater.actors", 1, phase=self.phases.phase.value)

    # -- admission -----------------------------------------------------------------------------------------------------

    def submit(self, op: Operation) -> None:
        """Run `op` now if nothing stands before it, else queue it. Raises an `ActorError`, `ran: never`."""
        free = self.current is None and self.phases.phase is Phase.RUNNING
        if free and not len(self.mailbox) and self.journal.ahead < self.ahead_max:
            if not self.turn.expired():
                self._start(op)
                return
        elif self.phases.is_ending:
            raise self.phases.shutting_down()
        self.mailbox.push(op)
        self._queued(op)
        if free:
            self._wait_for_turn()

    def submit_own(self, op: Operation) -> None:
        """Queue what a capability of this actor enqueues, within the bound for that."""
        if self.phases.is_ending:
            raise self.phases.shutting_down()
        self.mailbox.push_enqueue(op)
        self._queued(op)
        self.services.loop.call_soon(self.resume)

    def take_back(self, op: Operation) -> bool:
        """Take out what a capability enqueued; False when it waits no more."""
        if not self.mailbox.remove(op):
            return False
        self.refuse(op, Cancelled(f"{op.entry.name} was taken back by the capability that enqueued it"))
        return True

    def submit_or_refuse(self, op: Operation) -> None:
        """`submit`, with the refusal as the operation's answer."""
        try:
            self.submit(op)
        except ActorError as error:
            self.refuse(op, error)

    def refuse_unadmitted(self, op: Operation, error: ActorError) -> None:
        """Answer a request that the idempotency window does not know."""
        self._observe(op, error.code, 0)
        op.answer(None, error)

    def run_first(self, op: Operation) -> None:
        """Run `init` while the actor starts."""
        self._start(op)

    def _queued(self, op: Operation) -> None:
        deadline = op.deadline
        if deadline is inf:
            return
        timer = self.sweep_timer
        if timer is not None:
            if timer.when() <= deadline:
                return
            timer.cancel()
        self.sweep_timer = self.services.loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        """Answer what waited in the queue until its deadline passed."""
        self.sweep_timer = None
        now = self.services.loop.time()
        for op in self.mailbox.expire(now):
            self.refuse(op, _queued_too_long(op))
        earliest = self.mailbox.next_deadline
        if earliest is not inf and len(self.mailbox):
            self.sweep_timer = self.services.loop.call_at(max(earliest, now + 0.001), self._sweep)

    def refuse(self, op: Operation, error: ActorError) -> None:
        """End an operation that never entered the guest."""
        if self.window is not None and op.key is not None:
            self.window.abandon(*op.key)
        self.refuse_unadmitted(op, error)

    def _wait_for_turn(self) -> None:
        """Go on with the queue in one of the next turns of the loop."""
        if not self.waiting:
            self.waiting = True
            self.turn.queue(self._turn_came)

    def _turn_came(self) -> None:
        self.waiting = False
        self.resume()

    # -- running -------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with the queue, if the actor runs and is free. Operations that end at once do not nest."""
        if self.resuming:
            return
        self.resuming = True
        try:
            while self.current is None and self.phases.phase is Phase.RUNNING and self.journal.ahead < self.ahead_max:
                if self.turn.expired():
                    if len(self.mailbox):
                        self._wait_for_turn()
                    return
                op = self.mailbox.pop()
                if op is None:
                    return
                if op.deadline <= self.services.loop.time():
                    self.refuse(op, _queued_too_long(op))
                else:
                    self._start(op)
        finally:
            self.resuming = False

    def _start(self, op: Operation) -> None:
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
        self.refuse(op, error)
        self._free()

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
        outcome: Outcome | None = None
        error: ActorError | None = None
        if result.failure is not None:
            self.calls.abandon(op)
            self.discard_instance()
            error = op.end or error_of(result.failure, op.entry, self)
        elif result.status != 0:
            error = of_message(op.entry, result.output or b"")
        else:
            try:
                output = result.output or b""
                if op.entry.front is not None:
                    output = op.entry.front.output(self.capabilities)
                outcome = op.entry.codec.decode_result(output)
                for answer in op.answers:
                    answer.prepare(op.entry, outcome)
                if op.entry.front is not None and op.progress is not None:
                    for part in split_body(outcome.plain(op.entry.decode_nodes))[1]:
                        op.progress.emit(part)
                if outcome.ok:
                    op.recording.result(now, outcome.value.standalone(), _bytes_of(outcome.state))
                else:
                    op.recording.error(now, "guest-error", None, outcome.text, outcome.value.standalone())
            except ActorError as refused:
                outcome, error = None, of_result(op.entry, result.output or b"", refused)
        self._settle(op, outcome, error, result, now)

    def _settle(
        self, op: Operation, outcome: Outcome | None, error: ActorError | None, result: CallResult, now: int
    ) -> None:
        """Link what happened into the chain, then answer: at once for what changed nothing, else when it is kept."""
        assert op.recording is not None
        decision: Decision | None = None
        if error is not None:
            op.recording.error(now, error.code, error.details.get("reason"), error.message)
            decision = self._decide(op, error, result, now)
        elif outcome is not None and outcome.ok and outcome.state is not None:
            self.state = outcome.state
        op.outcome, op.failure = outcome, error
        trace = op.trace
        ids = None if trace is None else (trace.trace_id, trace.span_id)
        op.first_seq = self.journal.writer.seq
        op.first_send = self.journal.writer.next_outbox
        before = self.journal.writer.state
        if error is not None:
            self._answer(op)
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
        if decision is not None:
            self._apply(decision, error)
        self._free()

    def acknowledged(self, op: Operation, error: ActorError | None) -> None:
        """The chain decided about a committed operation: answer it."""
        if error is not None:
            op.outcome, op.failure = None, error
        elif op.outbox is not None:
            self._note_receipt(op, op.outbox)
        self._answer(op)
        if self.current is None and len(self.mailbox):
            self.resume()

    def has_taken(self, sender: str, incarnation: bytes, number: int) -> bool:
        """Whether this send of another actor's outbox was committed here before."""
        return self.receipts is not None and self.receipts.has(sender, incarnation, number)

    def _note_receipt(self, op: Operation, outbox: tuple[bytes, int]) -> None:
        if self.receipts is None:
            self.receipts = Receipts()
        self.receipts.note(sender_of(op.caller, Proof(op.proof)), *outbox)

    def _answer(self, op: Operation) -> None:
        error = op.failure
        outcome = op.outcome
        if op.sends and self.outbox is not None:
            if error is None:
                self.outbox.committed(op)
            else:
                self.outbox.dropped(op)
        if self.window is not None and op.key is not None:
            if error is None and outcome is not None:
                self.window.commit(
                    *op.key,
                    outcome.value.standalone(),
                    op.first_seq,
                    self.services.loop.time(),
                    is_error=not outcome.ok,
                )
            else:
                self.window.abandon(*op.key)
        code = error.code if error is not None else None if outcome is None or outcome.ok else "guest-error"
        self._observe(op, code, op.guest_ended_ns)
        op.answer(outcome, error)

    def _observe(self, op: Operation, code: str | None, guest_ended_ns: int) -> None:
        now = time_ns()
        started = op.started_ns
        if started:
            guest_ns, queue_ns = guest_ended_ns - started, started - op.arrival_ns
            self.metrics.record(guest_ns, now - op.arrival_ns, code, now)
        else:
            guest_ns, queue_ns = 0, now - op.arrival_ns
            self.metrics.refused(code or "", now)
        tally = self.services.tally
        tally.operations += 1
        tally.processing_ns += guest_ns
        if code is not None:
            tally.failed += 1
        self.services.telemetry.observe_operation(op.entry.spec, code, queue_ns, guest_ns, now - op.arrival_ns)
        if op.trace is not None:
            op.trace.end(code, op.first_seq, now)

    # -- after an operation --------------------------------------------------------------------------------------------

    def _free(self) -> None:
        """The guest is free: stop if that was asked for, else go on with the queue."""
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)
        if self.wants_exit and not self.phases.is_ending:
            self.services.stop_actor(self, StopReason.EXITED)
        elif len(self.mailbox):
            self.resume()

    def resume_or_exit(self) -> None:
        """A capability asked for the end of the actor outside of an operation."""
        self._free()

    def discard_instance(self) -> None:
        """Give the instance up; the next operation gets a fresh one."""
        if self.instance is not None:
            self.metrics.memory(self.instance.memory_bytes)
            self.instance.close()
            self.instance = None

    def _decide(self, op: Operation, error: ActorError, result: CallResult, now: int) -> Decision | None:
        """What follows from a failure, and its trace in the chain. Only traps and limits call on `on_failure`."""
        assert op.recording is not None
        if result.failure is None:
            return None
        if error.code != "guest-trap":
            op.recording.control(now, FreshInstance(error.code))
            return None
        decision = self.supervisor.decide(self.services.loop.time(), random())
        if decision.action is Action.RESTART:
            op.recording.control(now, Restarted(decision.attempt, error.code))
        else:
            op.recording.control(now, FreshInstance(error.code))
        reason = str(error.details.get("reason"))
        self.services.telemetry.count("theater.actor.traps", 1, reason=reason)
        self._event("guest.trapped", function=op.entry.name, reason=reason)
        return decision

    def _apply(self, decision: Decision, error: ActorError | None) -> None:
        if self.phases.phase is not Phase.RUNNING:
            return
        code = None if error is None else error.code
        if decision.action is Action.RESTART:
            self.services.telemetry.count("theater.actor.restarts", 1)
            self._event("actor.restarted", attempt=decision.attempt, reason=code)
            if decision.delay_s > 0:
                self.phases.begin_restart()
                self.restart_timer = self.services.loop.call_later(decision.delay_s, self._restarted)
        elif decision.action is Action.PAUSE:
            self.failure_note = None if error is None else error.message
            self._pause(code)
        else:
            self.failure_note = None if error is None else error.message
            self.failure = error
            self._event("actor.failed", reason=decision.why, error=self.failure_note)
            self.services.stop_actor(self, StopReason.FAILED)

    def _restarted(self) -> None:
        self.restart_timer = None
        if self.phases.phase is Phase.RESTARTING:
            self.phases.renewed()
            self.resume()

    def fallen(self, error: ActorError) -> None:
        """An append was refused: everything after the last acknowledged segment never happened."""
        self.state = self.journal.settled.state
        op = self.current
        if op is not None:
            self.cut(op, _unavailable(error))
        if self.instance is not None and not self.instance.busy:
            self.discard_instance()

    # -- what others ask -----------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let the running operation finish, queue the rest."""
        self._pause(None)

    def resume_control(self) -> None:
        """Go on after a pause. Raises `NotPaused`."""
        self.phases.resume()
        self.failure_note = None
        self.journal.write(time_ns(), Resumed(), self.state)
        self._event("actor.resumed")
        self.services.loop.call_soon(self.resume)

    def _pause(self, code: str | None) -> None:
        self.phases.pause()
        self.journal.write(time_ns(), PausedEvent(code), self.state)
        self._event("actor.paused", reason=code or "asked")
        if self.checkpoints is not None:
            self.checkpoints.wanted()

    def cancel(self, matches: Callable[[Operation], bool], why: str) -> str | None:
        """Cancel the first operation that matches: `queued`, `running`, or None when there is none."""
        op = self.current
        if op is not None and matches(op):
            self.cut(op, Cancelled(why, ran="rolled-back"), "caller")
            return "running"
        for waiting in self.mailbox:
            if matches(waiting):
                self.mailbox.remove(waiting)
                self.refuse(waiting, Cancelled(why))
                return "queued"
        return None

    def allow_ahead(self) -> None:
        """A checkpoint is no longer due: operations begin again."""
        self.ahead_max = AHEAD_MAX
        self.resume()

    def _phase_changed(self, before: Phase, after: Phase) -> None:
        count = self.services.telemetry.count
        count("theater.actors", -1, phase=before.value)
        if after is not Phase.STOPPED:
            count("theater.actors", 1, phase=after.value)
        if self.checkpoints is not None and (after is Phase.PAUSED or after is Phase.RUNNING):
            self.checkpoints.is_paused = after is Phase.PAUSED

    def _event(self, name: str, **fields: object) -> None:
        identity = self.identity
        self.services.telemetry.event(
            name, actor=identity.id, namespace=identity.namespace, host=identity.host, **fields
        )


def _nothing(_error: ActorError | None) -> None:
    """Nobody waits for this append."""


def _bytes_of(state: Subtree | None) -> bytes | None:
    return None if state is None else state.standalone()


def _queued_too_long(op: Operation) -> OperationTimeout:
    return OperationTimeout(
        f"{op.entry.name} waited in the queue until its deadline had passed", ran="never", phase="queued"
    )


def _unavailable(error: ActorError) -> Unavailable:
    return Unavailable(f"the chain refused an append: {error.message}", ran="rolled-back")
