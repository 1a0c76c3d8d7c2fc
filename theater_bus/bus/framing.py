"""The outgoing half of the protocol, for messages: the bytes of one publish.

nats-py makes them too, through three coroutines a message. What is made here goes into the same buffer of nats-py's
client, so that order, flushing and waiting for a reconnect stay its business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

__all__ = ["frame", "header_block"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LINE_ENDS = str.maketrans("\r\n", "  ")


def frame(subject: str, reply: str, block: bytes, data: bytes) -> bytes:
    """One message as it travels; `block` is that of its headers, or empty. Subjects must have been checked. HOT."""
    if not block:
        return b"".join((f"PUB {subject} {reply} {len(data)}\r\n".encode(), data, b"\r\n"))
    size = len(block)
    return b"".join((f"HPUB {subject} {reply} {size} {size + len(data)}\r\n".encode(), block, data, b"\r\n"))


def header_block(headers: Mapping[str, str]) -> bytes:
    """The headers as they travel: nameless ones dropped, line ends in values made spaces, as nats-py does.

    Raises ValueError with a name that is no token (RFC 9110 §5.6.2).
    """
    lines = "NATS/1.0\r\n"
    for name, value in headers.items():
        if key := _checked(name):
            value = value.strip()
            if not value.isprintable():  # translating takes as long as all the rest
                value = value.translate(_LINE_ENDS)
            lines += f"{key}: {value}\r\n"
    return f"{lines}\r\n".encode()


@lru_cache(maxsize=256)
def _checked(name: str) -> str:
    key = name.strip()
    if key and not _TOKEN.fullmatch(key):
        raise ValueError(key)
    return key
