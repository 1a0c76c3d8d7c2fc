"""`theater:simple/message-server-host`, compatible with guests built for Theater, over NATS.

Invariants: nothing here waits for an actor but the host function that asks it, within its operation's time; a message
leaves when its operation is kept, and an operation that fails leaves requests and conversations as they were; only the
two participants of a conversation can say something in it or end it, which is checked before anything is done.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from pydantic import Field, field_validator

from theater_bus import ActorError
from theater_bus.capability import (
    LATER,
    NUMBER,
    SUBJECTS,
    Callback,
    CallQueue,
    Capability,
    CapabilityError,
    Context,
    PeerRequest,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus.errors import (
    Cancelled,
    FunctionNotFound,
    Overloaded,
    PermissionDenied,
    ShuttingDown,
    TypeMismatch,
    Unavailable,
)
from theater_bus_messages.conversation import Conversation, Conversations, is_channel
from theater_bus_messages.presence import PEER, Presence, event_headers
from theater_bus_messages.request import Outstanding, Requests, request_id

__all__ = ["Messages"]

CLIENT = "theater:simple/message-server-client"
WAITING = 16
"""Calls of the actor's own exports that are in its mailbox at a time."""


class Messages(Capability):
    """Messages between actors: one way, asked and answered, and in conversations."""

    name = "messages"
    pact = "messages.pact"
    peer_pact = "peer.pact"

    class Settings(BaseSettings):
        """`[capabilities.messages]`; the numbers are bounds that hosts and parents can lower."""

        to: Annotated[tuple[str, ...], SUBJECTS] = ()
        timeout_ms: Annotated[int, NUMBER, Field(ge=1, le=3_600_000)] = 30_000
        message_bytes: Annotated[int, NUMBER, Field(ge=0, le=64 * 1024 * 1024)] = 1_000_000
        outstanding: Annotated[int, NUMBER, Field(ge=0, le=10_000)] = 64
        channels: Annotated[int, NUMBER, Field(ge=0, le=1_000)] = 64
        check_ms: Annotated[int, NUMBER, Field(ge=1_000, le=3_600_000)] = 30_000

        @field_validator("to")
        @classmethod
        def _ids(cls, given: tuple[str, ...]) -> tuple[str, ...]:
            for one in given:
                if "." in one:
                    raise ValueError(f'{one!r} is no id of an actor; write the id, or "*" for all')
            return given

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._registered = False
        self._conversations = Conversations()
        self._requests = Requests(context.clock, settings.outstanding, context.snapshot_changed)
        self._calls = CallQueue(context, WAITING)
        self._presence = Presence(context, self._conversations, settings.check_ms, self._end)

    # -- sends and requests --------------------------------------------------------------------------------------------

    def register(self) -> None:
        """Take messages from now on."""
        if self._registered:
            raise CapabilityError("Already registered")
        if not any(self.context.has_export(f"{CLIENT}.{name}") for name in _HANDLERS):
            raise CapabilityError(f"the actor exports nothing of {CLIENT}. Fix: export one of {', '.join(_HANDLERS)}")
        self._registered = True
        self.context.on_operation_end(self._was_registered)
        self.context.snapshot_changed()

    def _was_registered(self, took_effect: bool) -> None:
        self._registered = took_effect

    def send(self, actor_id: str, msg: bytes) -> None:
        """Send one way, when the operation is kept."""
        self._check_target(actor_id)
        self._check_size(msg)
        self._queue(actor_id, "send", [msg])

    async def request(self, actor_id: str, msg: bytes) -> bytes:
        """Ask, and wait for the answer. Whatever keeps the other side from answering is an `err`."""
        self._check_target(actor_id)
        self._check_size(msg)
        return bytes(await self._ask(actor_id, "request", [msg]))

    def list_outstanding_requests(self) -> list[str]:
        """The requests that wait for an answer of this actor."""
        return self._requests.open()

    def respond_to_request(self, request_id: str, response: bytes) -> None:
        """Answer a request, when the operation is kept."""
        self._check_size(response)
        self._settle(request_id, response)

    def cancel_request(self, request_id: str) -> None:
        """Answer a request with an error, when the operation is kept."""
        self._settle(request_id, Cancelled("the actor that was asked gave the request up", ran="committed"))

    def _settle(self, request_id: str, answer: bytes | ActorError) -> None:
        found = self._requests.get(request_id)
        if found is None:
            raise CapabilityError(f"Request ID not found: {request_id[:80]}")
        found.is_settling = True
        self.context.on_operation_end(partial(self._was_settled, found, answer))
        self.context.snapshot_changed()

    def _was_settled(self, found: Outstanding, answer: bytes | ActorError, took_effect: bool) -> None:
        found.is_settling = False
        if took_effect:
            self._requests.settle(found, answer)

    # -- conversations -------------------------------------------------------------------------------------------------

    async def open_channel(self, actor_id: str, initial_msg: bytes) -> str:
        """Begin a conversation. It is open when the other actor accepts and the operation is kept."""
        self._check_target(actor_id)
        self._check_size(initial_msg)
        self._check_room()
        conversation = Conversation(f"ch_{self.context.effect_key[:32]}", actor_id)
        if self._conversations.get(conversation.channel) is not None:
            raise CapabilityError(f"the conversation {conversation.channel} goes on")
        self._conversations.add(conversation)
        self.context.on_operation_end(partial(self._was_opened, conversation))
        try:
            accept = await self._ask(actor_id, "open", [conversation.channel, initial_msg, None])
        except CapabilityError as error:
            # Where the other side may have accepted, it is told that there is no conversation.
            conversation.is_closing = True
            if isinstance(error.__cause__, ActorError) and error.__cause__.ran in ("never", "rolled-back"):
                self._conversations.remove(conversation)
            raise
        if not accept["accepted"]:
            self._conversations.remove(conversation)
            raise CapabilityError("Channel request rejected")
        conversation.is_accepted, conversation.first = True, accept["message"]
        self.context.snapshot_changed()
        return conversation.channel

    def _was_opened(self, conversation: Conversation, took_effect: bool) -> None:
        if self._conversations.get(conversation.channel) is not conversation:
            return
        if not took_effect or conversation.is_closing:
            self._conversations.remove(conversation)
            self._presence.say_goodbye(conversation)
            return
        conversation.is_open = True
        self._presence.watch()
        if conversation.first is not None:
            self._calls.put(f"{CLIENT}.handle-channel-message", [conversation.channel, conversation.first])

    def send_on_channel(self, channel_id: str, msg: bytes) -> None:
        """Say something in a conversation, when the operation is kept."""
        self._check_size(msg)
        self._say(self._own(channel_id), "message", msg)

    def close_channel(self, channel_id: str) -> None:
        """End a conversation, when the operation is kept."""
        conversation = self._own(channel_id)
        if self._is_now():
            conversation.is_closing = True
            self.context.on_operation_end(partial(self._was_closed, conversation), kept=True)
            self.context.snapshot_changed()
        self._say(conversation, "close", b"")

    def _was_closed(self, conversation: Conversation, took_effect: bool) -> None:
        conversation.is_closing = False
        if took_effect:
            self._conversations.remove(conversation)

    def _say(self, conversation: Conversation, what: str, msg: bytes) -> None:
        if conversation.inbox:
            self.context.queue_reply(conversation.inbox, msg, event_headers(conversation.channel, what))
            return
        params: list[Any] = [conversation.channel, msg] if what == "message" else [conversation.channel]
        self._queue(conversation.peer, what, params)

    def _own(self, channel_id: str) -> Conversation:
        """The conversation, if this actor takes part in it; for a send that is asked again, also one that is over."""
        if self._is_now():
            found = self._conversations.get(channel_id)
            if found is not None and (found.is_closing or not (found.is_open or found.is_accepted)):
                found = None
        else:
            found = self._conversations.ever(channel_id)
        if found is None:
            raise CapabilityError(f"Channel not found: {channel_id[:80]}")
        return found

    # -- what peers ask ------------------------------------------------------------------------------------------------

    def peer_send(self, request: PeerRequest, msg: bytes) -> Callback:
        """A message one way."""
        return Callback(self._handler("handle-send"), [msg])

    def peer_request(self, request: PeerRequest, msg: bytes) -> Callback:
        """A request; `handle-request` answers with the response, or with none to answer later."""
        handler = self._handler("handle-request")
        if not request.is_repeat:
            self._requests.check_room()
        id = request_id(request)
        return Callback(handler, [id, msg], answer=_response, later=partial(self._requests.defer, id, request))

    def peer_open(self, request: PeerRequest, channel: str, msg: bytes, inbox: str | None) -> Callback:
        """Somebody wants to begin a conversation."""
        handler = self._handler("handle-channel-open")
        if not is_channel(channel):
            raise PermissionDenied(f"{channel[:80]!r} is no id of a conversation. Fix: 8 to 64 of A-Z a-z 0-9 _ -")
        if request.is_actor == (inbox is not None) or (inbox is not None and not self.context.is_inbox(inbox)):
            raise PermissionDenied("a client names the inbox that it listens at (`_INBOX…`), an actor names none")
        if request.is_repeat:
            return Callback(handler, [channel, msg], answer=_accept)
        if self._conversations.ever(channel) is not None:
            raise PermissionDenied(f"there is a conversation {channel!r} already. Fix: choose another id")
        if len(self._conversations) >= self.settings.channels:
            raise Overloaded(
                f"this actor takes part in {self.settings.channels} conversations, all that messages.channels allows",
                bound="messages.channels",
                limit=self.settings.channels,
            )
        conversation = Conversation(channel, request.caller, inbox or "", request.proof)
        self._conversations.add(conversation)
        return Callback(handler, [channel, msg], answer=_accept, done=partial(self._was_asked, conversation))

    def _was_asked(self, conversation: Conversation, error: ActorError | None, answer: Any) -> None:
        if error is not None or not _accept(answer)["accepted"]:
            self._conversations.remove(conversation)
            return
        conversation.is_open = True
        self._presence.watch()
        self.context.snapshot_changed()

    def peer_message(self, request: PeerRequest, channel: str, msg: bytes) -> Callback:
        """The other side says something."""
        conversation = self._participant(request, channel)
        if conversation is None:
            raise PermissionDenied(f"there is no conversation {channel[:80]!r} between you and this actor")
        if not conversation.is_open:
            raise Unavailable(f"the conversation {channel} is just being opened. Fix: try again", ran="never")
        return Callback(self._handler("handle-channel-message"), [channel, msg])

    def peer_close(self, request: PeerRequest, channel: str) -> Callback | None:
        """The other side ends a conversation."""
        conversation = self._participant(request, channel)
        if conversation is None:
            return None
        handler = f"{CLIENT}.handle-channel-close"
        if not self.context.has_export(handler):
            self._conversations.remove(conversation)
            return None
        return Callback(handler, [channel], done=partial(self._was_left, conversation))

    def _was_left(self, conversation: Conversation, error: ActorError | None, answer: Any) -> None:
        if (error is None or error.ran != "never") and self._conversations.remove(conversation):
            self.context.snapshot_changed()

    def peer_unknown(self, request: PeerRequest, channels: list[str]) -> list[str]:
        """Which of these conversations are not between this actor and the one who asks."""
        return [one for one in channels if self._participant(request, one) is None]

    def _participant(self, request: PeerRequest, channel: str) -> Conversation | None:
        found = self._conversations.get(channel)
        if found is None or not found.has(request.caller, request.is_actor, request.proof):
            return None
        return found

    def _handler(self, name: str) -> str:
        if not self._registered:
            raise FunctionNotFound("this actor takes no messages: it has not called `register`", function=name)
        return f"{CLIENT}.{name}"

    # -- the life of conversations -------------------------------------------------------------------------------------

    def undelivered(self, function: str, args: list[Any], error: ActorError) -> None:
        """A send was given up: a conversation that it belongs to is over."""
        if function == "send-on-channel":
            conversation = self._conversations.get(str(args[0]))
            if conversation is not None:
                self._end(conversation)

    def _end(self, conversation: Conversation) -> None:
        """The other side is gone."""
        if not self._conversations.remove(conversation):
            return
        handler = f"{CLIENT}.handle-channel-close"
        if self.context.has_export(handler):
            self._calls.put(handler, [conversation.channel])
        self.context.snapshot_changed()

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what was restored."""
        if len(self._conversations):
            self._presence.watch()

    async def stop(self) -> None:
        """Tell the others, unless the actor comes back."""
        self._calls.close()
        is_over = not self.context.will_return
        ended = ShuttingDown("the actor that was asked ended before it answered", ran="committed")
        self._requests.close(ended if is_over else None)
        if is_over:
            for conversation in self._conversations:
                self._presence.say_goodbye(conversation)
        await self._presence.close()

    def snapshot(self) -> bytes | None:
        """Whether it is registered, its conversations, and the requests that wait."""
        found = {
            "registered": self._registered,
            "conversations": self._conversations.snapshot(),
            "requests": self._requests.snapshot(),
        }
        return json.dumps(found, separators=(",", ":")).encode()

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        try:
            found = json.loads(snapshot)
            self._registered = bool(found["registered"])
            self._conversations.restore(found["conversations"])
            self._requests.restore(found["requests"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no snapshot of messages: {error!r}") from error

    # -- what they all need --------------------------------------------------------------------------------------------

    async def _ask(self, actor_id: str, function: str, params: list[Any]) -> Any:
        limit_ms = self.settings.timeout_ms
        try:
            return await self.context.call_actor(actor_id, f"{PEER}.{function}", params, timeout_ms=limit_ms)
        except ActorError as error:
            raise CapabilityError(f"{error.code}: {error.message}") from error

    def _queue(self, actor_id: str, function: str, params: list[Any]) -> None:
        try:
            self.context.queue_call(actor_id, f"{PEER}.{function}", params)
        except Overloaded:  # the outbox is full, which ends the operation
            raise
        except ActorError as error:
            raise CapabilityError(f"{error.code}: {error.message}") from error

    def _is_now(self) -> bool:
        """Whether an operation makes the call; else a recovery asks again what a call of before sends."""
        try:
            return self.context.call_id >= 0
        except LookupError:
            return False

    def _check_target(self, actor_id: str) -> None:
        if not any(one in ("*", ">", actor_id) for one in self.settings.to):
            raise CapabilityError(
                f"the grant messages.to does not name {actor_id[:80]!r}. Fix: `to = [{json.dumps(actor_id[:80])}]` in "
                "[capabilities.messages]"
            )

    def _check_size(self, msg: bytes) -> None:
        if len(msg) > self.settings.message_bytes:
            raise CapabilityError(
                f"a message of {len(msg)} bytes is longer than the grant messages.message_bytes = "
                f"{self.settings.message_bytes} allows. Fix: `message_bytes = {len(msg)}` in [capabilities.messages]"
            )

    def _check_room(self) -> None:
        if len(self._conversations) >= self.settings.channels:
            raise CapabilityError(
                f"the grant messages.channels = {self.settings.channels} is used up. Fix: close one, or "
                f"`channels = {self.settings.channels + 1}` in [capabilities.messages]"
            )


_HANDLERS = (
    "handle-send",
    "handle-request",
    "handle-channel-open",
    "handle-channel-message",
    "handle-channel-close",
)


def _bare(value: Any) -> Any:
    """What a handler answered, out of the tuple that guests built for Theater put it in."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _response(value: Any) -> Any:
    response = _bare(value)
    if response is None:
        return LATER
    if isinstance(response, bytes):
        return response
    raise TypeMismatch(f"handle-request answers with an option<list<u8>>, not with {response!r:.80}", path="result")


def _accept(value: Any) -> dict[str, Any]:
    accept = _bare(value)
    if isinstance(accept, dict) and isinstance(accept.get("accepted"), bool):
        message = accept.get("message")
        if message is None or isinstance(message, bytes):
            return {"accepted": accept["accepted"], "message": message}
    raise TypeMismatch(
        f"handle-channel-open answers with {{accepted: bool, message: option<list<u8>>}}, not with {accept!r:.80}",
        path="result",
    )
