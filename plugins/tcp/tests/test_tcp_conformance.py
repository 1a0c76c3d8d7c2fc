"""What is asked of every capability, of `tcp`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from theater_bus.capability import Capability
from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_tcp import Tcp


class Handlers(Capability):
    """An actor that lets happen whatever happens on its connections."""

    name = "handlers"
    pact = """
@package: string = "theater:simple"

interface tcp-client {
    exports {
        on-data: func(state: u64, connection-id: string, data: list<u8>) -> result<tuple<u64>, string>
        on-close: func(state: u64, connection-id: string, reason: string) -> result<tuple<u64>, string>
    }
}
"""

    def on_data(self, state: int, connection_id: str, data: bytes) -> tuple[int]:
        return (state + 1,)

    def on_close(self, state: int, connection_id: str, reason: str) -> tuple[int]:
        return (state,)


@asynccontextmanager
async def peer(host: RunningHost) -> AsyncIterator[Mapping[str, Any]]:
    """A server that says nothing."""
    over = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname())
    yield {
        "settings": {"connect": [address], "listen": ["127.0.0.1:0"]},
        "examples": [Example("connect", address), Example("listen", "127.0.0.1:0")],
        "refused": [Example("connect", address), Example("listen", "127.0.0.1:0")],
    }
    over.set()
    server.close()
    await server.wait_closed()


test_conformance = conformance(
    Tcp,
    refused=[Example("connect", "127.0.0.1:1")],
    prepare=peer,
    handlers=Handlers,
    spawn={"state": 0},
    read_elsewhere=("certificates", "handshake_ms", "transfers"),
)
