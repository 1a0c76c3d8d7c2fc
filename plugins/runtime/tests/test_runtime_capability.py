"""The runtime capability: its functions alone, its hashes, and a real guest that uses all of it."""

from __future__ import annotations

import json
import logging
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import subset_hash
from theater_bus.core.values.metadata import parse_metadata
from theater_bus.engine import inspect
from theater_bus.errors import ActorNotFound, ChannelClosed, SpawnRefused
from theater_bus.plugins import compile_capability
from theater_bus.telemetry import Telemetry
from theater_bus.testing import guest
from theater_bus_runtime import Runtime

GUEST = guest("runtime")
[INTERFACE] = compile_capability("runtime", Runtime).interfaces


@pytest.mark.parametrize(
    ("functions", "digest"),
    [
        (["log"], "1dd3d02d5f489296fab56691f915636091203b3899500d8d6eb1706d54249e54"),
        (["log", "self", "shutdown"], "5a8a7706304c531bd5a5aa83d0b3f60c3c5ca58e5ad99854175fb74660b2dfc4"),
    ],
)
def test_what_real_guests_import_has_the_hash_that_they_carry(functions: list[str], digest: str) -> None:
    assert INTERFACE.name == "theater:simple/runtime"
    assert subset_hash(INTERFACE, functions).hex() == digest


def test_the_reference_states_the_hashes_of_the_subsets() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "capabilities" / "runtime.md"
    rows = re.findall(r"^\| [^|]* \| ((?:`[a-z-]+`(?:, )?)+) \| `([0-9a-f]{64})` \|$", page.read_text("utf-8"), re.M)
    assert len(rows) == 3
    for functions, digest in rows:
        assert subset_hash(INTERFACE, re.findall(r"[a-z-]+", functions)).hex() == digest


def test_a_guest_with_the_whole_interface_carries_our_hash() -> None:
    module = inspect(GUEST.wasm)
    assert module.metadata is not None
    [imported] = parse_metadata(module.metadata).imports
    assert imported.name == INTERFACE.name
    names = [function.name for function in imported.functions]
    assert sorted(names) == ["get-chain", "log", "self", "shutdown"]
    assert subset_hash(INTERFACE, names) == subset_hash(imported, names)


async def test_its_functions_without_a_guest(start_harness: Any) -> None:
    runtime = await start_harness(Runtime, actor="counter")
    assert await runtime.call("log", "a line") is None
    assert await runtime.call("self") == "counter"
    runtime.context.events.append({"seq": 0, "type": "genesis"})
    assert json.loads(await runtime.call("get-chain")) == [{"seq": 0, "type": "genesis"}]
    assert await runtime.call("shutdown", None) is None
    assert await runtime.call("shutdown", data=b"result") is None
    assert (runtime.context.guest_lines, runtime.context.shutdowns) == (["a line"], [None, b"result"])


async def test_it_takes_no_settings(start_harness: Any) -> None:
    with pytest.raises(SpawnRefused, match="level: is no setting"):
        await start_harness(Runtime, {"level": "debug"})


async def test_a_guest_logs_as_its_actor_and_knows_its_id(start_host: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        host = await start_host(installed=["runtime"], telemetry=Telemetry())
        actor = await host.spawn(GUEST, id="r")
        await actor.call_function("log", ["a line of the guest"])
    assert await actor.call_function("who") == "r"
    assert [one.levelname for one in caplog.records if "a line of the guest" in str(one.__dict__)] == ["INFO"]


async def test_a_guest_reads_the_chain_up_to_the_operation_before(start_host: Any) -> None:
    host = await start_host(installed=["runtime"])
    actor = await host.spawn(GUEST)
    await actor.call_function("count")
    events = json.loads(await actor.call_function("chain"))
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "genesis"
    assert events[0]["parent"] == "00" * 32
    assert all(event["parent"] == before["hash"] for before, event in pairwise(events))
    recorded = await actor.get_chain().all()
    assert [event["hash"] for event in events] == [event.hash.hex() for event in recorded[: len(events)]]


@pytest.mark.parametrize("result", [None, b"the result"])
async def test_a_guest_ends_its_actor_when_the_operation_is_done(start_host: Any, result: bytes | None) -> None:
    host = await start_host(installed=["runtime"])
    actor = await host.spawn(GUEST, id="r")
    running = host.host.actors["r"]
    assert await actor.call_function("stop", [result]) is None
    await host.host.stopped(running)
    assert host.host.actors == {}
    assert (running.phases.reason.value, running.exit_result) == ("exited", result)
    with pytest.raises((ActorNotFound, ChannelClosed)):
        await actor.call_function("count")


async def test_a_manifest_without_the_capability_is_told_what_to_add(start_host: Any) -> None:
    host = await start_host(installed=["runtime"])
    with pytest.raises(SpawnRefused, match=r"Fix: add `\[capabilities.runtime\]` to the manifest"):
        await host.spawn(GUEST, capabilities={})
