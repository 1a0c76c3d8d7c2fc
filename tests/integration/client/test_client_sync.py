"""The blocking client: the same answers, from scripts, threads and running loops, and never a hang at the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
import pytest_asyncio

from theater_bus import SyncTheater, connect_sync
from theater_bus.errors import ChannelClosed, ConfigurationError, ConnectionLost, GuestError
from theater_bus.testing.guests import guest

COUNTER = guest("counter")


class Counter(Protocol):
    def increment(self, by: int) -> int: ...

    def get(self) -> int: ...


@pytest_asyncio.fixture
async def in_thread(host: object) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """`await in_thread(function)`: run it in another thread, while the host goes on here."""
    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()

        async def run(function: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.wait_for(loop.run_in_executor(pool, function, *args), 30)

        yield run


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "theater-bus client"]


async def test_everything_works_without_await(
    in_thread: Callable[..., Awaitable[Any]], nats_url: str, namespace: str
) -> None:
    def script() -> None:
        with connect_sync(nats_url, namespace=namespace) as theater:
            assert theater.connected
            assert theater.namespace == namespace
            counter = theater.spawn(COUNTER.manifest_text, package=COUNTER.wasm, id="c", state=1)
            assert counter.id == "c"
            assert counter.call_function("increment", [1]) == 2
            assert counter.call.increment(by=1) == 3
            assert counter.call(timeout=5).get() == counter.call["get"]() == 3
            bound = counter.bind(Counter)
            assert bound.increment(2) == 5
            assert bound.get() == 5
            counter.send("increment", [1])
            assert bound.get() == 6  # behind it on the same connection; the state is asked over another one
            assert counter.get_state() == 6
            with pytest.raises(GuestError):
                counter.call.decrement(100)
            assert counter.get_status().phase == "running"
            assert counter.get_metrics().operation_metrics.total_operations == 10
            assert counter.inspect.exports().functions[0].name == "decrement"
            assert len(counter.get_export_hashes()) == 2
            assert [host.id for host in theater.hosts()] == ["host-a"]
            assert [actor.id for actor in theater.actors()] == ["c"]
            where = theater.where("c")
            assert where is not None
            assert counter.pause() == "paused"
            assert counter.resume() == "running"
            assert counter.cancel("no-such-key") == "none"
            assert next(iter(counter.get_chain())).type == "genesis"
            assert len(counter.get_chain(3).all()) > 1
            assert counter.shutdown() == "stopped"

    await in_thread(script)
    assert threads() == []


async def test_events_are_followed_with_a_plain_loop(
    in_thread: Callable[..., Awaitable[Any]], nats_url: str, namespace: str
) -> None:
    def script() -> list[str]:
        with connect_sync(nats_url, namespace=namespace) as theater:
            counter = theater.spawn(COUNTER.manifest_text, package=COUNTER.wasm)
            following = counter.get_chain().follow()
            first = [next(following).type for _ in range(3)]
            counter.call.increment(1)
            more = [next(following).type for _ in range(2)]
            following.close()  # type: ignore[attr-defined]
            watching: Iterator[Any] = theater.watch(counter.id)
            watching.close()  # type: ignore[attr-defined]
            counter.terminate()
            return first + more

    assert await in_thread(script) == ["genesis", "call", "result", "call", "result"]


async def test_it_works_in_the_thread_of_a_running_loop(start_server: Callable[..., Awaitable[Any]]) -> None:
    server = await start_server(jetstream=False)
    with connect_sync(server.url) as theater:
        assert theater.hosts() == []
        assert theater.where("nobody") is None


async def test_many_threads_share_one_client(
    in_thread: Callable[..., Awaitable[Any]], nats_url: str, namespace: str
) -> None:
    with_theater: list[SyncTheater] = [await in_thread(lambda: connect_sync(nats_url, namespace=namespace))]
    theater = with_theater[0]
    counter = await in_thread(lambda: theater.spawn(COUNTER.manifest_text, package=COUNTER.wasm))
    await asyncio.gather(*(in_thread(lambda: [counter.call.increment(1) for _ in range(20)]) for _ in range(4)))
    assert await in_thread(counter.get_state) == 80
    await in_thread(theater.close)


async def test_a_closed_client_says_so(in_thread: Callable[..., Awaitable[Any]], nats_url: str) -> None:
    def script() -> None:
        theater = connect_sync(nats_url)
        actor = theater.actor("a")
        following = actor.get_chain().follow()
        theater.close()
        theater.close()
        for ask in (actor.get_state, theater.hosts, lambda: next(following)):
            with pytest.raises(ChannelClosed):
                ask()

    await in_thread(script)
    assert threads() == []


async def test_no_server_is_an_error_and_no_thread_stays(in_thread: Callable[..., Awaitable[Any]]) -> None:
    def script() -> None:
        with pytest.raises(ConnectionLost):
            connect_sync("nats://127.0.0.1:1")
        with pytest.raises(ConfigurationError):
            connect_sync(["nats://127.0.0.1:1", ""])

    await in_thread(script)
    assert threads() == []


FORGETFUL = """
import sys
from theater_bus import connect_sync
theater = connect_sync(sys.argv[1])
kept = iter(theater.actor("a").get_chain())
try:
    next(kept)
except Exception as error:
    print(type(error).__name__)
print("connected", flush=True)
"""


async def test_a_script_that_forgets_to_close_ends_all_the_same(start_server: Callable[..., Awaitable[Any]]) -> None:
    server = await start_server(jetstream=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", FORGETFUL, server.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, out.strip(), err.strip()) == (0, b"ActorNotFound\nconnected", b"")
