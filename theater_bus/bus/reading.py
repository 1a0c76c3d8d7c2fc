"""The incoming half of the protocol, for messages: from a read buffer to the handler without nats-py in between.

nats-py matches a pattern, fills a dictionary and steps two coroutines for every message, which costs as much as a guest
call. Here the messages of light subscriptions are cut out of the buffer and handed over directly; every other line of
the protocol, and every message that does not fit, goes to nats-py's own parser, so that there is one place that
understands them. A subject that is no UTF-8, which ends nats-py's reader, arrives with replacement characters.

Relies on `Parser` (`buf`, `state`, `reset`) and `Client` (`_ps`, `_subs`, `stats`) of the pinned nats-py 2.16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from theater_bus.bus.subscription import LightSubscription

__all__ = ["Delivered", "MessageReader", "headers_of"]

_WHOLE_BYTES = 64 * 1024
"""What is waited for in one piece. Longer messages are gathered by nats-py, in place."""

_HEAD = b"NATS/1.0\r\n"
_TRACED = _HEAD + b"traceparent:"


class Delivered:
    """One message as it arrived: a `Message`."""

    __slots__ = ("data", "headers", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, headers: Mapping[str, str] | None) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.headers = headers


class MessageReader(Parser):
    """Takes the place of nats-py's parser in one client."""

    nc: Client

    async def parse(self, data: bytes = b"") -> None:
        """Hand over what is complete in the buffer and in `data`, and keep the rest. HOT."""
        if self.state != AWAITING_CONTROL_LINE:
            await super().parse(data)
            return
        buffer = self.buf
        if buffer:
            data = bytes(buffer) + data
            buffer.clear()
        start, size = 0, len(data)
        while start < size:
            start, wanted = self._messages(data, start)
            if start == size:
                return
            if wanted:
                buffer += data[start:]
                if wanted > _WHOLE_BYTES:
                    await super().parse()
                return
            # Something else than a message to one of ours: nats-py's, one line or message at a time.
            end = _end_of_other(data, start)
            buffer += data[start:end]
            await super().parse()
            if self.buf is not buffer:
                return  # reset: the rest belongs to a connection that is gone
            if buffer:
                buffer += data[end:]
                return
            start = end

    def _messages(self, data: bytes, start: int) -> tuple[int, int]:
        """Hand over messages from `start` on. Returns where it stopped, and why: the bytes that an incomplete message
        needs in all, or 0 at the end and before anything else.
        """
        subs, stats = self.nc._subs, self.nc.stats
        size = len(data)
        count = total = wanted = 0
        while start < size:
            kind = data[start : start + 4]
            if kind != b"MSG " and kind != b"HMSG":
                break
            end = data.find(b"\r\n", start)
            if end < 0:
                wanted = 1
                break
            # Only at spaces: `split()` would also cut a subject at the blanks of Unicode, and take a piece for the sid.
            words = data[start:end].decode("utf-8", "replace").split(" ")
            length = len(words)
            if length < 4:
                break
            body = end + 2
            try:
                stop = body + int(words[-1])
                sub: Any = subs.get(int(words[2]))
            except ValueError:
                break
            if stop < body:
                break
            if stop + 2 > size:
                wanted = stop + 2 - start
                break
            if type(sub) is not LightSubscription:
                break
            if kind == b"HMSG":
                message = _with_headers(words, data, body, stop)
                if message is None:
                    break
            elif length == 5:
                message = Delivered(words[1], words[3], data[body:stop], None)
            elif length == 4:
                message = Delivered(words[1], "", data[body:stop], None)
            else:
                break
            count += 1
            total += len(message.data)
            start = stop + 2
            sub.deliver(message)
        stats["in_msgs"] += count
        stats["in_bytes"] += total
        return start, wanted


def headers_of(block: bytes) -> dict[str, str] | None:
    """The headers in a block that ends in an empty line, as nats-py reads them; None when there are none."""
    if block.startswith(_TRACED) and block.find(b"\r\n", len(_TRACED)) == len(block) - 4:
        # Most messages with headers have this one alone.
        return {"traceparent": block[len(_TRACED) : -4].decode("utf-8", "replace").strip()}
    found: dict[str, str] = {}
    for line in block[len(_HEAD) : -4].decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.strip()
        if colon and name.isascii() and len(name.split()) < 2:
            found[name] = value.strip()
    return found or None


def _with_headers(words: list[str], data: bytes, body: int, stop: int) -> Delivered | None:
    """A message with headers, or None for what nats-py is to read: a status line, or something malformed."""
    length = len(words)
    if not (length == 5 or length == 6) or not words[-2].isdecimal():
        return None
    end = body + int(words[-2])
    block = data[body:end]
    if end > stop or not block.startswith(_HEAD) or not block.endswith(b"\r\n\r\n"):
        return None
    return Delivered(words[1], words[3] if length == 6 else "", data[end:stop], headers_of(block))


def _end_of_other(data: bytes, start: int) -> int:
    """Where the line or message that begins at `start` ends."""
    end = data.find(b"\r\n", start)
    if end < 0:
        return len(data)
    end += 2
    if data.startswith((b"MSG ", b"HMSG"), start):
        size = data[start : end - 2].rpartition(b" ")[2]
        if size.isdigit():
            end += int(size) + 2
    return end
