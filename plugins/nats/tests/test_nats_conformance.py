"""What is asked of every capability, of `nats`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats

from theater_bus.capability import Capability
from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_nats import Nats


class Handlers(Capability):
    """An actor that takes what arrives."""

    name = "handlers"
    pact = """
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

    def handle_message(self, state: int, message: dict[str, Any]) -> tuple[int]:
        return (state + 1,)


@asynccontextmanager
async def peer(host: RunningHost) -> AsyncIterator[None]:
    """Somebody who answers `echo`, keeps silent at `silence`, and a stream of what is said to `orders.>`."""
    client = await nats.connect(host.url)
    await client.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])

    async def echo(message: Any) -> None:
        await message.respond(message.data)

    async def silence(message: Any) -> None:
        return None

    await client.subscribe("echo", cb=echo)
    await client.subscribe("silence", cb=silence)
    await client.flush()
    yield
    await client.close()


test_conformance = conformance(
    Nats,
    settings={
        "publish": ["echo", "silence", "orders.>", "news"],
        "subscribe": ["news"],
        "consumers": ["ORDERS/*"],
    },
    examples=[
        Example("publish", "news", None, [["a", "b"]], b"data"),
        Example("request", "echo", [], b"data", 5_000),
        Example("subscribe", "n", "news", None),
        Example("consume", "o", "ORDERS", "conformance", None),
        Example("publish-to-stream", "orders.new", [], b"data"),
        Example("list-subscriptions"),
        Example("unsubscribe", "o"),
    ],
    refused=[
        Example("publish", "news", None, [], b""),
        Example("request", "echo", [], b"", 1_000),
        Example("subscribe", "n", "news", None),
        Example("consume", "o", "ORDERS", "conformance", None),
        Example("publish-to-stream", "orders.new", [], b""),
    ],
    waiting=Example("request", "silence", [], b"", 30_000),
    read_elsewhere=["publish", "subscribe", "consumers"],
    handlers=Handlers,
    spawn={"state": 0},
    prepare=peer,
)
