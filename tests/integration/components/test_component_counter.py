"""One actor in five languages: every component of the counter behaves as its pact says, and as the others do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.client.actor import ActorHandle
from theater_bus.errors import ActorError, GuestError, OperationTimeout

NAMES = (
    "counter-c",
    "counter-go",
    "counter-go-alone",
    "counter-wat",
    "probe-javascript",
    "probe-javascript-alone",
    "probe-python",
)
NEW = {"count": 0, "last": None}

# The first test of a component builds it, and compiles it.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
    pytest.mark.parametrize("name", NAMES),
]


async def bodies(actor: ActorHandle, kind: str) -> list[Any]:
    """The bodies of the actor's events of a kind."""
    return [one.body for one in await actor.get_chain().all() if one.type == kind]


async def test_the_state_goes_in_and_comes_out(components: Any, name: str) -> None:
    actor = await components.spawn(name, id=f"state-{name}", state={"count": 1, "last": None})
    assert await actor.get_state() == {"count": 1, "last": f"state-{name}"}, "init has run"
    assert await actor.call_function("increment", [5]) == 6
    assert await actor.call_function("increment", [2**40]) == 6 + 2**40
    assert await actor.call_function("get", []) == 6 + 2**40
    assert await actor.get_state() == {"count": 6 + 2**40, "last": f"state-{name}"}


async def test_a_refusal_leaves_the_state_and_the_actor(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW)
    await actor.call_function("increment", [3])
    with pytest.raises(GuestError, match="nothing to add"):
        await actor.call_function("increment", [0])
    assert await actor.call_function("get", []) == 3


async def test_every_host_call_is_in_the_chain_and_can_be_replayed(components: Any, name: str) -> None:
    actor = await components.spawn(name, id=f"chain-{name}", state=NEW)
    await actor.call_function("increment", [3])
    calls = [one for one in await bodies(actor, "host-call") if one.interface == "theater:simple/runtime"]
    assert [one.function for one in calls] == ["self", "log", "self"]
    assert calls[1].lines == ("adding",)
    assert (await components.running.replay(actor)).is_identical


async def test_a_trap_is_an_error_of_that_call_alone(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW, on_failure={"action": "restart"})
    await actor.call_function("increment", [3])
    for _ in range(2):
        with pytest.raises(ActorError) as trapped:
            await actor.call_function("trap", [])
        assert trapped.value.code == "guest-trap"
    assert await actor.call_function("increment", [1]) == 4


async def test_who_never_ends_is_ended_and_others_answer_meanwhile(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW, on_failure={"action": "restart"}, limits={"cpu_ms": 60_000})
    other = await components.spawn("counter-wat", state=NEW)
    await actor.call_function("increment", [3])
    spinning = asyncio.create_task(actor.call_function("spin", [], timeout=1))
    for count in range(1, 20):
        assert await other.call_function("increment", [1]) == count
    assert not spinning.done()
    with pytest.raises(OperationTimeout):
        await spinning
    assert await actor.call_function("increment", [1]) == 4


async def test_who_computes_too_long_reaches_the_limit(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW, on_failure={"action": "restart"}, limits={"cpu_ms": 300})
    with pytest.raises(ActorError, match="cpu"):
        await actor.call_function("spin", [])
    assert await actor.call_function("increment", [1]) == 1


async def test_text_and_bytes_come_back_as_they_are(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW)
    for text in ("", "plain", "é😀\N{COMBINING ACUTE ACCENT}\0", "x" * 300_000):
        assert await actor.call_function("echo", [text]) == text
    for data in (b"", bytes(range(256)), b"\xff" * 300_000):
        assert await actor.call_function("echo-bytes", [data]) == data


async def test_values_of_a_wrong_type_never_enter(components: Any, name: str) -> None:
    actor = await components.spawn(name, state=NEW)
    for function, params in (
        ("increment", [-1]),
        ("increment", ["5"]),
        ("increment", []),
        ("increment", [1, 2]),
        ("echo", [b"bytes"]),
        ("echo-bytes", ["text"]),
    ):
        with pytest.raises(ActorError) as refused:
            await actor.call_function(function, params)
        assert refused.value.code == "type-mismatch", (function, params)
    assert await actor.call_function("get", []) == 0
    assert [one.function for one in await bodies(actor, "call")][1:] == ["get"]
