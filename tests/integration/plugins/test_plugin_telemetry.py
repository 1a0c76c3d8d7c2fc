"""What plugins emit on their own: registered under their prefix, dropped otherwise, and traced below their call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import Capability
from theater_bus.errors import PluginError
from theater_bus.telemetry import REGISTRY, Telemetry, TraceCollector

DEFINED = (
    {"kind": "attribute", "name": "measuring.kind", "sentence": "Which kind.", "values": ["a", "b"]},
    {
        "kind": "metric",
        "name": "measuring.things",
        "instrument": "counter",
        "unit": "{thing}",
        "sentence": "Things that were done.",
        "attributes": ["measuring.kind"],
    },
)


class Things(Capability):
    """Counts and traces what it does."""

    name = "things"
    pact = """
@package: string = "test:things"

interface things {
    exports { make: func(kind: string) -> u32 }
}
"""

    async def make(self, kind: str) -> int:
        with self.context.tracer.start_as_current_span("measuring.make"):
            await asyncio.sleep(0)
            self.context.meter.count("measuring.things", 2, kind=kind)
            self.context.meter.count("measuring.unheard-of")
        return 1


def points(telemetry: Telemetry, name: str) -> list[tuple[dict[str, str], float]]:
    found = [one for one in telemetry.snapshot().metrics if one.metric.name == name]
    return [(dict(point.attributes), point.value) for one in found for point in one.points]


async def test_a_plugin_counts_what_it_registered_and_nothing_else(start_host: Any, plugin: Any) -> None:
    telemetry = Telemetry(level="metrics")
    measuring = plugin("measuring", theater_capabilities=lambda: [Things], theater_telemetry=lambda: DEFINED)
    host = await start_host(measuring, telemetry=telemetry)
    actor = await host.spawn(Things)
    assert await actor.call_function("make", ["a"]) == 1
    assert points(telemetry, "measuring.things") == [({"measuring.kind": "a"}, 2)]
    dropped = points(telemetry, "theater.telemetry.dropped")
    assert ({"theater.telemetry.signal": "unregistered"}, 1) in dropped
    assert "measuring.things" not in REGISTRY.metrics


async def test_the_spans_of_a_capability_are_below_its_host_call(start_host: Any, plugin: Any) -> None:
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider)
    measuring = plugin("measuring", theater_capabilities=lambda: [Things], theater_telemetry=lambda: DEFINED)
    host = await start_host(measuring, telemetry=telemetry)
    actor = await host.spawn(Things)
    await actor.call_function("make", ["b"])
    await telemetry.flush()
    spans = {span.name: span for span in collector.spans()}
    assert spans["measuring.make"].parent is not None
    assert spans["measuring.make"].parent.span_id == spans["test:things/things/make"].context.span_id
    provider.shutdown()


async def test_a_name_outside_its_own_prefix_refuses_the_start_and_names_the_plugin(
    start_host: Any, plugin: Any
) -> None:
    foreign = {"kind": "log_event", "name": "theater.mine", "level": "info", "sentence": "Not mine.", "fields": []}
    with pytest.raises(PluginError, match="theater_telemetry") as caught:
        await start_host(plugin("measuring", theater_telemetry=lambda: [foreign]))
    assert caught.value.plugin == "measuring"
    assert "measuring." in caught.value.fix


async def test_two_hosts_of_one_process_may_report_through_one_object(start_host: Any, plugin: Any) -> None:
    telemetry = Telemetry(level="metrics")
    for namespace in ("one", "two"):
        measuring = plugin("measuring", theater_telemetry=lambda: DEFINED)
        await start_host(measuring, telemetry=telemetry, namespace=namespace)
    assert "measuring.things" in telemetry.registry.metrics


async def test_reported_trouble_is_counted_and_in_the_status(start_host: Any, tool: Any) -> None:
    telemetry = Telemetry(level="metrics")
    host = await start_host(tool, telemetry=telemetry)
    actor = await host.spawn(tool)
    await actor.call_function("note", ["paper jam"])
    assert (await actor.get_status()).reason == "tool: paper jam"
    assert points(telemetry, "theater.capability.failures") == [({}, 1)]


async def test_listed_actors_have_metrics_of_their_own(start_host: Any, tool: Any) -> None:
    telemetry = Telemetry(level="metrics", actors=["famous"])
    host = await start_host(tool, telemetry=telemetry)
    for actor_id, times in (("famous", 2), ("nobody", 3)):
        actor = await host.spawn(tool, id=actor_id)
        for _ in range(times):
            await actor.call_function("echo", ["x"])
    calls = {
        attributes.get("theater.actor.id"): value
        for attributes, value in points(telemetry, "theater.operations")
        if attributes["rpc.response.status_code"] == "ok"
    }
    assert calls == {"famous": 2, None: 3}
