"""Divergence: the first place where a replayed operation is not what its record says.

Invariants:

* Every host call is answered from the record, in order, or not at all: another interface, function or input, a call
  that is not recorded and a recorded call that is not made are divergences.
* An operation whose end was *imposed* (a timeout, a cancellation, a limit of the host, a capability that failed) is
  not run to that end: its recorded calls must be made in order, then its recorded event counts.
* All other ends are *reproducible*: code, reason, value and state must be those of the record. Messages are for people
  and are not compared.

Source: the chain page, "Replay".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from theater_bus.core.chain.bodies import Call, Failure, HostCall, LogRun, Result
from theater_bus.core.chain.events import sha256
from theater_bus.core.chain.layout import Payload, Stored
from theater_bus.core.chain.recording import LogLines
from theater_bus.core.values.cgrf import decode, parse
from theater_bus.core.values.model import ScalarValue, TupleValue
from theater_bus.core.values.text import format_value
from theater_bus.errors import TheaterError

__all__ = [
    "CallScript",
    "Divergence",
    "Ended",
    "Failed",
    "RecordedCall",
    "RecordedOperation",
    "Returned",
    "compare_state",
    "is_imposed",
    "same_payload",
]

SHOWN_CHARACTERS: Final = 1_000

_OF_THE_GUEST: Final = frozenset({"guest-error", "type-mismatch", "too-large"})
_TRAPS_OF_THE_GUEST: Final = frozenset(
    {
        "unreachable",
        "out-of-bounds",
        "heap-misaligned",
        "table-out-of-bounds",
        "indirect-call-to-null",
        "indirect-call-type-mismatch",
        "integer-overflow",
        "integer-divide-by-zero",
        "bad-conversion-to-integer",
        "atomic-wait-non-shared-memory",
        "null-reference",
        "array-out-of-bounds",
        "allocation-too-large",
        "cast-failure",
        "uncaught-exception",
        "invalid-handle",
        "memory-limit",
        "result-limit",
        "copy-limit",
    }
)

Kind: TypeAlias = Literal["different-call", "missing-call", "surplus-call", "different-end", "different-state"]
RecordedCall: TypeAlias = HostCall | LogRun


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a replay and its record part: the recorded event `seq`, and both sides as plain values.

    A side is None where there is nothing: `recorded` for a surplus call, `replayed` for a missing one.
    """

    seq: int
    kind: Kind
    function: str
    recorded: Mapping[str, object] | None
    replayed: Mapping[str, object] | None

    def as_plain(self) -> dict[str, object]:
        """The same as a plain value, for machines."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "function": self.function,
            "recorded": None if self.recorded is None else dict(self.recorded),
            "replayed": None if self.replayed is None else dict(self.replayed),
        }

    def __str__(self) -> str:
        return (
            f"{self.kind} at event {self.seq}, in {self.function}:\n"
            f"  recorded: {self.recorded or 'nothing'}\n  replayed: {self.replayed or 'nothing'}"
        )


@dataclass(frozen=True, slots=True)
class Returned:
    """A replayed operation gave a value, and a new state or None (as before); both canonical CGRF.

    Without a value, what callers got follows from the arguments and the host calls, which are compared themselves.
    """

    value: bytes | None
    state: bytes | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A replayed operation ended with an error; `value` is the guest's own for `guest-error`."""

    code: str
    reason: str | None = None
    value: bytes | None = None


Ended: TypeAlias = Returned | Failed


@dataclass(frozen=True, slots=True)
class RecordedOperation:
    """The events of one operation; `calls` and `end` with their sequences."""

    call: Call
    calls: Sequence[tuple[int, RecordedCall]]
    end: tuple[int, Result | Failure]

    @property
    def is_imposed(self) -> bool:
        """Whether it ended by what no replay can repeat."""
        return is_imposed(self.end[1], [call for _, call in self.calls])


def is_imposed(end: Result | Failure, calls: Sequence[RecordedCall]) -> bool:
    """Whether an operation ended by what no replay can repeat."""
    if isinstance(end, Result):
        return False
    last = calls[-1] if calls else None
    if isinstance(last, HostCall) and last.outcome in ("raised", "unknown"):
        return True
    if end.code == "guest-trap":
        return end.reason not in _TRAPS_OF_THE_GUEST
    return end.code not in _OF_THE_GUEST


def same_payload(recorded: Payload, data: bytes, is_exact: bool = True) -> bool:
    """Whether `data` is what was recorded; unless `is_exact`, equal values in another layout are the same too."""
    if isinstance(recorded, Stored):
        return recorded == Stored(sha256(data), len(data)) or (not is_exact and _is_stored(recorded, data))
    return recorded == data or (not is_exact and _canonical(recorded) == _canonical(data))


class CallScript:
    """The recorded host calls of one operation, in order, as the answers to the calls of its replay.

    With `is_exact` inputs must be the same bytes, else the same values, for a package that another compiler made. When
    `next` gives None the guest must be stopped: the record is used up (`is_over`), or there is a `divergence`.
    """

    __slots__ = ("_at", "_calls", "_end", "_function", "_is_exact", "_is_imposed", "_run", "divergence", "is_over")

    def __init__(self, operation: RecordedOperation, is_exact: bool = True) -> None:
        self._function = operation.call.function
        self._calls = operation.calls
        self._end = operation.end
        self._is_imposed = operation.is_imposed
        self._is_exact = is_exact
        self._at = 0
        self._run: LogLines | None = None
        self.divergence: Divergence | None = None
        self.is_over = self._is_used_up()

    def next(self, interface: str, function: str, data: bytes) -> int | None:
        """The place in `calls` of the event that answers this call of the guest, or None to stop it."""
        if self._at == len(self._calls):
            self._diverge(self._end[0], "surplus-call", None, _made(interface, function, data))
            return None
        seq, recorded = self._calls[self._at]
        if isinstance(recorded, LogRun):
            is_same = (recorded.interface, "log") == (interface, function) and self._logs(recorded, data)
        else:
            is_same = (recorded.interface, recorded.function) == (interface, function)
            is_same = is_same and same_payload(recorded.input, data, self._is_exact)
        if not is_same:
            self._diverge(seq, "different-call", _recorded(recorded), _made(interface, function, data))
            return None
        place = self._at
        if self._run is None:
            self._at += 1
        self.is_over = self._is_used_up()
        return None if self.is_over else place

    def finish(self, ended: Ended, state: bytes | None) -> Divergence | None:
        """Compare how the operation ended; `state` is the one before it. Gives the divergence, if there is one."""
        if self.divergence is None and self._at < len(self._calls):
            seq, recorded = self._calls[self._at]
            self._diverge(seq, "missing-call", _recorded(recorded), None)
        seq, end = self._end
        if self.divergence is None and not _is_same_end(end, ended, state, self._is_exact):
            self._diverge(seq, "different-end", _recorded_end(end), _replayed_end(ended))
        return self.divergence

    def _logs(self, recorded: LogRun, data: bytes) -> bool:
        """Take one call of a run of `log`; whether it can be the recorded one."""
        run = self._run = self._run or LogLines(0, recorded.interface)
        kept = len(run.lines)
        run.add(data, _text(data))
        if run.lines[kept:] != list(recorded.lines[kept : len(run.lines)]):
            return False
        if run.count < recorded.count:
            return True
        self._run = None
        return run.digest == recorded.digest

    def _is_used_up(self) -> bool:
        return self._is_imposed and self._at == len(self._calls)

    def _diverge(
        self, seq: int, kind: Kind, recorded: Mapping[str, object] | None, replayed: Mapping[str, object] | None
    ) -> None:
        self.divergence = Divergence(seq, kind, self._function, recorded, replayed)


def compare_state(seq: int, recorded: Payload | None, state: bytes | None) -> Divergence | None:
    """Hold the state that a checkpoint names against the replayed one."""
    if (recorded is None) == (state is None) and (recorded is None or same_payload(recorded, state or b"")):
        return None
    return Divergence(seq, "different-state", "checkpoint", {"state": _shown(recorded)}, {"state": _shown(state)})


def _is_same_end(recorded: Result | Failure, ended: Ended, state: bytes | None, is_exact: bool) -> bool:
    if isinstance(recorded, Failure):
        if isinstance(ended, Returned):
            # The guest had returned; its answer was too long for the caller's message or form, or was none.
            return recorded.code == "too-large" or (ended.value is None and recorded.code == "capability-failed")
        if (recorded.code, recorded.reason) != (ended.code, ended.reason):
            return False
        return _is_same_optional(recorded.value, ended.value, is_exact)
    if isinstance(ended, Failed):
        return False
    if ended.value is not None and not same_payload(recorded.value, ended.value, is_exact):
        return False
    after = state if ended.state is None else ended.state
    if recorded.state is None:
        return after == state
    return _is_same_optional(recorded.state, after, is_exact)


def _is_same_optional(recorded: Payload | None, data: bytes | None, is_exact: bool) -> bool:
    if recorded is None or data is None:
        return recorded is data
    return same_payload(recorded, data, is_exact)


def _is_stored(recorded: Stored, data: bytes) -> bool:
    canonical = _canonical(data)
    return recorded == Stored(sha256(canonical), len(canonical))


def _canonical(data: bytes) -> bytes:
    """The value in its canonical layout; bytes that are no value stay what they are."""
    try:
        return parse(data).standalone()
    except TheaterError:
        return data


def _text(data: bytes) -> str:
    """The text that a `log` call was given: bare, or in the tuple in which components pass it."""
    try:
        value = decode(data)
    except TheaterError:
        return ""
    if isinstance(value, TupleValue) and len(value.items) == 1:
        value = value.items[0]
    return value.value if isinstance(value, ScalarValue) and isinstance(value.value, str) else ""


# -- both sides, for people and machines -------------------------------------------------------------------------------


def _shown(payload: Payload | None) -> dict[str, object] | None:
    if payload is None:
        return None
    if isinstance(payload, Stored):
        return {"sha256": payload.digest.hex(), "size_bytes": payload.size_bytes}
    try:
        value = format_value(decode(payload))
    except TheaterError:
        value = f"no value: {payload[:SHOWN_CHARACTERS].hex()}"
    return {"sha256": sha256(payload).hex(), "size_bytes": len(payload), "value": value[:SHOWN_CHARACTERS]}


def _made(interface: str, function: str, data: bytes) -> dict[str, object]:
    return {"interface": interface, "function": function, "input": _shown(data)}


def _recorded(call: RecordedCall) -> dict[str, object]:
    if isinstance(call, LogRun):
        return {
            "interface": call.interface,
            "function": "log",
            "count": call.count,
            "digest": call.digest.hex(),
            "lines": list(call.lines),
        }
    return {"interface": call.interface, "function": call.function, "input": _shown(call.input)}


def _recorded_end(end: Result | Failure) -> dict[str, object]:
    if isinstance(end, Result):
        return {"value": _shown(end.value), "state": _shown(end.state)}
    return {"code": end.code, "reason": end.reason, "message": end.message, "value": _shown(end.value)}


def _replayed_end(ended: Ended) -> dict[str, object]:
    if isinstance(ended, Returned):
        return {"value": _shown(ended.value), "state": _shown(ended.state)}
    return {"code": ended.code, "reason": ended.reason, "value": _shown(ended.value)}
