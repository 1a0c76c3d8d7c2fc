"""Authorizers through a real host: one refusal refuses, failure and lateness too, silence leaves it to the setting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import Authorizer, Decision
from theater_bus.errors import PermissionDenied
from theater_bus.testing import guest

COUNTER = guest("counter")


@pytest.fixture
def kind() -> str:
    """Who may call is decided before the guest is asked."""
    return "module"


def judge(plugin: Any, decide: Any, ttl_ms: int = 0, name: str = "judge") -> Any:
    return plugin(name, theater_authorizers=lambda: Authorizer(ttl_ms, decide))


def answers(verdict: Decision | None, seen: list[Any] | None = None) -> Any:
    async def decide(request: Any) -> Decision | None:
        if seen is not None:
            seen.append(request)
        return verdict

    return decide


async def fails(request: Any) -> Decision:
    raise ZeroDivisionError("a secret")


async def is_late(request: Any) -> Decision:
    await asyncio.Event().wait()
    return Decision(True)


ALLOW, DENY = answers(Decision(True)), answers(Decision(False, "not on a Sunday"))
SILENT = answers(None)


@pytest.mark.parametrize(
    ("decisions", "default", "refusal"),
    [
        ([ALLOW], "deny", None),
        ([SILENT], "allow", None),
        ([SILENT, ALLOW], "deny", None),
        ([], "allow", None),
        ([DENY], "allow", "not on a Sunday"),
        ([ALLOW, DENY], "allow", "not on a Sunday"),
        ([DENY, ALLOW], "allow", "not on a Sunday"),
        ([answers(Decision(False))], "allow", "judge-0 refused"),
        ([SILENT], "deny", "nobody allows it and authorize_default is deny"),
        ([], "deny", "nobody allows it and authorize_default is deny"),
        ([ALLOW, fails], "allow", "judge-1 failed"),
        ([ALLOW, is_late], "allow", "judge-1 did not decide within 250 ms"),
    ],
)
async def test_who_decides_what(
    start_host: Any, plugin: Any, decisions: list[Any], default: str, refusal: str | None
) -> None:
    plugins = [judge(plugin, decide, name=f"judge-{n}") for n, decide in enumerate(decisions)]
    host = await start_host(*plugins, authorize_default=default)
    actor = await host.spawn(COUNTER)
    if refusal is None:
        assert await actor.call_function("increment", [5]) == 5
        return
    with pytest.raises(PermissionDenied) as caught:
        await actor.call_function("increment", [5])
    assert refusal in str(caught.value)
    assert caught.value.ran == "never"
    assert "a secret" not in str(caught.value)
    assert await actor.get_state() == 0


async def test_an_authorizer_sees_who_asks_whom_for_what(start_host: Any, plugin: Any) -> None:
    seen: list[Any] = []
    host = await start_host(judge(plugin, answers(Decision(True), seen)))
    actor = await host.spawn(COUNTER, id="c")
    await actor.call_function("get")
    [request] = seen
    assert (request.actor, request.function, request.caller, request.proof) == ("c", "get", "", "none")


@pytest.mark.parametrize(("ttl_ms", "asked"), [(60_000, 1), (0, 3)])
async def test_a_verdict_is_remembered_for_as_long_as_the_authorizer_allows(
    start_host: Any, plugin: Any, ttl_ms: int, asked: int
) -> None:
    seen: list[Any] = []
    host = await start_host(judge(plugin, answers(Decision(True), seen), ttl_ms))
    actor = await host.spawn(COUNTER)
    for _ in range(3):
        await actor.call_function("get")
    assert len(seen) == asked
    await actor.call_function("increment", [1])
    assert len(seen) == asked + 1
