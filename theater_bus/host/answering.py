"""How an operation ends: measured, remembered in the idempotency window, its sends let go, and answered, once."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.outbox import Receipts
from theater_bus.core.wire.caller import Proof, sender_of
from theater_bus.errors import ActorError

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["answer", "has_taken", "kept", "refuse", "refuse_unadmitted"]


def refuse_unadmitted(op: Operation, error: ActorError) -> None:
    """Answer a request that the idempotency window does not know."""
    _observe(op, error.code)
    op.answer(None, error)


def refuse(op: Operation, error: ActorError) -> None:
    """End an operation that never entered the guest."""
    window = op.actor.window
    if window is not None and op.key is not None:
        window.abandon(*op.key)
    refuse_unadmitted(op, error)


def kept(op: Operation, error: ActorError | None) -> None:
    """The chain decided about a committed operation: answer it. `error` is why it was not kept. HOT."""
    actor = op.actor
    if error is not None:
        op.outcome, op.failure = None, error
    elif op.outbox is not None:
        _note_receipt(op, op.outbox)
    answer(op)
    if actor.current is None and len(actor.mailbox):
        actor.queue.resume()


def answer(op: Operation) -> None:
    """End an operation that ran, with its outcome or its failure. HOT."""
    actor, error, outcome = op.actor, op.failure, op.outcome
    if op.sends and actor.outbox is not None:
        if error is None:
            actor.outbox.committed(op)
        else:
            actor.outbox.dropped(op)
    if actor.window is not None and op.key is not None:
        if error is None and outcome is not None:
            now = actor.services.loop.time()
            actor.window.commit(*op.key, outcome.value.standalone(), op.first_seq, now, is_error=not outcome.ok)
        else:
            actor.window.abandon(*op.key)
    _observe(op, error.code if error is not None else None if outcome is None or outcome.ok else "guest-error")
    op.answer(outcome, error)


def has_taken(actor: Actor, sender: str, incarnation: bytes, number: int) -> bool:
    """Whether this send of another actor's outbox was committed here before."""
    return actor.receipts is not None and actor.receipts.has(sender, incarnation, number)


def _note_receipt(op: Operation, outbox: tuple[bytes, int]) -> None:
    actor = op.actor
    if actor.receipts is None:
        actor.receipts = Receipts()
    actor.receipts.note(sender_of(op.caller, Proof(op.proof)), *outbox)


def _observe(op: Operation, code: str | None) -> None:
    """Measure an operation that is over; `started_ns` is 0 for one that never entered the guest. HOT."""
    actor = op.actor
    services = actor.services
    now = time_ns()
    started = op.started_ns
    if started:
        guest_ns, queue_ns = op.guest_ended_ns - started, started - op.arrival_ns
        actor.metrics.record(guest_ns, now - op.arrival_ns, code, now)
    else:
        guest_ns, queue_ns = 0, now - op.arrival_ns
        actor.metrics.refused(code or "", now)
    tally = services.tally
    tally.operations += 1
    tally.processing_ns += guest_ns
    if code is not None:
        tally.failed += 1
    services.telemetry.observe_operation(op.entry.spec, code, queue_ns, guest_ns, now - op.arrival_ns)
    if op.trace is not None:
        op.trace.end(code, op.first_seq, now)
