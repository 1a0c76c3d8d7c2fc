"""What an actor knows of the sends in its outbox, and of those that others sent to it.

Invariants: numbers are added in ascending order; every number up to `through` is settled; a receiver never takes a send
twice that it has noted, and a doubt (another incarnation, a forgotten sender) makes it take one rather than lose one.
Source: event chain, "Outbox".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from theater_bus.core.chain.bodies import Received

__all__ = ["CAPACITY", "CAPACITY_BYTES", "RETRIED", "SENDERS", "TTL_S", "Receipts", "SentNumbers", "pause_s"]

CAPACITY: Final = 1_024
"""Sends of one actor that are not settled."""
CAPACITY_BYTES: Final = 16 * 1024 * 1024
"""Bytes of their inputs; one send is taken whatever its size."""
TTL_S: Final = 600.0
"""How long a send is tried before it is given up."""
SENDERS: Final = 4_096
"""Senders that a receiver remembers; the one heard from longest ago goes first."""

RETRIED: Final = frozenset(
    {
        "overloaded",
        "paused",
        "unavailable",
        "shutting-down",
        "operation-timeout",
        "channel-closed",
        "actor-not-found",
        "outcome-unknown",
    }
)
"""Errors after which a send is tried again; the last three stand for nobody who answers. Any other one settles it."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


def pause_s(attempt: int) -> float:
    """How long to wait after the attempt of this number (from 0) before the next one: 50 ms, doubled up to 5 s."""
    return min(_FIRST_PAUSE_S * 2.0 ** min(attempt, 10), _LONGEST_PAUSE_S)


class SentNumbers:
    """Which numbers of an outbox are not settled yet. `last` is the last one that was given before.

    Of those up to `last`, the ones that are added are not settled, all others are: what a recovery finds.
    """

    __slots__ = ("_last", "_open")

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._open: dict[int, None] = {}

    @property
    def through(self) -> int:
        """Every number up to this one is settled."""
        for number in self._open:
            return number - 1
        return self._last

    def add(self, number: int) -> None:
        """A send has this number, which is higher than all that were added before it."""
        self._last = max(self._last, number)
        self._open[number] = None

    def settle(self, number: int) -> None:
        """A send arrived, or was given up."""
        del self._open[number]


class Receipts:
    """The highest number that came from each sender's outbox, per incarnation of the sender."""

    __slots__ = ("_capacity", "_highest")

    def __init__(self, before: Mapping[str, Received] | None = None, capacity: int = SENDERS) -> None:
        self._highest = OrderedDict(before or {})
        self._capacity = capacity

    def has(self, sender: str, incarnation: bytes, number: int) -> bool:
        """Whether this send was taken before."""
        known = self._highest.get(sender)
        return known is not None and known.incarnation == incarnation and number <= known.number

    def note(self, sender: str, incarnation: bytes, number: int) -> None:
        """A send was taken. What comes late from an incarnation that is over does not replace a newer one."""
        known = self._highest.get(sender)
        if known is None or (known.incarnation, known.number) < (incarnation, number):
            self._highest[sender] = Received(incarnation, number)
        self._highest.move_to_end(sender)
        if len(self._highest) > self._capacity:
            self._highest.popitem(last=False)

    def snapshot(self) -> dict[str, Received]:
        """All of it, as a checkpoint holds it."""
        return dict(self._highest)
