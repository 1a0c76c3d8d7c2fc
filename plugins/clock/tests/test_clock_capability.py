"""The clock capability: its functions alone, its page, and guests that read the time and sleep on a real host."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.core.chain import bodies
from theater_bus.core.values.codec import value_codec
from theater_bus.errors import Cancelled, ChannelClosed, OperationTimeout, ShuttingDown, SpawnRefused, TypeMismatch
from theater_bus.plugins import compile_capability
from theater_bus.testing import FakeClock, relay_guest
from theater_bus_clock import Clock

COMPILED = compile_capability("clock", Clock)
MS = 1_000_000
U64_MOST = (1 << 64) - 1


def sleeping(most_ms: int) -> dict[str, Any]:
    return {"clock": {"sleep_max_ms": most_ms}}


def as_seen(event: bodies.HostCall) -> Any:
    """What a relaying guest answers when this is what it got."""
    declared = COMPILED.functions[(event.interface, event.function)].declaration.result
    assert declared is not None
    assert isinstance(event.output, bytes)
    codec = value_codec(declared)
    plain = codec.decode(codec.check(event.output))
    if plain == {"ok": None}:
        return [{"ok": []}]
    return [plain] if event.function == "sleep" else plain


async def running(actor: Any, function: str) -> None:
    """Wait until the actor is in that function."""
    async with asyncio.timeout(10):
        while (now := (await actor.get_status()).running) is None or now.function != function:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0)


async def test_now_is_unix_time_and_monotonic_never_goes_back(start_harness: Any) -> None:
    clock = await start_harness(Clock)
    before = time.time_ns()
    now = await clock.call("now")
    assert before <= now <= time.time_ns()
    readings = [await clock.call("monotonic") for _ in range(100)]
    assert readings == sorted(readings)


async def test_the_steps_of_both_clocks_are_known_and_finer_than_a_millisecond(start_harness: Any) -> None:
    steps = await (await start_harness(Clock)).call("resolution")
    assert steps.keys() == {"now", "monotonic"}
    assert all(1 <= step <= MS for step in steps.values())


@pytest.mark.parametrize("duration_ns", [0, 1, 999_999, 3 * MS, 20 * MS])
async def test_a_sleep_is_never_shorter_than_asked_for(start_harness: Any, duration_ns: int) -> None:
    clock = await start_harness(Clock, {"sleep_max_ms": 20})
    before = time.monotonic_ns()
    assert await clock.call("sleep", duration_ns) is None
    assert time.monotonic_ns() - before >= duration_ns


async def test_a_sleep_is_not_cut_by_an_event_loop_that_counts_coarsely(
    start_harness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop fires everything that is due within its resolution, here up to 8 ms early."""
    clock = await start_harness(Clock, {"sleep_max_ms": 20})
    monkeypatch.setattr(asyncio.get_running_loop(), "_clock_resolution", 0.008)
    before = time.monotonic_ns()
    await clock.call("sleep", 20 * MS)
    assert time.monotonic_ns() - before >= 20 * MS


@pytest.mark.parametrize(
    ("granted", "asked_ns", "needed"),
    [(0, 1, 1), (0, 5 * MS, 5), (20, 20 * MS + 1, 21), (20, 86_400_000 * MS, 86_400_000)],
)
async def test_a_sleep_beyond_its_grant_is_refused_with_the_line_to_add(
    start_harness: Any, granted: int, asked_ns: int, needed: int
) -> None:
    clock = await start_harness(Clock, {"sleep_max_ms": granted})
    with pytest.raises(CapabilityError) as caught:
        await clock.call("sleep", asked_ns)
    assert f"a sleep of {needed} ms is longer than the granted clock.sleep_max_ms = {granted}" in str(caught.value)
    assert f"Fix: write `sleep_max_ms = {needed}` under [capabilities.clock]" in str(caught.value)


async def test_a_sleep_of_centuries_is_refused_by_any_grant(start_harness: Any) -> None:
    clock = await start_harness(Clock, {"sleep_max_ms": 86_400_000})
    with pytest.raises(CapabilityError, match="Fix: nobody can grant more than 86400000; sleep for less"):
        await clock.call("sleep", U64_MOST)


@pytest.mark.parametrize("wrong", [-1, 1 << 64, "1", 0.5, None, [1]])
async def test_a_duration_that_is_none_never_reaches_the_capability(start_harness: Any, wrong: object) -> None:
    clock = await start_harness(Clock, {"sleep_max_ms": 20})
    with pytest.raises(TypeMismatch):
        await clock.call("sleep", wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sleep_max_ms": -1},
        {"sleep_max_ms": 86_400_001},
        {"sleep_max_ms": "20"},
        {"sleep_max_ms": True},
        {"sleep_max_ms": 1.5},
        {"sleep_max_ms": "unlimited"},
        {"sleep_ms": 20},
    ],
)
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_one(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.clock\].*its settings are sleep_max_ms"):
        await start_harness(Clock, wrong)


async def test_what_is_recorded_is_what_the_guest_saw(start_host: Any, recorded: Any) -> None:
    host = await start_host(installed=["clock"])
    actor = await host.spawn(Clock, capabilities=sleeping(20))
    calls = [("now", []), ("monotonic", []), ("resolution", []), ("sleep", [MS]), ("sleep", [U64_MOST]), ("now", [])]
    seen = [await actor.call_function(name, params) for name, params in calls]
    assert seen[5] - seen[0] >= MS
    assert [one[0].keys() for one in seen[3:5]] == [{"ok"}, {"err"}]
    events = await recorded(actor)
    assert [(one.function, one.outcome) for one in events] == [(name, "returned") for name, _ in calls]
    for answer, event in zip(seen, events, strict=True):
        assert as_seen(event) == answer


async def test_a_replay_tells_the_time_of_the_record_and_does_not_sleep(
    start_host: Any, recorded: Any, replay: Any
) -> None:
    """The actor of the replay may not sleep at all: whatever comes back can only be the record's."""

    async def course(actor: Any) -> list[Any]:
        names: list[Any] = [("now", []), ("sleep", [20 * MS]), ("sleep", [U64_MOST]), ("now", []), ("monotonic", [])]
        return [await actor.call_function(name, params) for name, params in names]

    original = await (await start_host(Clock)).spawn(Clock, capabilities=sleeping(20))
    seen, record = await course(original), await recorded(original)
    again = await (await start_host(Clock, replay(record))).spawn(Clock, capabilities=sleeping(0))
    assert await course(again) == seen
    assert await recorded(again) == record


async def test_a_day_of_sleep_passes_by_the_clock_of_a_test(start_host: Any, eventually: Any) -> None:
    clock = FakeClock(unix_ns=1_000 * MS)
    host = await start_host(Clock, clock=clock)
    actor = await host.spawn(Clock, capabilities=sleeping(86_400_000))
    assert await actor.call_function("now") == 1_000 * MS
    call = asyncio.create_task(actor.call_function("sleep", [86_400_000 * MS]))
    await eventually(lambda: clock.waiting)
    await clock.advance(86_399)
    assert not call.done()
    await clock.advance(1)
    assert await call == [{"ok": []}]
    assert await actor.call_function("now") == 86_401_000 * MS


async def test_a_sleeping_actor_keeps_nobody_waiting_and_ends_with_its_deadline(
    start_host: Any, recorded: Any, eventually: Any
) -> None:
    host = await start_host(Clock)
    one, other = [await host.spawn(Clock, capabilities=sleeping(60_000)) for _ in range(2)]
    tasks = len(asyncio.all_tasks())
    call = asyncio.create_task(one.call_function("sleep", [60_000 * MS], timeout=1.0))
    await running(one, "sleep")
    assert await other.call_function("now") > 0
    with pytest.raises(OperationTimeout):
        await call
    assert await one.call_function("now") > 0
    assert [(event.function, event.outcome) for event in await recorded(one)] == [
        ("sleep", "unknown"),
        ("now", "returned"),
    ]
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_sleep_can_be_cancelled(start_host: Any, recorded: Any) -> None:
    host = await start_host(Clock)
    actor = await host.spawn(Clock, capabilities=sleeping(60_000))
    call = asyncio.create_task(actor.call_function("sleep", [20_000 * MS], key="nap"))
    await running(actor, "sleep")
    assert await actor.cancel("nap") == "running"
    with pytest.raises(Cancelled):
        await call
    assert await actor.call_function("now") > 0
    assert [event.outcome for event in await recorded(actor)] == ["unknown", "returned"]


async def test_a_paused_actor_sleeps_to_the_end_and_starts_nothing_new(start_host: Any) -> None:
    host = await start_host(Clock)
    actor = await host.spawn(Clock, capabilities=sleeping(60_000))
    asleep = asyncio.create_task(actor.call_function("sleep", [300 * MS]))
    await running(actor, "sleep")
    await actor.pause()
    queued = asyncio.create_task(actor.call_function("now"))
    assert await asleep == [{"ok": []}]
    woken = time.time_ns()
    assert not queued.done()
    await actor.resume()
    assert await queued > woken


async def test_a_sleeping_actor_can_be_ended(start_host: Any, eventually: Any) -> None:
    host = await start_host(Clock)
    actor = await host.spawn(Clock, id="asleep", capabilities=sleeping(60_000))
    call = asyncio.create_task(actor.call_function("sleep", [20_000 * MS]))
    await running(actor, "sleep")
    before = time.monotonic_ns()
    await actor.terminate()
    with pytest.raises((ShuttingDown, ChannelClosed, Cancelled)):
        await call
    assert time.monotonic_ns() - before < 10_000 * MS
    await eventually(lambda: host.host.actors == {})


async def test_host_and_parent_cut_what_the_manifest_asks_for(start_host: Any) -> None:
    host = await start_host(Clock, grants={"clock": {"sleep_max_ms": 50}})
    await host.spawn(Clock, id="parent", capabilities=sleeping(10))
    orphan = await host.spawn(Clock, capabilities=sleeping(60_000))
    child = await host.spawn(Clock, parent="parent", capabilities=sleeping(60_000))
    for actor, most in ((orphan, 50), (child, 10)):
        assert await actor.call_function("sleep", [most * MS]) == [{"ok": []}]
        [answer] = await actor.call_function("sleep", [most * MS + 1])
        assert f"granted clock.sleep_max_ms = {most}." in answer["err"]


async def test_a_manifest_without_the_capability_is_told_what_to_add(start_host: Any) -> None:
    host = await start_host(Clock)
    wasm = await asyncio.to_thread(relay_guest, Clock)
    with pytest.raises(SpawnRefused, match=r"Fix: add `\[capabilities.clock\]` to the manifest"):
        await host.spawn(wasm, capabilities={})


async def test_a_host_that_does_not_grant_it_refuses_the_spawn(start_host: Any) -> None:
    host = await start_host(Clock, grants={})
    with pytest.raises(SpawnRefused, match="capability 'clock' is not granted by the host"):
        await host.spawn(Clock)
