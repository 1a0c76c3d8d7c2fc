"""WASI as a program in Python meets it: with grants, without them, and in a replay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from theater_bus.errors import HandlerError
from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.conformance import LogCollector
from theater_bus.testing import running_host

from .conftest import MEMORY_BYTES, compiled_components, component

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@contextlib.asynccontextmanager
async def greeting() -> AsyncIterator[int]:
    """A server that answers every line; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`in/` to be read, `out/` to be written, and a file beside them."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "file").write_text("content")
    (tmp_path / "secret").write_text("not yours")
    return tmp_path


async def run(actor: Any, code: str) -> str:
    """What Python code in the guest comes to: the text of `out`, or of its exception."""
    answer = await actor.handle_wasi_http_request("POST", "http", "localhost", "/run", [], code.encode())
    return str(answer.body.decode())


def connecting(port: int) -> str:
    return f"s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'guest\\n'); out = s.recv(100)"


async def test_what_is_granted_is_there_and_every_answer_of_it_is_replayed(components: Any, place: Path) -> None:
    async with greeting() as port:
        granted = {
            "clocks": True,
            "random": True,
            "environment": ["MODE=strict"],
            "arguments": ["program", "--fast"],
            "stdio": True,
            "read": [str(place / "in")],
            "write": [str(place / "out")],
            "connect": [f"127.0.0.1:{port}"],
        }
        actor = await components.spawn("web-python", capabilities={"wasi": granted})
        for code, expected in {
            "out = time.time() > 1_700_000_000": "True",
            "before = time.monotonic(); time.sleep(0.01); out = time.monotonic() - before >= 0.01": "True",
            "out = len(os.urandom(32)), 0 <= random.SystemRandom().random() < 1": "(32, True)",
            "out = dict(os.environ)": "{'MODE': 'strict'}",
            "out = sys.argv": "['program', '--fast']",
            f"out = open('{place}/in/file').read()": "'content'",
            f"out = open('{place}/out/new', 'w').write('written')": "7",
            f"out = os.listdir('{place}/out')": "['new']",
            connecting(port): "b'hello guest\\n'",
            "out = sys.stdin.read()": "''",
        }.items():
            assert await run(actor, code) == expected, code
        assert await run(actor, "print('to the log'); sys.stdout.flush()") == "None"
    assert (place / "out" / "new").read_text() == "written"
    (place / "out" / "new").write_text("changed since")
    (place / "in" / "file").unlink()
    report = await components.running.replay(actor)
    assert report.is_identical, report


async def test_what_is_printed_are_lines_of_the_actor_s_log() -> None:
    wasm, limits = await asyncio.to_thread(component, "web-python"), {"memory_bytes": MEMORY_BYTES}
    telemetry = Telemetry(level="metrics", strict=True)
    with LogCollector() as logs:
        async with running_host(installed=["wasi"], telemetry=telemetry, cache_dir=compiled_components()) as host:
            actor = await host.spawn(wasm, id="prints", capabilities={"wasi": {"stdio": True}}, limits=limits)
            assert await run(actor, "print('one\\ntwo'); sys.stdout.flush()") == "None"
            assert await run(actor, "print('an error', file=sys.stderr)") == "None"
            assert await run(actor, "sys.stdout.write('no line end'); sys.stdout.flush()") == "None"
            await actor.shutdown()
    lines = [line for line in map(logging.LogRecord.getMessage, logs.records) if line.startswith("guest.log")]
    assert [line.partition("text=")[2].partition("'")[2].partition("'")[0] for line in lines] == [
        "one",
        "two",
        "an error",
        "no line end",
    ]
    assert all("actor='prints'" in line for line in lines)


async def test_what_is_not_granted_is_an_error_in_the_program(components: Any, place: Path) -> None:
    actor = await components.spawn("web-python", capabilities={})
    async with greeting() as port:
        for code, expected in {
            "out = dict(os.environ), sys.argv": "({}, [])",
            f"open('{place}/in/file')": "FileNotFoundError",
            f"os.listdir('{place}')": "FileNotFoundError",
            connecting(port): "PermissionError",
            "out = socket.getaddrinfo('localhost', 80)": "PermissionError",
            "socket.socket().bind(('127.0.0.1', 0))": "PermissionError",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)": "PermissionError",
            "print('unheard'); sys.stdout.flush()": "BrokenPipeError",
        }.items():
            assert (await run(actor, code)).startswith(expected), code
    for code, grant in {"os.urandom(8)": "random", "time.time()": "clocks", "time.sleep(1)": "clocks"}.items():
        with pytest.raises(HandlerError, match=f"Fix: write `{grant} = true` under .capabilities.wasi."):
            await run(actor, code)
    assert await run(actor, "out = 'goes on'") == "'goes on'"
    report = await components.running.replay(actor)
    assert report.is_identical, report


async def test_a_grant_of_one_place_is_none_of_another(components: Any, place: Path) -> None:
    async with greeting() as port, greeting() as other:
        granted = {"read": [str(place / "in")], "connect": [f"127.0.0.1:{port}"]}
        actor = await components.spawn("web-python", capabilities={"wasi": granted})
        assert await run(actor, connecting(port)) == "b'hello guest\\n'"
        for code, expected in {
            connecting(other): "PermissionError",
            f"open('{place}/in/file', 'w')": "OSError: [Errno 69] Read-only file system",
            f"open('{place}/in/../secret')": "PermissionError",
            f"open('{place}/secret')": "FileNotFoundError",
            f"os.unlink('{place}/in/file')": "OSError: [Errno 69] Read-only file system",
        }.items():
            assert (await run(actor, code)).startswith(expected), code
    assert (place / "in" / "file").read_text() == "content"
