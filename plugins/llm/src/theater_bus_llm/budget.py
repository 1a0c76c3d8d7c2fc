"""What an actor may spend: tokens and costs, for each operation and for each conversation.

Invariants: what was spent is never given back, whatever became of the operation; there are at most so many
conversations, and none is forgotten, so that a new name is no new budget without end; a call begins only where its
prompt and one token of an answer are left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import Final

from theater_bus.capability import CapabilityError
from theater_bus_llm.endpoint import Price

__all__ = ["Bounds", "Budget", "Spent", "cost_of"]

BYTES_PER_TOKEN: Final = 4
NAME_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Bounds:
    """The grants: tokens and millionths of the currency."""

    operation_tokens: int
    operation_cost_micros: int
    conversation_tokens: int
    conversation_cost_micros: int
    conversations: int


@dataclass(slots=True)
class Spent:
    """Tokens and costs so far."""

    tokens: int = 0
    cost_micros: int = 0


class Budget:
    """The account of one actor."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._operation = Spent()
        self._conversations: dict[str, Spent] = {}

    def room(self, conversation: str, prompt_bytes: int, price: Price) -> int:
        """How many tokens an answer may have. Raises `CapabilityError` naming the grant that is used up."""
        bounds, talk = self._bounds, self._found(conversation)
        prompt = ceil(prompt_bytes / BYTES_PER_TOKEN)
        room = 1 << 53
        for grant, limit, spent in (
            ("operation_tokens", bounds.operation_tokens, self._operation),
            ("conversation_tokens", bounds.conversation_tokens, talk),
        ):
            left = limit - spent.tokens
            if left <= prompt:
                raise _used_up(grant, limit, f"{max(left, 0)} tokens are left, the prompt needs about {prompt}")
            room = min(room, left - prompt)
        for grant, limit, spent in (
            ("operation_cost_micros", bounds.operation_cost_micros, self._operation),
            ("conversation_cost_micros", bounds.conversation_cost_micros, talk),
        ):
            left, needed = limit - spent.cost_micros, cost_of(price, prompt, 1)
            if left < needed:
                raise _used_up(grant, limit, f"{max(left, 0)} millionths are left, the prompt costs about {needed}")
            if price.output:
                room = min(room, int((left - price.input * prompt) / price.output))
        return max(room, 1)

    def charge(self, conversation: str, tokens: int, cost_micros: int) -> None:
        """Take what a call has cost from the operation and from the conversation."""
        for spent in (self._operation, self._conversations.setdefault(conversation, Spent())):
            spent.tokens += tokens
            spent.cost_micros += cost_micros

    def operation_ended(self) -> None:
        """The next operation has a budget of its own."""
        self._operation = Spent()

    def left(self, conversation: str) -> Spent:
        """What a conversation may still spend."""
        spent = self._conversations.get(conversation, Spent())
        return Spent(
            max(0, self._bounds.conversation_tokens - spent.tokens),
            max(0, self._bounds.conversation_cost_micros - spent.cost_micros),
        )

    def snapshot(self) -> bytes | None:
        """What conversations have spent, as JSON; None before the first."""
        kept = {name: [one.tokens, one.cost_micros] for name, one in self._conversations.items()}
        return json.dumps(kept).encode() if kept else None

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave. Raises `ValueError` for anything else."""
        try:
            found = json.loads(snapshot)
            self._conversations = {str(name): Spent(int(one[0]), int(one[1])) for name, one in found.items()}
        except (AttributeError, TypeError, LookupError) as error:
            raise ValueError(f"this is no account of conversations: {error!r}") from error

    def _found(self, conversation: str) -> Spent:
        if len(conversation.encode()) > NAME_BYTES:
            raise CapabilityError(f"a conversation's name has at most {NAME_BYTES} bytes")
        spent = self._conversations.get(conversation)
        if spent is None and len(self._conversations) >= self._bounds.conversations:
            raise _used_up("conversations", self._bounds.conversations, "this would be one more")
        return spent or Spent()


def cost_of(price: Price, prompt_tokens: int, completion_tokens: int) -> int:
    """Millionths of the currency, rounded up."""
    return ceil(price.input * prompt_tokens + price.output * completion_tokens)


def _used_up(grant: str, limit: int, why: str) -> CapabilityError:
    return CapabilityError(
        f"the grant llm.{grant} = {limit} is used up: {why}. Fix: write a larger `{grant}` under [capabilities.llm] in "
        "the actor's manifest; its parent and the host must allow as much"
    )
