"""What follows when a guest traps: restart, pause or stop; and what is no crash at all."""

from __future__ import annotations

import pytest

from theater_bus.core.chain.control import FreshInstance, Paused, Restarted
from theater_bus.errors import ActorError, GuestError, HandlerError, Internal, TypeMismatch

from .conftest import Stage, eventually


async def trap(stage: Stage, actor_id: str = "a") -> Internal:
    error = await stage.error(stage.call(actor_id, "trap"))
    assert isinstance(error, Internal)
    return error


async def test_restart_goes_on_from_the_state_before_the_failed_operation(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a", manifest="on_failure = 'restart'\n")
    await stage.call("a", "add", 5)
    await trap(stage)
    assert await stage.call("a", "add", 1) == 6
    (restarted,) = [event.body for event in await stage.events("a") if isinstance(event.body, Restarted)]
    assert (restarted.attempt, restarted.reason) == (1, "guest-trap")


async def test_restarts_back_off_and_callers_wait_meanwhile(stage: Stage) -> None:
    policy = 'on_failure = { action = "restart", max_restarts = 3, backoff_ms = 60 }\n'
    actor = await stage.spawn(await stage.host(), "a", manifest=policy)
    await trap(stage)
    assert actor.phases.is_running
    await trap(stage)
    assert (await stage.info("a"))["phase"] == "restarting"
    assert await stage.call("a", "add", 1) == 1
    assert actor.phases.is_running


async def test_more_failures_than_the_intensity_allows_stop_the_actor(stage: Stage) -> None:
    policy = 'on_failure = { action = "restart", max_restarts = 2, backoff_ms = 0 }\n'
    host = await stage.host()
    actor = await stage.spawn(host, "a", manifest=policy)
    for _ in range(3):
        await trap(stage)
    await eventually(lambda: "a" not in host.actors)
    assert actor.phases.reason is not None
    assert actor.phases.reason.value == "failed"


async def test_pause_keeps_what_arrives_until_somebody_resumes(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a", manifest="on_failure = 'pause'\n")
    await stage.call("a", "add", 5)
    await trap(stage)
    status = await stage.info("a")
    assert status["phase"] == "paused"
    assert "unreachable" in status["reason"]
    waiting = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(actor.mailbox) == 1)
    await stage.control("a", "resume")
    assert await waiting == 6
    bodies = [event.body for event in await stage.events("a")]
    assert [type(body) for body in bodies if isinstance(body, FreshInstance | Paused)] == [FreshInstance, Paused]


async def test_stop_ends_the_actor_and_answers_what_waits(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", manifest="on_failure = 'stop'\n")
    failing = stage.start(stage.call("a", "wait-then-trap", "x"))
    gate = await stage.gates.arrival("x")
    waiting = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(host.actors["a"].mailbox) == 1)
    gate.set_result("")
    assert isinstance(await stage.error(failing), Internal)
    assert (await stage.error(waiting)).code == "shutting-down"
    await eventually(lambda: "a" not in host.actors)


@pytest.mark.parametrize(
    ("function", "params", "cls"),
    [
        ("refuse", [], GuestError),
        ("add", ["x"], TypeMismatch),
        ("wait", ["!raise"], HandlerError),
    ],
)
async def test_an_error_is_no_crash(stage: Stage, function: str, params: list[str], cls: type[ActorError]) -> None:
    await stage.spawn(await stage.host(), "a", manifest="on_failure = 'stop'\n")
    await stage.call("a", "add", 5)
    assert isinstance(await stage.error(stage.call("a", function, *params)), cls)
    assert await stage.call("a", "add", 1) == 6
    assert (await stage.info("a"))["phase"] == "running"


async def test_timeouts_and_cancellations_are_no_crash(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a", manifest="on_failure = 'stop'\n[limits]\ncpu_ms = 60_000\n")
    await stage.error(stage.call("a", "spin", timeout_ms=40))
    running = stage.start(stage.call("a", "add-held", 1, op="k"))
    await stage.gates.arrival("held")
    await stage.control("a", "cancel", op="k")
    await stage.error(running)
    assert await stage.call("a", "add", 1) == 1


async def test_a_fresh_instance_for_every_operation_when_the_manifest_isolates_them(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "one", manifest="isolation = 'operation'\n")
    await stage.spawn(host, "two", manifest="isolation = 'instance'\n")
    for actor_id in ("one", "two"):
        await stage.call(actor_id, "add", 1)
    assert host.actors["one"].instance is None
    assert host.actors["two"].instance is not None


async def test_a_failing_actor_disturbs_no_other(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", manifest='on_failure = { action = "restart", max_restarts = 99, backoff_ms = 0 }\n')
    await stage.spawn(host, "b")
    for number in range(1, 20):
        await trap(stage)
        assert await stage.call("b", "add", 1) == number
