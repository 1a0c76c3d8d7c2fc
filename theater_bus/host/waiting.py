"""Who waits for whom: circles of calls that several operations make together are found, and end in `call-cycle`.

The path of a request shows a circle within one operation and what it called. Two operations that cross (A calls B
while B calls A) each have a path of their own; both would wait until their deadlines. So a host looks for a circle
whenever an edge is added: an actor begins to wait for another, or a request arrives at an actor that waits. Where the
next edge is known to another host only, it is told (`control.<id>.waiting`), and so on round the circle.

Invariants: one call of a circle fails, the same whoever finds it; nothing here waits.
Source: Chandy, Misra, Haas, "Distributed deadlock detection" (1983), AND model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from theater_bus.bus import Connection
from theater_bus.bus.exchange import Abort
from theater_bus.core.wire.callpath import MAX_PATH, circle_of, seen_from, victim_of
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import CallCycle, TheaterError

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["Wait", "Waiting"]


class Wait:
    """A nested call that an actor waits for; `abort` ends it with an error."""

    __slots__ = ("abort", "target")

    def __init__(self, target: str, abort: Abort) -> None:
        self.target = target
        self.abort = abort


class Waiting:
    """One per host."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    @contextmanager
    def scope(self, actor: Actor) -> Iterator[list[Wait]]:
        """The waits that one nested call adds; they end with it."""
        own: list[Wait] = []
        try:
            yield own
        finally:
            for wait in own:
                actor.waits.remove(wait)

    def began(self, actor: Actor, wait: Wait) -> None:
        """`actor` waits for another one from now on, and so do all that wait in its mailbox."""
        actor.waits.append(wait)
        for path in {op.path for op in actor.mailbox if op.path}:
            self._look(actor, wait, path)

    def arrived(self, actor: Actor, path: tuple[str, ...]) -> None:
        """The actors of `path` wait for `actor`, which waits itself."""
        for wait in list(actor.waits):
            self._look(actor, wait, path)

    def _look(self, actor: Actor, wait: Wait, path: tuple[str, ...]) -> None:
        own = actor.identity.id
        circle = circle_of(path, own, wait.target)
        if not circle:
            if own not in path and len(path) < MAX_PATH:
                self._tell(wait.target, (*path, own))
            return
        victim = victim_of(circle)
        if victim != own:
            self._tell(victim, seen_from(circle, victim))
            return
        shown = " → ".join((own, *circle))
        wait.abort(
            CallCycle(
                f"actors wait for one another: {shown}. This call fails, so that the others go on",
                path=[own, *circle],
            )
        )

    def _tell(self, actor: str, path: tuple[str, ...]) -> None:
        body = encode_request({"path": list(path)}, reply="none")
        try:
            self._connection.publish(self._subjects.control(actor, "waiting"), body)
        except TheaterError:
            return  # without a connection nobody waits for an answer that could come
