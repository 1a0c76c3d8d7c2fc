"""What capabilities enqueue and how they follow an operation: the end of each, taking back, undoing."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.capability import Capability
from theater_bus.core.chain.bodies import Checkpoint
from theater_bus.errors import (
    ActorError,
    Cancelled,
    GuestError,
    Internal,
    OperationTimeout,
    Overloaded,
    ShuttingDown,
    TooLarge,
)
from theater_bus.testing import build_component, build_wat

PACT = """
imports {
    test:follow/follow { told: func(word: string) }
}
exports {
    add: func(state: u64, by: u64) -> result<tuple<u64>, string>
    fail: func(state: u64) -> result<tuple<u64>, string>
    trap: func(state: u64) -> result<tuple<u64>, string>
}
"""
# The host call's argument is the string "word"; ok((state,)) and err("no") lie ready as in the other guests.
GUEST = r"""(module
  (import "test:follow/follow" "told" (func $told (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 8192))
  (data (i32.const 1152)
    "CGRF\02\00\00\00\03\00\00\00\02\00\00\00"
    "\0f\00\00\00\08\00\00\00\00\00\00\00\00\00\00\00"
    "\0b\00\00\00\08\00\00\00\01\00\00\00\00\00\00\00"
    "\14\00\00\00\10\00\00\00\0b\01\00\00\00\0f\06\00\00\00\00\01\01\00\00\00")
  (data (i32.const 1280)
    "CGRF\02\00\00\00\02\00\00\00\01\00\00\00"
    "\06\00\00\00\06\00\00\00\02\00\00\00no"
    "\14\00\00\00\10\00\00\00\0b\01\00\00\00\0f\06\01\00\00\00\01\00\00\00\00")
  (data (i32.const 1408) "CGRF\02\00\00\00\01\00\00\00\00\00\00\00\06\00\00\00\08\00\00\00\04\00\00\00word")
  (func (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (local.get $at))
  (func (export "__pack_free") (param i32 i32))
  (func $tell (drop (call $told (i32.const 1408) (i32.const 32) (i32.const 1500) (i32.const 1504))))
  (func (export "add") (param $in i32) (param i32 i32 i32) (result i32)
    (i64.store (i32.const 1176)
      (i64.add (i64.load offset=24 (local.get $in)) (i64.load offset=40 (local.get $in))))
    (call $tell)
    (i32.store (local.get 2) (i32.const 1152))
    (i32.store (local.get 3) (i32.const 72))
    (i32.const 0))
  (func (export "fail") (param i32 i32 i32 i32) (result i32)
    (call $tell)
    (i32.store (local.get 2) (i32.const 1280))
    (i32.store (local.get 3) (i32.const 54))
    (i32.const 0))
  (func (export "trap") (param i32 i32 i32 i32) (result i32)
    (call $tell)
    unreachable))"""

# An answer is `result<tuple<u64>, string>` in memory, at 64; the call's words lie behind it.
COMPONENT = r"""(module
  (import "test:follow/follow" "told" (func $told (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 128) "word")
  (data (i32.const 144) "no")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
  (func $tell (call $told (i32.const 128) (i32.const 4)))
  (func (export "add") (param $state i64) (param $by i64) (result i32)
    (call $tell)
    (i64.store (i32.const 64) (i64.const 0))
    (i64.store (i32.const 72) (i64.add (local.get $state) (local.get $by)))
    (i32.const 64))
  (func (export "fail") (param i64) (result i32)
    (call $tell)
    (i64.store (i32.const 64) (i64.const 1))
    (i32.store (i32.const 72) (i32.const 144))
    (i32.store (i32.const 76) (i32.const 2))
    (i32.const 64))
  (func (export "trap") (param i64) (result i32)
    (call $tell)
    unreachable))"""


class Follow(Capability):
    """Keeps how operations end, in `ends`, and how enqueued calls do, in `calls`."""

    name = "follow"
    pact = """
        interface follow {
            @package: string = "test:follow"
            exports { told: func(word: string) }
        }
    """

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.ends: list[tuple[str, bool]] = []
        self.calls: list[ActorError | None] = []

    def told(self, word: str) -> None:
        self.context.on_operation_end(lambda worked: self.ends.append((word, worked)))
        self.context.on_operation_end(lambda worked: self.ends.append(("last", worked)))
        self.context.snapshot_changed()

    def snapshot(self) -> bytes:
        return str(len(self.ends)).encode()


@pytest.fixture
def wasm(kind: str) -> bytes:
    """The guest, as each kind in turn."""
    return build_wat(GUEST, PACT) if kind == "module" else build_component(COMPONENT, PACT)


@pytest.fixture
async def followed(start_host: Any, wasm: bytes) -> Any:
    host = await start_host(Follow)
    return host, await _spawn(host, wasm), host.host.actors["f"].capabilities["follow"]


async def _spawn(host: Any, wasm: bytes, **manifest: Any) -> Any:
    return await host.spawn(wasm, id="f", initial_state=0, capabilities={"follow": {}}, **manifest)


async def test_a_capability_learns_whether_an_operation_took_effect_last_one_first(followed: Any) -> None:
    _, actor, follow = followed
    await actor.call_function("add", [1])
    with pytest.raises(GuestError):
        await actor.call_function("fail")
    with pytest.raises(Internal):
        await actor.call_function("trap")
    assert follow.ends == [
        ("last", True),
        ("word", True),
        ("last", False),
        ("word", False),
        ("last", False),
        ("word", False),
    ]
    with pytest.raises(LookupError):
        follow.context.on_operation_end(follow.ends.append)


async def test_a_capability_learns_how_its_calls_end(followed: Any, eventually: Any) -> None:
    _, actor, follow = followed
    for function, params in [("add", [2]), ("fail", []), ("trap", [])]:
        follow.context.enqueue(function, params, follow.calls.append)
    await eventually(lambda: len(follow.calls) == 3)
    assert [None if one is None else (one.code, one.ran) for one in follow.calls] == [
        None,
        ("guest-error", "committed"),
        ("guest-trap", "rolled-back"),
    ]
    assert await actor.get_state() == 2


async def test_a_capability_gets_the_answer_of_a_call_that_worked_before_its_end(
    start_host: Any, tool: Any, eventually: Any
) -> None:
    host = await start_host(tool)
    await host.spawn(tool)
    context = tool.instances[0].context
    seen: list[Any] = []
    for function in ("echo", "fail"):
        context.enqueue(function, ["word"], lambda error: seen.append(error and error.code), answered=seen.append)
    await eventually(lambda: len(seen) == 3)
    assert seen == ["word", None, "capability-failed"]
    context.enqueue("echo", ["alone"], answered=seen.append)
    await eventually(lambda: seen[3:] == ["alone"])


async def test_what_waits_for_a_capability_occupies_the_bytes_that_it_has(start_host: Any, tool: Any) -> None:
    host = await start_host(tool)
    actor = await host.spawn(tool, mailbox={"enqueue_bytes": 1024})
    context = tool.instances[0].context
    await actor.pause()
    with pytest.raises(TooLarge):
        context.enqueue("echo", ["x" * 1024])
    context.enqueue("echo", ["x" * 500])
    with pytest.raises(Overloaded):
        context.enqueue("echo", ["x"])


async def test_an_enqueued_call_is_taken_back_while_it_waits_and_only_then(followed: Any, eventually: Any) -> None:
    host, actor, follow = followed
    await actor.pause()
    take_back = follow.context.enqueue("add", [2], follow.calls.append)
    assert take_back()
    assert [type(one) for one in follow.calls] == [Cancelled]
    assert not take_back()
    assert host.host.actors["f"].mailbox.enqueues == 0
    await actor.resume()
    take_back = follow.context.enqueue("add", [3], follow.calls.append)
    await eventually(lambda: len(follow.calls) == 2)
    assert not take_back()
    assert await actor.get_state() == 3


async def test_what_never_runs_says_so(start_host: Any, wasm: bytes, eventually: Any) -> None:
    host = await start_host(Follow)
    actor = await _spawn(host, wasm, limits={"timeout_ms": 50}, mailbox={"enqueues": 1})
    running = host.host.actors["f"]
    follow = running.capabilities["follow"]
    await actor.pause()
    follow.context.enqueue("add", [1], follow.calls.append)
    with pytest.raises(Overloaded):
        follow.context.enqueue("add", [1], follow.calls.append)
    await eventually(lambda: follow.calls)
    follow.context.enqueue("add", [1], follow.calls.append)
    await actor.shutdown()
    await host.host.stopped(running)
    assert [(type(one), one.ran) for one in follow.calls] == [(OperationTimeout, "never"), (ShuttingDown, "never")]
    with pytest.raises(ShuttingDown):
        follow.context.enqueue("add", [1], follow.calls.append)


async def test_what_follows_an_operation_and_fails_is_logged_and_costs_nothing(
    followed: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, actor, follow = followed

    def fail(_: object) -> None:
        raise RuntimeError("in a callback")

    follow.context.enqueue("add", [1], fail)
    await eventually(lambda: "in a callback" in caplog.text)
    await actor.call_function("add", [1])
    assert await actor.get_state() == 2


async def test_a_capability_knows_what_it_may_enqueue(followed: Any) -> None:
    _, _, follow = followed
    assert follow.context.has_export("add")
    assert not follow.context.has_export("theater:simple/actor.init")
    assert not follow.context.has_export("subtract")


async def test_a_changed_snapshot_is_in_a_checkpoint_behind_the_operation(
    start_host: Any, wasm: bytes, tmp_path: Any, eventually: Any
) -> None:
    host = await start_host(Follow, data_dir=tmp_path)
    actor = await _spawn(host, wasm, chain={"durability": "file"})
    for _ in range(2):
        await actor.call_function("add", [1])
    kept = host.host.actors[actor.id]
    await eventually(lambda: kept.queue.ahead_max and not kept.journal.ahead)
    events = [event.body for event in await actor.get_chain().all() if isinstance(event.body, Checkpoint)]
    assert [one.snapshots["follow"] for one in events] == [b"2", b"4"]


async def test_the_harness_follows_calls_and_operations_too(start_harness: Any) -> None:
    follow = await start_harness(Follow)
    await follow.call("told", "word")
    assert follow.instance.ends == [("last", True), ("word", True)]
    assert follow.context.snapshots == 1
    take_back = follow.context.enqueue("add", [1], follow.instance.calls.append)
    follow.context.enqueue("add", [2], follow.instance.calls.append)
    assert take_back()
    assert not take_back()
    follow.context.finish()
    assert [None if one is None else one.code for one in follow.instance.calls] == ["cancelled", None]
    answers: list[Any] = []
    follow.context.enqueue("add", [1], answered=answers.append)
    follow.context.enqueue("add", [1], answered=answers.append)
    follow.context.finish(answer=3)
    follow.context.finish(GuestError("no"))
    assert answers == [3]
    assert follow.context.enqueued == []
    follow.context.exports = {"add"}
    assert (follow.context.has_export("add"), follow.context.has_export("b")) == (True, False)
