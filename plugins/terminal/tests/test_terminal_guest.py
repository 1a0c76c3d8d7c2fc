"""The terminal through a real guest on a real host, and given back whatever ends the actor, the host or the process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, Internal
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, guest
from theater_bus_terminal import Terminal

HERE = Path(__file__).parent
GUEST = guest("screen", HERE / "guests")
TYPE = compile_capability("terminal", Terminal)
PROVIDED = {interface.name: interface for interface in TYPE.interfaces}
OFTEN = {"action": "restart", "max_restarts": 100, "backoff_ms": 0}


async def logged(actor: Any, words: str) -> str:
    """Wait until the actor's log has these words; each question is an operation of its own."""
    async with asyncio.timeout(30):
        log = ""
        while words not in log:
            log = await actor.call_function("log")
    return log


def test_the_guest_imports_what_the_plugin_offers() -> None:
    for one in GUEST.pact.imports:
        if one.declared is not None:
            assert interface_hash(one.declared) == TYPE.hashes()[one.interface]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "screen.c", PROVIDED) == GUEST.wasm


async def test_an_actor_reads_and_writes(start_host: Any, screen: Any, eventually: Any) -> None:
    host = await start_host(installed=["terminal"])
    actor = await host.spawn(GUEST)
    await actor.call_function("plan", ["echo"])
    await actor.call_function("out", [b"> "])
    await actor.call_function("listen")
    screen.type(b"hello\n")
    await logged(actor, "input hello")
    assert await asyncio.to_thread(screen.shown, b"\r\nhello\r\n") == b"> hello\r\nhello\r\n"
    screen.resize(100, 30)
    os.kill(os.getpid(), signal.SIGWINCH)
    await logged(actor, "resize 100x30")


async def test_nobody_else_can_type(start_host: Any, screen: Any) -> None:
    host = await start_host(installed=["terminal"])
    actor = await host.spawn(GUEST)
    for function, params in (("input", [b"x"]), ("signal", ["interrupt"]), ("resize", [1, 1])):
        with pytest.raises(FunctionNotFound):
            await actor.call_function(f"theater:simple/terminal.handle-{function}", params)


@pytest.mark.parametrize("how", ["shutdown", "terminate", "failure", "host"])
async def test_the_end_of_its_actor_gives_the_terminal_back(
    start_host: Any, screen: Any, how: str, eventually: Any
) -> None:
    host = await start_host(installed=["terminal"])
    actor = await host.spawn(GUEST, id="a", on_failure={"action": "stop"})
    await actor.call_function("raw", [True])
    await actor.call_function("listen")
    assert screen.is_raw()
    running = host.host.actors["a"]
    if how == "failure":
        await actor.call_function("plan", ["trap"])
        screen.type(b"x")
    elif how == "host":
        await host.host.close()
    else:
        await getattr(actor, how)()
    await eventually(lambda: not screen.is_raw() and screen.console.owner is None)
    await host.host.stopped(running)


@pytest.mark.parametrize(("plan", "error"), [("", GuestError), ("trap", Internal)])
async def test_an_operation_that_fails_leaves_the_mode_as_it_was(
    start_host: Any, screen: Any, plan: str, error: Any, eventually: Any
) -> None:
    host = await start_host(installed=["terminal"])
    actor = await host.spawn(GUEST, on_failure=OFTEN)
    await actor.call_function("plan", [plan])
    with pytest.raises(error):
        await actor.call_function("raw-and-fail", [True])
    await eventually(lambda: not screen.is_raw() and screen.console.owner is None)
    await actor.call_function("raw", [True])
    with pytest.raises(error):
        await actor.call_function("raw-and-fail", [False])
    await eventually(screen.is_raw)


async def test_an_actor_that_fails_at_its_input_keeps_the_terminal(
    start_host: Any, screen: Any, eventually: Any
) -> None:
    host = await start_host(installed=["terminal"])
    actor = await host.spawn(GUEST, id="a", on_failure=OFTEN)
    await actor.call_function("listen")
    for plan in ("fail", "trap"):
        await actor.call_function("plan", [plan])
        screen.type(b"x\n")
        await eventually(lambda: (host.host.actors["a"].failure_note or "").startswith("terminal: handle-input failed"))
        host.host.actors["a"].failure_note = None
        await actor.call_function("plan", [""])
        screen.type(b"fine\n")
        await logged(actor, "input fine")


async def test_a_host_that_grants_less_names_the_grant(start_host: Any, screen: Any) -> None:
    host = await start_host(installed=["terminal"], grants={"terminal": {"raw": False}})
    actor = await host.spawn(GUEST)
    with pytest.raises(GuestError, match=r"the grant terminal\.raw is missing"):
        await actor.call_function("raw", [True])


ENDS: list[tuple[str, str, int | None, int]] = [
    ("exception", "asyncio", None, 1),
    ("exit", "asyncio", None, 3),
    ("thread", "asyncio", None, 0),
    ("wait", "uvloop", signal.SIGTERM, -signal.SIGTERM),
    ("wait", "asyncio", signal.SIGHUP, -signal.SIGHUP),
    ("wait", "asyncio", signal.SIGINT, -signal.SIGINT),
    ("host", "uvloop", signal.SIGTERM, -signal.SIGTERM),
]


@pytest.mark.parametrize(("how", "loop", "number", "status"), ENDS, ids=[f"{a}-{b}-{c}" for a, b, c, _ in ENDS])
async def test_the_end_of_the_process_gives_the_terminal_back(
    screen: Any, theater_server: Any, how: str, loop: str, number: int | None, status: int
) -> None:
    """On a pseudo-terminal that is the process's own, however the process ends."""
    read, write = os.pipe()

    def start() -> subprocess.Popen[bytes]:
        back = screen.back
        return subprocess.Popen(
            [sys.executable, str(HERE / "raw_process.py"), how, loop, theater_server.url, str(write)],
            stdin=back,
            stdout=back,
            stderr=subprocess.PIPE,
            pass_fds=[write],
            start_new_session=True,
        )

    process = await asyncio.to_thread(start)
    os.close(write)
    try:
        said = await asyncio.to_thread(os.read, read, 3)
        assert said == b"raw", (await asyncio.to_thread(process.communicate))[1]
        if number is not None:
            assert screen.is_raw()
            process.send_signal(number)
        _, errors = await asyncio.to_thread(process.communicate, None, 60)
    finally:
        os.close(read)
        process.kill()
    assert process.returncode == status, errors
    assert not screen.is_raw()
