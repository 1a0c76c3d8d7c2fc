"""For an error about a name that nothing has: the names that there are, as far as whoever asks may see them.

A host tells near functions only, since a caller may not be allowed to ask what an actor has. The command line asks with
the permissions of the person who uses it.
"""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import TYPE_CHECKING

from theater_bus.errors import ActorError, ActorNotFound, FunctionNotFound, TheaterError

if TYPE_CHECKING:
    from theater_bus.client import Theater

__all__ = ["suggest"]

WAIT_S = 1.0
"""What an error may be late for, to tell more."""


async def suggest(theater: Theater, error: ActorError) -> None:
    """Add to the details of `error`: `functions` that an actor has where none is near, `nearest` ids of actors.

    Raises nothing: what cannot be asked is not told.
    """
    actor = error.actor
    if actor is None or error.details.get("nearest"):
        return
    try:
        async with asyncio.timeout(WAIT_S):
            if isinstance(error, FunctionNotFound):
                exports = await theater.actor(actor).inspect.exports(timeout=WAIT_S)
                error.details["functions"] = [one.name for one in exports.functions]
            elif isinstance(error, ActorNotFound):
                ids = [one.id for one in await theater.actors(timeout=WAIT_S)]
                error.details["nearest"] = get_close_matches(actor, ids, 3, cutoff=0.7)
    except (TheaterError, TimeoutError):
        return
