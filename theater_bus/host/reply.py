"""Answers to messages: encoded in the form that the request came in, sized before anything is recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from theater_bus.bus import Connection, Message
from theater_bus.core.wire.form import Form, answer_form, content_type_of
from theater_bus.core.wire.request import Request
from theater_bus.core.wire.response import Encoded, encode_cgrf, encode_error, encode_value, encode_void
from theater_bus.errors import ActorError, GuestError, TheaterError, TooLarge
from theater_bus.host.front import BODY, FIRST_PART, split_body
from theater_bus.host.progress import Listener

if TYPE_CHECKING:
    from theater_bus.core.values.codec import Outcome, ValueCodec
    from theater_bus.host.package import FunctionEntry

__all__ = ["MessageReply", "acknowledge", "encode_outcome", "guest_error", "refuse", "send_error"]

log = logging.getLogger("theater_bus.host")

_HEADER_BYTES = 256  # what our own reply headers take at most


def guest_error(entry: FunctionEntry, outcome: Outcome) -> GuestError:
    """The guest's own `err(…)` as an error."""
    return GuestError(outcome.text, function=entry.name, value=outcome.plain(entry.decode_nodes))


def encode_outcome(entry: FunctionEntry, outcome: Outcome, request: Request) -> Encoded:
    """The reply for an outcome, as `request` wants it. Raises an `ActorError` when it cannot be told in that form."""
    form, has_type = request.form, request.has_type
    if not outcome.ok:
        return encode_error(guest_error(entry, outcome), form, has_type=has_type)
    if request.reply == "value":
        value: Any
        if form is Form.MSGPACK:
            value = outcome.plain(entry.decode_nodes)
        else:
            value = outcome.json("string" if request.int64_strings else "number", entry.decode_nodes)
        return encode_value(value, form, has_type=has_type)
    if request.reply == "cgrf":
        return encode_cgrf(outcome.cgrf(), form, has_type=has_type)
    return encode_void(form, has_type=has_type)


def send_error(connection: Connection, subject: str, error: ActorError, request: Request) -> None:
    """Publish an error reply; nothing happens without a reply subject."""
    if not subject:
        return
    body, headers = encode_error(error, request.form, has_type=request.has_type)
    connection.publish(subject, body, headers=headers)


def acknowledge(connection: Connection, subject: str, request: Request) -> None:
    """Publish a success without a value; nothing happens without a reply subject."""
    if subject:
        body, headers = encode_void(request.form, has_type=request.has_type)
        connection.publish(subject, body, headers=headers)


def refuse(connection: Connection, message: Message, error: ActorError, request: Request | None) -> None:
    """Publish the refusal of `message` in the form in which it came; `request` is None when it could not be read."""
    if request is not None:
        send_error(connection, message.reply, error, request)
    elif message.reply:
        headers = message.headers
        form, has_type = answer_form(message.data, content_type_of(headers))
        body, reply_headers = encode_error(error, form, has_type=has_type)
        connection.publish(message.reply, body, headers=reply_headers)


class MessageReply:
    """The `Answer` to a request that came as a message."""

    __slots__ = ("_connection", "_encoded", "_parts", "_request", "subject")

    def __init__(self, connection: Connection, subject: str, request: Request) -> None:
        self._connection = connection
        self._request = request
        self._encoded: Encoded | None = None
        self._parts: list[Encoded] = []
        self.subject = subject

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Encode the answer and hold it against the server's `max_payload`. Raises `TooLarge`."""
        if not self.subject:
            return
        request = self._request
        if entry.front is not None and request.stream and outcome.ok and request.reply == "value":
            encoded = self._prepare_parts(entry, outcome)
        elif request.form is Form.MSGPACK and outcome.ok and request.reply == "value" and not request.has_type:
            encoded = encode_value(outcome.plain(entry.decode_nodes))
        else:
            encoded = encode_outcome(entry, outcome, request)
        self._check_size(entry.name, encoded)
        self._encoded = encoded

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        """Publish the answer. One that joined late and cannot be told its form is told so, `ran: committed`."""
        if not self.subject:
            return
        if error is None and outcome is not None and self._encoded is None:
            try:
                self.prepare(entry, outcome)
            except ActorError as refused:
                refused.ran = refused.details["ran"] = "committed"
                error = refused
        try:
            if error is not None:
                send_error(self._connection, self.subject, error, self._request)
            elif self._encoded is not None:
                for part in (*self._parts, self._encoded):
                    self._connection.publish(self.subject, part[0], headers=part[1])
        except TheaterError as lost:
            log.warning("a reply could not be sent: %s", lost)

    def encode(self, name: str, codec: ValueCodec, value: Any) -> Encoded:
        """A plain value as the reply of `name`, as the request wants it. Raises `TypeMismatch`, `TooLarge`."""
        request = self._request
        form, has_type = request.form, request.has_type
        tree = codec.encode(value)
        if request.reply == "none":
            encoded = encode_void(form, has_type=has_type)
        elif request.reply == "cgrf":
            encoded = encode_cgrf(tree.standalone(), form, has_type=has_type)
        elif form is Form.MSGPACK:
            encoded = encode_value(codec.decode(tree), form, has_type=has_type)
        else:
            plain = codec.decode_json(tree, "string" if request.int64_strings else "number")
            encoded = encode_value(plain, form, has_type=has_type)
        self._check_size(name, encoded)
        return encoded

    def publish(self, encoded: Encoded) -> None:
        """Send what `encode` made; nothing happens without a reply subject."""
        if self.subject:
            self._connection.publish(self.subject, encoded[0], headers=encoded[1])

    def send_error(self, error: ActorError) -> None:
        """Send an error."""
        try:
            send_error(self._connection, self.subject, error, self._request)
        except TheaterError as lost:
            log.warning("a reply could not be sent: %s", lost)

    def _prepare_parts(self, entry: FunctionEntry, outcome: Outcome) -> Encoded:
        """The reply of a front without its long body, which is made ready as parts. Raises `TooLarge`."""
        request = self._request
        plain, parts = split_body(outcome.plain(entry.decode_nodes))
        listener = Listener(self._connection, self.subject, request)
        self._parts = [listener.encode(number, part) for number, part in enumerate(parts, FIRST_PART)]
        if request.form is not Form.MSGPACK:
            shown = outcome.json("string" if request.int64_strings else "number", entry.decode_nodes)
            plain = {**shown, BODY: {"$bytes": ""}} if parts and isinstance(shown, dict) else shown
        return encode_value(plain, request.form, has_type=request.has_type)

    def _check_size(self, name: str, encoded: Encoded) -> None:
        limit = self._connection.max_payload
        size = len(encoded[0])
        if size + _HEADER_BYTES > limit:
            raise TooLarge(
                f"the result of {name} has {size} bytes as a message, the server takes {limit}. "
                "Fix: return less, or raise the server's max_payload",
                size_bytes=size,
                limit_bytes=limit,
            )
