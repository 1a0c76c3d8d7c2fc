"""What travels on the bus, as the rest of theater_bus sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from theater_bus.bus.failure import BusFailure

__all__ = ["Handler", "Message", "OnReply", "Outcome"]


class Message(Protocol):
    """One message as it arrived. `reply` is empty when the sender wants no answer; header names keep their case."""

    @property
    def subject(self) -> str:
        """The subject it was published to, wildcards resolved."""

    @property
    def reply(self) -> str:
        """The subject to answer to, or empty. Never answer without checking that it is an inbox (wire protocol)."""

    @property
    def data(self) -> bytes:
        """The body."""

    @property
    def headers(self) -> Mapping[str, str] | None:
        """The headers, or None when it carries none. Of a repeated name the last value counts."""


Handler: TypeAlias = Callable[[Message], None]
"""Called with every message of a subscription, on the event loop, in order of arrival. It must return at once."""

Outcome: TypeAlias = Message | BusFailure
"""What became of a request: a reply, or the reason why there will be none."""

OnReply: TypeAlias = Callable[[Outcome], None]
"""Called with the outcome of a request, on the event loop. It must return at once."""
