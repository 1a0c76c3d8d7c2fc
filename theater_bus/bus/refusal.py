"""What a connection refuses before anything is sent: counted, and worded with what to do."""

from __future__ import annotations

from collections.abc import Sequence

from theater_bus.bus.settings import BusSettings
from theater_bus.bus.stats import ConnectionStats
from theater_bus.errors import ConfigurationError, ConnectionLost, Overloaded, PermissionDenied, TooLarge

__all__ = ["MAX_SUBJECTS", "Refusals"]

MAX_SUBJECTS = 3_900
"""Characters of subject and reply subject together. The server ends the connection over a protocol line above 4,096
bytes, and does not announce the number."""


class Refusals:
    """Makes the errors of one connection."""

    def __init__(self, settings: BusSettings, stats: ConnectionStats) -> None:
        self._settings = settings
        self._stats = stats
        self.closed = False

    def too_large(self, subject: str, size: int, limit: int) -> TooLarge:
        """Body and headers exceed what the server accepts."""
        self._stats.too_large += 1
        return TooLarge(
            f"a message to {subject} has {size} bytes with its headers, the server accepts {limit}. "
            "Fix: send less, or raise max_payload in the server's configuration",
            size_bytes=size,
            limit_bytes=limit,
        )

    def backlog(self, waiting: int) -> Overloaded:
        """Too much waits to be written."""
        self._stats.overloaded += 1
        return Overloaded(
            f"{waiting} bytes wait to be sent, more than pending_bytes = {self._settings.pending_bytes}. "
            "Fix: await flush() between publishes, or look why the server does not read",
            bound="pending_bytes",
        )

    def subject(self, subject: str, other: str) -> ConfigurationError | TooLarge:
        """One of the two cannot stand in a protocol line."""
        for each in (subject, other):
            if (not each and each is subject) or " " in each or not each.isprintable():
                return ConfigurationError("subject", f"{each!r} is not a subject", "no spaces, no control characters")
        size = len(subject) + len(other)
        return TooLarge(
            f"subject and reply subject have {size} characters, a protocol line takes {MAX_SUBJECTS}",
            size_bytes=size,
            limit_bytes=MAX_SUBJECTS,
        )

    def not_connected(self) -> ConnectionLost:
        """There is no connection at the moment, or none any more."""
        self._stats.not_connected += 1
        if self.closed:
            return ConnectionLost(self._settings.servers_text, "it was closed here", "open another one")
        return ConnectionLost(self._settings.servers_text, "not connected at the moment", "try again; it reconnects")

    def header(self, name: str) -> ConfigurationError:
        """The name of a header is none."""
        return ConfigurationError("headers", f"{name!r} is not a header name", "use letters, digits and -")

    def no_answer(self, what: str, error: object) -> ConnectionLost:
        """The server did not answer."""
        return ConnectionLost(self._settings.servers_text, f"no answer to {what} ({error})")

    def inbox_denied(self, pattern: str) -> PermissionDenied:
        """This user may not hear replies."""
        return PermissionDenied(
            f"NATS does not let this user subscribe to {pattern}, so no reply could arrive. "
            "Fix: set `inbox_prefix` to the one that the user's permissions allow"
        )

    def subscriptions_denied(self, subjects: Sequence[str]) -> PermissionDenied:
        """NATS refused these subscriptions."""
        return PermissionDenied(
            f"NATS does not let this user subscribe to {', '.join(subjects)}. Fix: allow it in the user's "
            "permissions; for an inbox, set `inbox_prefix` to the one that they name",
            subjects=list(subjects),
        )
