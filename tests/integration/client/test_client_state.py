"""A state that no message holds comes through the object store, whole, and is not left there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio

from theater_bus import ActorHandle, Host, Theater
from theater_bus.core.wire.form import CONTENT_TYPE
from theater_bus.errors import OperationTimeout, TooLarge, Unavailable
from theater_bus.host.loan import Loans
from theater_bus.testing.guests import guest

from .conftest import one_kind

LARGE = "state " * 10_790


@pytest_asyncio.fixture
async def large(
    start_server: Callable[..., Awaitable[Any]],
    start_host: Callable[..., Awaitable[Host]],
    open_theater: Callable[..., Awaitable[Theater]],
    packages: Mapping[str, bytes],
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[ActorHandle, Host, Theater]]:
    """An actor whose state just fits the request that brought it, and no answer."""
    server = await start_server(jetstream=getattr(request, "param", True), config="max_payload: 65536")
    host = await start_host(server.url)
    digest = host.packages.hold(packages["echo"])
    theater = await open_theater(server.url)
    manifest = guest("echo").manifest_text.replace("echo.wasm", f"sha256:{digest.hex()}")
    yield await theater.spawn(manifest, state=LARGE), host, theater


async def test_a_large_state_is_fetched_without_the_caller_noticing(
    large: tuple[ActorHandle, Host, Theater],
) -> None:
    actor, _, theater = large
    assert await actor.get_state() == LARGE
    raw = await actor.get_state(raw=True)
    assert raw.startswith(b"CGRF")
    assert LARGE.encode() in raw
    connection, subjects = theater._session.connection, theater._session.subjects
    answer = await connection.request_one(
        subjects.info(actor.id, "state"), b"{}", timeout_s=5, headers={CONTENT_TYPE: "application/json"}
    )
    lent = json.loads(answer.data)
    assert lent["size"] == len(LARGE) + 2
    data = await theater._session.objects.get(bytes.fromhex(lent["digest"][7:]), lent["object"])
    assert data is not None
    assert json.loads(data) == LARGE


@one_kind
async def test_what_was_lent_is_taken_back(large: tuple[ActorHandle, Host, Theater]) -> None:
    _, host, theater = large
    objects = theater._session.objects
    loan = await Loans(host.objects, seconds=0.05).lend(b"for a while", "it", 10)
    async with asyncio.timeout(60):
        while await host.objects._bucket.size(loan.name) is not None:
            await asyncio.sleep(0.01)
    loan = await host.shared.loans.lend(b"until the end", "it", 10)
    assert await objects.get(loan.digest, loan.name) == b"until the end"
    await host.shared.loans.close()
    assert await objects.get(loan.digest, loan.name) is None


@pytest.mark.parametrize("large", [False], indirect=True)
async def test_without_an_object_store_a_large_state_is_too_large_and_says_what_to_do(
    large: tuple[ActorHandle, Host, Theater],
) -> None:
    actor, _, _ = large
    with pytest.raises(TooLarge, match="Fix: start nats-server with JetStream") as caught:
        await actor.get_state()
    assert caught.value.details["size_bytes"] > caught.value.details["limit_bytes"] - 1024


@one_kind
async def test_a_state_that_is_gone_each_time_is_unavailable(
    large: tuple[ActorHandle, Host, Theater], monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, _, theater = large

    async def nothing(*args: object) -> None:
        return None

    monkeypatch.setattr(type(theater._session.objects), "get", nothing)
    with pytest.raises(Unavailable, match="gone from the object store"):
        await actor.get_state()


@one_kind
async def test_the_timeout_covers_the_object_store_too(
    large: tuple[ActorHandle, Host, Theater], monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, _, theater = large

    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(type(theater._session.objects), "get", never)
    with pytest.raises(OperationTimeout, match="did not arrive"):
        await actor.get_state(timeout=0.5)
