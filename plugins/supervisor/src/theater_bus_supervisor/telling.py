"""What the guest hears of its children: each end once, and the events that it asked for, as references.

Invariants: an end is told until the guest's handler has run, also after a recovery; events are told in their order and
never waited for; what does not fit into `BACKLOG` is left out and named in an event `gap`. What a child does because it
hears of its own children's events is not told: else one event would become more at every level.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from theater_bus import ActorError
from theater_bus.capability import CallQueue, ChildEnd, ChildEvent, Context

__all__ = ["HANDLERS", "Teller"]

HANDLERS: Final = "theater:simple/supervisor-handlers"
BACKLOG: Final = 256
"""Events that wait for the guest, of all children together."""
WAITING: Final = 16
"""Of these and of ends, how many lie in the mailbox at a time."""
_ENDS: Final = {
    "exited": "handle-child-exit",
    "failed": "handle-child-error",
    "shutdown": "handle-child-external-stop",
    "terminated": "handle-child-external-stop",
}
_ERRORS: Final = frozenset(
    {
        "operation-timeout",
        "channel-closed",
        "shutting-down",
        "function-not-found",
        "type-mismatch",
        "serialization-error",
        "paused",
    }
)


class Teller:
    """Calls the guest's handlers. `untold` are the ends that it has not heard of yet."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ends = CallQueue(context, WAITING)
        self._events = CallQueue(context, WAITING)
        self._waiting = 0
        self._gaps: dict[str, tuple[int, int]] = {}
        self._without_id = False
        self.untold: dict[int, ChildEnd] = {}
        self._count = 0

    def hears(self, function: str) -> bool:
        """Whether the guest exports this handler."""
        return self._context.has_export(f"{HANDLERS}.{function}")

    def end(self, end: ChildEnd) -> None:
        """Tell an end, where the guest has a handler for it."""
        function = _ENDS[end.reason]
        if not self.hears(function):
            return
        self._count += 1
        number = self._count
        self.untold[number] = end
        params: list[object] = [end.child]
        if end.reason == "failed":
            kind = end.code if end.code in _ERRORS else "internal"
            params.append({"error-type": kind, "data": end.message.encode()})
        elif end.reason == "exited":
            params.append(end.result)
        self._ends.put(f"{HANDLERS}.{function}", params, partial(self._told, number, end))

    def events(self, child: str, events: Sequence[ChildEvent]) -> None:
        """Tell events of a child, as far as there is room for them."""
        for event in events:
            if event.operation == f"{HANDLERS}.handle-child-event":
                continue
            if self._waiting >= BACKLOG or child in self._gaps:
                first, _ = self._gaps.get(child, (event.seq, event.seq))
                self._gaps[child] = (first, event.seq)
            else:
                self._put(child, event.type, _reference(event))

    def forget(self, child: str) -> None:
        """The child has ended: what was left out of its events nobody can ask for any more."""
        self._gaps.pop(child, None)

    def close(self) -> None:
        """The actor ends: what was not told is in the snapshot."""
        self._ends.close()
        self._events.close()

    def _told(self, number: int, end: ChildEnd, error: ActorError | None) -> None:
        del self.untold[number]
        self._context.snapshot_changed()
        if error is not None:
            self._context.report_failure(f"the handler for the end of {end.child} failed: {error}")

    def _put(self, child: str, type_: str, data: bytes) -> None:
        self._waiting += 1
        params: list[object] = [type_, data] if self._without_id else [child, type_, data]
        self._events.put(f"{HANDLERS}.handle-child-event", params, partial(self._heard, child, type_, data))

    def _heard(self, child: str, type_: str, data: bytes, error: ActorError | None) -> None:
        self._waiting -= 1
        if error is not None and error.code == "type-mismatch" and error.ran == "never" and not self._without_id:
            self._without_id = True  # the guest was built when events came without the child's id
            self._put(child, type_, data)
            return
        if error is not None:
            self._context.report_failure(f"handle-child-event failed: {error}")
        while self._gaps and self._waiting < BACKLOG:
            late, (first, last) = self._gaps.popitem()
            self._put(late, "gap", json.dumps({"from": first, "to": last}, separators=(",", ":")).encode())


def _reference(event: ChildEvent) -> bytes:
    """Where the event is in the child's chain, as JSON; what it says, `get-child-events` gives."""
    found = {"seq": event.seq, "hash": event.hash.hex(), "parent": event.parent.hex(), "time_ns": event.time_ns}
    return json.dumps(found, separators=(",", ":")).encode()
