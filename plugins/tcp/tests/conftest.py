"""The fixtures that theater_bus offers to the authors of plugins, certificates made for the run, and both ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]


@dataclass(frozen=True)
class Authority:
    """Certificates for `localhost` and 127.0.0.1: what a host is configured with, and contexts for the test's side."""

    config: dict[str, Any]
    client: ssl.SSLContext
    server: ssl.SSLContext
    stranger: ssl.SSLContext
    """A server whose authority nobody knows."""
    chain: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    known, unknown = trustme.CA(), trustme.CA()
    issued, stray = known.issue_cert("localhost", "127.0.0.1"), unknown.issue_cert("localhost", "127.0.0.1")
    ca, chain, key = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
    known.cert_pem.write_to_path(ca)
    issued.private_key_pem.write_to_path(key)
    for at, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(chain, append=at > 0)
    client = ssl.create_default_context(cafile=str(ca))
    server, stranger = (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(2))
    issued.configure_cert(server)
    stray.configure_cert(stranger)
    config = {"certificates": {"web": {"chain": str(chain), "key": str(key)}}, "ca_file": str(ca)}
    return Authority({"capabilities": {"tcp": config}}, client, server, stranger, chain, key)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`address = await serve(handler, ssl=…)`: a server of the test's own on 127.0.0.1."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(handler: Serve, **options: Any) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                with suppress(ConnectionError, ssl.SSLError):
                    await handler(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
        servers.append(server)
        host, port = server.sockets[0].getsockname()
        return f"{host}:{port}"

    yield start
    for server in servers:
        server.close()
    # From Python 3.12 on a server is closed when its last connection is, and actors may still hold theirs.
    for writer in writers:
        writer.transport.abort()
    for server in servers:
        await server.wait_closed()


@pytest_asyncio.fixture
async def dial() -> AsyncIterator[Callable[..., Any]]:
    """`reader, writer = await dial("127.0.0.1:80", ssl=…)`: a client of the test's own, closed at its end."""
    writers: list[asyncio.StreamWriter] = []

    async def start(address: str, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), **options)
        writers.append(writer)
        return reader, writer

    yield start
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


ANYWHERE = {"connect": ["127.0.0.1:*"], "listen": ["127.0.0.1:*"], "connections": 8}
CLIENT = "theater:simple/tcp-client"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def received(tcp: Any, id: str, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await tcp.call("receive", id, count - len(data))
        assert more, "the end came early"
        data += more
    return data


async def listening(tcp: Any, exports: set[str] | None = None) -> tuple[str, str]:
    """A listener that announces nothing, and its address."""
    tcp.context.exports = {f"{CLIENT}.on-data", f"{CLIENT}.on-close"} if exports is None else exports
    id = await tcp.call("listen", "127.0.0.1:0")
    return id, await tcp.call("local-address", id)
