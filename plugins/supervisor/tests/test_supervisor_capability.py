"""The capability alone: what it asks of its host, what it keeps, and what it does with what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.capability import CapabilityError, ChildEnd, ChildEvent
from theater_bus.errors import Overloaded, SpawnRefused, TypeMismatch
from theater_bus_supervisor import Supervisor
from theater_bus_supervisor.record import read_snapshot

TEXT = 'name = "x"\n'
WASM = b"\0asm of the test"
H = "theater:simple/supervisor-handlers"


def event(seq: int, operation: str = "f") -> ChildEvent:
    return ChildEvent(seq, bytes([seq % 256]) * 32, bytes(32), "call", seq, operation)


async def two(start_harness: Any, settings: Any = None, **options: Any) -> Any:
    """A supervisor with two children."""
    found = await start_harness(Supervisor, settings, **options)
    for _ in range(2):
        await found.call("spawn", TEXT, None, WASM)
    return found


async def test_the_bounds_reach_the_host(start_harness: Any) -> None:
    found = await start_harness(Supervisor, {"descendants": 7, "stop_ms": 250})
    assert found.context.children.bounds == (7, 0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "one_for_one"},
        {"restart": "never"},
        {"descendants": -1},
        {"window_s": 0},
        {"backoff_ms": 30_001},
        {"children": 3},
        {"schemes": "oci"},
    ],
)
async def test_wrong_settings_are_refused(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=next(iter(wrong))):
        await start_harness(Supervisor, wrong)


@pytest.mark.parametrize("name", ["", "child-3", "../../etc/passwd", "a\0b", "child-1 ", "x" * 5000])
@pytest.mark.parametrize(
    "function",
    [
        "restart-child",
        "stop-child",
        "get-child-state",
        "get-child-events",
        "subscribe-to-child",
        "unsubscribe-from-child",
    ],
)
async def test_a_name_that_is_no_child_does_nothing(start_harness: Any, function: str, name: str) -> None:
    found = await two(start_harness)
    with pytest.raises(CapabilityError, match="is no child of this actor"):
        await found.call(function, name)
    assert await found.call("list-children") == ["child-1", "child-2"]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("spawn", [1, None, None]),
        ("spawn", [TEXT, None, "text"]),
        ("spawn-and-wait", [TEXT, None, WASM, -1]),
        ("resume", [TEXT, 5, None]),
        ("stop-child", [["child-1"]]),
    ],
)
async def test_wrong_types_never_get_in(start_harness: Any, function: str, arguments: list[Any]) -> None:
    found = await start_harness(Supervisor)
    with pytest.raises(TypeMismatch):
        await found.call(function, *arguments)
    assert found.context.children.spawned == []


async def test_equal_modules_are_kept_once_and_let_go_with_their_last_child(start_harness: Any) -> None:
    found = await two(start_harness)
    specs = [spec for _, spec in found.context.children.spawned]
    assert specs[0].package is specs[1].package
    keeper = found.instance._keeper
    await found.call("stop-child", "child-1")
    assert len(keeper._packages) == 1
    await found.call("stop-child", "child-2")
    assert (keeper._packages, keeper._used) == ({}, {})


async def test_ends_come_back_to_the_handler_until_it_ran(start_harness: Any) -> None:
    found = await two(start_harness)
    context = found.context
    context.children.end_child(ChildEnd("child-1", "exited", b"r"))
    context.children.end_child(ChildEnd("child-2", "failed", None, "operation-timeout", "late"))
    assert context.enqueued == [
        (f"{H}.handle-child-exit", ["child-1", b"r"]),
        (f"{H}.handle-child-error", ["child-2", {"error-type": "operation-timeout", "data": b"late"}]),
    ]
    assert len(read_snapshot(found.instance.snapshot()).untold) == 2
    context.finish()
    assert [one.child for one in read_snapshot(found.instance.snapshot()).untold] == ["child-2"]
    context.finish(TypeMismatch("the handler is not made for that", ran="never"))
    assert found.instance.snapshot() is not None


async def test_a_crowd_of_ends_is_told_in_turn(start_harness: Any) -> None:
    found = await start_harness(Supervisor, {"descendants": 200})
    for _ in range(100):
        await found.call("spawn", TEXT, None, WASM)
    for number in range(100):
        found.context.children.end_child(ChildEnd(f"child-{number + 1}", "shutdown"))
    told = []
    assert len(found.context.enqueued) == 16
    while found.context.enqueued:
        told.append(found.context.enqueued[0][1][0])
        found.context.finish()
    assert told == [f"child-{number + 1}" for number in range(100)]


async def test_what_a_child_records_because_it_watches_its_own_is_not_told(start_harness: Any) -> None:
    found = await two(start_harness)
    await found.call("subscribe-to-child", "child-1")
    found.context.children.tell("child-1", [event(1, f"{H}.handle-child-event"), event(2)])
    assert [params[1] for _, params in found.context.enqueued] == ["call"]


async def test_restarts_beyond_the_intensity_make_it_give_up(start_harness: Any, eventually: Any) -> None:
    settings = {"strategy": "one-for-one", "max_restarts": 2, "backoff_ms": 0}
    found = await two(start_harness, settings)
    children = found.context.children
    for _ in range(3):
        children.end_child(ChildEnd("child-1", "failed", None, "guest-trap", "trap"))
        await eventually(lambda: children.ids()[-1:] == ["child-1"] or children.given_up)
    assert children.given_up == [
        "child-1 ended after 2 restarts of children within 60 s, as many as supervisor.max_restarts allows"
    ]


async def test_a_group_whose_restart_fails_half_way_begins_anew_as_a_whole(start_harness: Any, eventually: Any) -> None:
    found = await two(start_harness, {"strategy": "one-for-all", "backoff_ms": 0})
    children = found.context.children
    children.refusals = [Overloaded("no room, says the test")]
    children.end_child(ChildEnd("child-2", "failed", None, "guest-trap", "trap"))
    await eventually(lambda: not found.instance._keeper._restarter._tasks)
    assert sorted(children.ids()) == ["child-1", "child-2"]
    assert [one for one, _ in children.spawned[2:]] == ["child-1", "child-2"]
    assert found.context.failures == ["child-1 could not be restarted: no room, says the test"]
    assert [params[0] for _, params in found.context.enqueued] == ["child-2"]


async def test_one_of_a_group_that_is_given_up_is_told_and_stays_away(start_harness: Any, eventually: Any) -> None:
    found = await two(start_harness, {"strategy": "one-for-all", "backoff_ms": 30_000})
    children, context = found.context.children, found.context
    children.refusals = [Overloaded("no room, says the test")]
    children.end_child(ChildEnd("child-2", "failed", None, "guest-trap", "trap"))
    await eventually(lambda: context.failures and children.ids() == [])
    await found.call("stop-child", "child-1")
    assert [params[0] for _, params in context.enqueued] == ["child-2", "child-1"]
    assert context.enqueued[1][0] == f"{H}.handle-child-external-stop"
    assert [one.id for one in read_snapshot(found.instance.snapshot()).children] == ["child-2"]
    await found.instance._keeper.begin_again(found.instance._keeper._table["child-1"])
    assert (children.ids(), list(found.instance._keeper._table)) == ([], ["child-2"])


async def test_a_snapshot_brings_back_children_subscriptions_and_what_was_not_told(start_harness: Any) -> None:
    before = await two(start_harness, {"strategy": "one-for-one"})
    await before.call("subscribe-to-child", "child-1")
    before.context.children.end_child(ChildEnd("child-2", "exited", b"r"))
    snapshot = before.instance.snapshot()
    assert snapshot is not None
    after = await start_harness(Supervisor, {"strategy": "one-for-one"}, snapshot=snapshot)
    # The harness keeps nothing from one context to the next, so what the snapshot names cannot be fetched.
    assert [one for one in after.context.failures if "child-1 cannot be started again" in one]
    assert after.context.enqueued == [(f"{H}.handle-child-exit", ["child-2", b"r"])]
    assert after.instance.snapshot() == snapshot


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x01", b"\x80", b'{"children": []}'])
async def test_junk_is_no_snapshot(start_harness: Any, junk: bytes) -> None:
    with pytest.raises(ValueError, match="this is no snapshot of a supervisor"):
        await start_harness(Supervisor, snapshot=junk)
