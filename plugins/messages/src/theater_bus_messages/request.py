"""The requests that an actor has not answered yet, and how they are answered later."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from theater_bus import ActorError
from theater_bus.capability import PeerReply, PeerRequest, TimeSource
from theater_bus.errors import Cancelled, Overloaded

__all__ = ["Outstanding", "Requests", "request_id"]

ANSWERED = 256
"""Answers that are kept for repeats of their requests; a long one is given to those who wait, and not kept."""
ANSWER_BYTES = 16 * 1024
REPLIES = 64
"""Repeats of one request that wait for its answer."""


def request_id(request: PeerRequest) -> str:
    """The id of a request, the same for its repeats."""
    if request.key is None:
        return f"req_{secrets.token_hex(16)}"
    return f"req_{sha256(f'{request.scope}|{request.key}'.encode()).hexdigest()[:32]}"


@dataclass(slots=True, eq=False)
class Outstanding:
    """A request that waits for its answer; `until_ms` (Unix time) is when whoever asked stops waiting."""

    id: str
    until_ms: int
    replies: list[PeerReply] = field(default_factory=list)
    is_settling: bool = False


class Requests:
    """Those of one actor, at most `most`. `changed` is called when what survives has changed."""

    def __init__(self, clock: TimeSource, most: int, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._most = most
        self._changed = changed
        self._all: dict[str, Outstanding] = {}
        self._answered: OrderedDict[str, bytes | ActorError] = OrderedDict()
        self._timers: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self) -> list[str]:
        """The ids of those that can be answered, in their order."""
        return sorted(one.id for one in self._all.values() if not one.is_settling)

    def get(self, id: str) -> Outstanding | None:
        """The request, if it can be answered."""
        found = self._all.get(id)
        return None if found is None or found.is_settling else found

    def check_room(self, ran: Literal["never", "committed"] = "never") -> None:
        """Raise `Overloaded` where no more may wait; `ran` is what became of the request."""
        if len(self._all) >= self._most:
            raise Overloaded(
                f"{self._most} requests of this actor wait for their answers, all that messages.outstanding allows",
                ran=ran,
                bound="messages.outstanding",
                limit=self._most,
            )

    def defer(self, id: str, request: PeerRequest, reply: PeerReply) -> None:
        """The guest answers later; a repeat gets the answer that is known, or waits too.

        The bound holds here again: those that waited in the mailbox together found it free.
        """
        known = self._answered.get(id)
        if known is not None:
            _give(reply, known)
            return
        found = self._all.get(id)
        if found is None and request.is_repeat:
            reply.refuse(Cancelled("this request was taken, and is not outstanding any more", ran="committed"))
            return
        if found is None:
            try:
                self.check_room(ran="committed")
            except Overloaded as full:
                reply.refuse(full)
                return
            left_s = request.deadline - asyncio.get_running_loop().time()
            found = Outstanding(id, self._clock.unix_ns() // 1_000_000 + round(left_s * 1000))
            self._keep(found)
            self._changed()
        if len(found.replies) < REPLIES:
            found.replies.append(reply)

    def settle(self, found: Outstanding, answer: bytes | ActorError) -> None:
        """The answer is there."""
        self._forget(found)
        if isinstance(answer, bytes) and len(answer) > ANSWER_BYTES:
            self._answered[found.id] = Cancelled("the answer was given, and was too long to keep", ran="committed")
        else:
            self._answered[found.id] = answer
        if len(self._answered) > ANSWERED:
            self._answered.popitem(last=False)
        for reply in found.replies:
            _give(reply, answer)

    def close(self, error: ActorError | None) -> None:
        """Nothing is answered here any more: with an error, or in silence where the actor comes back elsewhere."""
        for found in list(self._all.values()):
            self._forget(found)
            if error is not None:
                for reply in found.replies:
                    reply.refuse(error)

    def snapshot(self) -> list[list[Any]]:
        """What of them survives: repeats of the request find it again."""
        return [[one.id, one.until_ms] for one in self._all.values()]

    def restore(self, found: list[list[Any]]) -> None:
        """Take over what `snapshot` gave. Raises `TypeError` or `ValueError` for anything else."""
        for id, until_ms in found:
            self._keep(Outstanding(str(id), int(until_ms)))

    def _keep(self, found: Outstanding) -> None:
        self._all[found.id] = found
        left_s = (found.until_ms - self._clock.unix_ns() // 1_000_000) / 1000
        self._timers[found.id] = self._clock.call_later(left_s, self._expire, found)

    def _expire(self, found: Outstanding) -> None:
        if self._all.get(found.id) is found and not found.is_settling:
            self._forget(found)
            self._changed()

    def _forget(self, found: Outstanding) -> None:
        self._all.pop(found.id, None)
        timer = self._timers.pop(found.id, None)
        if timer is not None:
            timer.cancel()


def _give(reply: PeerReply, answer: bytes | ActorError) -> None:
    if isinstance(answer, ActorError):
        reply.refuse(answer)
        return
    try:
        reply.answer(answer)
    except ActorError as error:
        error.ran = error.details["ran"] = "committed"
        reply.refuse(error)
