"""Replay of real chains: what was recorded happens again without any capability, and whatever differs is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import Capability, CapabilityError
from theater_bus.core.chain import bodies
from theater_bus.core.chain.control import Updated, Version
from theater_bus.core.chain.events import Body
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.errors import ActorError
from theater_bus.host.replay import Objects, ReplayReport, Verdict, replay
from theater_bus.testing import Guest, RunningHost, build_component, build_wat, running_host

from .conftest import linked, opened

RESTART = {"action": "restart", "max_restarts": 1_000, "backoff_ms": 0}


# The counter whose `increment` subtracts, as a component: its answers are `result<tuple<u64, u64>, string>` at 64.
SUBTRACTING = """(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
  (func $keep (param i64) (result i32)
    (i64.store (i32.const 72) (local.get 0))
    (i64.store (i32.const 80) (local.get 0))
    (i32.const 64))
  (func (export "theater:simple/actor#init") (param i64) (result i32) (call $keep (local.get 0)))
  (func (export "increment") (param i64 i64) (result i32) (call $keep (i64.sub (local.get 0) (local.get 1))))
  (func (export "decrement") (param i64 i64) (result i32) (call $keep (i64.add (local.get 0) (local.get 1))))
  (func (export "get") (param i64) (result i32) (call $keep (local.get 0)))
  (func (export "reset") (param i64) (result i32) (call $keep (i64.const 0))))"""


@pytest.fixture
def counter(guest_of: Any) -> Any:
    """The counter, as each kind in turn."""
    return guest_of("counter")


def subtracting(counter: Guest, kind: str) -> bytes:
    """The counter of another mind."""
    if kind == "component":
        return build_component(SUBTRACTING, counter.pact)
    text = (counter.folder / "counter.wat").read_text("utf-8")
    assert "i64.add" in text
    return build_wat(text.replace("i64.add", "i64.sub"), counter.pact)


class Oracle(Capability):
    """Answers differently each time, and notes that it was asked."""

    name = "oracle"
    pact = """
@package: string = "test:oracle"

interface oracle {
    exports {
        next: func() -> u64
        ask: func(question: string) -> result<string, string>
        wait: func()
        fail: func()
        log: func(text: string) -> u64
        bytes: func(count: u32) -> list<u8>
    }
}
"""
    asked = 0

    def next(self) -> int:
        type(self).asked += 1
        return self.asked

    async def ask(self, question: str) -> str:
        type(self).asked += 1
        await asyncio.sleep(0)
        if not question:
            raise CapabilityError("there is no question")
        return f"{question}: {self.asked}"

    async def wait(self) -> None:
        type(self).asked += 1
        await asyncio.Event().wait()

    def fail(self) -> None:
        type(self).asked += 1
        raise RuntimeError("the oracle fell over")

    def log(self, text: str) -> int:
        type(self).asked += 1
        return self.asked

    def bytes(self, count: int) -> bytes:
        type(self).asked += 1
        return bytes([self.asked]) * count


async def attempt(actor: Any, function: str, *params: Any, **options: Any) -> Any:
    """Call, and give the code of an error."""
    try:
        return await actor.call_function(function, list(params), **options)
    except ActorError as error:
        return error.code


async def segments_of(actor: Any) -> list[Segment]:
    return [segment async for segment in actor.get_chain().segments()]


def changed(segments: list[Segment], change: Callable[[list[Body]], list[Body]]) -> list[Segment]:
    """The chain with the bodies of each segment put through `change`, linked anew."""
    return linked([change([event.body for event in group]) for group in opened(segments)])


def objects(*known: bytes) -> Objects:
    held = {sha256(data).digest(): data for data in known}

    async def find(digest: bytes) -> bytes | None:
        return held.get(digest)

    return find


async def oracle_chain(host: RunningHost) -> Any:
    actor = await host.spawn(Oracle, limits={"timeout_ms": 60_000})
    for function, params in (
        ("next", []),
        ("ask", ["why"]),
        ("ask", [""]),
        ("log", ["a line"]),
        ("bytes", [100_000]),
        ("fail", []),
        ("next", []),
    ):
        await attempt(actor, function, *params)
    assert await attempt(actor, "wait", timeout=0.3) == "operation-timeout"
    await attempt(actor, "next")
    return actor


async def test_every_end_of_an_operation_is_replayed(start_host: Any, guest_of: Any) -> None:
    """Values, errors, traps, limits, bad results, logs, memory that the instance keeps, and ends from outside."""
    host = await start_host(installed=["runtime"])
    actor = await host.spawn(
        guest_of("chaos"), on_failure=RESTART, limits={"cpu_ms": 500, "memory_bytes": 1 << 24, "host_calls": 500}
    )
    course: list[tuple[Any, ...]] = [("count",), ("log", 3, 10), ("marks",), ("refuse", "no"), ("log", 200, 100)]
    course += [("trap", "unreachable"), ("trap", "recursion"), ("trap", "divide"), ("fail", "hm"), ("marks",)]
    course += [("big", 100_000), ("big", 1_500_000), ("garbage", "noise"), ("garbage", "lost-message")]
    course += [("wrong", "state"), ("eat", "error"), ("eat", "trap"), ("touch",), ("spin",), ("flood",), ("count",)]
    for function, *params in course:
        await attempt(actor, function, *params)
    report = await host.replay(actor)
    assert report.is_identical, report
    failures = [event.body for event in await actor.get_chain().all() if isinstance(event.body, bodies.Failure)]
    assert {one.code for one in failures} == {"guest-error", "guest-trap", "too-large", "type-mismatch"}
    ends = [one.reason for one in failures]
    imposed = [reason for reason in ends if reason in ("stack-overflow", "cpu-limit", "record-limit")]
    assert set(imposed) == {"stack-overflow", "cpu-limit", "record-limit"}
    assert (report.operations, report.imposed) == (len(course) - len(imposed), len(imposed))
    assert report.package == report.recorded_package
    assert report.from_seq == 0


async def test_host_calls_are_answered_from_the_record_and_nobody_is_asked(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await oracle_chain(host)
    asked = Oracle.asked
    for _ in range(2):
        report = await host.replay(actor)
        assert report.is_identical, report
        assert (report.operations, report.imposed) == (7, 2)
    assert Oracle.asked == asked


async def test_a_log_with_an_answer_is_recorded_with_it(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    answer = await actor.call_function("log", ["a line"])
    [call] = [event.body for event in await actor.get_chain().all() if isinstance(event.body, bodies.HostCall)]
    assert call.output is not None
    assert answer == Oracle.asked


async def test_what_init_asked_is_replayed_too(start_host: Any, guest_of: Any) -> None:
    host = await start_host(installed=["runtime"])
    actor = await host.spawn(guest_of("runtime"))
    report = await host.replay(actor)
    assert report.is_identical, report


async def test_a_chain_in_files_replays_after_a_restart_and_from_its_checkpoint(
    theater_server: Any, guest_of: Any, tmp_path: Path, kind: str
) -> None:
    options: dict[str, Any] = {"server": theater_server, "data_dir": tmp_path, "namespace": f"replayed-{kind}"}
    async with running_host(**options) as host:
        actor = await host.spawn(
            guest_of("echo"), id="kept", state="text", chain={"durability": "file", "inline_max": 256}
        )
        for size in (1, 1_000, 10):
            assert await actor.call_function("test:echo/plain.string", ["x" * size]) == "x" * size
        await actor.pause()
        await actor.resume()
    async with running_host(**options) as host:
        actor = host.theater.actor("kept")
        await actor.call_function("test:echo/plain.string", ["again"])
        report = await host.replay(actor)
        assert report.is_identical, report
        assert report.from_seq == 0
        segments = await segments_of(actor)
        at = next(
            n for n, group in enumerate(opened(segments)) if any(isinstance(e.body, bodies.Checkpoint) for e in group)
        )
        later = await replay(segments[at:], host.host.archive.files.payload, engine=host.host.engine)  # type: ignore[union-attr]
        assert later.is_identical, later
        assert later.from_seq == segments[at].first
        assert (report.operations, later.operations) == (4 + 1, 1)


async def test_a_changed_answer_is_a_divergence_with_both_sides(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    await actor.call_function("next")
    await actor.call_function("next")

    original = await segments_of(actor)
    outputs = [e.body.output for g in opened(original) for e in g if isinstance(e.body, bodies.HostCall)]
    assert isinstance(outputs[-1], bytes)
    other = bytes([*outputs[-1][:-1], 1])

    def change(group: list[Body]) -> list[Body]:
        return [
            replace(body, output=other) if isinstance(body, bodies.HostCall) and body.output == outputs[-1] else body
            for body in group
        ]

    report = await again(host, actor, changed(original, change))
    assert report.verdict is Verdict.DIVERGED
    assert report.divergence is not None
    assert (report.divergence.kind, report.divergence.function) == ("different-end", "next")
    plain = json.loads(json.dumps(report.as_plain()))
    sides = [plain["first_divergence"][side]["value"]["value"] for side in ("recorded", "replayed")]
    assert sides[0] != sides[1]
    assert report.operations == 2


async def again(host: RunningHost, actor: Any, segments: list[Segment], **options: Any) -> ReplayReport:
    """Replay a changed chain of the actor."""
    return await replay(segments, host._object, engine=host.host.engine, **options)


@pytest.mark.parametrize(
    ("difference", "change"),
    [
        ("surplus-call", lambda call: []),
        ("missing-call", lambda call: [call, call]),
        ("different-call", lambda call: [replace(call, interface="test:other/oracle")]),
        ("different-call", lambda call: [replace(call, function="ask")]),
        ("different-call", lambda call: [replace(call, input=b"other")]),
    ],
)
async def test_a_record_of_other_host_calls_is_a_divergence(start_host: Any, difference: str, change: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    await actor.call_function("next")
    asked = Oracle.asked

    def each(group: list[Body]) -> list[Body]:
        return [one for body in group for one in (change(body) if isinstance(body, bodies.HostCall) else [body])]

    report = await again(host, actor, changed(await segments_of(actor), each))
    assert report.verdict is Verdict.DIVERGED
    assert report.divergence is not None
    assert report.divergence.kind == difference
    assert Oracle.asked == asked


async def test_a_changed_byte_is_corruption_and_what_it_belongs_to_is_not_run(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    for _ in range(3):
        await actor.call_function("next")
    segments = await segments_of(actor)
    spoilt = segments[2]
    event = bytearray(spoilt.events[1])
    event[-1] ^= 1
    segments[2] = replace(spoilt, events=(spoilt.events[0], bytes(event), *spoilt.events[2:]))
    report = await again(host, actor, segments)
    assert report.verdict is Verdict.CORRUPT
    assert report.operations == 1
    assert report.problem is not None
    assert report.problem.seq in (spoilt.first + 1, spoilt.first + 2)
    assert str(report).startswith("corrupt: ")


async def test_corruption_behind_a_divergence_is_corruption(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    for _ in range(2):
        await actor.call_function("next")
    rest = changed(await segments_of(actor), _without_calls)
    rest[-1] = replace(rest[-1], head=bytes(32))
    report = await again(host, actor, rest)
    assert report.verdict is Verdict.CORRUPT
    assert report.divergence is not None


def _without_calls(group: list[Body]) -> list[Body]:
    return [body for body in group if not isinstance(body, bodies.HostCall)]


async def test_another_package_is_compared_with_the_record(
    start_host: Any, kind: str, guest_of: Any, counter: Any
) -> None:
    """The same code with a section more behaves the same; the counter of another mind does not."""
    host = await start_host()
    actor = await host.spawn(counter)
    for n in (5, 7):
        await actor.call_function("increment", [n])
    same = await host.replay(actor, package=counter.wasm + b"\x00\x06\x04note.")
    assert same.is_identical, same
    assert same.package != same.recorded_package
    other = await host.replay(actor, package=subtracting(counter, kind))
    assert other.verdict is Verdict.DIVERGED
    assert other.divergence is not None
    assert (other.divergence.kind, other.divergence.function) == ("different-end", "increment")
    strange = await host.replay(actor, package=guest_of("chaos").wasm)
    assert strange.divergence is not None
    assert strange.divergence.replayed == {"code": "function-not-found", "reason": None, "value": None}


async def test_an_update_goes_on_with_the_new_package(start_host: Any, counter: Any) -> None:
    host = await start_host()
    actor = await host.spawn(counter)
    for n in (5, 7):
        await actor.call_function("increment", [n])
    segments = opened(await segments_of(actor))
    genesis = segments[0][0].body
    assert isinstance(genesis, bodies.Genesis)
    new = counter.wasm + b"\x00\x06\x04note."
    old = Version(genesis.package, genesis.manifest, genesis.grants, genesis.abi)
    update = Updated(old, replace(old, package=sha256(new).digest()))
    groups: list[list[Body]] = [[event.body for event in group] for group in segments]
    chain = linked([*groups[:-1], [update], groups[-1]])
    report = await replay(chain, objects(counter.wasm, new), engine=host.host.engine)
    assert report.is_identical, report
    assert report.recorded_package == sha256(new).hexdigest()
    lacking = await replay(chain, objects(counter.wasm), engine=host.host.engine)
    assert lacking.verdict is Verdict.INCOMPLETE
    assert lacking.missing == (sha256(new).digest(),)


async def test_what_is_missing_makes_it_incomplete(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await oracle_chain(host)
    segments = await segments_of(actor)
    engine = host.host.engine
    no_package = await replay(segments, objects(), engine=engine)
    assert no_package.verdict is Verdict.INCOMPLETE
    assert no_package.problem is not None
    assert "the package (SHA-256" in no_package.problem.reason
    wasm = next(data for data in host._spawned.values() if data.startswith(b"\0asm"))
    no_payload = await replay(segments, objects(wasm), engine=engine)
    assert no_payload.verdict is Verdict.INCOMPLETE
    assert len(no_payload.missing) == 1
    assert no_payload.operations == 4
    no_beginning = await replay(segments[1:], host._object, engine=engine)
    assert no_beginning.verdict is Verdict.INCOMPLETE
    assert no_beginning.from_seq is None
    assert "there is no genesis or checkpoint" in str(no_beginning)
    nothing = await replay([], host._object, engine=engine)
    assert nothing.verdict is Verdict.INCOMPLETE


async def test_spilled_segments_are_fetched_and_a_missing_one_stops_the_replay(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    for _ in range(3):
        await actor.call_function("next")
    chain: list[Segment | Spilled] = [*await segments_of(actor)]
    assert isinstance(chain[2], Segment)
    chain[2], data = chain[2].spill()
    wasm = next(data for data in host._spawned.values() if data.startswith(b"\0asm"))
    report = await replay(chain, objects(wasm, data), engine=host.host.engine)
    assert report.is_identical, report
    report = await replay(chain, objects(wasm), engine=host.host.engine)
    assert (report.verdict, report.operations) == (Verdict.INCOMPLETE, 1)


async def test_objects_that_lie_are_corruption(start_host: Any, counter: Any) -> None:
    host = await start_host(Oracle)
    actor = await oracle_chain(host)

    async def other(digest: bytes) -> bytes | None:
        return counter.wasm

    report = await replay(await segments_of(actor), other, engine=host.host.engine)
    assert report.verdict is Verdict.CORRUPT
    assert report.operations == 0


async def test_it_runs_up_to_an_event_and_verifies_the_rest(start_host: Any) -> None:
    host = await start_host(Oracle)
    actor = await host.spawn(Oracle)
    for _ in range(4):
        await actor.call_function("next")
    segments = await segments_of(actor)
    report = await again(host, actor, segments, until=segments[2].first)
    assert (report.verdict, report.operations) == (Verdict.IDENTICAL, 2)
    assert report.events == segments[-1].first + segments[-1].count
    segments[-1] = replace(segments[-1], head=bytes(32))
    assert (await again(host, actor, segments, until=0)).verdict is Verdict.CORRUPT


async def test_it_makes_an_engine_of_its_own_where_it_is_given_none(start_host: Any, counter: Any) -> None:
    host = await start_host()
    actor = await host.spawn(counter)
    await actor.call_function("increment", [5])

    async def live() -> Any:
        for segment in await segments_of(actor):
            yield segment

    assert (await replay(live(), objects(counter.wasm))).is_identical


async def test_an_endless_guest_in_place_of_the_recorded_one_ends_as_a_divergence(
    start_host: Any, guest_of: Any
) -> None:
    host = await start_host(installed=["runtime"])
    actor = await host.spawn(guest_of("chaos"), limits={"cpu_ms": 20})
    await actor.call_function("count")

    def change(group: list[Body]) -> list[Body]:
        return [
            replace(body, function="spin") if isinstance(body, bodies.Call | bodies.Result) else body for body in group
        ]

    report = await again(host, actor, changed(await segments_of(actor), change))
    assert report.divergence is not None
    assert report.divergence.replayed == {"code": "guest-trap", "reason": "cpu-limit", "value": None}
