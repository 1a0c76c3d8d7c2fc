"""Host functions through real guests: failing, suspending, outliving their operation, and calling back."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import Capability, CapabilityError
from theater_bus.core.manifest import from_mapping
from theater_bus.core.values.cgrf import decode
from theater_bus.errors import HandlerError, OperationTimeout
from theater_bus.host.calling import OwnCall
from theater_bus.host.spawning import SpawnRequest
from theater_bus.telemetry import Telemetry


def peer(gate: asyncio.Event, waiting: list[int]) -> type[Capability]:
    """What the `caller` guest imports; `wait` comes back when the gate opens."""

    class Peer(Capability):
        name = "peer"
        pact = """
            @package: string = "test:peer"
            interface peer {
                exports {
                    call: func(actor: string, function: string, arg: u64) -> result<u64, string>
                    wait: func(ms: u32)
                    add: func(a: u32, b: u32) -> u32
                }
            }
        """

        async def call(self, actor: str, function: str, arg: int) -> int:
            return int(await self.context.call_actor(actor, function, [arg]))

        async def wait(self, ms: int) -> None:
            waiting.append(self.context.call_id)
            await gate.wait()

        def add(self, a: int, b: int) -> int:
            return a + b

    return Peer


async def test_a_capability_that_fails_costs_its_operation_and_not_the_actor(
    start_host: Any, tool: Any, bodies: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(tool)
    actor = await host.spawn(tool, id="t")
    await actor.call_function("echo", ["before"])
    before = host.host.actors["t"].instance
    with pytest.raises(HandlerError) as caught:
        await actor.call_function("fail", ["a secret"])
    error = caught.value
    assert (error.code, error.ran) == ("capability-failed", "rolled-back")
    assert "a secret" not in str(error)
    assert f"correlation={error.details['correlation']}" in caplog.text
    assert "RuntimeError: a secret" in caplog.text
    assert await actor.call_function("echo", ["after"]) == "after"
    assert host.host.actors["t"].instance is not before
    assert [one.outcome for one in await bodies(actor, "host-call")] == ["returned", "raised", "returned"]
    assert b"a secret" not in b"".join([repr(one).encode() for one in await bodies(actor, "error", "host-call")][2:])
    assert (await actor.get_status()).phase == "running"


async def test_a_waiting_host_function_suspends_its_guest_and_nobody_else(
    start_host: Any, tool: Any, eventually: Any
) -> None:
    host = await start_host(tool)
    one, other = await host.spawn(tool, id="one"), await host.spawn(tool, id="other")
    call = asyncio.create_task(one.call_function("wait", ["gate"]))
    await eventually(lambda: "gate" in tool.arrived)
    assert await other.call_function("echo", ["x"]) == "x"
    status = await one.get_status()
    assert status.running is not None
    assert status.running.function == "wait"
    tool.arrived["gate"].set_result("open")
    assert await call == "open"


async def test_a_host_function_is_cancelled_at_the_deadline(start_host: Any, tool: Any, bodies: Any) -> None:
    host = await start_host(tool)
    actor = await host.spawn(tool)
    with pytest.raises(OperationTimeout):
        await actor.call_function("wait", ["gate"], timeout=0.2)
    assert await actor.call_function("echo", ["after"]) == "after"
    assert tool.cancelled == ["gate"]
    assert [one.outcome for one in await bodies(actor, "host-call")] == ["unknown", "returned"]


async def test_a_host_function_that_ignores_its_cancellation_is_abandoned_and_named(
    start_host: Any, tool: Any, bodies: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(tool, telemetry=Telemetry(level="off"))
    actor = await host.spawn(tool, id="t")
    with pytest.raises(OperationTimeout):
        await actor.call_function("leak", ["leaky"], timeout=0.2)
    assert await actor.call_function("echo", ["after"]) == "after"
    tool.release.set()
    assert "capability.abandoned" in caplog.text
    assert "interface='test:tools/tool' function='leak'" in caplog.text
    await eventually(lambda: len(tool.cancelled) > 1)
    assert tool.cancelled == ["leaky", "there is no current operation: this code does not run within a host call"]
    assert [(one.function, one.outcome) for one in await bodies(actor, "host-call")] == [
        ("leak", "unknown"),
        ("echo", "returned"),
    ]


async def test_the_context_knows_the_operation(start_host: Any, tool: Any) -> None:
    host = await start_host(tool)
    actor = await host.spawn(tool, id="t")
    one, other = [await actor.call_function("facts", key=key) for key in ("k1", "k2")]
    assert one[:2] == ["t", "0"]
    assert one[3] == "True"
    assert len(one[2]) == 64
    assert one[2] != other[2]
    context = tool.instances[-1].context
    for name in ("deadline", "call_id", "effect_key"):
        with pytest.raises(LookupError):
            getattr(context, name)


async def test_a_capability_has_a_directory_of_its_own_where_the_host_has_one(
    start_host: Any, tool: Any, tmp_path: Path
) -> None:
    for data_dir, expected in ((None, None), (tmp_path, tmp_path / "capabilities" / "tool")):
        host = await start_host(tool, data_dir=data_dir)
        await host.spawn(tool, id="t")
        assert host.host.actors["t"].capabilities["tool"].context.data_dir == expected


async def test_a_reported_failure_is_visible_in_the_status(
    start_host: Any, tool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(tool, telemetry=Telemetry(level="off"))
    actor = await host.spawn(tool)
    assert (await actor.get_status()).reason is None
    with caplog.at_level(logging.WARNING):
        await actor.call_function("note", ["the listener died"])
    assert (await actor.get_status()).reason == "tool: the listener died"
    assert "the listener died" in caplog.text


async def test_a_capability_may_have_64_calls_waiting_and_crowds_nobody_out(
    start_host: Any, tool: Any, bodies: Any
) -> None:
    host = await start_host(tool)
    actor = await host.spawn(tool)
    assert await actor.call_function("again", [100]) == 64
    assert await actor.call_function("echo", ["mine"]) == "mine"
    calls = [one for one in await bodies(actor, "call") if one.function == "echo"]
    assert [one.proof for one in calls] == ["host"] * 64 + ["none"]


async def test_two_host_calls_of_one_operation_are_recorded_in_order(
    start_host: Any, guest_of: Any, bodies: Any
) -> None:
    gate, waiting = asyncio.Event(), list[int]()
    gate.set()
    host = await start_host(peer(gate, waiting))
    actor = await host.spawn(guest_of("caller"))
    assert await actor.call_function("wait-then-add", [5, 2, 3]) == 5
    recorded = await bodies(actor, "host-call")
    assert [(one.function, one.outcome) for one in recorded] == [("wait", "returned"), ("add", "returned")]
    assert decode(recorded[1].output).value == 5  # type: ignore[union-attr]
    assert waiting == [0]


@pytest.fixture
def no_collections() -> Iterator[None]:
    """A full collection over a million objects stops the loop for a second; that is not what is measured here."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize(("kind", "count"), [("module", 10_000), ("component", 1_000)], indirect=["kind"])
async def test_thousands_of_guests_wait_in_a_host_function_at_once(
    start_host: Any, tool: Any, eventually: Any, record_property: Any, wasm_of: Any, count: int
) -> None:
    """Every guest is suspended in its own fiber: no thread waits, and a call beside them is answered at once."""
    wasm = wasm_of("caller")
    gate, waiting = asyncio.Event(), list[int]()
    host = await start_host(peer(gate, waiting), tool)
    bystander = await host.spawn(tool, id="bystander")
    # On a busy machine spawning takes longer than the default time limit, and those that wait already would be cut.
    settings = {"initial_state": {"next": "", "calls": 0}, "limits": {"timeout_ms": 600_000}}
    manifest = from_mapping({"name": "waits", "capabilities": {"peer": {}}, **settings}, "test")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()

    async def spawn(number: int) -> None:
        actor = await host.host.spawn(SpawnRequest(manifest, wasm, f"w{number}"))
        host.host.calls.enqueue(actor, OwnCall("test", "wait", [60_000]))

    for first in range(0, count, 250):
        await asyncio.gather(*map(spawn, range(first, first + 250)))
    spawned = time.perf_counter() - started
    await eventually(lambda: len(waiting) == count, 60)
    assert await asyncio.wait_for(bystander.call_function("echo", ["x"]), 5) == "x"
    memory_kb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / count
    gate.set()
    released = time.perf_counter()
    await eventually(lambda: all(one.current is None for one in host.host.actors.values()), 60)
    ended = time.perf_counter() - released
    last = host.host.actors[f"w{count - 1}"]
    assert last.type.state_codec.decode(last.state)["calls"] == 1
    measured = f"spawned in {spawned:.1f} s, {memory_kb:.0f} KB each, all answered in {ended:.2f} s"
    record_property("measured", measured)
    print(f"{count:,} waiting guests: {measured}")


def test_the_relaying_guest_is_small(tool: Any, relay: Any) -> None:
    assert len(relay(tool)) < 8192


async def test_a_relaying_guest_passes_on_values_of_every_shape(start_host: Any, kind: str) -> None:
    """More parameters than are passed one by one, and cases whose contents share their place."""
    numbers = [f"n{number}: u8" for number in range(15)]

    class Shapes(Capability):
        name = "shapes"
        pact = f"""
            @package: string = "test:shapes"
            record point {{ x: f64, label: option<string>, bits: bits }}
            flags bits {{ one, two, three }}
            enum level {{ low, high }}
            variant mixed {{ small(u8), half(f32), whole(f64), wide(s64), text(string), both(tuple<u8, f32>), nothing }}
            interface shapes {{
                exports {{
                    many: func({", ".join(numbers)}, text: string) -> string
                    point: func(v: point) -> point
                    level: func(v: level) -> level
                    mixed: func(v: mixed) -> mixed
                    points: func(v: list<point>) -> list<point>
                    single: func(v: f32) -> f32
                    outcome: func(v: result<f32, u64>) -> tuple<result<f32, u64>>
                }}
            }}
        """

        def many(self, *given: Any) -> str:
            return "".join(map(str, given))

        def _same(self, v: Any) -> Any:
            return v

        point = level = mixed = points = single = _same

        def outcome(self, v: Any) -> list[Any]:
            return [v]

    actor = await (await start_host(Shapes)).spawn(Shapes)
    assert await actor.call_function("many", [*range(15), "!"]) == "01234567891011121314!"
    # The metadata of a module has no names for flags.
    bits: list[Any] = [5, 0] if kind == "module" else [["one", "three"], []]
    point = {"x": -0.5, "label": "here", "bits": bits[0]}
    bare = {"x": 2.0, "label": None, "bits": bits[1]}
    for function, values in {
        "point": [point, bare],
        "points": [[], [point, bare]],
        "level": ["low", "high"],
        "single": [0.5],
        "mixed": [
            *({"small": 255}, {"half": 0.5}, {"whole": 0.1}, {"wide": -(1 << 63)}),
            *({"text": "é"}, {"both": [7, 1.5]}, "nothing"),
        ],
    }.items():
        assert [await actor.call_function(function, [value]) for value in values] == values
    for value in ({"ok": 0.5}, {"err": (1 << 64) - 1}):
        assert await actor.call_function("outcome", [value]) == [value]


async def test_a_relaying_guest_passes_on_results_without_content(start_host: Any, kind: str) -> None:
    class Door(Capability):
        name = "door"
        pact = """
            @package: string = "test:door"
            interface door {
                exports {
                    knock: func(times: u32) -> result<_, string>
                    push: func(times: u32) -> result<string, _>
                    ring: func() -> result<_, _>
                }
            }
        """

        def knock(self, times: int) -> None:
            if times == 0:
                raise CapabilityError("nobody knocked")

        def push(self, times: int) -> str:
            raise CapabilityError

        def ring(self) -> None:
            """It rings."""

    # A module's metadata has no type for it but the empty tuple, and WIT has no empty tuple.
    nothing = [] if kind == "module" else None
    actor = await (await start_host(Door)).spawn(Door)
    assert await actor.call_function("knock", [1]) == [{"ok": nothing}]
    assert await actor.call_function("knock", [0]) == [{"err": "nobody knocked"}]
    assert await actor.call_function("push", [1]) == [{"err": nothing}]
    assert await actor.call_function("ring") == nothing
