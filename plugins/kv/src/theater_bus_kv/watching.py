"""From changes of a bucket to calls of the actor: in order, and of each key that waits only the newest revision.

Invariants: a bounded number of changes is in the mailbox, a bounded number of keys waits behind it, of bounded size
together, and the rest stays with the server; a key's revisions are delivered in their order; a change that the mailbox
had no room or time for comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from theater_bus import ActorError, TheaterError
from theater_bus.capability import CallQueue, Context, KeyValue, KeyValueEntry, QueuedCall

__all__ = ["HANDLE", "Bounds", "Watch", "Watching", "shown"]

HANDLE = "theater:bus/kv-client.handle-entry"
AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched under a name; `revision` is the newest one that the actor knows, of the bucket that was made at
    `made_us` (0: not known yet).
    """

    name: str
    bucket: str
    pattern: str
    revision: int = 0
    made_us: int = 0

    def plain(self) -> dict[str, Any]:
        """As a snapshot keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Changes that may be in the mailbox at a time, keys that may wait behind them, and bytes of all their values."""

    waiting: int
    pending: int
    pending_bytes: int


class Watching:
    """One watch of an actor; `start` begins, `stop` ends it."""

    def __init__(self, context: Context, watch: Watch, bounds: Bounds, allowed: Callable[[str], bool]) -> None:
        self._context = context
        self._watch = watch
        self._bounds = bounds
        self._allowed = allowed
        self._behind: dict[str, KeyValueEntry] = {}
        self._queue = CallQueue(context, bounds.waiting)
        self._calls: dict[int, QueuedCall | None] = {}
        self._bytes = 0
        self._sending = False
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._known = watch.revision

    @property
    def watch(self) -> Watch:
        """The watch with the newest revision up to which the actor has handled all."""
        waiting = [*self._calls, *(one.revision for one in self._behind.values())]
        known = min(self._known, min(waiting, default=self._known + 1) - 1)
        return replace(self._watch, revision=known)

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name=f"kv watches {self._watch.bucket}/{self._watch.pattern}")

    async def stop(self) -> None:
        """Listen no more, and take back what waits."""
        self._behind.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for call in self._calls.values():
            if call is not None:
                call.take_back()
        self._queue.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen(await self._context.bus.kv(self._watch.bucket))
            except TheaterError as error:
                self._context.report_failure(f"{self._watch.bucket} cannot be watched just now: {error}")
                await asyncio.sleep(AGAIN_S)

    async def _listen(self, bucket: KeyValue) -> None:
        made_us = await bucket.created_us()
        if self._watch.made_us not in (0, made_us):
            # Another bucket of this name: what was known of its revisions says nothing.
            self._watch, self._known = replace(self._watch, revision=0), 0
        self._watch = replace(self._watch, made_us=made_us)
        async with aclosing(bucket.watch(self._watch.pattern)) as entries:
            async for entry in entries:
                if entry is None or entry.revision <= self._watch.revision or not self._allowed(entry.key):
                    continue
                while not self._has_room(entry):
                    self._room.clear()
                    await self._room.wait()
                # A key that waits keeps its place in the order, with its newest value.
                self._bytes += _size_of(entry) - _size_of(self._behind.get(entry.key))
                self._behind[entry.key] = entry
                self._send()

    def _has_room(self, entry: KeyValueEntry) -> bool:
        """Whether a change may wait here; one alone may whatever its size."""
        before = self._behind.get(entry.key)
        if before is None and len(self._behind) >= self._bounds.pending:
            return False
        others = self._bytes - _size_of(before)
        return not others or others + _size_of(entry) <= self._bounds.pending_bytes

    def _send(self) -> None:
        if self._sending:
            return
        self._sending = True
        while self._behind and len(self._calls) < self._bounds.waiting:
            entry = self._behind.pop(next(iter(self._behind)))
            params = [self._watch.name, shown(self._watch.bucket, entry)]
            self._calls[entry.revision] = None
            over = partial(self._handled, entry.revision, self._watch.made_us, _size_of(entry))
            call = self._queue.put(HANDLE, params, over)
            if entry.revision in self._calls:  # it is not over already, as one that can never run is
                self._calls[entry.revision] = call
        self._sending = False
        self._room.set()

    def _handled(self, revision: int, made_us: int, size: int, error: ActorError | None) -> None:
        self._calls.pop(revision, None)
        self._bytes -= size
        if made_us == self._watch.made_us:
            self._known = max(self._known, revision)
        if error is not None:
            self._context.report_failure(f"a change of {self._watch.bucket} could not be handled: {error}")
        self._send()


def _size_of(entry: KeyValueEntry | None) -> int:
    return 0 if entry is None else len(entry.key) + len(entry.value or b"")


def shown(bucket: str, entry: KeyValueEntry) -> dict[str, Any]:
    """An entry as the actor gets it."""
    return {"bucket": bucket, "key": entry.key, "value": entry.value, "revision": entry.revision}
