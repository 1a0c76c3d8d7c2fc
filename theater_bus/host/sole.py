"""Two hosts that start one id at the same moment: exactly one of them goes on.

Both have subscribed their lanes before they look, so at least the later one sees the other. One that runs has won; of
two that are still starting, the incarnation that was made later yields, and the earlier one looks again until the
other has yielded or, not having seen it, runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from theater_bus.bus import Connection
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import ActorError, ActorExists

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["check_sole"]

LOOK_S = 0.25
STALL_S = 0.02
"""Silence after which no other host is expected to answer; hosts answer within a few milliseconds of one another."""


async def check_sole(connection: Connection, subject: str, host_id: str, actor: Actor) -> None:
    """Return when no other host has the id of `actor`, whose lanes are subscribed. Raises `ActorExists`."""
    own = actor.journal.writer.incarnation
    while True:
        others = await _others(connection, subject, host_id)
        for other in others:
            if other["phase"] != "starting" or bytes(other["incarnation"]) < own:
                raise ActorExists(
                    f"host {other['host']!r} runs {actor.identity.id!r}. Fix: choose another id, or stop it first",
                    actor=actor.identity.id,
                )
        if not others:
            return


async def _others(connection: Connection, subject: str, host_id: str) -> list[dict[str, Any]]:
    """The statuses that other hosts answer with."""
    body = encode_request({}, timeout_ms=round(LOOK_S * 1000))
    found = []
    async for message in connection.request_many(subject, body, timeout_s=LOOK_S, stall_s=STALL_S):
        try:
            status = decode_reply(message.data, message.headers).value
        except ActorError:
            continue
        if isinstance(status, dict) and status.get("host") != host_id:
            found.append(status)
    return found
