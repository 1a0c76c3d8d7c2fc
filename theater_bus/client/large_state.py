"""An actor's state, wherever it lies: in the answer, or, when it is too large for a message, in the object store.

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

__all__ = ["fetch_state"]

ATTEMPTS = 3


async def fetch_state(session: Session, actor: str, form: Literal["value", "cgrf"], timeout_s: float) -> Any:
    """The state of `actor` as a plain value, or as CGRF bytes. Raises as a query does, and `Unavailable`."""
    check_timeout(timeout_s)
    deadline = monotonic() + timeout_s
    subject = session.subjects.info(actor, "state")
    for _ in range(ATTEMPTS):
        left_s = deadline - monotonic()
        if left_s <= 0:
            raise _late(actor, timeout_s)
        answer = await session.ask(actor, subject, {"form": form}, left_s)
        if "object" not in answer:
            return parsed(lambda wire: wire["cgrf" if form == "cgrf" else "state"], answer, "info.state")
        name, digest = parsed(lambda wire: (wire["object"], digest_of(wire["digest"])), answer, "info.state")
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - monotonic()):
                data = await session.objects.get(digest, name)
        except TimeoutError:
            raise _late(actor, timeout_s) from None
        if data is not None:
            return data if form == "cgrf" else read_msgpack(data)
        # It was lent for a while and that is over: ask again.
    raise Unavailable(
        "the state is too large for a message, and was gone from the object store each time it was fetched. "
        "Fix: try again, or read it through a function of the actor",
        actor=actor,
    )


def _late(actor: str, timeout_s: float) -> OperationTimeout:
    return OperationTimeout(f"the state did not arrive within {timeout_s:g} s", ran="unknown", actor=actor)
