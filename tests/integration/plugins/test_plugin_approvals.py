"""Host calls that wait for a person: listed, granted, refused, and forgotten with their operation."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from theater_bus.capability import Capability
from theater_bus.client import PendingApproval
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import OperationTimeout, SerializationError
from theater_bus.telemetry import Telemetry

PROGRAM = Path(sys.executable).with_name("theater-bus")


class Spender(Capability):
    """Spends after somebody has agreed."""

    name = "spender"
    pact = """
@package: string = "test:spender"
@external: list<string> = ["spend"]

interface spender {
    exports { spend: func(amount: u32) -> result<u32, string> }
}
"""

    async def spend(self, amount: int) -> int:
        await self.context.approval(f"spend {amount}")
        if amount > 100:
            await self.context.approval("more than 100, so somebody else should look at it too")
        return amount


async def waiting(actor: Any, what: str = "") -> PendingApproval:
    """The call that waits, once it does."""
    async with asyncio.timeout(10):
        while True:
            for one in (await actor.get_status()).approvals:
                if one.what.startswith(what):
                    found: PendingApproval = one
                    return found


@pytest.fixture
def spending(start_host: Any) -> Callable[..., Any]:
    """`host, actor, call = await spending(5)`: an actor whose call waits."""

    async def begin(amount: int, **options: Any) -> Any:
        host = await start_host(Spender, **options)
        actor = await host.spawn(Spender)
        return host, actor, asyncio.create_task(actor.call_function("spend", [amount], key="k"))

    return begin


async def test_a_call_goes_on_when_it_is_granted_and_twice_if_it_asks_twice(
    spending: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, actor, call = await spending(500, telemetry=Telemetry(level="metrics"))
    first = await waiting(actor)
    assert (first.function, first.what) == ("test:spender/spender.spend", "spend 500")
    assert first.since_ms >= 0
    assert await actor.approve("another") == "none"
    assert await actor.approve(first.id, note="fine") == "granted"
    second = await waiting(actor, "more than")
    assert await actor.approve(second.id) == "granted"
    assert await call == [{"ok": 500}]
    assert (await actor.get_status()).approvals == ()
    assert await actor.approve(second.id) == "none"
    assert "approval.wanted" in caplog.text
    assert f"{first.id}: fine" in caplog.text


async def test_a_refusal_is_the_err_of_the_call_with_its_note(spending: Any) -> None:
    _, actor, call = await spending(5)
    assert await actor.approve((await waiting(actor)).id, refuse=True, note="too dear") == "refused"
    assert await call == [{"err": "an operator refused test:spender/spender.spend: too dear"}]


async def test_what_waits_ends_with_its_operation(spending: Any) -> None:
    host, actor, call = await spending(5)
    found = await waiting(actor)
    assert await actor.cancel("k") == "running"
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Exception)
    assert (await actor.get_status()).approvals == ()
    assert await actor.approve(found.id) == "none"
    with pytest.raises(OperationTimeout):
        await actor.call_function("spend", [6], timeout=0.3)
    assert (await actor.get_status()).approvals == ()
    assert host.host.actors[actor.id].approvals._waiting == {}


@pytest.mark.parametrize(
    "fields", [{}, {"id": ""}, {"id": "x" * 65}, {"id": "a", "decision": "maybe"}, {"id": "a", "note": "x" * 257}]
)
async def test_a_decision_that_is_none_is_refused_in_words(start_host: Any, fields: dict[str, Any]) -> None:
    host = await start_host(Spender)
    actor = await host.spawn(Spender)
    subject = host.host.subjects.control(actor.id, "approve")
    message = await host.host.bus.services.request_one(
        subject, msgpack.packb({"v": 1, "params": fields}), timeout_s=5.0
    )
    with pytest.raises(SerializationError, match="approve"):
        decode_reply(message.data, message.headers)


@pytest.mark.parametrize("kind", ["module"], indirect=True)
async def test_the_command_line_lists_and_decides(spending: Any) -> None:
    host, actor, call = await spending(5)
    found = await waiting(actor)

    async def command(*words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM),
            *("--server", host.url, "--namespace", host.host.namespace, *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return int(process.returncode or 0), out.decode()

    status, listed = await command("approve", actor.id)
    assert status == 0
    assert listed.startswith(f"{found.id}  test:spender/spender.spend")
    assert f"{found.id}  spend 5" in (await command("status", actor.id))[1]
    assert (await command("approve", actor.id, "other"))[0] == 3
    assert (await command("approve", actor.id, "--refuse"))[0] == 2
    assert await command("approve", actor.id, found.id) == (0, "granted\n")
    assert await call == [{"ok": 5}]
    assert await command("approve", actor.id) == (0, "nothing waits for approval\n")
