"""A host with `nats` and an actor whose handler is a Python function of the test, behind a real guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import nats
import pytest

from theater_bus.capability import Capability, CapabilityError
from theater_bus.testing import relay_guest
from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server
from theater_bus_nats import Nats

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]

HANDLERS = """
record message {
    id: string, subscription: string, subject: string, headers: list<tuple<string, string>>, data: list<u8>,
    wants-reply: bool,
}

interface nats-client {
    @package: string = "theater:bus"
    exports {
        handle-message: func(state: u64, message: message) -> result<tuple<u64>, string>
    }
}
"""


class Handlers(Capability):
    """The actor's own code: counts messages in its state, and does what the test's `handle` does."""

    name = "handlers"
    pact = HANDLERS
    got: ClassVar[asyncio.Queue[dict[str, Any]]]
    handle: ClassVar[Any] = None

    async def handle_message(self, state: int, message: dict[str, Any]) -> list[int]:
        self.got.put_nowait(message)
        if type(self).handle is not None:
            try:
                await type(self).handle(message)
            except ValueError as error:
                raise CapabilityError(str(error)) from error
        return [state + 1]


@pytest.fixture
async def handlers() -> type[Handlers]:
    """A class of its own for every test; `got` has what arrived."""
    return type("TestHandlers", (Handlers,), {"got": asyncio.Queue(), "handle": None})


@pytest.fixture
async def client(theater_server: Any) -> AsyncIterator[Any]:
    """A plain NATS client."""
    connection = await nats.connect(theater_server.url)
    yield connection
    await connection.close()


SpawnActor = Callable[..., Awaitable[Any]]


@pytest.fixture
def spawn(start_host: Any, handlers: type[Handlers]) -> SpawnActor:
    """`host, actor = await spawn(publish=["a.>"])`: an actor with these grants, on `host` if one is given."""

    async def start(
        *,
        id: str = "a",
        host: Any = None,
        cls: type[Capability] = handlers,
        chain: str = "memory",
        limits: dict[str, int] | None = None,
        mailbox: dict[str, int] | None = None,
        **settings: Any,
    ) -> Any:
        if host is None:
            host = await start_host(Nats, cls)
        package = await asyncio.to_thread(relay_guest, Nats, handlers=cls)
        capabilities = {"nats": settings, "handlers": {}}
        tables = {
            "capabilities": capabilities,
            "chain": {"durability": chain},
            "limits": limits or {},
            "mailbox": mailbox or {},
        }
        actor = await host.spawn(package, id=id, state=0, **tables)
        return host, actor

    return start
