"""Answers that are too large for a message, lent through the object store and taken back after a while.

They are named apart from what the chain keeps there (`loan-…`, not `sha256-…`), so that taking one back can never
remove what a chain refers to.
Source: wire protocol, "Large answers".
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final

from theater_bus.bus.objects import ObjectStore, Stored
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import TooLarge, Unavailable

__all__ = ["LOAN_S", "Loans"]

log = logging.getLogger("theater_bus.host")

LOAN_S: Final = 60.0
CLOSE_S: Final = 5.0


class Loans:
    """What one host has lent. `lend` as often as needed; the same bytes are one loan, whose time begins anew."""

    def __init__(self, objects: ObjectStore, seconds: float = LOAN_S) -> None:
        self._objects = objects
        self._seconds = seconds
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._deleting: set[asyncio.Task[None]] = set()

    async def lend(self, data: bytes, what: str, limit_bytes: int) -> Stored:
        """Put `data` where the asker can fetch it. Raises `TooLarge`, which names `what`, when that cannot be done."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
        name = Subjects.loan_name(digest)
        self._prolong(name)
        try:
            return await self._objects.put(data, name)
        except Unavailable as error:
            raise TooLarge(
                f"{what} has {len(data)} bytes, a message takes {limit_bytes}, and the object store cannot be used: "
                f"{error.message}",
                size_bytes=len(data),
                limit_bytes=limit_bytes,
            ) from error

    async def close(self) -> None:
        """Take everything back, within bounds."""
        for name in list(self._ends):
            self._ends.pop(name).cancel()
            self._delete(name)
        if self._deleting:
            await asyncio.wait(self._deleting, timeout=CLOSE_S)
        for task in list(self._deleting):
            task.cancel()
        await asyncio.gather(*self._deleting, return_exceptions=True)

    def _prolong(self, name: str) -> None:
        running = self._ends.pop(name, None)
        if running is not None:
            running.cancel()
        self._ends[name] = asyncio.get_running_loop().call_later(self._seconds, self._expired, name)

    def _expired(self, name: str) -> None:
        self._ends.pop(name, None)
        self._delete(name)

    def _delete(self, name: str) -> None:
        task = asyncio.create_task(self._take_back(name), name=f"take back {name}")
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def _take_back(self, name: str) -> None:
        try:
            await self._objects.delete(name)
        except Unavailable as error:
            log.warning("the object %s stays behind: %s", name, error)
