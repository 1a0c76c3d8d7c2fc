"""What a connection has met, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConnectionStats"]


@dataclass(slots=True)
class ConnectionStats:
    """Counted since the connection was opened."""

    handler_failures: int = 0
    """Handlers that raised."""
    late_replies: int = 0
    """Replies to requests that nobody waits for any more."""
    too_large: int = 0
    """Messages refused because of their size."""
    overloaded: int = 0
    """Messages refused because too much waits to be written."""
    not_connected: int = 0
    """Requests and messages refused for lack of a connection."""
    permission_denials: int = 0
    """Subjects that NATS refused."""
