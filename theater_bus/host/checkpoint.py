"""Checkpoints of a durable actor: when one is due, and all that it holds, so that a recovery reads little.

Invariants: a checkpoint is written between operations, when everything before it is acknowledged, so that its state,
its keys and its outbox number are those of the events before it; while one is due, no operation begins.
Source: the chain page, "Ownership, recovery, failover" (every 1,024 operations or 5 minutes of activity, at pause, exit
and hand-over).
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING, Final

from theater_bus.core.chain.bodies import Checkpoint, WindowEntry

if TYPE_CHECKING:
    from theater_bus.core.chain.layout import Payload
    from theater_bus.host.actor import Actor

__all__ = ["EVERY_NS", "EVERY_OPERATIONS", "Checkpoints"]

log = logging.getLogger("theater_bus.host")

EVERY_OPERATIONS: Final = 1_024
EVERY_NS: Final = 300 * 1_000_000_000


class Checkpoints:
    """When one durable actor is due for a checkpoint.

    `is_paused` says whether it comes back paused.
    """

    __slots__ = ("_actor", "_due", "_last_ns", "_since", "is_paused")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._due = False
        self._since = 0
        self._last_ns = time_ns()
        self.is_paused = False
        actor.journal.on_quiet = self._quiet

    def operation(self, now_ns: int) -> None:
        """An operation has ended. HOT."""
        self._since += 1
        if self._since >= EVERY_OPERATIONS or now_ns - self._last_ns >= EVERY_NS:
            self.wanted()

    def wanted(self) -> None:
        """Write one as soon as everything so far is acknowledged; until then nothing begins."""
        self._due = True
        self._actor.queue.hold()
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
        actor.queue.release()

    def _body(self) -> Checkpoint:
        actor = self._actor
        type_, writer = actor.type, actor.journal.writer
        return Checkpoint(
            phase="paused" if self.is_paused else "running",
            package=type_.package.sha256,
            manifest=type_.manifest.digest,
            grants=actor.grants.digest,
            abi=type_.package.abi,
            inline_max=writer.inline_max,
            state=None if actor.state is None else actor.state.standalone(),
            window=self._window(),
            next_outbox=writer.next_outbox,
            unsent=() if actor.outbox is None else actor.outbox.unsent(),
            received={} if actor.receipts is None else actor.receipts.snapshot(),
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
                snapshot: object = capability.snapshot()
                if not isinstance(snapshot, bytes | None):
                    raise TypeError(f"a snapshot is bytes or None, this is {type(snapshot).__name__}")
            except Exception:
                log.exception("capability %s of %s gave no snapshot", name, self._actor.identity.id)
                continue
            if snapshot is not None:
                found[name] = snapshot
        return found
