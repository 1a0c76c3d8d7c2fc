"""What tcp refuses: beyond its limits and grants, for what is no address, and for what is another actor's."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import SpawnRefused
from theater_bus_tcp import Tcp

from .conftest import ANYWHERE, echo, listening, received, silent


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
