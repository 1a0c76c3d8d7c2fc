"""Who belongs to whom: the children of one actor, and what it hears of their ends.

Invariants: a child has one parent for its whole life on a host; the parent hears of its end once, and never of one that
was not spawned to the end; nobody hears of a child that leaves without ending (`moved`, `fenced`). A parent that leaves
with its host hears nothing any more: what it had and does not find when it is back, has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from theater_bus.capability import ChildEnd
from theater_bus.core.lifecycle import Phase, StopReason
from theater_bus.errors import Overloaded

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["Household", "adopt", "complete", "household_of", "left", "make_room", "rejoin"]

log = logging.getLogger("theater_bus.host")

STOP_S = 10.0
_ENDS = frozenset({StopReason.EXITED, StopReason.SHUTDOWN, StopReason.FAILED, StopReason.TERMINATED})


class Household:
    """The children of one actor: those that live, and those that are being spawned."""

    __slots__ = ("_settled", "children", "count", "ended", "is_leaving", "most", "newborn", "recovered", "stop_s")

    def __init__(self) -> None:
        self.children: dict[str, Actor] = {}
        self.newborn: dict[str, Actor] = {}
        self.count = 0
        self.is_leaving = False
        self.most: int | None = None
        self.stop_s = STOP_S
        self.ended: Callable[[ChildEnd], None] | None = None
        self.recovered: Callable[[], None] | None = None
        self._settled: asyncio.Future[None] | None = None

    async def settled(self) -> None:
        """Wait until a spawn that is under way has succeeded or failed."""
        if self._settled is None or self._settled.done():
            self._settled = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._settled)

    def not_born(self, child_id: str) -> None:
        """The spawn of a child is over, well or not."""
        self.newborn.pop(child_id, None)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def born(self, child: Actor) -> None:
        """The spawn of a child has succeeded; it may have ended already."""
        self.not_born(child.identity.id)
        if child.phases.phase is Phase.STOPPED:
            child.services.loop.call_soon(self._tell, child)
        else:
            self.children[child.identity.id] = child

    def left(self, child: Actor) -> None:
        """A child has stopped."""
        if self.children.get(child.identity.id) is child:
            del self.children[child.identity.id]
            self._tell(child)

    def _tell(self, child: Actor) -> None:
        reason = child.phases.reason
        if self.ended is None or reason not in _ENDS or self.is_leaving:
            return
        error = child.failure
        end = ChildEnd(
            child.identity.id,
            reason.value,
            child.exit_result if reason is StopReason.EXITED else None,
            "" if error is None else error.code,
            child.failure_note or "",
        )
        try:
            self.ended(end)
        except Exception:
            log.exception("a capability failed at the end of child %s", child.identity.id)


def household_of(actor: Actor) -> Household:
    """The household of an actor, made when it is first asked for."""
    if actor.household is None:
        actor.household = Household()
    return actor.household


def make_room(parent: Actor) -> None:
    """Raise `Overloaded` where no further actor may live below `parent`, `ShuttingDown` when it ends."""
    if parent.phases.is_ending:
        raise parent.phases.shutting_down()
    for ancestor in _line(parent):
        household = household_of(ancestor)
        if household.most is not None and household.count >= household.most:
            name, most = ancestor.identity.id, household.most
            raise Overloaded(
                f"there are {household.count} actors below {name}, as many as the grant supervisor.descendants = "
                f"{most} allows. Fix: stop one, or `descendants = {most + 1}` in [capabilities.supervisor] of {name}, "
                "its parents and the host's grants",
                bound="supervisor.descendants",
                limit=most,
            )


def adopt(parent: Actor, child: Actor) -> None:
    """Make `child`, which is being started, a child of `parent`. Raises as `make_room`."""
    make_room(parent)
    child.parent = parent
    household_of(parent).newborn[child.identity.id] = child
    for ancestor in _line(parent):
        household_of(ancestor).count += 1


def rejoin(parent: Actor, child: Actor) -> None:
    """A recovered child has its recovered parent again, whatever the bounds are now."""
    if child.phases.phase is Phase.STOPPED:
        return
    child.parent = parent
    household_of(parent).children[child.identity.id] = child
    below = 1 + (0 if child.household is None else child.household.count)
    for ancestor in _line(parent):
        household_of(ancestor).count += below


def complete(parent: Actor) -> None:
    """All children of a recovered actor that come back are back: it hears of that, and has them in order of birth."""
    household = parent.household
    if household is None:
        return
    born = sorted(household.children.values(), key=lambda child: child.journal.writer.incarnation)
    household.children = {child.identity.id: child for child in born}
    if household.recovered is not None and not parent.phases.is_ending:
        try:
            household.recovered()
        except Exception:
            log.exception("a capability of %s failed when its children were back", parent.identity.id)


def left(child: Actor) -> None:
    """`child` has stopped, or its start has failed: its parent hears of the one and not of the other."""
    parent = child.parent
    if parent is None:
        return
    # What is below it has ended before it, unless it could not be ended.
    below = 1 + (0 if child.household is None else child.household.count)
    for ancestor in _line(parent):
        household_of(ancestor).count -= below
    household = household_of(parent)
    if household.newborn.get(child.identity.id) is not child:
        household.left(child)
    child.parent = None


def _line(actor: Actor) -> Iterator[Actor]:
    """An actor and those above it."""
    at: Actor | None = actor
    while at is not None:
        yield at
        at = at.parent
