"""The same dialogue on both event loops that hosts run on: their transports, and above all their TLS, differ."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import uvloop

from theater_bus.capability import CapabilityError
from theater_bus.testing import capability_harness
from theater_bus_tcp import Tcp

from .conftest import received

REACH = {"connect": ["127.0.0.1:*"], "listen": ["127.0.0.1:*"], "certificates": ["web"], "handshake_ms": 200}
EXPORTS = {"theater:simple/tcp-client.on-data", "theater:simple/tcp-client.on-close"}


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  what it waits for belongs to others
            await asyncio.sleep(0.002)


class Stage:
    """An actor that listens, and whoever dials it."""

    def __init__(self, tcp: Any, authority: Any) -> None:
        self.tcp = tcp
        self.authority = authority

    async def pair(self, scheme: str = "", context: ssl.SSLContext | None = None) -> Any:
        """The actor's connection, open, and a stream of the other side."""
        listener = await self.tcp.call("listen", f"{scheme}127.0.0.1:0")
        host, port = (await self.tcp.call("local-address", listener)).split(":")
        name = "localhost" if context else None
        stream = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
        id = await self.tcp.call("accept", listener)
        await self.tcp.call("activate", id)
        await self.tcp.call("close-listener", listener)
        return id, *stream


async def plain(stage: Stage) -> None:
    """Both ways, all modes, and the end of each side."""
    tcp = stage.tcp
    id, reader, writer = await stage.pair()
    writer.write(bytes(300_000))
    assert await received(tcp, id, 300_000) == bytes(300_000)
    await asyncio.gather(tcp.call("send", id, bytes(300_000)), reader.readexactly(300_000))
    await tcp.call("set-active", id, "active")
    writer.write(b"abc")
    await until(lambda: tcp.context.enqueued)
    await tcp.call("set-active", id, "passive")
    assert await received(tcp, id, 3) == b"abc"
    await tcp.call("set-active", id, "once")
    writer.write_eof()
    await until(lambda: [params for _, params in tcp.context.enqueued] == [[id, "eof"]])
    await tcp.call("send", id, b"bye")
    tcp.context.finish()
    assert await reader.read() == b"bye"
    writer.close()


async def encrypted(stage: Stage) -> None:
    """TLS from the start: data, an end that is told, and one that this side makes."""
    tcp = stage.tcp
    id, reader, writer = await stage.pair("tls://", stage.authority.client)
    writer.write(bytes(300_000))
    assert await received(tcp, id, 300_000) == bytes(300_000)
    await asyncio.gather(tcp.call("send", id, bytes(300_000)), reader.readexactly(300_000))
    await tcp.call("set-active", id, "active")
    writer.close()
    await until(lambda: [params for _, params in tcp.context.enqueued] == [[id, "eof"]])
    tcp.context.finish()
    id, reader, writer = await stage.pair("tls://", stage.authority.client)
    await tcp.call("send", id, b"bye")
    await tcp.call("close", id)
    assert await reader.read() == b"bye"
    writer.close()


async def upgraded(stage: Stage) -> None:
    """STARTTLS, where the handshake comes before the actor has asked for it."""
    tcp = stage.tcp
    id, reader, writer = await stage.pair()
    writer.write(b"STARTTLS\r\n")
    upgrade = asyncio.create_task(writer.start_tls(stage.authority.client, server_hostname="localhost"))
    assert await received(tcp, id, 10) == b"STARTTLS\r\n"
    await tcp.call("upgrade-to-tls-server", id)
    await upgrade
    writer.write(b"secret")
    assert await received(tcp, id, 6) == b"secret"
    await tcp.call("send", id, b"indeed")
    assert await reader.readexactly(6) == b"indeed"
    await tcp.call("close", id)
    writer.close()


async def refused(stage: Stage) -> None:
    """A handshake that never comes, and one that is none."""
    tcp = stage.tcp
    for data in (b"", b"MAIL FROM:<mallory>\r\n"):
        id, _, writer = await stage.pair()
        writer.write(data)
        with pytest.raises(CapabilityError, match="TLS failed, and the connection is closed"):
            await tcp.call("upgrade-to-tls-server", id)
        writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("dialogue", [plain, encrypted, upgraded, refused])
def test_a_dialogue_goes_as_it_should_and_leaves_nothing(run: Any, dialogue: Any, authority: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), capability_harness(Tcp, REACH, config=authority.config) as tcp:
            tcp.context.exports = EXPORTS
            await dialogue(Stage(tcp, authority))
            holding = tcp.instance._holding  # type: ignore[attr-defined]
            await until(lambda: holding.used == 0)

    run(main())
