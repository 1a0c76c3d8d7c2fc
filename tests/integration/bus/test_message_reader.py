"""The reader that hands messages over: it finds in any bytes what nats-py's parser finds, however they are cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError

from theater_bus.bus.framing import frame, header_block
from theater_bus.bus.message import Message
from theater_bus.bus.reading import MessageReader
from theater_bus.bus.subscription import LightSubscription

Seen = tuple[str, str, bytes, dict[str, str] | None]

LIGHT, QUEUED, UNKNOWN = 1, 2, 3


class Owner:
    """A connection that expects no failure."""

    def released(self, subscription: object) -> None:
        raise AssertionError

    def handler_failed(self, subscription: object, error: BaseException) -> None:
        raise error

    def keep(self, task: object) -> None:
        raise AssertionError


class ForNatsPy:
    """What nats-py's own code needs to hand a message over."""

    _max_msgs = 0
    _jsi = _future = None
    _pending_bytes_limit = _pending_size = _received = 0

    def __init__(self, seen: list[Seen]) -> None:
        self._pending_queue = self
        self._seen = seen

    def put_nowait(self, message: Any) -> None:
        self._seen.append((message.subject, message.reply, message.data, message.headers))


def reader() -> tuple[MessageReader, list[Seen], list[Seen]]:
    """A reader, and what it hands to a light subscription and to one of nats-py's."""
    client = Client()
    light: list[Seen] = []
    queued: list[Seen] = []

    def take(message: Message) -> None:
        headers = None if message.headers is None else dict(message.headers)
        light.append((message.subject, message.reply, message.data, headers))

    subscription = LightSubscription(Owner(), "a.>", take, "")
    subscription._pending_queue = subscription
    client._subs = {LIGHT: subscription, QUEUED: ForNatsPy(queued)}  # type: ignore[dict-item]
    client._ps = MessageReader(client)
    return client._ps, light, queued


def feed(parser: MessageReader, data: bytes) -> None:
    """Parse a piece; nothing in these tests waits."""
    with pytest.raises(StopIteration):
        parser.parse(data).send(None)


def line(sid: int, subject: str, reply: str, headers: dict[str, str] | None, data: bytes) -> bytes:
    """A message as the server sends it."""
    block = b"" if headers is None else header_block(headers)
    kind, _, rest = frame(f"{subject} {sid}", reply, block, data).partition(b" ")
    return kind.replace(b"PUB", b"MSG") + b" " + rest.replace(b"  ", b" ", 1)


subjects = st.sampled_from(["a", "a.b", "theater.default.ops.x.y", "a.ä", "a.\u00a01", "a.\u2003b"])
replies = st.sampled_from(["", "_INBOX.x.1", "_INBOX.\u00a0"])
headers = st.none() | st.dictionaries(
    st.sampled_from(["traceparent", "X", "a-b"]), st.sampled_from(["v", "00-1-2", "w: x", "ä", ""]), min_size=1
)
messages = st.tuples(
    st.sampled_from([LIGHT, LIGHT, QUEUED, UNKNOWN]), subjects, replies, headers, st.binary(max_size=40)
)
others = st.sampled_from([b"+OK\r\n", b"PONG\r\n", b"+OK \r\n"])


@settings(max_examples=100, deadline=None)
@given(st.lists(messages | others, max_size=8), st.lists(st.integers(1, 60), max_size=12))
def test_every_cut_of_a_stream_delivers_the_same_messages(
    parts: list[tuple[int, str, str, dict[str, str] | None, bytes] | bytes], cuts: list[int]
) -> None:
    parser, light, queued = reader()
    stream = b"".join(part if isinstance(part, bytes) else line(*part) for part in parts)
    for cut in cuts:
        feed(parser, stream[:cut])
        stream = stream[cut:]
    feed(parser, stream)
    sent = [part for part in parts if not isinstance(part, bytes)]
    for sid, seen in ((LIGHT, light), (QUEUED, queued)):
        assert seen == [(part[1], part[2], part[4], part[3]) for part in sent if part[0] == sid]
    assert parser.nc.stats["in_msgs"] == len(sent)
    assert parser.nc.stats["in_bytes"] == sum(len(part[4]) for part in sent)
    assert not parser.buf


@pytest.mark.parametrize("size", [100, 70_000])
@pytest.mark.parametrize("piece", [1_000, 16_384])
def test_a_message_in_many_pieces_arrives_whole_and_its_neighbours_too(size: int, piece: int) -> None:
    parser, light, _ = reader()
    bodies = [b"1", b"x" * size, b"2"] * 3
    stream = b"".join(line(LIGHT, "a.b", "", None, body) for body in bodies)
    for at in range(0, len(stream), piece):
        feed(parser, stream[at : at + piece])
    assert [seen[2] for seen in light] == bodies


def test_a_subject_that_is_no_utf8_arrives_with_replacements_and_the_reader_goes_on() -> None:
    parser, light, _ = reader()
    feed(parser, b"MSG a.\xff\xfe 1 1\r\nx\r\nMSG a.b 1 1\r\ny\r\n")
    assert [seen[0] for seen in light] == ["a.\ufffd\ufffd", "a.b"]


def test_a_status_line_is_read_by_nats_py() -> None:
    parser, light, _ = reader()
    feed(parser, b"HMSG a.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")
    assert light == [("a.b", "", b"", {"Status": "503"})]


@pytest.mark.parametrize(
    "garbage",
    [
        b"MSG a.b 1 -5\r\nhello\r\n",
        b"MSG a.b 1 x\r\n",
        b"MSG a.b 1\r\n",
        b"MSG a b c d e f 1 5\r\n",
        b"HMSG a.b 1 x 5\r\nhello\r\n",
        b"NONSENSE\r\n",
    ],
)
def test_what_is_no_protocol_is_refused_as_nats_py_refuses_it(garbage: bytes) -> None:
    parser, light, _ = reader()
    with pytest.raises(ProtocolError):
        parser.parse(line(LIGHT, "a.b", "", None, b"first") + garbage).send(None)
    assert [seen[2] for seen in light] == [b"first"]


def test_a_reset_in_the_middle_drops_the_rest_of_the_old_connection() -> None:
    parser, light, _ = reader()

    async def pong() -> None:
        parser.reset()

    parser.nc._process_pong = pong  # type: ignore[method-assign]
    feed(parser, b"PONG\r\n" + line(LIGHT, "a.b", "", None, b"old"))
    feed(parser, line(LIGHT, "a.b", "", None, b"new"))
    assert [seen[2] for seen in light] == [b"new"]
