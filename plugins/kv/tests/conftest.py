"""A host with `kv` and an actor whose handler is a Python function of the test, behind a real guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from uuid import uuid4

import nats
import pytest

from theater_bus.capability import Capability
from theater_bus.testing import relay_guest
from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server
from theater_bus_kv import Kv

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]

HANDLERS = """
record entry { bucket: string, key: string, value: option<list<u8>>, revision: u64 }

interface kv-client {
    @package: string = "theater:bus"
    exports {
        handle-entry: func(state: u64, watch: string, entry: entry) -> result<tuple<u64>, string>
    }
}
"""


class Handlers(Capability):
    """The actor's own code: counts changes in its state, and hands them to the test."""

    name = "handlers"
    pact = HANDLERS
    got: ClassVar[asyncio.Queue[tuple[str, str, bytes | None]]]

    def handle_entry(self, state: int, watch: str, entry: dict[str, Any]) -> list[int]:
        self.got.put_nowait((watch, entry["key"], entry["value"]))
        return [state + 1]


@pytest.fixture
async def handlers() -> type[Handlers]:
    """A class of its own for every test; `got` has what arrived."""
    return type("TestHandlers", (Handlers,), {"got": asyncio.Queue()})


@pytest.fixture
async def client(theater_server: Any) -> AsyncIterator[Any]:
    """A plain NATS client."""
    connection = await nats.connect(theater_server.url)
    yield connection
    await connection.close()


@pytest.fixture
async def bucket(client: Any) -> Any:
    """A bucket of its own for every test."""
    return await client.jetstream().create_key_value(bucket=f"b{uuid4().hex}")


@pytest.fixture
def spawn(start_host: Any, handlers: type[Handlers]) -> Callable[..., Awaitable[Any]]:
    """`host, actor = await spawn(buckets=["a"])`: an actor with these grants, on `host` if one is given."""

    async def start(
        *, host: Any = None, chain: str = "memory", mailbox: dict[str, int] | None = None, **settings: Any
    ) -> Any:
        if host is None:
            host = await start_host(Kv, handlers)
        package = await asyncio.to_thread(relay_guest, Kv, handlers=handlers)
        capabilities = {"kv": settings, "handlers": {}}
        tables = {"capabilities": capabilities, "chain": {"durability": chain}, "mailbox": mailbox or {}}
        actor = await host.spawn(package, id="a", state=0, **tables)
        return host, actor

    return start
