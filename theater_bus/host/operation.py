"""One operation of one actor, from admission to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol

from theater_bus.capability import Proof
from theater_bus.core.chain.recording import Recording
from theater_bus.core.values.codec import Outcome, Params
from theater_bus.errors import ActorError
from theater_bus.host.answering import kept

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.outbox import Send
    from theater_bus.host.package import FunctionEntry
    from theater_bus.host.progress import Progress
    from theater_bus.telemetry import OperationTrace

__all__ = ["Answer", "Operation"]


class Answer(Protocol):
    """Somebody who waits for an operation."""

    subject: str
    """Where the answer goes; empty when it goes nowhere, or not by message."""

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Make the answer ready before the outcome is recorded. Raises an `ActorError` when it cannot be sent."""

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        """Answer with the outcome, or with the error. Must not raise."""


class Operation:
    """A request that was admitted. Slotted, because there is one for every message.

    Times: `arrival_ns` and `started_ns` are Unix nanoseconds, `deadline` is in the event loop's seconds.
    """

    __slots__ = (
        "actor",
        "answers",
        "arrival_ns",
        "caller",
        "deadline",
        "digest",
        "end",
        "entry",
        "failure",
        "first_send",
        "first_seq",
        "guest_ended_ns",
        "headers",
        "identity",
        "key",
        "op",
        "outbox",
        "outcome",
        "params",
        "path",
        "progress",
        "proof",
        "recording",
        "reply",
        "sends",
        "size_bytes",
        "started_ns",
        "timer",
        "trace",
    )

    def __init__(
        self,
        actor: Actor,
        entry: FunctionEntry,
        params: Params,
        answer: Answer | None,
        *,
        caller: str = "",
        proof: Proof = "none",
        scope: str = "",
        op: str | None = None,
        deadline: float = inf,
        reply: str = "",
        path: tuple[str, ...] = (),
        arrival_ns: int = 0,
        size_bytes: int = 0,
        outbox: tuple[bytes, int] | None = None,
        headers: Mapping[str, str] | None = None,
        trace: OperationTrace | None = None,
    ) -> None:
        self.actor = actor
        self.entry = entry
        self.params = params
        self.answers: list[Answer] = [] if answer is None else [answer]
        self.caller = caller
        self.proof: Proof = proof
        self.op = op
        self.key = None if op is None else (scope, op)
        self.digest = b""
        self.deadline = deadline
        self.reply = reply
        self.path = path
        self.arrival_ns = arrival_ns
        self.size_bytes = size_bytes
        self.trace = trace
        self.progress: Progress | None = None
        self.outbox = outbox
        self.headers = headers
        self.started_ns = 0
        self.guest_ended_ns = 0
        self.first_seq = self.first_send = 0
        self.sends: list[Send] = []
        self.identity: str | bytes = b""
        self.recording: Recording | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.end: ActorError | None = None
        self.outcome: Outcome | None = None
        self.failure: ActorError | None = None

    def answer(self, outcome: Outcome | None, error: ActorError | None) -> None:
        """Tell everybody who waits for this operation, once."""
        if self.progress is not None:
            self.progress.end()
        answers, self.answers = self.answers, []
        for answer in answers:
            answer.send(self.entry, outcome, error)

    def decided(self, error: ActorError | None) -> None:
        """The chain kept the operation's segment, or refused it."""
        kept(self, error)

    def join(self, repeat: Operation) -> None:
        """Answer `repeat`, the same request under the same key, together with this one."""
        known = {answer.subject for answer in self.answers if answer.subject}
        self.answers += [answer for answer in repeat.answers if answer.subject not in known]
        if repeat.progress is not None:
            if self.progress is None:
                self.progress = repeat.progress
            else:
                self.progress.join(repeat.progress)
                repeat.progress.end()
        if repeat.trace is not None:
            repeat.trace.end(None)
