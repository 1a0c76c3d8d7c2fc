"""Recordings: one operation as it happens, in the chain only once it is committed.

Invariants:

* Nothing is linked before `commit`: a recording that is dropped leaves no trace, and what happens to the actor while
  an operation runs (a pause, a send given up) enters the chain before it.
* The state is recorded only when its bytes changed, and only by a result.
* An operation that would record more than its limits raises `Internal` with `reason="record-limit"` before its result
  is accepted; what was recorded so far stays for the error that follows.
* A `queued` host call of an operation that is not committed is recorded as `dropped`.
* Consecutive `log` calls of one interface, also a single one, are one event.

Source: the chain page, "Events".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from theater_bus.core.chain.bodies import Outcome, ProofWord
from theater_bus.core.chain.control import Control
from theater_bus.core.chain.events import DOMAIN, dump_body, pack, sha256
from theater_bus.core.chain.segments import STATE, Segment, Trace
from theater_bus.errors import Internal

if TYPE_CHECKING:
    from theater_bus.core.chain.writer import ChainWriter

__all__ = ["Limits", "LogLines", "Recording"]

LOG_LINES_BYTES = 4_096
MESSAGE_BYTES = 4_096
_EVENT_BYTES = 64  # what an event costs beside its payloads, counted against record_bytes
_prefixed = hashlib.sha256(DOMAIN).copy

_Raw: TypeAlias = "bytes | tuple[bytes, int]"
_Entry: TypeAlias = "tuple[int, str, object]"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one operation may record: host calls (each `log` counts), and bytes of payload."""

    host_calls: int = 10_000
    record_bytes: int = 16 * 1024 * 1024


class LogLines:
    """A run of consecutive `log` calls, folded into one event as it grows."""

    __slots__ = ("_hasher", "_room", "count", "interface", "lines", "time_ns")

    def __init__(self, time_ns: int, interface: str) -> None:
        self.time_ns = time_ns
        self.interface = interface
        self.count = 0
        self.lines: list[str] = []
        self._room = LOG_LINES_BYTES
        self._hasher = hashlib.sha256()

    def add(self, data: bytes, text: str) -> int:
        """Add one call: its input bytes, and its text. Returns the bytes that it adds to the record.

        Lines are kept while they fit in 4 KiB, each counted with a line end; the first that does not fit is cut at a
        character, and none is kept after it.
        """
        self.count += 1
        self._hasher.update(len(data).to_bytes(4, "little"))
        self._hasher.update(data)
        if self._room <= 0:
            return 0
        raw = text.encode("utf-8", "replace")
        kept = len(raw) + 1
        if kept > self._room or not text.isascii():
            text = raw[: self._room - 1].decode(errors="ignore")
            kept = min(kept, self._room)
        self._room -= kept
        self.lines.append(text)
        return kept

    @property
    def digest(self) -> bytes:
        """SHA-256 over length and input of every call."""
        return self._hasher.digest()

    def entry(self) -> _Entry:
        """The event of the run."""
        return self.time_ns, "host-call", (self.interface, "log", self.count, self.digest, self.lines)


class Recording:
    """One operation as it is recorded; in the chain only after `commit`."""

    __slots__ = (
        "_after",
        "_calls",
        "_committed",
        "_entries",
        "_function",
        "_inline_max",
        "_log",
        "_objects",
        "_outcome",
        "_queued",
        "_size",
        "_state",
        "_writer",
    )

    def __init__(
        self,
        writer: ChainWriter,
        time_ns: int,
        function: str,
        params: bytes,
        identity: str | bytes,
        caller: str,
        proof: ProofWord,
        outbox: tuple[bytes, int] | None,
    ) -> None:
        self._writer = writer
        self._function = function
        self._inline_max = writer.inline_max
        self._size = len(params)
        self._objects: list[tuple[bytes, bytes]] | None = None
        self._calls = 0
        self._queued = 0
        self._log: LogLines | None = None
        self._outcome: _Entry | None = None
        self._committed = False
        self._state: bytes | None = None
        self._after: list[_Entry] | None = None
        recorded = params if len(params) <= writer.inline_max else self._store(params)
        self._entries: list[_Entry] = [(time_ns, "call", (function, recorded, identity, caller, proof, outbox))]

    @property
    def calls(self) -> int:
        """How many host calls were recorded: the index of the next one."""
        return self._calls

    @property
    def size_bytes(self) -> int:
        """How many bytes were recorded so far, about."""
        return self._size

    def _store(self, payload: bytes) -> tuple[bytes, int]:
        digest = sha256(payload)
        if self._objects is None:
            self._objects = []
        self._objects.append((digest, payload))
        return digest, len(payload)

    def _raw(self, payload: bytes) -> _Raw:
        return payload if len(payload) <= self._inline_max else self._store(payload)

    def _counted(self) -> None:
        self._calls += 1
        limits = self._writer.limits
        if self._calls > limits.host_calls:
            raise _record_limit("host calls", self._calls, limits.host_calls)
        if self._size > limits.record_bytes:
            raise _record_limit("recorded bytes", self._size, limits.record_bytes)

    def host_call(
        self, time_ns: int, interface: str, function: str, data: bytes, outcome: Outcome, output: bytes | None = None
    ) -> None:
        """Record a host call that ended; `data` is its input.

        Raises `Internal` (`record-limit`) when the limit is passed. The call is recorded all the same: it happened.
        """
        if self._log is not None:
            self._entries.append(self._log.entry())
            self._log = None
        self._size += len(data) + (0 if output is None else len(output)) + _EVENT_BYTES
        if outcome == "queued":
            self._queued += 1
        result = None if output is None else self._raw(output)
        self._entries.append((time_ns, "host-call", (interface, function, self._raw(data), outcome, result)))
        self._counted()

    def log(self, time_ns: int, interface: str, data: bytes, text: str) -> None:
        """Record a call of `interface`'s `log`; consecutive ones become one event. `data` is the input.

        Raises `Internal` (`record-limit`) as `host_call` does.
        """
        run = self._log
        if run is None or run.interface != interface:
            if run is not None:
                self._entries.append(run.entry())
            run = self._log = LogLines(time_ns, interface)
            self._size += _EVENT_BYTES
        self._size += run.add(data, text)
        self._counted()

    def result(self, time_ns: int, value: bytes, state: bytes | None) -> None:
        """The guest returned `value`; `state` is its new state (None: as before).

        Raises `Internal` (`record-limit`) when the record would pass its limit; then call `error`.
        """
        writer = self._writer
        if state is not None and state == writer.state:
            state = None
        size = self._size + len(value) + (0 if state is None else len(state))
        if size > writer.limits.record_bytes:
            raise _record_limit("recorded bytes", size, writer.limits.record_bytes)
        self._size = size
        self._state = state
        self._committed = True
        if len(value) <= self._inline_max and (state is None or len(state) <= self._inline_max):
            self._outcome = (time_ns, "result", (self._function, value, state))
            return
        recorded = None if state is None else self._raw(state)
        self._outcome = (time_ns, "result", (self._function, self._raw(value), recorded))

    def error(self, time_ns: int, code: str, reason: str | None, message: str, value: bytes | None = None) -> None:
        """The operation ended with an error: state as before. `value` is the payload of a `guest-error`.

        It may follow a `result` that was not committed (too large to send, cancelled after all). The message is kept
        within 4 KiB; what is no text becomes one, because an error must always be recordable.
        """
        self._state = None
        self._committed = code == "guest-error"
        recorded = None if value is None else self._raw(value)
        cause = None if reason is None else _text(reason)
        self._outcome = (time_ns, "error", (self._function, code, cause, _text(message), recorded))

    def control(self, time_ns: int, body: Control) -> None:
        """Record what followed from the operation's end (a fresh instance, a restart) in the same segment."""
        if self._after is None:
            self._after = []
        self._after.append((time_ns, body.TYPE, dump_body(body)))

    def commit(self, trace: Trace | None = None) -> Segment:
        """Link the operation into the chain: its segment, ready to be appended. Once, after `result` or `error`."""
        entries = self._entries
        if self._log is not None:
            entries.append(self._log.entry())
        if self._outcome is None:
            raise RuntimeError("an operation is committed after its result or error, and once")
        entries.append(self._outcome)
        self._outcome = None
        if self._after is not None:
            entries += self._after
        if self._queued and not self._committed:
            entries = [_dropped(entry) for entry in entries]
        writer = self._writer
        first = seq = writer.seq
        head = writer.head
        size = 0
        events = []
        for time_ns, kind, body in entries:
            data = pack((seq, head, time_ns, kind, body))
            hasher = _prefixed()
            hasher.update(data)
            head = hasher.digest()
            events.append(data)
            size += len(data)
            seq += 1
        writer.seq = seq
        writer.head = head
        marks = 0
        if self._committed:
            writer.next_outbox += self._queued
            if self._state is not None:
                writer.state = self._state
                marks = STATE
        return Segment(first, head, tuple(events), size, trace, tuple(self._objects or ()), marks)


def _dropped(entry: _Entry) -> _Entry:
    """A send of an operation that was not committed: it never leaves."""
    time_ns, kind, body = entry
    if kind == "host-call" and isinstance(body, tuple) and body[3] == "queued":
        return time_ns, kind, (*body[:3], "dropped", body[4])
    return entry


def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    if len(text) <= MESSAGE_BYTES and text.isascii():
        return text
    return text.encode("utf-8", "replace")[:MESSAGE_BYTES].decode(errors="ignore")


def _record_limit(what: str, seen: int, limit: int) -> Internal:
    return Internal(
        f"the operation passed its limit of {limit} {what}. Fix: record less, or raise [limits] in the manifest",
        reason="record-limit",
        bound=what,
        seen=seen,
        limit=limit,
    )
