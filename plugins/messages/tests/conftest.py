"""Two actors that do what they are told, on one host or on two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from theater_bus.testing import guest
from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["GUEST", "NAMES", "capability_of", "do", "start_harness", "start_host", "theater_server", "told"]

GUEST = guest("mailer", Path(__file__).parent / "guests")
NAMES = count(1)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`await eventually(holds)`: wait until `holds()` is true; fails when it does not become so."""

    async def wait(holds: Callable[[], Any], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110  what it waits for belongs to others
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture(params=[1, 2], ids=["one-host", "two-hosts"])
async def pair(start_host: Any, request: Any) -> Any:
    """Two actors, `a` and `b`: on the same host, or each on its own."""
    namespace = f"messages-{next(NAMES)}"
    options = {"installed": ["messages"], "namespace": namespace}
    hosts = [await start_host(host_id=f"host-{number}", **options) for number in range(request.param)]
    a = await hosts[0].spawn(GUEST, id="a")
    b = await hosts[-1].spawn(GUEST, id="b")
    return a, b


async def do(actor: Any, command: str, function: str = "do") -> Any:
    return await actor.call_function(function, [command])


async def told(actor: Any, what: str) -> str:
    """The actor's log, once it holds `what`."""
    async with asyncio.timeout(20):
        while what not in (log := await actor.call_function("log")):
            continue
    return str(log)


def capability_of(host: Any, id: str) -> Any:
    return host.host.actors[id].capabilities["messages"]
