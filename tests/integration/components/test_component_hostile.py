"""A web server that breaks the rules of resources: each break costs that request, and nobody else anything."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.errors import ActorError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

BREAKS = {
    "/d": "drops a resource twice",
    "/f": "uses a number that is no resource",
    "/w": "takes headers for a response",
    "/o": "answers twice",
}


async def status(actor: Any, path: str, body: bytes = b"") -> int:
    answer = await actor.handle_wasi_http_request("POST", "http", "example.com", path, [], body)
    return int(answer.status)


async def outcome(actor: Any, path: str) -> int | str:
    """The status, or what was wrong."""
    try:
        return await status(actor, path)
    except ActorError as error:
        return error.message


@pytest.mark.parametrize("path", BREAKS, ids=BREAKS.values())
async def test_who_breaks_the_rules_ends_in_a_trap(components: Any, path: str) -> None:
    actor = await components.spawn("web-hostile", on_failure={"action": "restart"})
    other = await components.one("web-hostile")
    for _ in range(3):
        with pytest.raises(ActorError) as trapped:
            await status(actor, path)
        assert trapped.value.code == "guest-trap"
        assert await status(other, "/") == 204
    assert await status(actor, "/") == 204


async def test_what_is_leaked_is_bounded_and_gone_with_the_instance(components: Any) -> None:
    actor = await components.spawn("web-hostile", on_failure={"action": "restart"})
    ends = [await outcome(actor, "/leak") for _ in range(20)]
    assert 204 in ends
    assert any("resources" in str(end) for end in ends)
    assert await status(actor, "/") == 204
    isolated = await components.spawn("web-hostile", isolation="operation")
    for _ in range(20):
        assert await status(isolated, "/leak") == 204


async def test_a_body_that_nobody_reads_is_thrown_away(components: Any) -> None:
    actor = await components.one("web-hostile")
    for _ in range(5):
        assert await status(actor, "/unread", b"x" * 3_000_000) == 204
