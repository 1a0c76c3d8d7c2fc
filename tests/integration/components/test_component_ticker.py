"""A component that a capability calls back, through an interface that it imports and exports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.errors import GuestError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


async def test_the_ticks_of_a_timer_reach_the_exported_half(components: Any) -> None:
    new = {"count": 0, "last": ""}
    actor = await components.spawn("ticker-javascript", state=new, capabilities={"timer": {}})
    assert await actor.call_function("start", ["often", 10]) == "often"
    async with asyncio.timeout(60):
        while await actor.call_function("count", []) < 3:
            pass
    assert (await actor.get_state())["last"] == "often"
    await actor.pause()
    report = await components.running.replay(actor)
    assert report.is_identical, report
    assert report.operations > 4


async def test_what_a_capability_refuses_is_an_error_in_the_guests_language(components: Any) -> None:
    new = {"count": 0, "last": ""}
    actor = await components.spawn("ticker-javascript", state=new, capabilities={"timer": {}})
    with pytest.raises(GuestError):
        await actor.call_function("start", ["never", 0])
    assert await actor.call_function("count", []) == 0
