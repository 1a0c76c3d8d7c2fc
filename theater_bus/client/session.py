"""What everything of one client shares: the connection, the names of its namespace, and how a query is asked."""

from __future__ import annotations

import math
from typing import Any, Final

from theater_bus.bus import Connection
from theater_bus.bus.exchange import Exchange
from theater_bus.bus.objects import ObjectStore
from theater_bus.core.wire.caller import Caller
from theater_bus.core.wire.request import MAX_TIMEOUT_MS, encode_request
from theater_bus.core.wire.response import decode_reply
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import ConfigurationError
from theater_bus.telemetry import Telemetry

__all__ = ["DEFAULT_TIMEOUT_S", "Session", "check_timeout"]

DEFAULT_TIMEOUT_S: Final = 30.0
MAX_TIMEOUT_S: Final = MAX_TIMEOUT_MS / 1000


class Session:
    """One connection to one namespace. Attributes are for reading."""

    __slots__ = ("caller", "closed", "connection", "exchange", "objects", "subjects", "telemetry")

    def __init__(self, connection: Connection, subjects: Subjects, telemetry: Telemetry, caller: str | None) -> None:
        self.connection = connection
        self.subjects = subjects
        self.telemetry = telemetry
        self.caller = None if caller is None else Caller(caller, False)
        self.exchange = Exchange(connection, subjects)
        self.objects = ObjectStore(connection, subjects.objects_bucket)
        self.closed = False

    async def close(self) -> None:
        """End the connection. Calls that wait end with `OutcomeUnknown`."""
        if not self.closed:
            self.closed = True
            self.exchange.close()
            await self.connection.close()

    async def ask(self, actor: str, subject: str, fields: dict[str, Any], timeout_s: float) -> Any:
        """The `value` that `subject`, a query or verb of `actor`, answers. Raises the `ActorError` it answers with."""
        check_timeout(timeout_s)

        def encode(left_ms: int) -> bytes:
            return encode_request(fields, timeout_ms=left_ms)

        message = await self.exchange.request(actor, subject, encode, timeout_s)
        return decode_reply(message.data, message.headers, actor).value

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes in which a host may keep our keys: ours if it takes the caller for proven, else everybody's."""
        return ("",) if self.caller is None else (self.caller.id, "")


def check_timeout(timeout_s: float) -> None:
    """Raise `ConfigurationError` for what can be no timeout."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S or math.isnan(timeout_s):
        raise ConfigurationError(
            "timeout", f"{timeout_s!r} s is none", f"give seconds above 0 and at most {MAX_TIMEOUT_S:.0f}"
        )
