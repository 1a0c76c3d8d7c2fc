"""Events: their bytes, their hashes, and the way back.

Invariants:

* An event is `[seq, parent, time_ns, type, body]` in canonical msgpack: definite lengths, shortest integers.
* Its hash is SHA-256 over `DOMAIN` and exactly the bytes that are stored; nothing is encoded again to be verified.
* `parent` is the hash of the event before it, `ZERO` at the first genesis of a chain. `seq` starts at 0 and goes on
  across incarnations.
* `decode_event` accepts exactly what `encode_event` produces; anything else is `ChainTampered`.

Source: the chain page, "Events".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from theater_bus.core.chain import control
from theater_bus.core.chain.bodies import Call, Checkpoint, Exit, Failure, Genesis, HostCall, LogRun, Result
from theater_bus.core.chain.layout import UINT_MAX, Misshapen, Record, dump_record, load_record
from theater_bus.errors import ChainTampered

__all__ = [
    "DOMAIN",
    "INLINE_MAX",
    "TYPES",
    "ZERO",
    "Body",
    "Event",
    "decode_event",
    "dump_body",
    "encode_event",
    "event_hash",
    "load_body",
    "sha256",
    "unpack",
]

DOMAIN = b"theater-event-1\0"
ZERO = bytes(32)
INLINE_MAX = 65_536

Body = Genesis | Call | HostCall | LogRun | Result | Failure | control.Control | Checkpoint | Exit
TYPES = ("genesis", "call", "host-call", "result", "error", "control", "checkpoint", "exit")
_PLAIN: dict[str, type[Record]] = {cls.TYPE: cls for cls in (Genesis, Call, Result, Failure, Checkpoint, Exit)}

# One packer for the process: it never calls back into Python, so a pack is one step under the GIL (and locked without
# one); a packer per actor would hold its buffer 10,000 times.
pack: Callable[[object], bytes] = msgpack.Packer(autoreset=True).pack  # type: ignore[attr-defined, no-untyped-call]
_prefixed = hashlib.sha256(DOMAIN).copy


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def event_hash(event: bytes) -> bytes:
    """The hash of an event's stored bytes, 32 bytes."""
    state = _prefixed()
    state.update(event)
    return state.digest()


@dataclass(frozen=True, slots=True)
class Event:
    """One event, decoded. `time_ns` is Unix time by the host's clock; `hash` is that of the stored bytes."""

    seq: int
    parent: bytes
    time_ns: int
    body: Body
    hash: bytes

    @property
    def type(self) -> str:
        """The word of the event table: `genesis`, `call`, …"""
        return self.body.TYPE


def dump_body(body: Body) -> list[object]:
    """The array of a body."""
    if isinstance(body, control.Control):
        return [body.KIND, *dump_record(body)]
    return dump_record(body)


def load_body(type_: str, values: Sequence[object]) -> Body:
    """The body that an array stands for. Raises `Misshapen`."""
    cls: type[Any] | None = _PLAIN.get(type_)
    if cls is None:
        if type_ == "host-call":
            cls = LogRun if len(values) > 2 and type(values[2]) is int else HostCall
        elif type_ == "control":
            kind = values[0] if values else None
            cls = control.KINDS.get(kind) if isinstance(kind, str) else None
            if cls is None:
                raise Misshapen(f"unknown control {kind!r:.60}")
            values = values[1:]
        else:
            raise Misshapen(f"unknown event type {type_!r:.60}")
    body: Body = load_record(cls, values)
    return body


def encode_event(seq: int, parent: bytes, time_ns: int, body: Body) -> bytes:
    """The bytes of an event, as they are hashed and stored."""
    return pack((seq, parent, time_ns, body.TYPE, dump_body(body)))


def unpack(data: bytes) -> Any:
    """The plain value in msgpack `data`. Raises `Misshapen`, also for bytes behind it."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True)  # type: ignore[attr-defined, no-untyped-call]
    except ValueError as wrong:
        raise Misshapen(f"not msgpack: {wrong}") from None


def decode_event(data: bytes) -> Event:
    """The event in `data`. Raises `ChainTampered` unless the bytes are exactly what `encode_event` makes."""
    seq: int | None = None
    try:
        value = unpack(data)
        if type(value) is not list or len(value) != 5:
            raise Misshapen("not an array of five")
        number, parent, time_ns, type_, values = value
        if type(number) is not int or not 0 <= number <= UINT_MAX:
            raise Misshapen("seq is not an unsigned integer")
        seq = number
        if type(parent) is not bytes or len(parent) != 32:
            raise Misshapen("parent is not a bin of 32")
        if type(time_ns) is not int or not 0 <= time_ns <= UINT_MAX:
            raise Misshapen("time_ns is not an unsigned integer")
        if type(type_) is not str or type(values) is not list:
            raise Misshapen("type is not a str, or the body not an array")
        body = load_body(type_, values)
        if pack(value) != data:
            raise Misshapen("not in canonical form")
    except Misshapen as wrong:
        raise ChainTampered(str(wrong), seq=seq) from None
    return Event(seq, parent, time_ns, body, event_hash(data))
