"""An actor's event chain at the client: read in pages, or followed live, without a gap and without a repeat.

Following joins three sources. The events subject is subscribed first; then pages fill in what was before; then batches
go on where the pages ended. A batch that does not begin where the last one ended (the connection was lost, the host
dropped what a slow connection could not take) is a gap, and pages fill it in. Renewing the watch lease tells how far
the chain is, so that a loss at the end is noticed too.
Source: the chain page, "Watching"; wire protocol, `info.chain` and `info.watch`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Any, Final

from theater_bus.bus import Message
from theater_bus.client.exporting import Exported, export_chain
from theater_bus.client.results import parsed
from theater_bus.client.session import DEFAULT_TIMEOUT_S, Session
from theater_bus.core.chain.batch import decode_batch
from theater_bus.core.chain.bodies import Exit
from theater_bus.core.chain.events import Event, decode_event
from theater_bus.core.chain.layout import Misshapen
from theater_bus.core.chain.segments import Segment, Spilled, load_segment
from theater_bus.errors import (
    ActorError,
    ActorNotFound,
    ChainTampered,
    ChannelClosed,
    ConnectionLost,
    OperationTimeout,
    OutcomeUnknown,
    Unavailable,
)

__all__ = ["ChainView"]

WATCH_TTL_S: Final = 30.0
RETRY_S: Final = 0.5
GONE_S: Final = 3.0
"""So long may nobody answer for the actor: after a restart of the server its host needs a moment to be back."""
PAGE_SEGMENTS: Final = 256
WAITING_MAX: Final = 1024
"""Batches that wait for a slow reader; beyond it they are dropped and read from the host when their turn comes."""

AnySegment = Segment | Spilled
_PERHAPS_TRANSIENT = (ActorNotFound, ChannelClosed, OperationTimeout, OutcomeUnknown)


class ChainView:
    """One actor's chain from a sequence on. Get it from `ActorHandle.get_chain`.

    Iterate it for the events until now; `follow()` goes on with live ones; `segments()` and `follow_segments()` give
    the same as segments, whose `events` are the very bytes that were hashed. What a bounded chain has let go of is not
    there: the first event may be later than asked for. Raises `ActorNotFound`, `ChainTampered` for bytes that are no
    chain, and `Unavailable` when events are gone that lie between two that were read.
    """

    __slots__ = ("_actor", "_from_seq", "_session", "_timeout_s")

    def __init__(
        self, session: Session, actor: str, from_seq: int | None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        self._session = session
        self._actor = actor
        self._from_seq = from_seq
        self._timeout_s = timeout_s

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events(self.segments())

    async def all(self) -> list[Event]:
        """The events until now, as a list."""
        return [event async for event in self]

    def follow(self) -> AsyncIterator[Event]:
        """The events until now and then each as it is accepted, until the actor's `exit`.

        It waits out lost connections. To stop early leave the loop; `contextlib.aclosing` lets go at once. Raises
        `ActorNotFound` when the actor is gone without an exit.
        """
        return self._events(self.follow_segments())

    async def export(self, path: Path, *, package: bytes | None = None) -> Exported:
        """Write the chain until now into one file, with everything that it names by digest, to keep or to replay.

        `package` is the module, for an actor whose host has it in none of its places. What nobody has is in the
        result's `missing`. Raises `OSError` where the file cannot be written.
        """
        return await export_chain(self._session, self._actor, self.segments(), path, package, self._timeout_s)

    async def segments(self) -> AsyncIterator[AnySegment]:
        """The segments until now; one that no message takes is fetched from the object store where that has it."""
        cursor = _Cursor(self._from_seq or 0)
        async for segment in _pages(self._session, self._actor, cursor, self._timeout_s):
            yield await self._whole(segment)

    async def follow_segments(self) -> AsyncIterator[AnySegment]:
        """As `follow`, in segments."""
        following = _Following(self._session, self._actor, self._from_seq, self._timeout_s)
        try:
            async for segment in following.run():
                yield await self._whole(segment)
        finally:
            following.close()

    async def _events(self, segments: AsyncIterator[AnySegment]) -> AsyncIterator[Event]:
        first = self._from_seq or 0
        async with aclosing(segments):  # type: ignore[type-var]
            async for segment in segments:
                if isinstance(segment, Spilled):
                    raise Unavailable(
                        f"the events {segment.first} to {segment.first + segment.count - 1} lie in an object that is "
                        f"missing (SHA-256 {segment.digest.hex()}). Fix: restore it, or read the segments",
                        actor=self._actor,
                    )
                for data in segment.events:
                    event = decode_event(data)
                    if event.seq >= first:
                        yield event

    async def _whole(self, segment: AnySegment) -> AnySegment:
        if isinstance(segment, Segment) or not self._session.objects.available:
            return segment
        objects, digest = self._session.objects, segment.digest
        data = await objects.get(digest)
        if data is None:
            data = await objects.get(digest, self._session.subjects.loan_name(digest))
        return segment if data is None else segment.unspill(data)


class _Cursor:
    """Where reading is: the sequence that comes next, and whether anything was read yet."""

    __slots__ = ("next_seq", "started")

    def __init__(self, next_seq: int) -> None:
        self.next_seq = next_seq
        self.started = False

    def takes(self, segment: AnySegment) -> bool:
        """Whether `segment` brings something new; then the cursor is behind it."""
        end = segment.first + segment.count
        if end <= self.next_seq:
            return False
        self.next_seq = end
        self.started = True
        return True


async def _pages(session: Session, actor: str, cursor: _Cursor, timeout_s: float) -> AsyncIterator[AnySegment]:
    """The segments from the cursor on until the end of the chain as it is now."""
    subject = session.subjects.info(actor, "chain")
    while True:
        asked = cursor.next_seq
        fields = {"from": asked, "limit": PAGE_SEGMENTS}
        answer = await session.ask(actor, subject, fields, timeout_s)
        segments, next_seq = parsed(lambda wire: (wire["segments"], wire["next"]), answer, "info.chain")
        for segment in map(_load, segments):
            if cursor.started and segment.first > cursor.next_seq:
                raise Unavailable(
                    f"the events {cursor.next_seq} to {segment.first - 1} are not kept any more. "
                    "Fix: read faster, or raise chain.keep_events in the manifest",
                    actor=actor,
                    first=cursor.next_seq,
                    next=segment.first,
                )
            if cursor.takes(segment):
                yield segment
        if next_seq is None or cursor.next_seq == asked:
            return


def _load(wire: Any) -> AnySegment:
    try:
        return load_segment(wire)
    except Misshapen as wrong:
        raise ChainTampered(str(wrong)) from None


class _Following:
    """One reader that goes on: the subscription, the lease, and what waits to be read."""

    def __init__(self, session: Session, actor: str, from_seq: int | None, timeout_s: float) -> None:
        self._session = session
        self._actor = actor
        self._timeout_s = timeout_s
        self._from_now = from_seq is None
        self._cursor = _Cursor(from_seq or 0)
        self._waiting: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._dropped = False
        self._renew_at = 0.0
        self._missing_since: float | None = None
        self._subscription = session.connection.subscribe(session.subjects.events(actor), self._receive)

    def close(self) -> None:
        """Let go of the subscription; the lease ends by itself."""
        self._subscription.unsubscribe()

    async def run(self) -> AsyncIterator[AnySegment]:
        """Pages, then batches, then pages again where batches are missing, until the actor's exit."""
        cursor = self._cursor
        behind = await self._begin()
        while True:
            if behind:
                ended = False
                async for segment in self._fill():
                    yield segment
                    ended = _ends(segment)
                if ended:
                    return
                behind = False
            for _ in range(len(self._waiting)):
                for segment in self._next_batch():
                    behind = behind or (cursor.started and segment.first > cursor.next_seq)
                    if not behind and cursor.takes(segment):
                        yield segment
                        if _ends(segment):
                            return
            behind = behind or await self._more()

    async def _begin(self) -> bool:
        """Subscribe for certain, then take the lease. Whether there is something to fill in."""
        try:
            await self._session.connection.ready()
        except ConnectionLost as error:
            raise ChannelClosed(f"not connected, so nothing can be followed: {error}", actor=self._actor) from error
        end = await self._renew()
        if self._from_now:
            self._cursor.next_seq, self._cursor.started = end, True
        return not self._from_now

    async def _fill(self) -> AsyncIterator[AnySegment]:
        """Pages up to now; a connection that is lost meanwhile is waited for."""
        self._dropped = False
        while True:
            try:
                async for segment in _pages(self._session, self._actor, self._cursor, self._timeout_s):
                    yield segment
                return
            except _PERHAPS_TRANSIENT as error:
                self._bear(error)
                await asyncio.sleep(RETRY_S)

    async def _more(self) -> bool:
        """Wait for a batch, or until the lease is to be renewed. Whether something was missed meanwhile."""
        left_s = self._renew_at - monotonic()
        if left_s <= 0:
            return await self._catch_up()
        if self._dropped:
            return True
        if not self._waiting:
            self._came.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._came.wait()
            except TimeoutError:
                return await self._catch_up()
        return False

    async def _catch_up(self) -> bool:
        """Renew the lease, and see from the answer whether the chain is further than what has come."""
        try:
            end = await self._renew()
        except _PERHAPS_TRANSIENT as error:
            if not self._waiting:  # the exit may be among what came
                self._bear(error)
            self._renew_at = monotonic() + RETRY_S
            return False
        # The host publishes before it answers, so what it counts and we do not have is lost.
        return not self._waiting and end > self._cursor.next_seq

    def _bear(self, error: ActorError) -> None:
        """Return when it is worth trying again after `error`, else raise it."""
        now = monotonic()
        if self._missing_since is None:
            self._missing_since = now
        is_gone = isinstance(error, ActorNotFound) and now - self._missing_since >= GONE_S
        if self._session.closed or is_gone:
            raise error
        if not isinstance(error, ActorNotFound):
            self._missing_since = None

    async def _renew(self) -> int:
        """Have the host publish for a while longer; returns the sequence that comes next in its chain."""
        fields = {"ttl_ms": round(WATCH_TTL_S * 1000)}
        subject = self._session.subjects.info(self._actor, "watch")
        answer = await self._session.ask(self._actor, subject, fields, self._timeout_s)
        self._renew_at = monotonic() + WATCH_TTL_S / 3
        self._missing_since = None
        return parsed(lambda wire: int(wire["as_of"]["sequence"]) + 1, answer, "info.watch")

    def _next_batch(self) -> tuple[AnySegment, ...]:
        return decode_batch(self._waiting.popleft()).segments

    def _receive(self, message: Message) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.clear()
            self._dropped = True
        else:
            self._waiting.append(message.data)
        self._came.set()


def _ends(segment: AnySegment) -> bool:
    return isinstance(segment, Segment) and isinstance(decode_event(segment.events[-1]).body, Exit)
