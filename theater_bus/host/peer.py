"""Requests of a capability's peers: from the message to the callback that the capability makes of it, and its reply.

Invariants: a request is judged at once, by the capability of the actor that it reached, with the caller that its
subject names; what it becomes runs, is recorded and is answered like any other operation; a reply goes out once.
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from theater_bus.capability import LATER, Callback, PeerRequest
from theater_bus.core.wire.caller import Caller, Proof, scope_of
from theater_bus.core.wire.response import Encoded
from theater_bus.errors import ActorError, HandlerError, ShuttingDown, TheaterError
from theater_bus.host.package import FunctionEntry, PeerEntry
from theater_bus.host.reply import MessageReply, guest_error

if TYPE_CHECKING:
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.operation import Operation

__all__ = ["PeerAnswer", "ask_peer"]

log = logging.getLogger("theater_bus.host")


class PeerAnswer:
    """The `Answer` to a request of a peer; a `PeerReply` where the capability replies later."""

    __slots__ = ("_callback", "_encoded", "_entry", "_reply", "_value", "caller", "subject")

    def __init__(self, reply: MessageReply, entry: PeerEntry, caller: Caller | None) -> None:
        self._reply: MessageReply | None = reply
        self._entry = entry
        self._callback: Callback | None = None
        self._encoded: Encoded | None = None
        self._value: Any = None
        self.caller = caller
        self.subject = reply.subject

    def expect(self, callback: Callback) -> None:
        """What the request became."""
        self._callback = callback

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Make the reply of what the guest answered. Raises an `ActorError` when it cannot be sent."""
        callback, reply = self._callback, self._reply
        if callback is None or reply is None or not outcome.ok:
            return
        self._value = outcome.plain(entry.decode_nodes)
        value = callback.answer(self._value)
        if value is not LATER:
            self._encoded = reply.encode(self._entry.name, self._entry.result, value)

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        """Tell the capability, then the peer."""
        if error is None and outcome is not None:
            if not outcome.ok:
                error = guest_error(entry, outcome)
            elif self._value is None and self._encoded is None:
                try:  # one that joined a repeat comes too late for `prepare`
                    self.prepare(entry, outcome)
                except ActorError as refused:
                    refused.ran = refused.details["ran"] = "committed"
                    error = refused
        callback = self._callback
        try:
            if callback is not None and callback.done is not None:
                callback.done(error, None if error is not None else self._value)
            if error is None and self._encoded is None and callback is not None and callback.later is not None:
                callback.later(self)
                return
        except Exception:
            log.exception("a capability failed at the end of %s", self._entry.name)
        if error is not None:
            self.refuse(error)
        elif self._encoded is not None:
            self._publish(self._encoded)

    def answer(self, value: Any) -> None:
        """Reply with the value of the peer function's result."""
        if self._reply is not None:
            self._publish(self._reply.encode(self._entry.name, self._entry.result, value))

    def refuse(self, error: ActorError) -> None:
        """Reply with an error."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.send_error(error)

    def _publish(self, encoded: Encoded) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            try:
                reply.publish(encoded)
            except TheaterError as lost:
                log.warning("a reply could not be sent: %s", lost)


def ask_peer(op: Operation, entry: PeerEntry) -> bool:
    """Turn a request of a peer into the call that its capability makes of it; False when it is answered already.

    Raises the `ActorError` that the capability refuses it with.
    """
    actor = op.actor
    capability = actor.capabilities.get(entry.capability)
    answer = op.answers[0]
    assert isinstance(answer, PeerAnswer)
    if capability is None:
        raise ShuttingDown(f"the capability {entry.capability} of this actor is not there (any more)")
    known = op.key is not None and actor.window is not None and actor.window.look(*op.key) is not None
    request = PeerRequest(
        op.caller,
        answer.caller is not None and answer.caller.is_actor,
        op.proof,
        scope_of(op.caller, Proof(op.proof)),
        op.op,
        known,
        op.deadline,
        bool(op.reply),
    )
    arguments = entry.arguments(op.params)
    try:
        found = getattr(capability, entry.method)(request, *arguments)
        if not isinstance(found, Callback):
            answer.answer(found)
            return False
        op.entry = actor.type.own_function(found.function)
        op.params = op.entry.codec.encode_params(found.params)
    except ActorError:
        raise
    except Exception as error:
        correlation = token_hex(8)
        log.exception("capability failed: actor=%s correlation=%s", actor.identity.id, correlation)
        raise HandlerError(
            f"the capability failed at {entry.name}; the host's log has the cause under {correlation}",
            ran="never",
            correlation=correlation,
        ) from error
    answer.expect(found)
    return True
