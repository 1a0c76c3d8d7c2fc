"""Grants on real hosts: they survive what happens to hosts, cuts are logged at spawn, and each can be explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from theater_bus.capability import HOSTS, NUMBER, OWN, Settings
from theater_bus.client import GrantedSetting
from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.conformance import LogCollector
from theater_bus.testing import running_host

FILE = {"durability": "file"}


class Bounded(Settings):
    hosts: Annotated[tuple[str, ...], HOSTS] = ()
    timeout_ms: Annotated[int, NUMBER] = 5000
    taste: Annotated[str, OWN] = "sweet"


@pytest.fixture
def bounded(tool: Any) -> Any:
    return type("BoundedTool", (tool,), {"Settings": Bounded})


@pytest.fixture
def logs() -> Iterator[LogCollector]:
    with LogCollector() as collector:
        yield collector


async def test_each_host_may_lower_what_is_left_and_none_raises_it_again(
    theater_server: Any, bounded: Any, tmp_path: Path
) -> None:
    """Also that an actor whose limits and grants another host has cut comes back a second time."""
    options: dict[str, Any] = {"server": theater_server, "namespace": "lowered", "data_dir": tmp_path}
    asked = {"tool": {"hosts": ["*.example.com"], "timeout_ms": 60_000, "taste": "sour"}}
    expected = [60_000, 4_000, 3_000, 3_000, 2_000, 2_000]
    hosts: list[dict[str, Any]] = [{"max_cpu_ms": 50_000}, {"max_cpu_ms": 1_000}, {}, {}, {"max_cpu_ms": 500}, {}]
    seen = []
    for number, (most, more) in enumerate(zip([None, 4_000, 3_000, 9_000, 2_000, None], hosts, strict=True)):
        grants = None if most is None else {"tool": {"timeout_ms": most}}
        async with running_host(bounded, **options, grants=grants, **more) as host:
            if number == 0:
                await host.spawn(bounded, id="t", capabilities=asked, chain=FILE)
            await host.theater.actor("t").call_function("echo", ["still here"])
            host.host.actors["t"].checkpoints.wanted()
            seen.append(bounded.instances[-1].settings)
    assert [one.timeout_ms for one in seen] == expected
    assert {one.taste for one in seen} == {"sour"}


async def test_what_a_host_takes_away_is_logged_at_spawn(start_host: Any, bounded: Any, logs: LogCollector) -> None:
    host = await start_host(
        bounded, grants={"tool": {"timeout_ms": 1000}}, max_cpu_ms=2_000, telemetry=Telemetry(level="metrics")
    )
    asked = {"tool": {"timeout_ms": 5000, "hosts": ["a.com"]}}
    await host.spawn(bounded, id="cut", capabilities=asked, limits={"cpu_ms": 3_000})
    await host.spawn(bounded, id="whole", capabilities={"tool": {"timeout_ms": 10}}, limits={"cpu_ms": 10})
    found = [record for record in logs.records if record.getMessage().startswith("actor.cut")]
    assert len(found) == 1
    assert "limits.cpu_ms: 2000; the manifest asks for 3000" in found[0].getMessage()
    assert "tool.timeout_ms: 1000; the manifest asks for 5000, the host allows 1000" in found[0].getMessage()


async def test_every_side_of_a_grant_can_be_asked_for(start_host: Any, bounded: Any) -> None:
    host = await start_host(bounded, grants={"tool": {"timeout_ms": 3000}})
    await host.spawn(bounded, id="parent", capabilities={"tool": {"hosts": ["*.example.com"], "timeout_ms": 2000}})
    child = await host.spawn(
        bounded,
        id="child",
        parent="parent",
        capabilities={"tool": {"hosts": ["api.example.com", "evil.org"], "timeout_ms": 9000}},
    )
    report = await child.inspect.grants()
    assert (report.second, report.capabilities) == ("parent", ("tool",))
    assert report.settings == (
        GrantedSetting(
            "tool",
            "hosts",
            effective=["api.example.com"],
            asked=["api.example.com", "evil.org"],
            host="unlimited",
            parent=["*.example.com"],
            cut_by=("parent",),
        ),
        GrantedSetting(
            "tool", "timeout_ms", effective=2000, asked=9000, host=3000, parent=2000, cut_by=("host", "parent")
        ),
    )


async def test_a_recovered_actor_is_explained_by_its_record(theater_server: Any, bounded: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"server": theater_server, "namespace": "explained", "data_dir": tmp_path}
    async with running_host(bounded, **options, grants={"tool": {"timeout_ms": 3000}}) as host:
        await host.spawn(bounded, id="t", capabilities={"tool": {"timeout_ms": 9000}}, chain=FILE)
    async with running_host(bounded, **options) as host:
        report = await host.theater.actor("t").inspect.grants()
        [timeout] = [one for one in report.settings if one.name == "tool.timeout_ms"]
        assert (report.second, timeout.cut_by, timeout.effective) == ("record", ("record",), 3000)
