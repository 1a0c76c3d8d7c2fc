"""What requests and responses of `wasi:http` are made of: methods, schemes, fields, bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_wasi.streams import MOST, InputStream, OutputStream

__all__ = ["Body", "Entry", "Fields", "OutgoingBody", "checked", "is_field", "method_of", "scheme_of", "size_of"]

FIELD_BYTES = 32

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_METHODS = frozenset(("get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"))

Entry = tuple[str, bytes]


def method_of(name: str) -> Any:
    """A method as WIT has it. Raises `CapabilityError` for what is no token."""
    if not _TOKEN.fullmatch(name):
        raise CapabilityError(f"method {name[:80]!r} is no token (RFC 9110 §5.6.2)")
    return name.lower() if name.lower() in _METHODS and name.isupper() else {"other": name}


def scheme_of(name: str) -> Any:
    """A scheme as WIT has it. Raises `CapabilityError` for what is none."""
    if not _SCHEME.fullmatch(name):
        raise CapabilityError(f"scheme {name[:80]!r} is none (RFC 3986 §3.1)")
    upper = name.upper()
    return upper if upper in ("HTTP", "HTTPS") else {"other": name}


def is_field(name: str, value: bytes) -> bool:
    """Whether a header field can have this name and this value (RFC 9110 §5)."""
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))


def checked(name: str, value: bytes) -> Entry:
    """A header field, or WASI's error."""
    if not is_field(name, value):
        raise CapabilityError("invalid-syntax")
    return name, value


def size_of(entries: Iterable[Entry]) -> int:
    """What fields count against a bound: names, values, and 32 bytes for each (RFC 9113 §6.5.2)."""
    return sum(len(name) + len(value) + FIELD_BYTES for name, value in entries)


class Fields:
    """Header or trailer fields, in order; `size` is what `size_of` them is."""

    def __init__(self, entries: list[Entry], *, mutable: bool) -> None:
        self.entries, self.mutable = entries, mutable
        self.size = size_of(entries)

    def add(self, name: str, value: bytes) -> None:
        """Append one."""
        self.entries.append((name, value))
        self.size += size_of([(name, value)])

    def delete(self, name: str) -> None:
        """Take out all of a name."""
        self.entries = [one for one in self.entries if one[0] != name]
        self.size = size_of(self.entries)


class Body:
    """The body of a request or an answer, as a stream that is taken once, and its trailers."""

    def __init__(self, source: InputStream, trailers: list[Entry] | None) -> None:
        self.source: InputStream | None = source
        self.trailers = trailers


class OutgoingBody(OutputStream):
    """What the guest writes. `bound` is how many bytes it may."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.data = bytearray()
        self.trailers: list[Entry] | None = None
        self.finished = self.streamed = False

    def room(self) -> int | None:
        """What one call takes; at the bound the stream closes."""
        return None if self.finished or len(self.data) >= self.bound else min(MOST, self.bound - len(self.data))

    def is_open(self) -> bool:
        """Until it is finished."""
        return not self.finished

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
