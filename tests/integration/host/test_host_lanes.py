"""The three lanes of an actor never wait on one another, and each answers everybody exactly once."""

from __future__ import annotations


async def test_a_counter_counts(stage):
    host = await stage.host()
    await stage.spawn(host, "a")
    assert await stage.call("a", "add", 5) == 5
    held = stage.start(stage.call("a", "add-held", 7))
    gate = await stage.gates.arrival("held")
    gate.set_result("go")
    assert await held == 12
