"""Secrets that a peer sends back in several parts: hidden across reads, and nothing else is held back for long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from theater_bus_tcp import Tcp, wire

PLANTED = b"pl4nted-s3cret"
ON_DATA = "theater:simple/tcp-client.on-data"


@dataclass
class Peer:
    """A connection of an actor's over which the secret went out, and the other side of it."""

    tcp: Any
    id: str
    writer: asyncio.StreamWriter

    @property
    def wire(self) -> wire.Wire:
        """What the actor's side reads from."""
        found: wire.Wire = self.tcp.instance._holding.connections[self.id].wire
        return found

    async def shown(self, count: int) -> bytes:
        """The next bytes that the actor gets, in however many parts."""
        data = b""
        while len(data) < count:
            data += await self.receive(count - len(data))
        return data

    def receive(self, count: int = 100) -> asyncio.Task[bytes]:
        """A receive that is under way."""
        return asyncio.ensure_future(self.tcp.call("receive", self.id, count))


@pytest_asyncio.fixture
async def peer(start_harness: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setenv("PLANTED", PLANTED.decode())
    monkeypatch.setattr(wire, "HOLD_S", 3600.0)
    config = {"secrets": {"key": {"env": "PLANTED", "hosts": ["127.0.0.1"]}}}
    tcp = await start_harness(Tcp, {"connect": ["127.0.0.1:*"]}, config=config, allowed={"secrets": ["key@127.0.0.1"]})
    tcp.context.exports = {ON_DATA}
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(PLANTED)) == PLANTED
        accepted.set_result(writer)
        await reader.read()

    id = await tcp.call("connect", await serve(listen))
    await tcp.call("send", id, b"secret:key")
    return Peer(tcp, id, await accepted)


async def test_a_value_that_comes_back_in_two_parts_is_hidden(peer: Peer, eventually: Any) -> None:
    for at in (1, 5, len(PLANTED) - 1):
        asked = peer.receive()
        peer.writer.write(PLANTED[:at])
        await eventually(lambda at=at: peer.wire.held == at)
        assert not asked.done()
        peer.writer.write(PLANTED[at:] + b"!")
        assert await asked == b"secret:key!"


async def test_what_stands_before_a_beginning_is_shown_at_once(peer: Peer) -> None:
    peer.writer.write(b"you said " + PLANTED[:5])
    assert await peer.shown(9) == b"you said "
    asked = peer.receive(3)
    peer.writer.write(PLANTED[5:] + b"\n")
    assert await asked + await peer.shown(8) == b"secret:key\n"


async def test_a_beginning_without_its_rest_is_shown_after_a_while(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HOLD_S", 0.01)
    peer.writer.write(PLANTED[:5])
    assert await peer.shown(5) == PLANTED[:5]
    peer.writer.write(b"and more")
    assert await peer.shown(8) == b"and more"


async def test_nothing_counts_as_waiting_while_nobody_reads(peer: Peer) -> None:
    """The rest of the value may have come long ago: it is read first."""
    came = b"x" + PLANTED[:5]
    peer.wire.get_buffer(-1)[: len(came)] = came
    peer.wire.buffer_updated(len(came))
    assert await peer.receive() == b"x"
    assert (peer.wire.held, peer.wire._patience) == (5, None)


async def test_a_beginning_is_shown_at_the_end(peer: Peer) -> None:
    peer.writer.write(PLANTED[:5])
    peer.writer.write_eof()
    assert await peer.shown(5) == PLANTED[:5]
    assert await peer.receive() == b""


async def test_an_active_connection_is_told_the_handle_too(peer: Peer, eventually: Any) -> None:
    await peer.tcp.call("set-active", peer.id, "active")
    peer.writer.write(PLANTED[:5])
    await eventually(lambda: peer.wire.held == 5)
    assert peer.tcp.context.enqueued == []
    peer.writer.write(PLANTED[5:] + b"!")
    await eventually(lambda: peer.tcp.context.enqueued)
    assert [(function, params[1]) for function, params in peer.tcp.context.enqueued] == [(ON_DATA, b"secret:key!")]
