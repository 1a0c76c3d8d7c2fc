"""Reading a socket in portions, so that a burst of messages cannot keep the event loop from turning.

Light subscriptions run their handlers inside nats-py's reader. As long as bytes are buffered the reader does not give
way: one burst (up to 320 KiB in asyncio's buffers, thousands of small messages) would run every handler before any
timer. Here the reader gives way after a number of messages. Back-pressure stays where it belongs, in the socket.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from theater_bus.bus.reading import MessageReader

__all__ = ["MESSAGES_PER_TURN", "pace"]

MESSAGES_PER_TURN = 64
_READ_BYTES = 16 * 1024


def pace(client: Client) -> None:
    """Make `client`, which has not connected yet, hand messages over directly, and give way now and then."""
    client._transport = _PacedTransport(client)
    client._ps = MessageReader(client)


class _PacedTransport(TcpTransport):
    def __init__(self, client: Client) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stats = client.stats
        self._seen = 0

    async def read(self, buffer_size: int) -> bytes:
        received = self._stats["in_msgs"]
        if received - self._seen >= MESSAGES_PER_TURN:
            self._seen = received
            await asyncio.sleep(0)
        data: bytes = await super().read(min(buffer_size, _READ_BYTES))
        return data

    def __bool__(self) -> bool:
        # nats-py makes a transport of its own where it finds a false one.
        return True
