"""The conversations of one actor: who takes part, how far they are, and what of them survives the host."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["PAST", "Conversation", "Conversations", "is_channel"]

PAST = 256
"""Ended conversations whose other side is remembered, for sends that are still on their way."""
_CHANNEL = re.compile(r"[A-Za-z0-9_-]{8,64}")


def is_channel(channel: str) -> bool:
    """Whether this can be the id of a conversation: 8 to 64 of A-Z a-z 0-9 _ -."""
    return _CHANNEL.fullmatch(channel) is not None


@dataclass(slots=True, eq=False)
class Conversation:
    """A conversation with another actor, or with a client (`inbox` is where that listens).

    `peer` is the actor's id, or the name under which the client called, with `proof` for it. It is being opened until
    `is_open`; one that `is_accepted` by the other side opens with the running operation, one that `is_closing` ends.
    `first` is what the other side said when it accepted. `missed` counts checks without an answer.
    """

    channel: str
    peer: str
    inbox: str = ""
    proof: str = ""
    is_open: bool = False
    is_accepted: bool = False
    is_closing: bool = False
    first: bytes | None = None
    missed: int = 0

    def has(self, caller: str, is_actor: bool, proof: str) -> bool:
        """Whether who asks is the other participant."""
        if self.inbox:
            return not is_actor and caller == self.peer and proof == self.proof
        return is_actor and caller == self.peer

    def plain(self) -> list[Any]:
        """What a snapshot holds of it."""
        return [self.channel, self.peer, self.inbox, self.proof]


class Conversations:
    """All of one actor, by id."""

    def __init__(self) -> None:
        self._all: dict[str, Conversation] = {}
        self._past: OrderedDict[str, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._all.values()))

    def get(self, channel: str) -> Conversation | None:
        """The conversation, if it goes on or is being opened."""
        return self._all.get(channel)

    def ever(self, channel: str) -> Conversation | None:
        """The same, or one that ended lately."""
        return self._all.get(channel) or self._past.get(channel)

    def add(self, conversation: Conversation) -> None:
        """Begin."""
        self._all[conversation.channel] = conversation

    def remove(self, conversation: Conversation) -> bool:
        """End; False for one that has ended."""
        if self._all.get(conversation.channel) is not conversation:
            return False
        del self._all[conversation.channel]
        self._past[conversation.channel] = conversation
        if len(self._past) > PAST:
            self._past.popitem(last=False)
        return True

    def snapshot(self) -> dict[str, Any]:
        """Those that are open, and those that ended lately."""
        return {
            "open": [one.plain() for one in self._all.values() if one.is_open],
            "past": [one.plain() for one in self._past.values()],
        }

    def restore(self, found: dict[str, Any]) -> None:
        """Take over what `snapshot` gave. Raises `TypeError`, `KeyError` or `ValueError` for anything else."""
        for channel, peer, inbox, proof in found["open"]:
            self.add(Conversation(str(channel), str(peer), str(inbox), str(proof), is_open=True))
        for channel, peer, inbox, proof in found["past"]:
            self._past[str(channel)] = Conversation(str(channel), str(peer), str(inbox), str(proof))
