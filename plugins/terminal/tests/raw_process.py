"""A process that turns raw mode on, says so on a descriptor, and ends in the way that its argument names.

    python raw_process.py exception|exit|wait|thread|host LOOP SERVER DESCRIPTOR

`wait` waits for the signal that ends it; `host` is a whole host with an actor, which waits for the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

from theater_bus_terminal.console import CONSOLE


def ready() -> None:
    os.write(int(sys.argv[4]), b"raw")


async def use(how: str) -> None:
    CONSOLE.take(CONSOLE, "nobody", lambda _: None)
    CONSOLE.make_raw()
    ready()
    if how == "exception":
        raise RuntimeError("on purpose")
    if how == "exit":
        sys.exit(3)
    await asyncio.Event().wait()


async def host(url: str) -> None:
    from theater_bus.testing import guest, running_host

    server: Any = SimpleNamespace(url=url)
    screen = await asyncio.to_thread(guest, "screen", Path(__file__).parent / "guests")
    async with running_host(installed=["terminal"], server=server, namespace=f"raw-{os.getpid()}") as one:
        actor = await one.spawn(screen)
        await actor.call_function("raw", [True])
        await actor.call_function("listen")
        ready()
        await asyncio.Event().wait()


def thread() -> None:
    CONSOLE.take(CONSOLE, "nobody", lambda _: None)
    CONSOLE.make_raw()


def main(how: str, loop: str, url: str) -> None:
    if how == "thread":
        one = threading.Thread(target=thread)
        one.start()
        one.join()
        ready()
        return
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(host(url) if how == "host" else use(how))


main(*sys.argv[1:4])
