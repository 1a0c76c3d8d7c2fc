"""What an actor comes back as: the last checkpoint, and what its events say since.

Invariants: only what was committed counts (a result, or a guest's own error): its state, its sends, its answer, its
place in a sender's outbox. Everything comes from the record; nothing is run. A genesis is a checkpoint of nothing.
Source: the chain page, "Ownership, recovery, failover" and "Guarantees".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from theater_bus.core.chain import control
from theater_bus.core.chain.bodies import (
    Call,
    Checkpoint,
    Exit,
    Failure,
    Genesis,
    HostCall,
    LogRun,
    Received,
    Result,
    Unsent,
    WindowEntry,
)
from theater_bus.core.chain.events import INLINE_MAX, ZERO, Event, sha256
from theater_bus.core.chain.layout import Payload
from theater_bus.core.chain.verify import Lookup
from theater_bus.core.wire.caller import Proof, scope_of, sender_of
from theater_bus.core.wire.digest import effect_key, operation_digest
from theater_bus.errors import ChainTampered

__all__ = ["RecoveredActor", "restore"]


@dataclass(slots=True)
class RecoveredActor:
    """An actor as its chain leaves it.

    `next_seq`, `head` and `next_outbox` are what its writer goes on with; `phase` is `running` or `paused`, `exited`
    the reason when the incarnation ended. `window` holds the committed keys, oldest first, and `answers` the answers
    of those since the checkpoint by sequence (older ones are read from the chain). `unsent` are the queued sends above
    `sent_through`, by number. `later` are the host calls since the checkpoint, for capabilities that keep `snapshots`.
    """

    actor: str
    incarnation: bytes
    next_seq: int = 0
    head: bytes = ZERO
    phase: str = "running"
    exited: str | None = None
    package: bytes = ZERO
    manifest: bytes = ZERO
    grants: bytes = ZERO
    abi: str = ""
    inline_max: int = INLINE_MAX
    state: bytes | None = None
    genesis: Genesis | None = None
    window: list[WindowEntry] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)
    next_outbox: int = 1
    unsent: list[Unsent] = field(default_factory=list)
    received: dict[str, Received] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    later: list[HostCall] = field(default_factory=list)


def restore(
    actor: str, incarnation: bytes, events: Iterable[Event], lookup: Lookup, sent_through: int = 0
) -> RecoveredActor:
    """The actor that `events` leave: verified, in order, from its last checkpoint (or genesis) to the end.

    What comes before a checkpoint or genesis is passed over. `lookup` finds stored payloads, `sent_through` is that of
    the last batch. Raises `ChainTampered` when there is no checkpoint, or a payload that recovery needs is missing.
    """
    fold = _Fold(RecoveredActor(actor, incarnation), lookup)
    begun = False
    for event in events:
        begun = begun or isinstance(event.body, Genesis | Checkpoint)
        if begun:
            fold.take(event)
    if not begun:
        raise ChainTampered("there is no checkpoint or genesis to recover from")
    found = fold.found
    found.window = list(fold.window.values())
    found.unsent = [fold.unsent[number] for number in sorted(fold.unsent) if number > sent_through]
    return found


class _Fold:
    """Takes events into a `RecoveredActor` one by one."""

    def __init__(self, found: RecoveredActor, lookup: Lookup) -> None:
        self.found = found
        self.window: dict[tuple[str, str], WindowEntry] = {}
        self.unsent: dict[int, Unsent] = {}
        self._lookup = lookup
        self._call: Call | None = None
        self._calls: list[tuple[int, int, HostCall]] = []
        self._index = 0

    def take(self, event: Event) -> None:
        """Take in the next event."""
        found, body = self.found, event.body
        found.next_seq, found.head = event.seq + 1, event.hash
        if isinstance(body, Call):
            self._call, self._calls, self._index = body, [], 0
        elif isinstance(body, HostCall):
            self._calls.append((event.time_ns, self._index, body))
            self._index += 1
        elif isinstance(body, LogRun):
            self._index += body.count
        elif isinstance(body, Result | Failure):
            self._end(event.seq, body)
        elif isinstance(body, Genesis):
            self._begin(body)
        elif isinstance(body, Checkpoint):
            self._checkpoint(body)
        elif isinstance(body, Exit):
            found.exited = body.reason
        else:
            self._control(body)

    def _bytes(self, payload: Payload) -> bytes:
        if isinstance(payload, bytes):
            return payload
        data = self._lookup(payload.digest)
        if data is None:
            raise ChainTampered(f"the object {payload.digest.hex()}, which recovery needs, is missing")
        return data

    def _state(self, payload: Payload | None) -> bytes | None:
        return None if payload is None else self._bytes(payload)

    def _begin(self, body: Genesis) -> None:
        found = self.found
        self.found = RecoveredActor(
            body.actor,
            body.incarnation,
            found.next_seq,
            found.head,
            package=body.package,
            manifest=body.manifest,
            grants=body.grants,
            abi=body.abi,
            inline_max=body.inline_max,
            state=self._state(body.state),
            genesis=body,
        )
        self.window, self.unsent = {}, {}

    def _checkpoint(self, body: Checkpoint) -> None:
        found = self.found
        found.phase = body.phase
        found.package, found.manifest, found.grants = body.package, body.manifest, body.grants
        found.abi, found.inline_max = body.abi, body.inline_max
        found.state = self._state(body.state)
        found.next_outbox = body.next_outbox
        found.received = dict(body.received)
        found.snapshots = {name: self._bytes(payload) for name, payload in body.snapshots.items()}
        found.later, found.answers = [], {}
        self.window = {(entry.scope, entry.key): entry for entry in body.window}
        self.unsent = {send.number: send for send in body.unsent}

    def _end(self, seq: int, body: Result | Failure) -> None:
        call, found = self._call, self.found
        self._call = None
        if call is None:
            raise ChainTampered(f"{body.TYPE} without a call", seq=seq)
        found.later += [host_call for _, _, host_call in self._calls]
        if isinstance(body, Failure) and body.code != "guest-error":
            return
        if isinstance(body, Result) and body.state is not None:
            found.state = self._bytes(body.state)
        scope = scope_of(call.caller, Proof(call.proof))
        self._queue(call, scope)
        if call.outbox is not None:
            self._receive(sender_of(call.caller, Proof(call.proof)), call.outbox)
        if isinstance(call.identity, str):
            self._answer(call, call.identity, scope, seq, body)

    def _answer(self, call: Call, key: str, scope: str, seq: int, body: Result | Failure) -> None:
        if isinstance(body, Failure) and body.value is None:
            answer = body.message.encode()
        else:
            answer = self._state(body.value) or b""
        self.found.answers[seq] = answer
        request = operation_digest(call.function, self._bytes(call.params))
        self.window.pop((scope, key), None)
        self.window[scope, key] = WindowEntry(scope, key, request, sha256(answer), seq, isinstance(body, Failure))

    def _queue(self, call: Call, scope: str) -> None:
        found = self.found
        operation = call.identity if isinstance(call.identity, bytes) else (scope, call.identity)
        for time_ns, index, sent in self._calls:
            if sent.outcome != "queued":
                continue
            data = self._bytes(sent.input)
            key = effect_key(found.actor, found.incarnation, operation, index, sent.interface, sent.function, data)
            number, found.next_outbox = found.next_outbox, found.next_outbox + 1
            self.unsent[number] = Unsent(number, sent.interface, sent.function, sent.input, bytes.fromhex(key), time_ns)

    def _receive(self, sender: str, outbox: Received) -> None:
        before = self.found.received.get(sender)
        if before is None or (before.incarnation, before.number) < (outbox.incarnation, outbox.number):
            self.found.received[sender] = outbox

    def _control(self, body: control.Control) -> None:
        found = self.found
        if isinstance(body, control.Paused):
            found.phase = "paused"
        elif isinstance(body, control.Resumed):
            found.phase = "running"
        elif isinstance(body, control.Undelivered):
            self.unsent.pop(body.number, None)
        elif isinstance(body, control.Updated):
            new = body.new
            found.package, found.manifest, found.grants, found.abi = new.package, new.manifest, new.grants, new.abi
