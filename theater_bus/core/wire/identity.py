"""Names of namespaces, actors and hosts, and ids that nobody chose.

Invariants: a name is `[A-Za-z0-9_-]{1,64}` and so can stand as one token of a subject; generated ids sort by the time
of their birth as text and as bytes. Time and randomness are arguments.
Source: wire protocol, "Subjects"; RFC 9562 §5.7 (UUIDv7); Crockford base32.
"""

from __future__ import annotations

import re

from theater_bus.errors import SerializationError

__all__ = ["RANDOM_BYTES", "check_name", "generate_id", "incarnation", "is_name"]

RANDOM_BYTES = 10
"""How many random bytes an id takes."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHOWN = 80


def is_name(text: str) -> bool:
    """Whether `text` can name a namespace, an actor, a host, a pool or a caller."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, what: str = "id") -> str:
    """Return `text` when it is a name, else raise `SerializationError` that says what is wrong with the `what`."""
    if is_name(text):
        return text
    raise SerializationError(
        f"{what} {text[:_SHOWN]!r} is not a name. Fix: use 1 to 64 of the characters A-Z a-z 0-9 _ -",
        field=what,
    )


def incarnation(now_ms: int, random_bytes: bytes) -> bytes:
    """A UUIDv7 as 16 bytes: `now_ms` is unix time in milliseconds, `random_bytes` are `RANDOM_BYTES` random bytes."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    noise = int.from_bytes(random_bytes, "big")
    high = (now_ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | (noise >> 62 & 0x0FFF)
    low = 0b10 << 62 | (noise & 0x3FFF_FFFF_FFFF_FFFF)
    return (high << 64 | low).to_bytes(16, "big")


def generate_id(now_ms: int, random_bytes: bytes) -> str:
    """An actor id that nobody chose: a UUIDv7 as 26 upper-case characters of Crockford base32."""
    number = int.from_bytes(incarnation(now_ms, random_bytes), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
