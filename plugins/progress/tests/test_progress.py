"""`progress` alone and through a real guest: parts reach the caller, within the grants, and are recorded."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.core.chain import bodies
from theater_bus.errors import SerializationError, SpawnRefused
from theater_bus_progress import Progress


async def test_a_part_says_whether_the_caller_takes_it(start_harness: Any) -> None:
    progress = await start_harness(Progress)
    assert await progress.call("emit", {"done": 1, "of": 3}) is True
    progress.context.takes_parts = False
    assert await progress.call("emit", "more") is False
    assert progress.context.parts == [{"done": 1, "of": 3}]


async def test_parts_are_bounded_in_size(start_harness: Any) -> None:
    progress = await start_harness(Progress, {"part_bytes": 10})
    assert await progress.call("emit", "x" * 9) is True
    with pytest.raises(CapabilityError, match=r"has 11 bytes, more than .*part_bytes = 10\. .*`part_bytes = 11` under"):
        await progress.call("emit", "x" * 10)


async def test_parts_are_counted_for_each_operation(start_harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = await start_harness(Progress, {"parts": 2})
    ends: list[Any] = []
    monkeypatch.setattr(progress.context, "on_operation_end", ends.append)
    for _ in range(2):
        for _ in range(2):
            await progress.call("emit", 1)
        with pytest.raises(CapabilityError, match=r"progress\.parts = 2 is used up by this operation\. Fix: "):
            await progress.call("emit", 1)
        ends.pop()(True)
    assert ends == []


@pytest.mark.parametrize("settings", [{"parts": -1}, {"part_bytes": "1"}, {"rate": 3}])
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="progress"):
        await start_harness(Progress, settings)


async def test_a_guests_part_reaches_the_caller_that_takes_parts_and_is_recorded(start_host: Any) -> None:
    host = await start_host(installed=["progress"])
    actor = await host.spawn(Progress)
    async with actor.stream_function("emit", [{"text": "half"}]) as stream:
        assert [part async for part in stream] == [{"text": "half"}]
        assert await stream.result() == [{"ok": True}]
    assert await actor.call_function("emit", ["unheard"]) == [{"ok": False}]
    calls = [event.body for event in await actor.get_chain().all() if isinstance(event.body, bodies.HostCall)]
    assert [(call.interface, call.function) for call in calls] == [("theater:bus/progress", "emit")] * 2


async def test_a_host_that_grants_less_names_the_grant(start_host: Any) -> None:
    host = await start_host(installed=["progress"], grants={"progress": {"part_bytes": 5}})
    actor = await host.spawn(Progress)
    [refused] = await actor.call_function("emit", ["x" * 100])
    assert "progress.part_bytes = 5" in refused["err"]
    [kept] = await actor.call_function("emit", ["x"])
    assert kept == {"ok": False}
    with pytest.raises(SerializationError):
        await actor.call_function("emit", [10**30])
