"""The object store keeps content under its SHA-256: put twice, read back verified, refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from theater_bus.bus import Connection, EmbeddedServer
from theater_bus.bus import bucket as bucket_module
from theater_bus.bus.objects import ObjectStore
from theater_bus.errors import TooLarge, Unavailable

Connect = Callable[..., Awaitable[Connection]]
StartServer = Callable[..., Awaitable[EmbeddedServer]]


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def bucket() -> str:
    return f"theater_{uuid4().hex}_objects"


async def test_content_comes_back_whole_and_is_named_after_its_digest(connect: Connect, bucket: str) -> None:
    store = ObjectStore(await connect(), bucket)
    for data in (b"", b"x", bytes(range(256)) * 4_000):
        stored = await store.put(data)
        assert (stored.name, stored.digest, stored.size_bytes) == (
            f"sha256-{digest(data).hex()}",
            digest(data),
            len(data),
        )
        assert await store.put(data) == stored
        assert await store.exists(stored.digest)
        assert await store.get(stored.digest) == data


async def test_what_nobody_put_is_not_there_before_and_after_there_is_a_bucket(connect: Connect, bucket: str) -> None:
    store = ObjectStore(await connect(), bucket)
    missing = digest(b"missing")
    for _ in range(2):
        assert await store.get(missing) is None
        assert not await store.exists(missing)
        await store.delete("sha256-gone")
        await store.put(b"now there is a bucket")


async def test_two_that_make_the_bucket_at_once_both_store(connect: Connect, bucket: str) -> None:
    first, second = ObjectStore(await connect(), bucket), ObjectStore(await connect(), bucket)
    await first.put(b"one")
    await second.put(b"two")
    assert await first.get(digest(b"two")) == b"two"


async def test_content_that_is_put_again_while_it_is_read_is_there(
    connect: Connect, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that spawn from one new package both put it; the second's chunks take the place of the first's."""
    store = ObjectStore(await connect(), bucket)
    stored = await store.put(b"the same")
    look = bucket_module._info
    seen: list[str] = []

    async def slow(found: Any, name: str) -> Any:
        info = await look(found, name)
        if not seen:
            seen.append(name)
            await store._bucket.put(stored.name, b"the same")
        return info

    monkeypatch.setattr(bucket_module, "_info", slow)
    assert await store.get(stored.digest) == b"the same"
    await store.delete(stored.name)
    assert await store.get(stored.digest) is None


async def test_deleted_content_is_gone_and_can_be_put_again(connect: Connect, bucket: str) -> None:
    store = ObjectStore(await connect(), bucket)
    stored = await store.put(b"again")
    await store.delete(stored.name)
    assert await store.get(stored.digest) is None
    await store.put(b"again")
    assert await store.get(stored.digest) == b"again"


async def test_other_bytes_under_a_digest_are_refused(connect: Connect, bucket: str) -> None:
    store = ObjectStore(await connect(), bucket)
    wanted = digest(b"the right bytes")
    await store.put(b"the wrong bytes", f"sha256-{wanted.hex()}")
    with pytest.raises(Unavailable, match="holds other bytes"):
        await store.get(wanted)


async def test_a_bound_is_kept_before_anything_is_transferred(connect: Connect, bucket: str) -> None:
    store = ObjectStore(await connect(), bucket)
    stored = await store.put(b"x" * 1000)
    with pytest.raises(TooLarge) as caught:
        await store.get(stored.digest, max_bytes=999)
    assert (caught.value.details["size_bytes"], caught.value.details["limit_bytes"]) == (1000, 999)


async def test_chunks_fit_a_server_with_a_small_max_payload(
    start_server: StartServer, connect: Connect, bucket: str
) -> None:
    server = await start_server(config="max_payload: 16384")
    store = ObjectStore(await connect(server.url), bucket)
    data = bytes(range(256)) * 1_000
    assert await store.get((await store.put(data)).digest) == data


async def test_without_jetstream_the_error_says_how_to_get_it(
    start_server: StartServer, connect: Connect, bucket: str
) -> None:
    server = await start_server(jetstream=False)
    store = ObjectStore(await connect(server.url), bucket)
    assert not store.available
    with pytest.raises(Unavailable, match=r"no JetStream.*Fix: start nats-server with JetStream") as caught:
        await store.put(b"x")
    assert caught.value.ran == "never"
    with pytest.raises(Unavailable):
        await store.exists(digest(b"x"))


async def test_a_store_without_space_is_unavailable(start_server: StartServer, connect: Connect, bucket: str) -> None:
    server = await start_server(config="max_payload: 1048576")
    connection = await connect(server.url)
    store = ObjectStore(connection, bucket)
    stream = connection._client.jetstream()
    await stream.create_object_store(bucket, max_bytes=10_000)
    with pytest.raises(Unavailable, match="nothing could be stored in the object store"):
        await store.put(b"x" * 100_000)
    assert await store.get((await store.put(b"small")).digest) == b"small"
