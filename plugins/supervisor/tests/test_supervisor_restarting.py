"""Children begin anew: when they are told to, and as a strategy says."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.errors import GuestError, Overloaded

from .conftest import (
    BOSS,
    CHAOS,
    COUNTER,
    FAILS,
    RUNTIME,
    crash,
    heard_lines,
    hears,
    keeper,
    manifest,
    new,
    spawned,
    started,
)


async def test_restart_child_begins_anew_under_the_same_id_and_is_no_end(start_host: Any) -> None:
    host, boss = await started(start_host)
    await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-1"), 5, None])
    first = host.host.actors["boss-1"]
    await host.theater.actor("boss-1").call_function("increment", [1])
    await boss.call_function("restart", ["boss-1"])
    assert host.host.actors["boss-1"] is not first
    assert await host.theater.actor("boss-1").call_function("get") == 5
    assert await boss.call_function("list") == ["boss-1"]
    assert await boss.call_function("heard") == ""
    assert host.host.actors["boss-1"].grants == first.grants


def _full(actor_id: str) -> None:
    raise Overloaded(f"the host is full, says the test, and {actor_id} has no room")


async def test_a_restart_that_fails_is_an_err_and_the_end(start_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    with monkeypatch.context() as patched:
        patched.setattr(host.host.roster, "reserve", _full)
        with pytest.raises(GuestError, match=r"boss-1 was stopped and could not be started again: .*says the test"):
            await boss.call_function("restart", ["boss-1"])
    assert await boss.call_function("list") == []
    found = await boss.call_function("heard")
    assert found.startswith("error boss-1 internal")
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("strategy", "anew"),
    [
        ("one-for-one", ["boss-2"]),
        ("one-for-all", ["boss-1", "boss-2", "boss-3"]),
        ("rest-for-one", ["boss-2", "boss-3"]),
    ],
)
async def test_a_strategy_restarts_whom_it_says(
    start_host: Any, eventually: Any, strategy: str, anew: list[str]
) -> None:
    host, boss = await started(start_host, settings={"strategy": strategy})
    for number in (1, 2, 3):
        await spawned(boss, CHAOS.wasm, f"boss-{number}", FAILS)
    await spawned(boss, COUNTER.wasm, "boss-x")
    await boss.call_function("stop", ["boss-x"])
    before = {f"boss-{number}": host.host.actors[f"boss-{number}"] for number in (1, 2, 3)}
    await host.theater.actor("boss-2").call_function("touch")
    await crash(host, "boss-2")
    await new(host, eventually, before, *anew)
    assert sorted(await boss.call_function("list")) == ["boss-1", "boss-2", "boss-3"]
    found = (await boss.call_function("heard")).splitlines()
    assert (len(found), found[0]) == (2, "stopped boss-x")
    assert found[1].startswith("error boss-2 internal ")
    assert await host.theater.actor("boss-2").call_function("count") == 0
    before = {one: host.host.actors[one] for one in before}
    await crash(host, "boss-2")
    await new(host, eventually, before, *anew)


@pytest.mark.parametrize(("restart", "again"), [("failed", False), ("always", True)])
async def test_an_exit_is_answered_by_a_restart_only_where_that_is_asked_for(
    start_host: Any, eventually: Any, restart: str, again: bool
) -> None:
    host, boss = await started(start_host, settings={"strategy": "one-for-one", "restart": restart})
    await spawned(boss, RUNTIME.wasm, "boss-1")
    first = host.host.actors["boss-1"]
    await host.theater.actor("boss-1").call_function("stop", [b"done"])
    await hears(boss, "exit boss-1 done")
    if again:
        await new(host, eventually, {"boss-1": first}, "boss-1")
    assert (await boss.call_function("list") == ["boss-1"]) is again
    if again:
        await boss.call_function("stop", ["boss-1"])
        assert await boss.call_function("list") == []


async def test_too_many_restarts_end_the_supervisor_and_its_parent_hears_of_it(
    start_host: Any, eventually: Any
) -> None:
    host, boss = await started(start_host)
    settings = 'strategy = "one-for-one"\nmax_restarts = 2\nbackoff_ms = 1\n'
    text = manifest(BOSS.wasm, "boss-m").replace(
        "[capabilities.supervisor]\n", f"[capabilities.supervisor]\n{settings}"
    )
    await boss.call_function("spawn", [text, None, None])
    middle = host.theater.actor("boss-m")
    await spawned(middle, CHAOS.wasm, "boss-m-1", FAILS)
    await spawned(middle, COUNTER.wasm, "boss-m-2")
    for _ in range(2):
        before = host.host.actors["boss-m-1"]
        await crash(host, "boss-m-1")
        await eventually(
            lambda before=before: (
                host.host.actors.get("boss-m-1", before) is not before
                and not keeper(host, "boss-m")._table["boss-m-1"].is_renewed
            )
        )
    await crash(host, "boss-m-1")
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    [line] = (await boss.call_function("heard")).splitlines()
    assert line.startswith("error boss-m internal boss-m-1 ended after 2 restarts of children within 60 s")


async def test_a_restart_that_is_refused_is_tried_again_and_counted(
    start_host: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"strategy": "one-for-one", "backoff_ms": 1, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    running = host.host.actors["boss"]
    with monkeypatch.context() as patched:
        patched.setattr(host.host.roster, "reserve", _full)
        await crash(host, "boss-1")
        await eventually(lambda: running.failure_note is not None and "could not be restarted" in running.failure_note)
        with pytest.raises(GuestError, match="boss-1 is being restarted"):
            await boss.call_function("restart", ["boss-1"])
    await eventually(lambda: "boss-1" in host.host.actors and not keeper(host)._table["boss-1"].is_renewed)
    assert await boss.call_function("list") == ["boss-1"]


async def test_a_child_that_waits_for_its_restart_can_be_stopped(start_host: Any, eventually: Any) -> None:
    settings = {"strategy": "one-for-one", "backoff_ms": 30_000, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    before = {"boss-1": host.host.actors["boss-1"]}
    await crash(host, "boss-1")
    await new(host, eventually, before, "boss-1")
    await crash(host, "boss-1")
    await eventually(lambda: keeper(host)._table["boss-1"].is_renewed and "boss-1" not in host.host.actors)
    await boss.call_function("stop", ["boss-1"])
    with pytest.raises(GuestError, match="is no child of this actor"):
        await boss.call_function("stop", ["boss-1"])
    assert await boss.call_function("list") == []
    await spawned(boss, COUNTER.wasm, "boss-1")
    assert (await boss.call_function("list"), list(keeper(host)._used.values())) == (["boss-1"], [1])
    assert [one.split()[:2] for one in await heard_lines(boss, 2)] == [["error", "boss-1"]] * 2


async def test_the_end_of_a_supervisor_ends_its_restarts(start_host: Any, eventually: Any) -> None:
    settings = {"strategy": "one-for-all", "backoff_ms": 30_000, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    await spawned(boss, CHAOS.wasm, "boss-2", FAILS)
    before = {"boss-1": host.host.actors["boss-1"], "boss-2": host.host.actors["boss-2"]}
    await crash(host, "boss-1")
    await new(host, eventually, before, "boss-1", "boss-2")
    await crash(host, "boss-1")
    restarter = keeper(host)._restarter
    await eventually(lambda: restarter._tasks)
    await boss.shutdown(wait=True)
    assert (host.host.actors, restarter._tasks) == ({}, set())


async def test_no_restart_nor_resume_widens_a_grant(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime", "timer"], grants={"timer": {"rate": 50}, "*": {}})
    host.host.packages.hold(CHAOS.wasm)
    settings = {"supervisor": {"strategy": "one-for-one"}, "runtime": {}, "timer": {"timers": 3, "rate": 900}}
    boss = await host.spawn(BOSS, id="boss", capabilities=settings)
    text = manifest(CHAOS.wasm, "boss-1", FAILS) + "[capabilities.timer]\ntimers = 1000\nrate = 1000\nwaiting = 7\n"
    await boss.call_function("spawn", [text, None, None])
    first = host.host.actors["boss-1"]
    assert first.capabilities["timer"].settings.model_dump(include={"timers", "rate", "waiting"}) == {
        "timers": 3,
        "rate": 50,
        "waiting": 7,
    }
    await boss.call_function("restart", ["boss-1"])
    grants = [host.host.actors["boss-1"].grants]
    before = host.host.actors["boss-1"]
    await crash(host, "boss-1")
    await new(host, eventually, {"boss-1": before}, "boss-1")
    grants.append(host.host.actors["boss-1"].grants)
    await boss.call_function("resume", [text.replace("boss-1", "boss-2"), None])
    grants.append(host.host.actors["boss-2"].grants)
    assert grants == [first.grants] * 3
