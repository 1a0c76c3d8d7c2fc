"""The server dies and comes back while actors are called: keyed calls succeed exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest_asyncio

from theater_bus.bus import EmbeddedServer
from theater_bus.errors import ActorError, ActorNotFound, ChannelClosed, OutcomeUnknown

from .conftest import Stage, eventually


@pytest_asyncio.fixture
async def restartable(packages: Mapping[str, bytes]) -> AsyncIterator[tuple[EmbeddedServer, Stage]]:
    """A server of the test's own, and a stage on it."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedServer())
        stage = Stage(server.url, stack, packages)
        await stage.open()
        yield server, stage


async def test_keyed_calls_succeed_exactly_once_over_a_restart_of_the_server(
    restartable: tuple[EmbeddedServer, Stage],
) -> None:
    server, stage = restartable
    await stage.spawn(await stage.host(), "a", guest_name="counter")
    answers: list[int] = []
    warm = asyncio.Event()

    async def work() -> None:
        for _ in range(40):
            answers.append(await stage.handle("a").call_function("increment", [1], timeout=20, keyed=True))
            if len(answers) > 100:
                warm.set()

    workers = [asyncio.ensure_future(work()) for _ in range(8)]
    await asyncio.wait_for(warm.wait(), 20)
    await asyncio.to_thread(server.kill)
    await server.restart()
    await asyncio.wait_for(asyncio.gather(*workers), 30)
    assert sorted(answers) == list(range(1, 321))
    assert await stage.handle("a").get_state() == 320


async def test_unkeyed_calls_succeed_or_say_that_they_do_not_know(restartable: tuple[EmbeddedServer, Stage]) -> None:
    server, stage = restartable
    await stage.spawn(await stage.host(), "a")
    waiting = stage.start(stage.handle("a").call_function("add-held", [1], timeout=10, keyed=False))
    await stage.gates.arrival("held")
    await asyncio.to_thread(server.kill)
    error = await stage.error(waiting)
    assert isinstance(error, OutcomeUnknown)
    assert error.ran == "unknown"
    refused = await stage.error(stage.handle("a").call_function("add", [1], timeout=2, keyed=False))
    assert isinstance(refused, ChannelClosed)
    assert refused.ran == "never"
    await server.restart()


async def test_a_host_answers_on_every_lane_after_a_restart_of_the_server(
    restartable: tuple[EmbeddedServer, Stage],
) -> None:
    server, stage = restartable
    host = await stage.host()
    await stage.spawn(host, "a")
    held = stage.start(stage.handle("a").call_function("add-held", [1], timeout=20, key="k"))
    gate = await stage.gates.arrival("held")
    await asyncio.to_thread(server.kill)
    await eventually(lambda: not host.bus.operations.connected)
    gate.set_result("")
    await eventually(lambda: host.actors["a"].current is None)
    await server.restart()
    assert await held == 1
    await eventually(lambda: host.bus.operations.connected and host.bus.services.connected)
    assert await stage.handle("a").call_function("add", [1], timeout=10) == 2
    assert (await stage.handle("a").get_status()).phase == "running"
    assert await stage.handle("a").pause() == "paused"
    assert (await stage.theater.host_info(host.id)).id == host.id
    await stage.spawn(host, "b")
    assert await _until_answered(stage) == 1


async def _until_answered(stage: Stage) -> int:
    async with asyncio.timeout(10):
        while True:
            try:
                return int(await stage.handle("b").call_function("add", [1], timeout=5, key="one"))
            except ActorNotFound:
                continue
            except ActorError as error:
                assert error.ran != "committed"  # noqa: PT017  it is tried again
