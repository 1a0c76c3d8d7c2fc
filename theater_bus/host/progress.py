"""What a caller that accepts several messages hears before the reply: parts, and that the operation is still alive.

Invariants: the messages of an operation are numbered from 0, whoever gets them, so that one who asked twice can tell
repeats; none follows the reply; a caller that did not ask for them gets none. Parts are provisional: they leave before
the operation is recorded, and one that is run again sends them again. Source: wire protocol, "Requests and replies".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import Dynamic
from theater_bus.core.wire.form import Form
from theater_bus.core.wire.response import Encoded, encode_part
from theater_bus.errors import SerializationError, TheaterError, TooLarge

if TYPE_CHECKING:
    from theater_bus.bus import Connection
    from theater_bus.core.wire.request import Request

__all__ = ["HEARTBEAT_S", "Listener", "Progress", "check_part"]

log = logging.getLogger("theater_bus.host")

HEARTBEAT_S: Final = 5.0
"""So long nothing is sent at most, while an operation is queued or runs."""
FIRST_S: Final = 0.2
"""So long at most until the first message: a caller that hears nothing for a second asks again."""
_HEADER_BYTES: Final = 256
_VALUE: Final = value_codec(Dynamic())


class Listener:
    """Somebody who accepts parts: where they go, and in which form."""

    __slots__ = ("_connection", "_request", "subject")

    def __init__(self, connection: Connection, subject: str, request: Request) -> None:
        self._connection = connection
        self._request = request
        self.subject = subject

    def encode(self, number: int, value: Any) -> Encoded:
        """A part as this listener reads it. Raises `TooLarge`, and `SerializationError` for what is no plain value."""
        request = self._request
        if request.form is Form.MSGPACK:
            shown = value
        else:
            shown = _VALUE.decode_json(_VALUE.encode(value), "string" if request.int64_strings else "number")
        encoded = encode_part(number, shown, request.form, has_type=request.has_type)
        size, limit = len(encoded[0]), self._connection.max_payload
        if size + _HEADER_BYTES > limit:
            raise TooLarge(
                f"a part of {size} bytes is too large for a message of {limit}. Fix: send it in smaller parts",
                size_bytes=size,
                limit_bytes=limit,
            )
        return encoded

    def heartbeat(self, number: int) -> Encoded:
        """A part that says nothing but that work goes on."""
        return encode_part(number, form=self._request.form, has_type=self._request.has_type)

    def send(self, encoded: Encoded) -> None:
        """Publish a part; one that cannot be sent is left out, which its number shows."""
        try:
            self._connection.publish(self.subject, encoded[0], headers=encoded[1])
        except TheaterError as lost:
            log.warning("a part could not be sent: %s", lost)


class Progress:
    """The parts of one operation that somebody listens to, from its admission to its answer."""

    __slots__ = ("_handle", "_listeners", "_loop", "_number")

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self._loop = loop
        self._listeners = [listener]
        self._number = 0
        self._handle = loop.call_later(min(FIRST_S, HEARTBEAT_S), self._beat)

    def emit(self, value: Any) -> None:
        """Send a part to all. Raises `TooLarge` or `SerializationError`; then it is sent to nobody."""
        encoded = [(listener, listener.encode(self._number, value)) for listener in self._listeners]
        self._send(encoded)

    def join(self, other: Progress) -> None:
        """Have the listeners of a repeat hear the rest too."""
        known = {listener.subject for listener in self._listeners}
        self._listeners += [one for one in other._listeners if one.subject not in known]

    def end(self) -> None:
        """Send nothing more: the answer is on its way."""
        self._handle.cancel()
        self._listeners = []

    def _send(self, encoded: list[tuple[Listener, Encoded]]) -> None:
        self._number += 1
        for listener, part in encoded:
            listener.send(part)
        self._handle.cancel()
        self._handle = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _beat(self) -> None:
        self._send([(listener, listener.heartbeat(self._number)) for listener in self._listeners])


def check_part(value: Any) -> None:
    """Raise `SerializationError` for what is no plain value, also when nobody listens."""
    try:
        _VALUE.encode(value)
    except TheaterError as error:
        raise SerializationError(f"the part is no plain value: {error}") from None
