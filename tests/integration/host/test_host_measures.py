"""What is counted is true: the metrics of one actor, the totals of a host, and every name in the telemetry registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from theater_bus.client import connect
from theater_bus.errors import ChainTampered
from theater_bus.telemetry import REGISTRY, Telemetry, TraceCollector
from theater_bus.telemetry.conformance import LogCollector, emitted, missing
from theater_bus.telemetry.metrics import Snapshot

from .conftest import Stage, eventually, one_kind, plugin


async def metrics(stage: Stage, actor_id: str = "a") -> tuple[dict[str, Any], dict[str, Any]]:
    found = await stage.info(actor_id, "metrics")
    return found["operation_metrics"], found["resource_metrics"]


async def test_every_field_of_an_actor_s_metrics_changes_as_it_should(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    first = await stage.info("a", "metrics")
    assert first["operation_metrics"]["total_operations"] == 1
    await stage.call("a", "add", 1)
    await stage.error(stage.call("a", "refuse"))
    await stage.error(stage.call("a", "trap"))
    await stage.error(stage.call("a", "add", "x"))
    await stage.error(stage.call("a", "no-such"))
    operations, _ = await metrics(stage)
    assert operations["total_operations"] == 4
    assert operations["failed_operations"] == 2
    assert operations["refused_operations"] == 2
    codes = {"guest-error": 1, "guest-trap": 1, "type-mismatch": 1, "function-not-found": 1}
    assert operations["errors_by_code"] == codes
    last = await stage.info("a", "metrics")
    assert last["start_time_ns"] == first["start_time_ns"]
    assert last["last_update_ns"] > first["last_update_ns"]
    assert last["uptime_ms"] >= first["uptime_ms"]
    assert actor.metrics is not None


async def test_times_with_the_wait_are_longer_than_without(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    await stage.control("a", "pause")
    waiting = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(actor.mailbox) == 1)
    await stage.control("a", "resume")
    await waiting
    operations, _ = await metrics(stage)
    for field in ("total", "max", "min"):
        without = operations[f"{field}_processing_time_ns"]
        assert 0 < without < operations[f"{field}_processing_time_with_wait_ns"]
    assert operations["min_processing_time_ns"] <= operations["max_processing_time_ns"]
    assert operations["max_processing_time_ns"] <= operations["total_processing_time_ns"]


@one_kind
async def test_the_queue_s_size_falls_and_its_peaks_stay(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    await stage.control("a", "pause")
    waiting = [stage.start(stage.call("a", "add", 1)) for _ in range(7)]
    await eventually(lambda: len(actor.mailbox) == 7)
    _, resources = await metrics(stage)
    held = resources["operation_queue_bytes"]
    assert (resources["operation_queue_size"], resources["peak_queue_size"]) == (7, 7)
    assert held > 7 * 20
    await stage.control("a", "resume")
    await asyncio.gather(*waiting)
    _, resources = await metrics(stage)
    assert (resources["operation_queue_size"], resources["peak_queue_size"]) == (0, 7)
    assert (resources["operation_queue_bytes"], resources["peak_queue_bytes"]) == (0, held)


async def test_memory_and_its_peak(stage: Stage, kind: str) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos")
    await stage.call("c", "count")
    _, before = await metrics(stage, "c")
    assert before["memory_usage_bytes"] > 0
    await stage.call("c", "allocate", 5_000_000)
    _, grown = await metrics(stage, "c")
    least = 5_000_000 if kind == "module" else before["memory_usage_bytes"]  # what a component declares, and no more
    assert grown["memory_usage_bytes"] >= least
    await stage.error(stage.call("c", "trap", "unreachable"))
    await stage.call("c", "count")
    _, after = await metrics(stage, "c")
    assert after["memory_usage_bytes"] == before["memory_usage_bytes"]
    assert after["peak_memory_usage_bytes"] == grown["peak_memory_usage_bytes"] >= least


def points(snapshot: Snapshot, name: str) -> dict[str, float]:
    """The values of a metric by their only attribute."""
    return {
        next(iter(point.attributes.values()), ""): point.value
        for metric in snapshot.metrics
        if metric.metric.name == name
        for point in metric.points
    }


async def test_a_host_s_actors_are_counted_by_the_phase_they_are_in(stage: Stage) -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    host = await stage.host(telemetry=telemetry)

    def phases() -> dict[str, float]:
        return {phase: value for phase, value in points(telemetry.snapshot(), "theater.actors").items() if value}

    for actor_id in "abc":
        await stage.spawn(host, actor_id)
    assert phases() == {"running": 3}
    await stage.control("a", "pause")
    assert phases() == {"running": 2, "paused": 1}
    await stage.error(stage.spawn(host, "d", state=901))
    held = stage.start(stage.call("b", "add-held", 1))
    gate = await stage.gates.arrival("held")
    await stage.control("b", "shutdown")
    assert phases() == {"running": 1, "paused": 1, "stopping": 1}
    gate.set_result("")
    await held
    for actor_id in "ac":
        await stage.control(actor_id, "shutdown", wait=True)
    await eventually(lambda: not host.actors)
    assert phases() == {}


async def test_the_totals_of_a_host_are_those_of_its_actors(stage: Stage) -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    host = await stage.host(telemetry=telemetry)
    actor = await stage.spawn(host, "a")
    for _ in range(5):
        await stage.call("a", "add", 1)
    await stage.control("a", "pause")
    waiting = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(actor.mailbox) == 1)
    snapshot = telemetry.snapshot()
    page = await stage.info("a", "chain")
    assert points(snapshot, "theater.chain.segments") == {"": len(page["segments"])}
    size = sum(len(data) for segment in page["segments"] for data in segment["events"])
    assert points(snapshot, "theater.chain.bytes") == {"": size}
    assert points(snapshot, "theater.mailbox.depth") == {"": 1}
    assert points(snapshot, "theater.guest.memory") == {"": host.engine.memory_bytes}
    assert points(snapshot, "theater.module_cache.modules") == {"": 1}
    await stage.control("a", "resume")
    await waiting


async def test_cancellations_by_who_wanted_them(stage: Stage) -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    host = await stage.host(telemetry=telemetry)
    for actor_id in "abcd":
        await stage.spawn(host, actor_id)
    await stage.error(stage.call("a", "add-held", 1, timeout_ms=40))
    held = [stage.start(stage.call(one, "add-held", 1, op="k")) for one in "bcd"]
    await eventually(lambda: all(host.actors[one].current is not None for one in "bcd"))
    await stage.control("b", "cancel", op="k")
    await stage.control("c", "terminate", wait=True)
    await stage.control("d", "shutdown", wait=True, grace_ms=10)
    for one in held:
        await stage.error(one)
    causes = {"deadline": 1, "caller": 1, "terminate": 1, "shutdown": 1}
    assert points(telemetry.snapshot(), "theater.cancellations") == causes


# -- emitted equals registered -----------------------------------------------------------------------------------------

ELSEWHERE = {
    # Proven where they are emitted: the bus's and engine's own integration tests, those of telemetry's exporters, and
    # those of components.
    "metric theater.guest.repeats",
    "log event guest.hidden-state",
    "metric theater.bus.rebuilds",
    "log event bus.rebuilt",
    "log event bus.permission_denied",
    "log event bus.handler_failed",
    "log event bus.server_log",
    "log event module_cache.corrupt",
    "log event telemetry.dropped",
    "log event telemetry.unregistered",
    "log event telemetry.export_failed",
    "log event reply.lost",
    "metric theater.bus.reconnects",
    "log event bus.disconnected",
    "log event bus.reconnected",
    "metric theater.telemetry.dropped",
    "metric theater.outbox.undelivered",
    "metric theater.outbox.depth",
    "log event outbox.undelivered",
    "log event actor.orphaned",
    "log event actor.cut",
    "log event settings.ignored",
    "log event approval.wanted",
    "log event approval.decided",
}


@pytest.fixture
def logs() -> Iterator[LogCollector]:
    with LogCollector() as collector:
        yield collector


async def test_what_a_run_emits_is_what_is_registered_both_ways(
    stage: Stage, logs: LogCollector, tmp_path: Path
) -> None:
    """Every kind of thing happens once; then the exports are held against the registry."""
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider, strict=True, host_id="h")
    broken = plugin(theater_capabilities=lambda: [int])
    host = await stage.host(telemetry=telemetry, extra=(("broken", broken),), data_dir=tmp_path / "data")
    async with connect(stage.url, namespace=stage.namespace, telemetry=telemetry) as theater:
        await _everything(stage, host, theater)
    snapshot = telemetry.snapshot()
    await _corrupt(stage, tmp_path / "data", telemetry)
    await telemetry.flush()
    seen = emitted(REGISTRY, collector.spans(), [snapshot], logs.records)
    assert seen.problems == []
    assert sorted(set(missing(REGISTRY, seen)) - ELSEWHERE) == []
    provider.shutdown()


async def _everything(stage: Stage, host: Any, theater: Any) -> None:
    await stage.spawn(host, "a", manifest="on_failure = { action = 'restart', max_restarts = 1 }\n")
    await stage.spawn(host, "b")
    await stage.spawn(host, "c", guest_name="chaos", manifest="[limits]\ncpu_ms = 60_000\n")
    await stage.spawn(host, "d", guest_name="chaos", manifest="[chain]\ndurability = 'file'\n")
    a = theater.actor("a")
    assert await a.call_function("add", [1]) == 1
    assert await a.call_function("relay-twice", ["b", "add", "[1]"]) == "2"
    await a.send("add", [1])
    await theater.actor("c").call_function("log", [3, 20])
    await stage.error(theater.actor("c").call_function("spin", timeout=0.05))
    stage.gates.instances["a"].context.report_failure("paper jam")
    await stage.control("a", "pause")
    held = stage.start(a.call_function("add", [1]))
    await eventually(lambda: len(host.actors["a"].mailbox) == 1)
    await asyncio.sleep(0)
    await stage.control("a", "resume")
    await held
    await stage.call("a", "add", 1, sent_ms=1)
    await stage.error(stage.call("a", "wait", "!raise"))
    await stage.error(stage.call("b", "wait", "!stubborn", timeout_ms=30))
    stage.gates.enough.set()
    stage.connection.publish(stage.subject("a", "add"), b'["x"]')
    stage.connection.publish(stage.subject("a", "add"), b"[1]", reply="theater.x.ops.y.z")
    await stage.error(stage.spawn(host, "a"))
    host.actors["b"].metrics = None
    await stage.error(stage.info("b", "metrics"))
    del host.actors["b"].metrics
    host.actors["b"].metrics = host.actors["a"].metrics
    for _ in range(2):
        await stage.error(stage.call("a", "trap"))
    await eventually(lambda: "a" not in host.actors)
    await host.drain(0.0)
    await host.close(0.0)


async def _corrupt(stage: Stage, folder: Path, telemetry: Telemetry) -> None:
    """Data comes back without one of its objects and with a torn end, and then with one byte that is wrong."""
    first = await stage.host(telemetry=telemetry, data_dir=folder)
    for actor_id, guest_name in (("e", "chaos"), ("f", "peer")):
        await stage.spawn(first, actor_id, guest_name=guest_name, manifest="[chain]\ndurability = 'file'\n")
    await first.close(0.0)
    chaos = stage.packages["chaos"]
    next(one for one in folder.rglob("*") if one.is_file() and one.read_bytes() == chaos).unlink()
    with min((folder / "log").iterdir()).open("ab") as log_file_of_a_crash:
        log_file_of_a_crash.write(b"torn")
    second = await stage.host(telemetry=telemetry, data_dir=folder)
    assert set(second.actors) == {"f"}
    await second.close(0.0)
    log_file = min((folder / "log").iterdir())
    data = bytearray(log_file.read_bytes())
    data[len(data) // 3] ^= 0xFF
    log_file.write_bytes(data)
    with pytest.raises(ChainTampered):
        await stage.host(telemetry=telemetry, data_dir=folder)
