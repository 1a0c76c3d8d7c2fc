"""tcp through real guests on a real host: echo, two actors with one another, handing over, failing, being killed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, OperationTimeout
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, guest, running_host
from theater_bus_tcp import Tcp
from theater_bus_tcp.certificate import HostSettings

HERE = Path(__file__).parent
GUEST = guest("peer", HERE / "guests")
PAGE = HERE.parents[2] / "docs" / "reference" / "capabilities" / "tcp.md"
TYPE = compile_capability("tcp", Tcp)
PROVIDED = {interface.name: interface for interface in TYPE.interfaces}
REACH = {"connect": ["127.0.0.1:*"], "listen": ["127.0.0.1:*"]}


def holding_of(host: Any, id: str) -> Any:
    return host.host.actors[id].capabilities["tcp"]._holding


async def logged(actor: Any, *words: str) -> str:
    """Wait until the actor's log has these words; gives the log. Each question is an operation of its own."""
    async with asyncio.timeout(30):
        log = ""
        while not all(word in log for word in words):
            log = await actor.call_function("log")
    return log


async def listening(actor: Any, plan: str = "hold", target: str = "") -> str:
    await actor.call_function("plan", [plan, target])
    listener = await actor.call_function("listen", ["127.0.0.1:0"])
    return str(await actor.call_function("local-address", [listener]))


def test_the_page_tells_what_an_actor_is_granted_from_what_the_operator_sets() -> None:
    page = PAGE.read_text("utf-8")
    for heading, model in (("## Settings", Tcp.Settings), ("## What the operator sets", HostSettings)):
        section = page.split(heading)[1].split("\n## ")[0]
        assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.M)) == set(model.model_fields)
    assert TYPE.calls == ("theater:simple/tcp-client",)
    assert {f.name for f in TYPE.functions.values() if f.effect == "external"} == {
        *("connect", "listen", "transfer", "transfer-async", "send", "close"),
        *("upgrade-to-tls-server", "upgrade-to-tls-client"),
    }


def test_the_guest_imports_what_the_plugin_offers() -> None:
    for one in GUEST.pact.imports:
        if one.declared is not None:
            assert interface_hash(one.declared) == TYPE.hashes()[one.interface]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "peer.c", PROVIDED) == GUEST.wasm


@pytest.mark.parametrize("plan", ["echo", "once"])
async def test_an_actor_serves_whoever_connects(start_host: Any, dial: Any, plan: str) -> None:
    host = await start_host(installed=["tcp"])
    actor = await host.spawn(GUEST)
    address = await listening(actor, plan)
    clients = [await dial(address) for _ in range(5)]
    for round in range(3):
        for number, (_, writer) in enumerate(clients):
            writer.write(b"%d of %d" % (number, round))
        for number, (reader, _) in enumerate(clients):
            assert await reader.readexactly(6) == b"%d of %d" % (number, round)
    for _, writer in clients:
        writer.write_eof()
    for reader, _ in clients:
        assert await reader.read() == b""
    log = await logged(actor, "close")
    assert log.count("connection ") == 5
    assert "refused" not in log


async def test_two_actors_of_one_host_talk_to_each_other(start_host: Any) -> None:
    """Both ends of a stream in one process, with a megabyte each way: neither waits for the other for ever."""
    host = await start_host(installed=["tcp"])
    server, client = await host.spawn(GUEST), await host.spawn(GUEST)
    address = await listening(server, "echo")
    id = await client.call_function("connect", [address])
    assert await client.call_function("peer-address", [id]) == address
    data, got = bytes(range(256)) * 4096, b""
    for at in range(0, len(data), 65_536):
        assert await client.call_function("send", [id, data[at : at + 65_536]]) == 65_536
        while len(got) < at + 65_536:
            got += await client.call_function("receive", [id, 65_536])
    assert got == data
    await client.call_function("close", [id])
    await logged(server, "close", "eof")


async def test_nobody_else_can_tell_an_actor_of_connections(start_host: Any) -> None:
    host = await start_host(installed=["tcp"])
    actor = await host.spawn(GUEST)
    for function, params in [
        ("handle-connection", ["x"]),
        ("handle-connection-transfer", ["x"]),
        ("on-data", ["x", b"y"]),
        ("on-close", ["x", "y"]),
    ]:
        with pytest.raises(FunctionNotFound):
            await actor.call_function(f"theater:simple/tcp-client.{function}", params)


async def test_one_acceptor_hands_connections_to_its_worker(start_host: Any, dial: Any) -> None:
    host = await start_host(installed=["tcp"])
    front = await host.spawn(GUEST)
    worker = await host.spawn(GUEST, id="worker", capabilities={"tcp": {**REACH, "transfers": True}})
    await worker.call_function("plan", ["echo", ""])
    address = await listening(front, "forward", "worker")
    for number in range(5):
        reader, writer = await dial(address)
        writer.write(b"%d" % number)
        assert await reader.readexactly(1) == b"%d" % number
    assert (await logged(front, "connection")).count("connection") == 5
    assert (await logged(worker, "data")).count("transfer") == 5
    id = await front.call_function("connect", [address])
    with pytest.raises(GuestError, match="no actor 'elsewhere'"):
        await front.call_function("transfer", [id, "elsewhere"])
    await front.call_function("transfer", [id, "worker"])
    await logged(worker, f"transfer {id}")
    with pytest.raises(GuestError, match="has no connection"):
        await front.call_function("send", [id, b"x"])


async def test_a_worker_that_refuses_or_traps_gives_the_connection_back(start_host: Any, dial: Any) -> None:
    host = await start_host(installed=["tcp"])
    front = await host.spawn(GUEST)
    worker = await host.spawn(
        GUEST,
        id="worker",
        capabilities={"tcp": {**REACH, "transfers": True}},
        on_failure={"action": "restart", "max_restarts": 10, "backoff_ms": 0},
    )
    address = await listening(front, "hold")
    id = await front.call_function("connect", [address])
    for plan, why in (("fail", "this event fails"), ("trap", "unreachable")):
        await worker.call_function("plan", [plan, ""])
        with pytest.raises(GuestError, match=f"did not take the connection, which is back: .*{why}"):
            await front.call_function("transfer", [id, "worker"])
    assert await front.call_function("send", [id, b"still mine"]) == 10


@pytest.mark.parametrize("plan", ["fail", "trap", "fail-data"])
async def test_an_actor_that_fails_at_a_connection_loses_it_and_keeps_the_others(
    start_host: Any, dial: Any, plan: str, eventually: Any
) -> None:
    host = await start_host(installed=["tcp"])
    options = {"on_failure": {"action": "restart", "max_restarts": 100, "backoff_ms": 0}}
    actor = await host.spawn(GUEST, id="server", **options)
    address = await listening(actor, "echo")
    good_reader, good_writer = await dial(address)
    await logged(actor, "connection")
    await actor.call_function("plan", [plan, ""])
    reader, writer = await dial(address)
    if plan == "fail-data":
        writer.write(b"hello")
    assert await reader.read() == b""
    await eventually(lambda: host.host.actors["server"].failure_note)
    assert host.host.actors["server"].failure_note.startswith("tcp: ")
    await actor.call_function("plan", ["echo", ""])
    good_writer.write(b"well")
    assert await good_reader.readexactly(4) == b"well"
    await eventually(lambda: holding_of(host, "server").used == 1)


async def test_what_a_failed_operation_opened_is_closed_with_it(start_host: Any, dial: Any, eventually: Any) -> None:
    host = await start_host(installed=["tcp"])
    actor = await host.spawn(GUEST, id="a")
    address = await listening(actor)
    with pytest.raises(GuestError, match="as I was told"):
        await actor.call_function("connect-and-fail", [address])
    holding = holding_of(host, "a")
    await eventually(lambda: len(holding.connections) == 1 and holding.used == 1)  # the server's end
    with pytest.raises(GuestError, match="as I was told"):
        await actor.call_function("listen-and-fail", ["127.0.0.1:0"])
    assert len(holding.listeners) == 1


async def test_a_receive_that_waits_ends_at_its_deadline_and_costs_nobody_anything(start_host: Any) -> None:
    host = await start_host(installed=["tcp"])
    server, client = await host.spawn(GUEST), await host.spawn(GUEST)
    id = await client.call_function("connect", [await listening(server)])
    waiting = asyncio.create_task(client.call_function("receive", [id, 10], timeout=0.3))
    assert await server.call_function("log") is not None
    with pytest.raises(OperationTimeout):
        await waiting
    await client.call_function("send", [id, b"x"])


async def test_an_actor_killed_in_the_middle_leaves_nothing_open(start_host: Any, dial: Any, eventually: Any) -> None:
    host = await start_host(installed=["tcp"])
    actor, other = await host.spawn(GUEST, id="victim"), await host.spawn(GUEST, id="other")
    address, elsewhere = await listening(actor, "echo"), await listening(other, "echo")
    readers = [await dial(address) for _ in range(5)]
    kept_reader, kept_writer = await dial(elsewhere)
    id = await actor.call_function("connect", [elsewhere])
    await logged(actor, "connection")
    running, holding = host.host.actors["victim"], holding_of(host, "victim")
    stuck = asyncio.create_task(actor.call_function("receive", [id, 10]))
    await eventually(lambda: running.current is not None)
    for _, writer in readers:
        writer.write(b"on its way")
    await actor.terminate()
    await host.host.stopped(running)
    with pytest.raises(Exception):  # noqa: B017  cancelled, or gone: the caller only has to be told
        await stuck
    for reader, _ in readers:
        assert await reader.read() == b""
    assert (holding.used, holding.connections, holding.listeners) == (0, {}, {})
    with pytest.raises(OSError):
        await dial(address)
    kept_writer.write(b"untouched")
    assert await kept_reader.readexactly(9) == b"untouched"


async def test_a_paused_actor_holds_up_its_peers_and_loses_nothing(start_host: Any, dial: Any, eventually: Any) -> None:
    host = await start_host(installed=["tcp"])
    actor = await host.spawn(GUEST, id="a", capabilities={"tcp": {**REACH, "chunk_bytes": 1000, "waiting": 3}})
    address = await listening(actor, "echo")
    clients = [await dial(address) for _ in range(8)]
    for reader, writer in clients:
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
    await actor.pause()
    for _, writer in clients:
        writer.write(bytes(100_000))
    running = host.host.actors["a"]
    await eventually(lambda: len(holding_of(host, "a").calls._late) == 5)
    assert running.mailbox.enqueues == 3
    assert running.mailbox.size_bytes < 3 * 1500
    await actor.resume()
    for reader, _ in clients:
        assert await reader.readexactly(100_000) == bytes(100_000)


async def test_a_listener_comes_back_with_its_actor(
    dial: Any, tmp_path: Path, theater_server: Any, eventually: Any
) -> None:
    options: dict[str, Any] = {"installed": ["tcp"], "data_dir": tmp_path, "namespace": "listeners-come-back"}
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST, id="a", chain={"durability": "file"})
        await actor.call_function("plan", ["echo", ""])
        address = await listening(actor, "echo")
        await actor.call_function("listen", ["127.0.0.1:0"])
        reader, writer = await dial(address)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    assert await reader.read() == b""
    async with running_host(server=theater_server, **options) as host:
        actor = host.theater.actor("a")
        listener = list(holding_of(host, "a").listeners)
        assert listener == ["listener-1", "listener-2"]
        reader, writer = await dial(await actor.call_function("local-address", [listener[1]]))
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"


async def test_a_host_that_grants_less_names_the_grant(start_host: Any) -> None:
    host = await start_host(installed=["tcp"], grants={"tcp": {"connect": ["127.0.0.1:1-100"], "listeners": 0}})
    actor = await host.spawn(GUEST)
    with pytest.raises(GuestError, match=r"the grant tcp\.connect does not hold 127\.0\.0\.1:101"):
        await actor.call_function("connect", ["127.0.0.1:101"])
    with pytest.raises(GuestError, match=r"tcp\.listeners = 0 is used up"):
        await actor.call_function("listen", ["127.0.0.1:0"])


async def test_tls_between_two_actors(start_host: Any, authority: Any) -> None:
    host = await start_host(installed=["tcp"], config=authority.config)
    server = await host.spawn(GUEST, capabilities={"tcp": {**REACH, "certificates": ["web"]}})
    client = await host.spawn(GUEST, capabilities={"tcp": {**REACH, "handshake_ms": 500}})
    await server.call_function("plan", ["echo", ""])
    listener = await server.call_function("listen", ["tls://127.0.0.1:0"])
    address = await server.call_function("local-address", [listener])
    id = await client.call_function("connect", [f"tls://{address}"])
    await client.call_function("send", [id, b"in secret"])
    assert await client.call_function("receive", [id, 100]) == b"in secret"
    await client.call_function("close", [id])
    await logged(server, "close", "eof")
    plain = await listening(server, "hold")
    id = await client.call_function("connect", [plain])
    await logged(server, "connection")
    with pytest.raises(GuestError, match="TLS failed, and the connection is closed"):
        await client.call_function("upgrade-to-tls-client", [id, "localhost"], timeout=20)
