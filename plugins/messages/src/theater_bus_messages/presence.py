"""Whether the other sides of an actor's conversations are still there, and what they are told when one ends.

Invariant: nobody waits for this; each question has a bound, and a conversation is over when its other side does not
answer twice in a row, or says that it knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from theater_bus import ActorError
from theater_bus.capability import Context
from theater_bus_messages.conversation import Conversation, Conversations

__all__ = ["FAREWELL_MS", "PEER", "Presence", "event_headers"]

PEER = "theater:bus/messages"
FAREWELL_MS = 1_000
"""How long the other side of a conversation may take to hear that it is over, when nobody waits for that."""
CHECK_MS = 2_000
MISSES = 2
"""Checks in a row that the other side does not answer before it counts as gone."""


def event_headers(channel: str, event: str) -> dict[str, str]:
    """What stands over a message to a client's inbox."""
    return {"Theater-Channel": channel, "Theater-Event": event}


class Presence:
    """Looks after the conversations of one actor; `gone` gets those whose other side is not there any more."""

    def __init__(
        self, context: Context, conversations: Conversations, check_ms: int, gone: Callable[[Conversation], None]
    ) -> None:
        self._context = context
        self._conversations = conversations
        self._check_s = check_ms / 1000
        self._gone = gone
        self._checking: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def watch(self) -> None:
        """There is a conversation: ask its other side from time to time, until there is none."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._check_all(), name="theater-bus messages")

    def say_goodbye(self, conversation: Conversation) -> None:
        """Tell the other side that it is over, without waiting."""
        task = asyncio.get_running_loop().create_task(self._say_goodbye(conversation), name="theater-bus messages")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Ask no more, and let what is being said be heard."""
        running = set(self._background)
        if self._checking is not None:
            self._checking.cancel()
            running.add(self._checking)
        if running:
            await asyncio.wait(running, timeout=2 * FAREWELL_MS / 1000)

    async def _say_goodbye(self, conversation: Conversation) -> None:
        try:
            if conversation.inbox:
                await self._context.reply_to(conversation.inbox, b"", event_headers(conversation.channel, "close"))
            else:
                close = [conversation.channel]
                await self._context.call_peer(conversation.peer, f"{PEER}.close", close, timeout_ms=FAREWELL_MS)
        except ActorError as error:
            self._context.log.debug("messages.goodbye_unheard", channel=conversation.channel, error=str(error))

    async def _check_all(self) -> None:
        """Ask the other sides of all conversations, again and again, whether they are still there."""
        while True:
            await self._context.clock.sleep(self._check_s)
            open_ = [one for one in self._conversations if one.is_open]
            if not open_:
                return
            for inbox in {one.inbox for one in open_ if one.inbox}:
                await self._check_client(inbox, [one for one in open_ if one.inbox == inbox])
            for peer in {one.peer for one in open_ if not one.inbox}:
                await self._check_actor(peer, [one for one in open_ if not one.inbox and one.peer == peer])

    async def _check_actor(self, peer: str, conversations: list[Conversation]) -> None:
        channels = [one.channel for one in conversations]
        try:
            unknown = await self._context.call_peer(peer, f"{PEER}.unknown", [channels], timeout_ms=CHECK_MS)
        except ActorError:
            self._missed(conversations)
            return
        for one in conversations:
            one.missed = 0
            if one.channel in unknown:
                self._gone(one)

    async def _check_client(self, inbox: str, conversations: list[Conversation]) -> None:
        try:
            for one in conversations:
                await self._context.reply_to(inbox, b"", event_headers(one.channel, "check"))
                one.missed = 0
        except ActorError:
            self._missed(conversations)

    def _missed(self, conversations: list[Conversation]) -> None:
        for one in conversations:
            one.missed += 1
            if one.missed >= MISSES:
                self._gone(one)
