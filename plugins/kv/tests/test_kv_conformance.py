"""What is asked of every capability, of `kv`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.js.errors import BadRequestError

from theater_bus.capability import Capability
from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_kv import Kv


class Handlers(Capability):
    """An actor that takes what changes."""

    name = "handlers"
    pact = """
record entry { bucket: string, key: string, value: option<list<u8>>, revision: u64 }

interface kv-client {
    @package: string = "theater:bus"
    exports {
        handle-entry: func(state: u64, watch: string, entry: entry) -> result<tuple<u64>, string>
    }
}
"""

    def handle_entry(self, state: int, watch: str, entry: dict[str, object]) -> tuple[int]:
        return (state + 1,)


@asynccontextmanager
async def bucket(host: RunningHost) -> AsyncIterator[None]:
    client = await nats.connect(host.url)
    try:
        await client.jetstream().create_key_value(bucket="drawer")
    except BadRequestError:
        pass  # it is there since the host ran first
    yield
    await client.close()


test_conformance = conformance(
    Kv,
    settings={"buckets": ["drawer"], "write": [">"]},
    examples=[
        Example("put", "drawer", "key", b"value"),
        Example("get", "drawer", "key"),
        Example("create", "drawer", "new", b"value"),
        Example("update", "drawer", "new", b"value", 1),
        Example("keys", "drawer", ""),
        Example("delete", "drawer", "new", None),
        Example("watch", "all", "drawer", ">"),
        Example("watch", "some", "drawer", "a.*"),
        Example("unwatch", "some"),
    ],
    refused=[
        Example("get", "drawer", "key"),
        Example("put", "drawer", "key", b"value", settings={"buckets": ["drawer"]}),
    ],
    read_elsewhere=["buckets"],
    handlers=Handlers,
    spawn={"state": 0},
    prepare=bucket,
)
