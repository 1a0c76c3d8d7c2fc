"""The loop's functions alone: what is refused, what ends it, its pace, what survives."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus import ActorError
from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError, Internal, OperationTimeout, Overloaded, ShuttingDown, SpawnRefused
from theater_bus.testing import FakeClock
from theater_bus_loop import Loop

ITERATION = "theater:simple/loop-client.loop"


def waiting(loop: Any) -> list[bytes]:
    assert all(function == ITERATION for function, _ in loop.context.enqueued)
    return [params[0] for _, params in loop.context.enqueued]


async def test_each_iteration_gets_what_the_one_before_answered(start_harness: Any, eventually: Any) -> None:
    loop = await start_harness(Loop)
    await loop.call("start-loop", b"a")
    assert waiting(loop) == []
    for value, answer in [(b"a", b"bb"), (b"bb", b""), (b"", b"c")]:
        await eventually(lambda: waiting(loop))
        assert waiting(loop) == [value]
        loop.context.finish(answer=answer)
    await loop.call("stop-loop")
    assert loop.context.failures == []


async def test_one_loop_at_a_time(start_harness: Any) -> None:
    loop = await start_harness(Loop)
    with pytest.raises(CapabilityError, match="no loop is running"):
        await loop.call("stop-loop")
    await loop.call("start-loop", b"a")
    with pytest.raises(CapabilityError, match="Fix: stop-loop first"):
        await loop.call("start-loop", b"b")
    await loop.call("stop-loop")
    await loop.call("start-loop", b"b")
    with pytest.raises(CapabilityError, match=r"`value_bytes = 1048577` in \[capabilities\.loop\]"):
        await (await start_harness(Loop)).call("start-loop", bytes((1 << 20) + 1))


async def test_stopping_takes_the_waiting_iteration_back(start_harness: Any, eventually: Any) -> None:
    loop = await start_harness(Loop)
    await loop.call("start-loop", b"a")
    await eventually(lambda: waiting(loop) == [b"a"])
    await loop.call("stop-loop")
    assert waiting(loop) == []
    assert loop.context.failures == []


@pytest.mark.parametrize(
    ("error", "answer", "why"),
    [
        (GuestError("enough"), None, "after 0 iterations: enough"),
        (Internal("boom", ran="rolled-back"), None, "after 0 iterations: boom"),
        (None, None, "after 1 iterations: it answered nothing beside the state, not a list<u8>"),
        (None, "text", "it answered a str"),
        (None, bytes(11), "11 bytes is longer than the grant loop.value_bytes = 10"),
    ],
)
async def test_an_iteration_that_cannot_be_followed_ends_the_loop_and_says_why(
    start_harness: Any, eventually: Any, error: ActorError | None, answer: Any, why: str
) -> None:
    loop = await start_harness(Loop, {"value_bytes": 10})
    await loop.call("start-loop", b"a")
    await eventually(lambda: waiting(loop))
    loop.context.finish(error, answer)
    assert len(loop.context.failures) == 1
    assert why in loop.context.failures[0]
    assert loop.instance.snapshot() is None
    with pytest.raises(CapabilityError, match="no loop is running"):
        await loop.call("stop-loop")


async def test_an_iteration_that_never_ran_comes_again(
    start_harness: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_loop.loop.AGAIN_S", 0.01)
    loop = await start_harness(Loop)
    enqueue, refusals = loop.context.enqueue, []

    def refuse(*_: Any, **__: Any) -> None:
        refusals.append(1)
        raise Overloaded("others", bound="enqueues")

    loop.context.enqueue = refuse
    await loop.call("start-loop", b"a")
    await eventually(lambda: len(refusals) > 2)
    loop.context.enqueue = enqueue
    await eventually(lambda: waiting(loop) == [b"a"])
    loop.context.finish(OperationTimeout("it waited too long", ran="never"))
    await eventually(lambda: waiting(loop) == [b"a"])
    assert loop.context.failures == []


async def test_an_actor_that_cannot_take_the_value_or_has_no_loop_is_told_so(
    start_harness: Any, eventually: Any
) -> None:
    loop = await start_harness(Loop)

    def refuse(*_: Any, **__: Any) -> None:
        raise ActorError("params[0]: expected u64")

    loop.context.enqueue = refuse
    await loop.call("start-loop", b"a")
    await eventually(lambda: loop.context.failures)
    assert loop.context.failures == ["the loop ended after 0 iterations: params[0]: expected u64"]
    loop.context.exports = {"theater:simple/loop.loop"}
    with pytest.raises(CapabilityError, match=r"Fix: export `theater:simple/loop-client\.loop: func"):
        await loop.call("start-loop", b"a")


async def test_the_rate_is_granted(start_harness: Any) -> None:
    clock = FakeClock()
    loop = await start_harness(Loop, {"rate": 20}, clock=clock)
    await loop.call("start-loop", b"a")
    await clock.advance(0)
    came = []
    for _ in range(40):
        if waiting(loop):
            came.append(round(clock.monotonic_ns() / 1e6) - 1_000)
            loop.context.finish(answer=b"a")
        await clock.advance(0.01)
    assert came == [0, 50, 100, 150, 200, 250, 300, 350]


@pytest.mark.parametrize("settings", [{"rate": 0}, {"value_bytes": -1}, {"rate": "fast"}, {"speed": 1}])
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="loop"):
        await start_harness(Loop, settings)


async def test_what_is_restored_goes_on_and_the_end_of_the_actor_leaves_nothing(
    start_harness: Any, eventually: Any
) -> None:
    loop = await start_harness(Loop)
    await loop.call("start-loop", b"a")
    await eventually(lambda: waiting(loop))
    loop.context.finish(answer=b"b")
    await eventually(lambda: waiting(loop))
    loop.context.finish(ShuttingDown("moved"))
    assert loop.instance.snapshot() == b"b"
    other = await start_harness(Loop, snapshot=b"b")
    await eventually(lambda: waiting(other) == [b"b"])
    await other.instance.stop()
    assert waiting(other) == []
    assert other.instance._running.handle is None


async def test_a_restored_value_that_is_granted_no_more_ends_the_loop(start_harness: Any) -> None:
    loop = await start_harness(Loop, {"value_bytes": 3}, snapshot=b"four")
    (why,) = loop.context.failures
    assert "the loop ended after 0 iterations: a value of 4 bytes is longer than the grant loop.value_bytes = 3" in why
    assert (waiting(loop), loop.instance.snapshot()) == ([], None)
    await loop.call("start-loop", b"abc")
