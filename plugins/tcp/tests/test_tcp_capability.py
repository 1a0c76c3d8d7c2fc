"""The functions of tcp alone, on real sockets: connecting, listening, data both ways, modes, the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError
from theater_bus_tcp import Tcp

from .conftest import ANYWHERE, CLIENT, echo, listening, received


async def pair(tcp: Any, dial: Any) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """An accepted and active connection, and the test's end of it."""
    listener, address = await listening(tcp)
    reader, writer = await dial(address)
    id = await tcp.call("accept", listener)
    await tcp.call("activate", id)
    return id, reader, writer


# -- both ways ---------------------------------------------------------------------------------------------------------


async def test_a_client_sends_and_receives(start_harness: Any, serve: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    address = await serve(echo)
    id = await tcp.call("connect", address)
    assert await tcp.call("peer-address", id) == address
    assert await tcp.call("send", id, b"hello") == 5
    assert await received(tcp, id, 3) == b"hel"
    assert await received(tcp, id, 2) == b"lo"
    assert await tcp.call("send", id, b"") == 0
    assert await tcp.call("list-connections") == [id]
    await tcp.call("close", id)
    with pytest.raises(CapabilityError, match="has no connection"):
        await tcp.call("send", id, b"x")
    assert await tcp.call("list-connections") == []


async def test_a_megabyte_goes_through_both_ways_in_order(start_harness: Any, serve: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id = await tcp.call("connect", await serve(echo))
    data = bytes(range(256)) * 4096
    got, count = await asyncio.gather(received(tcp, id, len(data)), tcp.call("send", id, data, timeout_s=60))
    assert (got == data, count) == (True, len(data))


async def test_a_server_accepts_and_a_pending_connection_says_nothing_until_it_is_activated(
    start_harness: Any, dial: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    listener, address = await listening(tcp)
    reader, writer = await dial(address)
    id = await tcp.call("accept", listener)
    host, port = writer.get_extra_info("sockname")
    assert await tcp.call("peer-address", id) == f"{host}:{port}"
    assert await tcp.call("local-address", id) == address
    for function, *more in (("send", b"x"), ("receive", 1), ("set-active", "active"), ("upgrade-to-tls-server",)):
        with pytest.raises(CapabilityError, match=r"is pending\. Fix: activate it first"):
            await tcp.call(function, id, *more)
    await tcp.call("activate", id)
    writer.write(b"ping")
    assert await received(tcp, id, 4) == b"ping"
    await tcp.call("send", id, b"pong")
    assert await reader.readexactly(4) == b"pong"


async def test_accept_waits_and_a_cancelled_accept_loses_no_connection(start_harness: Any, dial: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    listener, address = await listening(tcp)
    with pytest.raises(TimeoutError):
        await tcp.call("accept", listener, timeout_s=0.01)
    waiting = asyncio.create_task(tcp.call("accept", listener))
    await dial(address)
    id = await waiting
    assert await tcp.call("list-connections") == [id]
    other = asyncio.create_task(tcp.call("accept", listener))
    await asyncio.sleep(0)
    await tcp.call("close-listener", listener)
    with pytest.raises(CapabilityError, match="was closed"):
        await other
    with pytest.raises(CapabilityError, match="has no listener"):
        await tcp.call("accept", listener)
    with pytest.raises(OSError):
        await dial(address)


async def test_the_end_is_no_data_and_half_a_connection_still_sends(start_harness: Any, dial: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, reader, writer = await pair(tcp, dial)
    writer.write(b"last")
    writer.write_eof()
    assert await received(tcp, id, 4) == b"last"
    assert await tcp.call("receive", id, 10) == b""
    assert await tcp.call("receive", id, 10) == b""
    await tcp.call("send", id, b"answer")
    await tcp.call("close", id)
    assert await reader.read() == b"answer"


async def test_a_connection_that_is_reset_is_an_error_and_no_end(start_harness: Any, dial: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, _, writer = await pair(tcp, dial)
    reading = asyncio.create_task(tcp.call("receive", id, 10))
    await asyncio.sleep(0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    with pytest.raises(CapabilityError, match="nothing can be received: connection reset by peer"):
        await reading
    with pytest.raises(CapabilityError, match="nothing can be sent"):
        await tcp.call("send", id, b"x")


async def test_a_receive_that_is_cancelled_takes_nothing(start_harness: Any, dial: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, _, writer = await pair(tcp, dial)
    with pytest.raises(TimeoutError):
        await tcp.call("receive", id, 10, timeout_s=0.01)
    writer.write(b"kept")
    assert await received(tcp, id, 4) == b"kept"


async def test_a_send_to_a_peer_that_does_not_read_waits_and_when_it_is_cut_the_connection_is_broken(
    start_harness: Any, serve: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    stop = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    id = await tcp.call("connect", await serve(deaf))
    with pytest.raises(TimeoutError):
        await tcp.call("send", id, bytes(12 << 20), timeout_s=0.3)
    with pytest.raises(CapabilityError, match="a send was cut off in the middle"):
        await tcp.call("send", id, b"x")
    stop.set()


# -- modes -------------------------------------------------------------------------------------------------------------


def told(tcp: Any) -> list[tuple[str, Any]]:
    return [(function.rpartition(".")[2], params[1]) for function, params in tcp.context.enqueued]


async def test_active_data_arrives_one_call_at_a_time_and_the_end_after_it(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, reader, writer = await pair(tcp, dial)
    await tcp.call("set-active", id, "active")
    writer.write(b"one")
    await eventually(lambda: told(tcp) == [("on-data", b"one")])
    writer.write(b"two")
    writer.write_eof()
    with pytest.raises(CapabilityError, match="is active: its data arrives at on-data"):
        await tcp.call("receive", id, 1)
    assert told(tcp) == [("on-data", b"one")]
    tcp.context.finish()
    await eventually(lambda: told(tcp) == [("on-data", b"two")])
    tcp.context.finish()
    await eventually(lambda: told(tcp) == [("on-close", "eof")])
    with pytest.raises(CapabilityError, match="has ended"):
        await tcp.call("set-active", id, "active")
    await tcp.call("send", id, b"bye")
    tcp.context.finish()
    assert await reader.read() == b"bye"
    assert await tcp.call("list-connections") == []


async def test_once_is_one_call_and_then_passive_and_may_be_asked_again(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "chunk_bytes": 3})
    id, _, writer = await pair(tcp, dial)
    writer.write(b"abcdefghi")
    await tcp.call("set-active", id, "once")
    await eventually(lambda: told(tcp) == [("on-data", b"abc")])
    tcp.context.finish()
    assert await received(tcp, id, 2) == b"de"
    assert told(tcp) == []
    await tcp.call("set-active", id, "once")
    await eventually(lambda: told(tcp) == [("on-data", b"fgh")])
    tcp.context.finish()
    assert await received(tcp, id, 1) == b"i"


@pytest.mark.parametrize("second", ["passive", "active", "once"])
@pytest.mark.parametrize("first", ["passive", "active", "once"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before-data", "with-data-on-its-way"])
async def test_every_mode_follows_every_other_one_and_no_byte_is_lost(
    start_harness: Any, dial: Any, eventually: Any, first: str, second: str, is_late: bool
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "chunk_bytes": 2})
    id, _, writer = await pair(tcp, dial)
    await tcp.call("set-active", id, first)
    if not is_late:
        await tcp.call("set-active", id, second)
    writer.write(b"abcdef")
    if is_late:
        if first != "passive":
            await eventually(lambda: told(tcp) == [("on-data", b"ab")])
        await tcp.call("set-active", id, second)
    heard = b""
    # A chunk that is told by the first mode is not told again by the second: `once` after it is one more.
    for _ in range({"passive": 0, "active": 3, "once": 2 if is_late and first != "passive" else 1}[second]):
        await eventually(lambda: told(tcp))
        heard += told(tcp)[0][1]
        tcp.context.finish()
    if second == "active":
        await tcp.call("set-active", id, "passive")
    assert told(tcp) == []
    assert heard + await received(tcp, id, 6 - len(heard)) == b"abcdef"


async def test_passive_again_takes_back_what_the_actor_has_not_seen(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "chunk_bytes": 4})
    id, _, writer = await pair(tcp, dial)
    for mode in ("active", "once"):
        writer.write(b"abcdef")
        await tcp.call("set-active", id, mode)
        await eventually(lambda: told(tcp) == [("on-data", b"abcd")])
        await tcp.call("set-active", id, "passive")
        assert told(tcp) == []
        assert await received(tcp, id, 6) == b"abcdef"
    await tcp.call("set-active", id, "passive")
    await tcp.call("set-active", id, "active")
    await tcp.call("set-active", id, "once")
    writer.write(b"xyz")
    await eventually(lambda: told(tcp) == [("on-data", b"xyz")])
    await tcp.call("set-active", id, "active")
    tcp.context.finish()
    writer.write(b"!")
    await eventually(lambda: told(tcp) == [("on-data", b"!")])


async def test_a_socket_is_not_read_while_its_actor_is_behind(start_harness: Any, dial: Any, eventually: Any) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "chunk_bytes": 1024})
    id, _, writer = await pair(tcp, dial)
    writer.transport.set_write_buffer_limits(high=0)
    await tcp.call("set-active", id, "active")
    writer.write(bytes(16 << 20))
    await eventually(lambda: told(tcp))
    wire = tcp.instance._holding.connections[id].wire
    assert not wire._transport.is_reading()
    assert wire.held == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await writer.drain()
    assert [len(data) for _, data in told(tcp)] == [1024]


async def test_only_so_many_calls_of_all_connections_are_in_the_mailbox(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "waiting": 2})
    listener, address = await listening(tcp)
    for number in range(5):
        _, writer = await dial(address)
        id = await tcp.call("accept", listener)
        await tcp.call("activate", id)
        await tcp.call("set-active", id, "active")
        writer.write(b"%d" % number)
        await eventually(lambda number=number: len(tcp.instance._holding.calls._late) == max(0, number - 1))
    assert [data for _, data in told(tcp)] == [b"0", b"1"]
    seen = []
    for _ in range(5):
        seen.append(told(tcp)[0][1])
        tcp.context.finish()
    assert seen == [b"0", b"1", b"2", b"3", b"4"]


async def test_data_that_the_actor_failed_at_is_the_last_and_the_connection_ends(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, reader, writer = await pair(tcp, dial)
    await tcp.call("set-active", id, "active")
    writer.write(b"one")
    await eventually(lambda: told(tcp))
    tcp.context.finish(GuestError("no"))
    assert told(tcp) == [("on-close", "on-data failed: no")]
    assert "since on-data failed" in tcp.context.failures[0]
    tcp.context.finish()
    assert await reader.read() == b""


@pytest.mark.parametrize("mode", ["", "ACTIVE", "../../etc/passwd", "a\0b", "x" * 100_000])
async def test_only_three_words_are_modes(start_harness: Any, dial: Any, mode: str) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, _, _ = await pair(tcp, dial)
    with pytest.raises(CapabilityError, match="Fix: passive, active or once") as caught:
        await tcp.call("set-active", id, mode)
    assert len(str(caught.value)) < 200
    tcp.context.exports = set()
    with pytest.raises(CapabilityError, match=r"Fix: export `theater:simple/tcp-client\.on-data"):
        await tcp.call("set-active", id, "active")


# -- listeners that announce -------------------------------------------------------------------------------------------


async def test_connections_are_announced_to_an_actor_that_handles_them(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    _, address = await listening(tcp, {f"{CLIENT}.handle-connection"})
    reader, _ = await dial(address)
    await eventually(lambda: tcp.context.enqueued)
    [(function, [id])] = tcp.context.enqueued
    assert function == f"{CLIENT}.handle-connection"
    await tcp.call("activate", id)
    tcp.context.finish()
    await tcp.call("send", id, b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_a_connection_that_handle_connection_failed_at_is_closed(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    _, address = await listening(tcp, {f"{CLIENT}.handle-connection"})
    reader, _ = await dial(address)
    await eventually(lambda: tcp.context.enqueued)
    await tcp.call("activate", tcp.context.enqueued[0][1][0])
    tcp.context.finish(GuestError("no"))
    assert await reader.read() == b""
    assert await tcp.call("list-connections") == []
    assert "handle-connection of" in tcp.context.failures[0]


async def test_a_listener_accepts_no_more_than_its_backlog(start_harness: Any, dial: Any, eventually: Any) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "backlog": 2})
    _, address = await listening(tcp, {f"{CLIENT}.handle-connection"})
    for _ in range(5):
        await dial(address)
    await eventually(lambda: len(tcp.context.enqueued) == 2)
    holding = tcp.instance._holding
    assert holding.used == 2
    tcp.context.finish()
    await eventually(lambda: holding.used == 3)
    assert len(tcp.context.enqueued) == 2


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_the_end_of_an_actor_sends_what_was_sent_and_leaves_nothing(start_harness: Any, dial: Any) -> None:
    before = asyncio.all_tasks()
    tcp = await start_harness(Tcp, ANYWHERE)
    id, reader, _ = await pair(tcp, dial)
    await tcp.call("set-active", id, "active")
    listener = next(iter(tcp.instance._holding.listeners.values()))
    await dial(listener.address)
    await tcp.call("send", id, b"last words")
    await tcp.instance.stop()
    assert await reader.read() == b"last words"
    assert (tcp.instance._holding.used, tcp.instance._holding.switchboard.holdings) == (0, {})
    assert listener._socket.fileno() == -1
    assert asyncio.all_tasks() == before


async def test_a_peer_that_never_reads_holds_up_no_end(start_harness: Any, serve: Any, eventually: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    stop = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    id = await tcp.call("connect", await serve(deaf))
    wire = tcp.instance._holding.connections[id].wire
    wire._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    wire._transport.write(bytes(16 << 20))
    async with asyncio.timeout(30):
        await tcp.instance.stop()
    await eventually(lambda: wire.is_lost)
    assert tcp.instance._holding.used == 0
    stop.set()


async def test_a_listener_comes_back_and_one_that_cannot_is_reported(start_harness: Any, dial: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    id, address = await listening(tcp)
    await tcp.call("close-listener", id)
    id = await tcp.call("listen", address)
    snapshot = tcp.instance.snapshot()
    assert tcp.context.snapshots == 3
    await tcp.instance.stop()
    again = await start_harness(Tcp, ANYWHERE, snapshot=snapshot)
    again.context.exports = set()
    assert await again.call("local-address", id) == address
    assert await again.call("listen", "127.0.0.1:0") == "listener-3"
    less = await start_harness(Tcp, {}, snapshot=snapshot)
    assert "did not come back: the grant tcp.listen" in less.context.failures[0]
    assert less.instance.snapshot() is None
    with pytest.raises(ValueError, match="no snapshot of listeners"):
        await start_harness(Tcp, {}, snapshot=b"[7]")
