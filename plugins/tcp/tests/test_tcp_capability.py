"""The functions of tcp alone, on real sockets: connecting, listening, data both ways, modes, limits, refusals."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError, SpawnRefused
from theater_bus_tcp import Tcp

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


# -- limits and grants -------------------------------------------------------------------------------------------------


async def test_the_number_of_connections_is_granted_and_a_closed_one_makes_room(
    start_harness: Any, serve: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "connections": 2})
    address = await serve(silent)
    first, _ = [await tcp.call("connect", address) for _ in range(2)]
    with pytest.raises(
        CapabilityError, match=r"tcp\.connections = 2 is used up\. Fix: .*`connections = 3` in \[capabilities\.tcp\]"
    ):
        await tcp.call("connect", address)
    await tcp.call("close", first)
    await eventually(lambda: tcp.instance._holding.used == 1)
    await tcp.call("connect", address)


async def test_a_full_actor_leaves_peers_to_the_system_until_it_has_room(
    start_harness: Any, dial: Any, eventually: Any
) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "connections": 1})
    listener, address = await listening(tcp)
    await dial(address)
    _, writer = await dial(address)
    writer.write(b"second")
    first = await tcp.call("accept", listener)
    await tcp.call("close", first)
    second = await tcp.call("accept", listener)
    await tcp.call("activate", second)
    assert await received(tcp, second, 6) == b"second"


async def test_what_all_actors_of_a_host_have_is_bounded_by_its_operator(start_harness: Any, serve: Any) -> None:
    config = {"capabilities": {"tcp": {"connections": 1}}}
    one = await start_harness(Tcp, ANYWHERE, actor="one", config=config)
    other = await start_harness(Tcp, ANYWHERE, actor="other", config=config)
    address = await serve(silent)
    await one.call("connect", address)
    with pytest.raises(CapabilityError, match="as many as its operator allows"):
        await other.call("connect", address)


async def test_the_number_of_listeners_is_granted(start_harness: Any) -> None:
    tcp = await start_harness(Tcp, {**ANYWHERE, "listeners": 1})
    id, address = await listening(tcp)
    with pytest.raises(CapabilityError, match=r"tcp\.listeners = 1 is used up.*`listeners = 2`"):
        await tcp.call("listen", "127.0.0.1:0")
    await tcp.call("close-listener", id)
    await tcp.call("listen", address)


async def test_an_address_in_use_is_an_error(start_harness: Any) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    _, address = await listening(tcp)
    with pytest.raises(CapabilityError, match="cannot be listened on: address already in use"):
        await tcp.call("listen", address)


@pytest.mark.parametrize("function", ["connect", "listen"])
async def test_nothing_is_reached_without_a_grant_and_the_error_names_the_line(
    start_harness: Any, function: str
) -> None:
    tcp = await start_harness(Tcp, {function: ["127.0.0.1:1-79", "10.0.0.0/8:80"]})
    with pytest.raises(
        CapabilityError,
        match=rf'the grant tcp\.{function} does not hold 127\.0\.0\.1:80\. Fix: add "127\.0\.0\.1:80" to `{function}`',
    ):
        await tcp.call(function, "127.0.0.1:80")
    nothing = await start_harness(Tcp, {})
    with pytest.raises(CapabilityError, match="does not hold"):
        await nothing.call(function, "127.0.0.1:80")


async def test_a_name_must_be_granted_and_leads_to_no_private_address(start_harness: Any, serve: Any) -> None:
    address = await serve(echo)
    port = address.rpartition(":")[2]
    tcp = await start_harness(Tcp, {"connect": ["127.0.0.1:*"]})
    with pytest.raises(CapabilityError, match=f"tcp.connect does not hold localhost:{port}"):
        await tcp.call("connect", f"localhost:{port}")
    tcp = await start_harness(Tcp, {"connect": ["localhost:*", "*:*"]})
    with pytest.raises(CapabilityError, match=r"localhost leads to .*, which is not public and not granted itself"):
        await tcp.call("connect", f"localhost:{port}")
    tcp = await start_harness(Tcp, {"connect": ["localhost:*", "127.0.0.0/8:*"]})
    id = await tcp.call("connect", f"LOCALHOST.:{port}")
    assert await tcp.call("peer-address", id) == address


@pytest.mark.parametrize(
    "answers", [["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00::1"], ["2002:7f00:1::"], ["192.168.1.1", "0.0.0.0"]]
)
async def test_a_name_that_resolves_to_private_addresses_is_refused(
    start_harness: Any, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    async def resolve(host: str, port: int, owner: str) -> list[str]:
        return answers

    monkeypatch.setattr("theater_bus_tcp.endpoint.resolve", resolve)
    tcp = await start_harness(Tcp, {"connect": ["*.example.com:443"]})
    with pytest.raises(CapabilityError, match="is not public and not granted itself"):
        await tcp.call("connect", "rebound.example.com:443")


async def test_the_connection_goes_to_the_address_that_was_judged(
    start_harness: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers otherwise the second time is asked once only."""
    asked: list[str] = []

    async def resolve(host: str, port: int, owner: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    monkeypatch.setattr("theater_bus_tcp.endpoint.resolve", resolve)
    address = await serve(echo)
    tcp = await start_harness(Tcp, {"connect": ["a.example.com:*", "127.0.0.1:*"]})
    id = await tcp.call("connect", f"a.example.com:{address.rpartition(':')[2]}")
    assert await tcp.call("peer-address", id) == address
    assert asked == ["a.example.com"]


@pytest.mark.parametrize(
    "address",
    [
        *["", ":", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣"],
        *["127.1:80", "0x7f.1:80", "2130706433:80", "::1:80", "[::1:80", "[localhost]:80", "[fe80::1%lo]:80"],
        *["*:80", "*.example.com:80", "10.0.0.0/8:80", "a b:80", "a\0b:80", "a\nb:80", "../../etc/passwd:80", "-a:80"],
        *["http://127.0.0.1:80", "tls://tls://127.0.0.1:80", "TLS://127.0.0.1:80", "user@127.0.0.1:80", "x" * 100_000],
        "127.0.0.1:80:80",
    ],
)
async def test_what_is_no_address_is_refused_in_words(start_harness: Any, address: str) -> None:
    tcp = await start_harness(Tcp, {"connect": "unlimited", "listen": "unlimited"})
    for function in ("connect", "listen"):
        with pytest.raises(CapabilityError, match=r"is no address\. Fix: write HOST:PORT") as caught:
            await tcp.call(function, address)
        assert len(str(caught.value)) < 300


async def test_a_port_of_nothing_and_a_name_to_listen_on_are_refused(start_harness: Any) -> None:
    tcp = await start_harness(Tcp, {"connect": "unlimited", "listen": "unlimited"})
    with pytest.raises(CapabilityError, match="port 0 is no port to connect to"):
        await tcp.call("connect", "127.0.0.1:0")
    with pytest.raises(CapabilityError, match=r"is no place to listen\. Fix: write an address"):
        await tcp.call("listen", "localhost:0")
    _, address = await listening(tcp)
    id = await tcp.call("connect", address)
    with pytest.raises(CapabilityError, match="0 bytes cannot be told from the end"):
        await tcp.call("receive", id, 0)


async def test_who_does_not_answer_is_named(start_harness: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        tcp = await start_harness(Tcp, ANYWHERE)
        with pytest.raises(CapabilityError, match=f"127.0.0.1:{port} cannot be reached: connection refused"):
            await tcp.call("connect", f"127.0.0.1:{port}")
        assert tcp.instance._holding.used == 0


async def test_a_connect_that_hangs_ends_in_its_time(start_harness: Any) -> None:
    """A listener whose queue is full answers no further connection."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        tcp = await start_harness(Tcp, {**ANYWHERE, "connect_ms": 50})
        with pytest.raises(CapabilityError, match="cannot be reached: it took too long"):
            await tcp.call("connect", f"127.0.0.1:{full.getsockname()[1]}")
        slow = await start_harness(Tcp, ANYWHERE)
        with pytest.raises(TimeoutError):
            await slow.call("connect", f"127.0.0.1:{full.getsockname()[1]}", timeout_s=0.05)
        assert slow.instance._holding.used == 0


@pytest.mark.parametrize(
    "settings",
    [
        *[{"connections": -1}, {"backlog": 0}, {"chunk_bytes": 0}, {"waiting": 0}, {"speed": 1}],
        *[{"connect": ["127.0.0.1"]}, {"connect": "everything"}, {"listen": ["a b:1"]}, {"client_tls": "yes please"}],
    ],
)
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="tcp"):
        await start_harness(Tcp, settings)


@pytest.mark.parametrize("id", ["", "1", "../../etc/passwd", "a\0b", "x" * 100_000])
async def test_an_id_that_the_actor_does_not_have_is_refused(start_harness: Any, id: str) -> None:
    tcp = await start_harness(Tcp, ANYWHERE)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        *[(name, ()) for name in ("activate", "close", "peer-address", "local-address", "upgrade-to-tls-server")],
        *[("set-active", ("active",)), ("send", (b"x",)), ("receive", (1,)), ("upgrade-to-tls-client", ("a",))],
        *[("transfer", ("b",)), ("transfer-async", ("b",))],
    ]
    for function, more in calls:
        with pytest.raises(CapabilityError, match="has no connection") as caught:
            await tcp.call(function, id, *more)
        assert len(str(caught.value)) < 200
    for function in ("accept", "close-listener"):
        with pytest.raises(CapabilityError, match="has no listener"):
            await tcp.call(function, id)


async def test_an_actor_cannot_touch_the_connections_of_another(start_harness: Any, serve: Any) -> None:
    one = await start_harness(Tcp, ANYWHERE, actor="one")
    other = await start_harness(Tcp, ANYWHERE, actor="other")
    id = await one.call("connect", await serve(echo))
    with pytest.raises(CapabilityError, match="has no connection"):
        await other.call("send", id, b"x")
    with pytest.raises(CapabilityError, match="has no connection"):
        await other.call("close", id)
    await other.instance.stop()
    await one.call("send", id, b"still here")
    assert await received(one, id, 10) == b"still here"


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
