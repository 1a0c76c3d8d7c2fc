"""A queue of calls: in order, a bounded number in the mailbox, and what never ran comes again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from theater_bus.capability import ActorIdentity, CallQueue
from theater_bus.errors import ActorError, GuestError, OperationTimeout, Overloaded, ShuttingDown
from theater_bus.testing import HarnessContext


@pytest.fixture
def context() -> HarnessContext:
    return HarnessContext(ActorIdentity("a", "default", "a", "harness"), {})


def waiting(context: HarnessContext) -> list[str]:
    return [function for function, _ in context.enqueued]


async def test_calls_go_in_order_and_so_many_at_a_time(context: HarnessContext) -> None:
    queue, ends = CallQueue(context, 2), []
    for name in "abcd":
        queue.put(name, [name], lambda error, name=name: ends.append((name, error)))
    assert context.enqueued == [("a", ["a"]), ("b", ["b"])]
    context.finish()
    assert waiting(context) == ["b", "c"]
    failure = GuestError("no")
    context.finish(failure)
    assert waiting(context) == ["c", "d"]
    assert ends == [("a", None), ("b", failure)]


async def test_a_call_is_taken_back_wherever_it_waits_and_its_end_is_not_told(context: HarnessContext) -> None:
    queue, ends = CallQueue(context, 1), []
    first, second, third = (queue.put(name, then=ends.append) for name in "abc")
    assert second.take_back()
    assert first.take_back()
    assert waiting(context) == ["c"]
    assert not first.take_back()
    context.finish()
    assert not third.take_back()
    assert ends == [None]


async def test_a_call_that_runs_is_not_taken_back(context: HarnessContext) -> None:
    queue, ends = CallQueue(context, 1), []
    call = queue.put("a", then=ends.append)
    call._take_back = lambda: False
    assert not call.take_back()
    context.finish()
    assert ends == [None]


async def test_what_never_ran_comes_again_in_its_place(context: HarnessContext) -> None:
    queue, ends = CallQueue(context, 2, again_s=0.001), []
    for name in "abc":
        queue.put(name, then=ends.append)
    late = OperationTimeout("it waited too long", ran="never")
    context.finish(late)
    context.finish(late)
    async with asyncio.timeout(10):
        while waiting(context) != ["a", "b"]:
            await asyncio.sleep(0.001)
    assert ends == []


async def test_a_full_mailbox_is_tried_again(context: HarnessContext, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, enqueue, refusals = CallQueue(context, 2, again_s=0.001), context.enqueue, []

    def refuse(*args: Any, **options: Any) -> Any:
        refusals.append(args[0])
        if len(refusals) < 3:
            raise Overloaded("others", bound="enqueues")
        return enqueue(*args, **options)

    monkeypatch.setattr(context, "enqueue", refuse)
    queue.put("a")
    async with asyncio.timeout(10):
        while waiting(context) != ["a"]:
            await asyncio.sleep(0.001)
    assert refusals == ["a"] * 3


async def test_a_call_that_the_actor_cannot_take_ends_with_that(
    context: HarnessContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, ends = CallQueue(context, 1), []
    wrong = ActorError("params[0]: expected u64")

    def refuse(function: str, *_: Any, **__: Any) -> Any:
        raise wrong

    monkeypatch.setattr(context, "enqueue", refuse)
    assert queue.put("a", then=ends.append).is_over
    assert ends == [wrong]


@pytest.mark.parametrize("how", ["close", "refused", "ended"])
async def test_the_end_of_the_actor_is_told_to_nobody(
    context: HarnessContext, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    queue, ends = CallQueue(context, 1, again_s=0.001), []
    put = partial(queue.put, then=ends.append)
    put("a")
    put("b")
    if how == "close":
        queue.close()
        context.finish(OperationTimeout("never", ran="never"))
    elif how == "ended":
        context.finish(ShuttingDown("it stops"))
    else:
        monkeypatch.setattr(context, "enqueue", partial(_refuse, ShuttingDown("it stops")))
        context.finish()
        ends.clear()
    assert put("c").is_over
    assert waiting(context) == []
    assert ends == []


def _refuse(error: ActorError, *_: Any, **__: Any) -> Any:
    raise error
