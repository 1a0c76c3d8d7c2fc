"""What reaches a capability from outside of its actor: requests of its peers, and what becomes of them.

A capability's *peers* are the instances of the same capability in other actors, on any host, and clients that NATS
lets address it. They reach it through the functions of its `peer_pact`, which are addressed like exports of the actor
(`theater.<ns>.ops.<id>.<interface>.<function>`) and go to the method `peer_<function>(request, …)`, not to the guest.
The method judges the request at once: it returns a value, or a `Callback`, or raises the `ActorError` to answer with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from theater_bus.capability.middleware import Proof
from theater_bus.errors import ActorError

__all__ = ["LATER", "Callback", "PeerReply", "PeerRequest"]


class _Later(Enum):
    LATER = "later"


LATER: Final = _Later.LATER
"""What `Callback.answer` returns when the reply comes later."""


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """Who asks, and how sure the host is of the name.

    `is_actor` says that it asks in the name of an actor. `key` is the idempotency key in the scope `scope`; `is_repeat`
    that a request with it was taken before, so that its answer is that of the first. `deadline` is in the event loop's
    seconds. `has_reply` is False where nobody waits for an answer.
    """

    caller: str
    is_actor: bool
    proof: Proof
    scope: str
    key: str | None
    is_repeat: bool
    deadline: float
    has_reply: bool


class PeerReply(Protocol):
    """A reply that comes later. Only the first one counts."""

    def answer(self, value: Any) -> None:
        """Reply with the plain value of the peer function's result. Raises `TooLarge`, and the reply is still due."""

    def refuse(self, error: ActorError) -> None:
        """Reply with an error."""


def _nothing(value: Any) -> Any:
    return None


@dataclass(frozen=True, slots=True)
class Callback:
    """The export of the actor that a request becomes a call of: with the request's caller, deadline and key.

    `answer` makes the reply's value of what the guest answered, or `LATER`: then `later` gets the reply. `done` is
    called once when the call is over, before any reply, with what it failed with (a `GuestError` for an `err`), or
    None, and what the guest answered; for a call that was refused in the mailbox too.
    """

    function: str
    params: list[Any] = field(default_factory=list)
    answer: Callable[[Any], Any] = _nothing
    later: Callable[[PeerReply], None] | None = None
    done: Callable[[ActorError | None, Any], None] | None = None
