"""An actor's state, or an object of its chain, wherever it lies: in the answer, or, too large for that, in the object
store.

Source: wire protocol, "Large answers".
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Literal

from theater_bus.client.results import digest_of, parsed
from theater_bus.client.session import Session, check_timeout
from theater_bus.core.wire.strict import read_msgpack
from theater_bus.errors import OperationTimeout, Unavailable

__all__ = ["fetch_object", "fetch_state"]

ATTEMPTS = 3


async def fetch_state(session: Session, actor: str, form: Literal["value", "cgrf"], timeout_s: float) -> Any:
    """The state of `actor` as a plain value, or as CGRF bytes. Raises as a query does, and `Unavailable`."""
    answer, lent = await _fetch(session, actor, "state", {"form": form}, timeout_s)
    if lent is not None:
        return lent if form == "cgrf" else read_msgpack(lent)
    return parsed(lambda wire: wire["cgrf" if form == "cgrf" else "state"], answer, "info.state")


async def fetch_object(session: Session, actor: str, digest: bytes, timeout_s: float) -> bytes | None:
    """What the chain of `actor` names by this SHA-256, or None where its host has it not. Raises as `fetch_state`."""
    answer, lent = await _fetch(session, actor, "object", {"digest": f"sha256:{digest.hex()}"}, timeout_s)
    found: bytes | None = lent if lent is not None else parsed(lambda wire: wire["data"], answer, "info.object")
    return found


async def _fetch(
    session: Session, actor: str, query: str, fields: dict[str, Any], timeout_s: float
) -> tuple[Any, bytes | None]:
    """The answer to a query, and what it lends instead of holding it."""
    check_timeout(timeout_s)
    deadline = monotonic() + timeout_s
    subject = session.subjects.info(actor, query)
    for _ in range(ATTEMPTS):
        left_s = deadline - monotonic()
        if left_s <= 0:
            raise _late(actor, query, timeout_s)
        answer = await session.ask(actor, subject, fields, left_s)
        if "object" not in answer:
            return answer, None
        name, digest = parsed(lambda wire: (wire["object"], digest_of(wire["digest"])), answer, f"info.{query}")
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - monotonic()):
                data = await session.objects.get(digest, name)
        except TimeoutError:
            raise _late(actor, query, timeout_s) from None
        if data is not None:
            return answer, data
        # It was lent for a while and that is over: ask again.
    raise Unavailable(
        f"the {query} is too large for a message, and was gone from the object store each time it was fetched. "
        "Fix: try again, or read it through a function of the actor",
        actor=actor,
    )


def _late(actor: str, query: str, timeout_s: float) -> OperationTimeout:
    return OperationTimeout(f"the {query} did not arrive within {timeout_s:g} s", ran="unknown", actor=actor)
