"""Two actors that do what they are told, on one host or on two."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from theater_bus.testing import guest
from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server

__all__ = [
    "GUEST",
    "NAMES",
    "capability_of",
    "do",
    "eventually",
    "start_harness",
    "start_host",
    "theater_server",
    "told",
]

GUEST = guest("mailer", Path(__file__).parent / "guests")
NAMES = count(1)


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
