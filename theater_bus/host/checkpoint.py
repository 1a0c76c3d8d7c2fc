"""Checkpoints of a durable actor: when one is due, and all that it holds, so that a recovery reads little.

Invariants: a checkpoint is written between operations, when everything before it is acknowledged, so that its state,
its keys and its outbox number are those of the events before it; while one is due, no operation begins.
Source: the chain page, "Ownership, recovery, failover" (every 1,024 operations or 5 minutes of activity, at pause, exit
and hand-over).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Final

from theater_bus.core.chain.bodies import Checkpoint, Received, WindowEntry
from theater_bus.core.wire.caller import Proof, scope_of

if TYPE_CHECKING:
    from theater_bus.core.chain.layout import Payload
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation

__all__ = ["ABI", "EVERY_NS", "EVERY_OPERATIONS", "Checkpoints"]

log = logging.getLogger("theater_bus.host")

ABI: Final = "pack/2"
"""The ABI version of Pack packages, as genesis and checkpoints record it."""
EVERY_OPERATIONS: Final = 1_024
EVERY_NS: Final = 300 * 1_000_000_000


class Checkpoints:
    """When one durable actor is due for a checkpoint.

    `received` is where its senders' outboxes stand, `is_paused` whether it comes back paused.
    """

    __slots__ = ("_actor", "_due", "_last_ns", "_since", "is_paused", "received")

    def __init__(self, actor: Actor, received: Mapping[str, Received] | None = None) -> None:
        self._actor = actor
        self._due = False
        self._since = 0
        self._last_ns = time_ns()
        self.is_paused = False
        self.received: dict[str, Received] = dict(received or {})
        actor.journal.on_quiet = self._quiet

    def operation(self, now_ns: int) -> None:
        """An operation has ended. HOT."""
        self._since += 1
        if self._since >= EVERY_OPERATIONS or now_ns - self._last_ns >= EVERY_NS:
            self.wanted()

    def committed(self, op: Operation) -> None:
        """An operation that came out of another actor's outbox is in the chain."""
        if op.outbox is not None:
            sender = scope_of(op.caller, Proof(op.proof))
            incarnation, number = op.outbox
            before = self.received.get(sender)
            if before is None or (before.incarnation, before.number) < (incarnation, number):
                self.received[sender] = Received(incarnation, number)

    def wanted(self) -> None:
        """Write one as soon as everything so far is acknowledged; until then nothing begins."""
        self._due = True
        self._actor.ahead_max = 0
        if not self._actor.journal.ahead:
            self._actor.services.loop.call_soon(self._quiet)

    def write(self) -> None:
        """Write one now. For the end of an actor, when everything is acknowledged."""
        actor = self._actor
        self._due, self._since, self._last_ns = False, 0, time_ns()
        actor.journal.write(self._last_ns, self._body(), actor.state)

    def _quiet(self) -> None:
        actor = self._actor
        if not self._due or actor.current is not None or actor.journal.ahead:
            return
        if not actor.phases.is_ending and not actor.journal.refusing:
            self.write()
        actor.allow_ahead()

    def _body(self) -> Checkpoint:
        actor = self._actor
        type_, writer = actor.type, actor.journal.writer
        return Checkpoint(
            phase="paused" if self.is_paused else "running",
            package=type_.package.sha256,
            manifest=type_.manifest.digest,
            grants=actor.grants.digest,
            abi=ABI,
            inline_max=writer.inline_max,
            state=None if actor.state is None else actor.state.standalone(),
            window=self._window(),
            next_outbox=writer.next_outbox,
            unsent=(),
            received=dict(self.received),
            snapshots=self._snapshots(),
        )

    def _window(self) -> tuple[WindowEntry, ...]:
        window = self._actor.window
        if window is None:
            return ()
        return tuple(
            WindowEntry(kept.caller, kept.key, kept.digest, kept.answer_digest, kept.sequence, kept.is_error)
            for kept in window.snapshot()
        )

    def _snapshots(self) -> dict[str, Payload]:
        found: dict[str, Payload] = {}
        for name, capability in self._actor.capabilities.items():
            try:
                snapshot = capability.snapshot()
            except Exception:
                log.exception("capability %s of %s gave no snapshot", name, self._actor.identity.id)
                continue
            if snapshot is not None:
                found[name] = snapshot
        return found
