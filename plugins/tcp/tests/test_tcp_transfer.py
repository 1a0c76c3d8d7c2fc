"""Handing a connection over: who may, what becomes of it where the target fails, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError, OperationTimeout
from theater_bus_tcp import Tcp

REACH = {"connect": ["127.0.0.1:*"], "listen": ["127.0.0.1:*"], "transfers": True, "connections": 2}
TRANSFER = "theater:simple/tcp-client.handle-connection-transfer"
EXPORTS = {TRANSFER, "theater:simple/tcp-client.on-data"}


@pytest.fixture
async def two(start_harness: Any) -> Any:
    """Two actors of one host: `front` and `worker`."""
    both = [await start_harness(Tcp, REACH, actor=name) for name in ("front", "worker")]
    for one in both:
        one.context.exports = EXPORTS
    return both


async def accepted(tcp: Any, dial: Any) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    listener = await tcp.call("listen", "127.0.0.1:0")
    reader, writer = await dial(await tcp.call("local-address", listener))
    return await tcp.call("accept", listener), reader, writer


async def test_a_pending_connection_is_open_with_the_target_and_gone_here(two: Any, dial: Any) -> None:
    front, worker = two
    id, reader, writer = await accepted(front, dial)
    await front.call("transfer-async", id, "worker")
    assert worker.context.enqueued == [(TRANSFER, [id])]
    worker.context.finish()
    with pytest.raises(CapabilityError, match="it was closed, handed over, or never there"):
        await front.call("send", id, b"x")
    writer.write(b"to the worker")
    assert await worker.call("receive", id, 100) == b"to the worker"
    await worker.call("send", id, b"from the worker")
    assert await reader.readexactly(15) == b"from the worker"
    assert (front.instance._holding.used, worker.instance._holding.used) == (0, 1)
    await front.instance.stop()
    await worker.call("send", id, b"still")
    assert await reader.readexactly(5) == b"still"


async def test_transfer_waits_until_the_target_has_dealt_with_it(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    id, _, _ = await accepted(front, dial)
    transfer = asyncio.create_task(front.call("transfer", id, "worker"))
    await eventually(lambda: worker.context.enqueued)
    assert not transfer.done()
    worker.context.finish()
    await transfer
    assert await worker.call("list-connections") == [id]


async def test_an_active_connection_loses_no_data_on_its_way(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    id, _, writer = await accepted(front, dial)
    await front.call("activate", id)
    await front.call("set-active", id, "active")
    writer.write(b"told to the front, and not seen")
    await eventually(lambda: front.context.enqueued)
    await front.call("transfer-async", id, "worker")
    assert front.context.enqueued == []
    worker.context.finish()
    assert await worker.call("receive", id, 100) == b"told to the front, and not seen"


async def test_where_the_target_fails_transfer_gives_back_and_transfer_async_closes(
    two: Any, dial: Any, eventually: Any
) -> None:
    front, worker = two
    id, reader, _ = await accepted(front, dial)
    transfer = asyncio.create_task(front.call("transfer", id, "worker"))
    await eventually(lambda: worker.context.enqueued)
    worker.context.finish(GuestError("not today"))
    with pytest.raises(CapabilityError, match="worker did not take the connection, which is back: not today"):
        await transfer
    await front.call("send", id, b"mine")
    assert await reader.readexactly(4) == b"mine"
    await front.call("transfer-async", id, "worker")
    worker.context.finish(GuestError("nor tomorrow"))
    assert await reader.read() == b""
    assert "is closed, since it was not taken: nor tomorrow" in worker.context.failures[0]
    assert await worker.call("list-connections") == []


async def test_a_transfer_that_is_cancelled_comes_back_unless_the_target_has_begun(
    two: Any, dial: Any, eventually: Any
) -> None:
    front, worker = two
    id, _, _ = await accepted(front, dial)
    with pytest.raises(TimeoutError):
        await front.call("transfer", id, "worker", timeout_s=0.05)
    assert worker.context.enqueued == []
    assert await front.call("list-connections") == [id]
    transfer = asyncio.create_task(front.call("transfer", id, "worker", timeout_s=0.05))
    await eventually(lambda: worker.context.enqueued)
    worker.instance._holding.calls._late.clear()
    call = worker.context._ends[0]
    worker.context._ends.clear()  # it runs: it can be taken back no more
    with pytest.raises(TimeoutError):
        await transfer
    assert await worker.call("list-connections") == [id]
    worker.context._ends.append(call)
    worker.context.finish()


async def test_a_call_that_waited_too_long_is_tried_again(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    worker.instance._holding.calls._again_s = 0.001
    id, _, _ = await accepted(front, dial)
    await front.call("transfer-async", id, "worker")
    worker.context.finish(OperationTimeout("paused", ran="never"))
    await eventually(lambda: worker.context.enqueued == [(TRANSFER, [id])])


async def test_a_target_that_ends_meanwhile_ends_the_wait(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    id, reader, _ = await accepted(front, dial)
    transfer = asyncio.create_task(front.call("transfer", id, "worker"))
    await eventually(lambda: worker.context.enqueued)
    await worker.instance.stop()
    with pytest.raises(CapabilityError, match="worker ended before it had dealt with the connection"):
        await transfer
    assert await reader.read() == b""


async def test_two_that_wait_for_one_another_are_told_so(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    mine, _, _ = await accepted(front, dial)
    yours, _, _ = await accepted(worker, dial)
    transfer = asyncio.create_task(front.call("transfer", mine, "worker"))
    await eventually(lambda: worker.context.enqueued)
    with pytest.raises(CapabilityError, match=r"call-cycle: 'front' waits.*Fix: use transfer-async"):
        await worker.call("transfer", yours, "front")
    await worker.call("transfer-async", yours, "front")
    worker.context.finish()
    await transfer
    assert await worker.call("list-connections") == [mine]
    assert await front.call("list-connections") == [yours]


async def test_who_may_not_be_handed_a_connection_is_not(two: Any, dial: Any, start_harness: Any) -> None:
    front, _ = two
    id, _, _ = await accepted(front, dial)
    closed = await start_harness(Tcp, {}, actor="closed")
    closed.context.exports = EXPORTS
    deaf = await start_harness(Tcp, REACH, actor="deaf")
    deaf.context.exports = set()
    full = await start_harness(Tcp, {**REACH, "connections": 0}, actor="full")
    full.context.exports = EXPORTS
    for target, why in [
        ("closed", r"takes no connections from others. Fix: `transfers = true`"),
        ("deaf", r"Fix: export `theater:simple/tcp-client\.handle-connection-transfer"),
        ("full", "has no place for one more connection"),
        ("front", "is this actor's already"),
        ("nobody", "no actor 'nobody' with the capability tcp runs on this host"),
        ("", "no actor ''"),
        ("../../etc/passwd", "no actor"),
        ("a\0b", "no actor"),
        ("x" * 100_000, "no actor"),
    ]:
        for function in ("transfer", "transfer-async"):
            with pytest.raises(CapabilityError, match=why) as caught:
                await front.call(function, id, target)
            assert len(str(caught.value)) < 300
    assert await front.call("list-connections") == [id]
    assert front.instance._holding.switchboard._waits == {}


async def test_a_connection_that_comes_back_to_a_full_actor_is_closed(two: Any, dial: Any, eventually: Any) -> None:
    front, worker = two
    listener = await front.call("listen", "127.0.0.1:0")
    address = await front.call("local-address", listener)
    reader, _ = await dial(address)
    id = await front.call("accept", listener)
    transfer = asyncio.create_task(front.call("transfer", id, "worker"))
    await eventually(lambda: worker.context.enqueued)
    for _ in range(2):
        await dial(address)
        await front.call("accept", listener)
    worker.context.finish(GuestError("no"))
    with pytest.raises(CapabilityError, match="did not take the connection"):
        await transfer
    assert await reader.read() == b""
    await eventually(lambda: front.instance._holding.used + worker.instance._holding.used == 2)
