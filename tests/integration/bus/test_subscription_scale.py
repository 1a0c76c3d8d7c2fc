"""Ten thousand subscriptions on one connection: quick to make, small, back after a restart, quick to close."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from time import perf_counter

from theater_bus.bus import Connection, ConnectionEvent, EmbeddedServer

COUNT = 10_000


async def test_ten_thousand_light_subscriptions_are_cheap_and_survive_a_restart(
    start_server: Callable[..., Awaitable[EmbeddedServer]], connect: Callable[..., Awaitable[Connection]]
) -> None:
    server = await start_server(jetstream=False)
    connection = await connect(server.url, reconnect_wait_s=0.05)
    back = asyncio.Event()
    connection.observe(lambda event: back.set() if event is ConnectionEvent.RECONNECTED else None)

    def answer(message: object) -> None:
        connection.publish(message.reply, message.subject.encode())  # type: ignore[attr-defined]

    tasks_before = len(asyncio.all_tasks())
    tracemalloc.start()
    try:
        for number in range(COUNT):
            connection.subscribe(f"scale.{number}.>", answer)
        await connection.ready()
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 0.4 KB each (nats-py's own take 4.9 KB and a task).
    assert size_bytes < COUNT * 700
    assert len(asyncio.all_tasks()) == tasks_before

    for number in (0, COUNT // 2, COUNT - 1):
        reply = await connection.request_one(f"scale.{number}.x", b"", timeout_s=5)
        assert reply.data == b"scale.%d.x" % number
    server.kill()
    await server.restart()
    async with asyncio.timeout(30):
        await back.wait()
    reply = await connection.request_one(f"scale.{COUNT - 1}.x", b"", timeout_s=5)
    assert reply.data == b"scale.%d.x" % (COUNT - 1)
    started = perf_counter()
    await connection.close()
    assert perf_counter() - started < 5
