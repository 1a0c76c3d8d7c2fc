"""Messages that no client would send: each is answered or refused by the server, quickly, and nobody else waits."""

from __future__ import annotations

import asyncio
import json
import struct
from time import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theater_bus.bus import Message
from theater_bus.core.wire.response import decode_reply
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import (
    ActorError,
    ChannelClosed,
    FunctionNotFound,
    SerializationError,
    TooLarge,
    TypeMismatch,
    UnsupportedVersion,
)
from theater_bus.host.host import Host

from .conftest import MAX_PAYLOAD, Scene, check, eventually, failure, manifest_of, packed

MIB = 1 << 20
ECHO_LIST = "test:echo/plain.list-string"
ECHO_VALUES = "test:echo/plain.list-value"


def cgrf(*nodes: bytes) -> bytes:
    """A buffer whose root is the last node."""
    return struct.pack("<4sHHII", b"CGRF", 2, 0, len(nodes), len(nodes) - 1) + b"".join(nodes)


def tuple_of(*children: int) -> bytes:
    return struct.pack(f"<III{len(children)}I", 11, 4 + 4 * len(children), len(children), *children)


TRUE = struct.pack("<II", 1, 1) + b"\1"
NESTED = b"\x82\xa1v\x01\xa6params"

BOMBS: dict[str, tuple[bytes, type[ActorError]]] = {
    "msgpack nested a million times": (NESTED + b"\x91" * MIB + b"\x01", SerializationError),
    "json nested a million times": (b"[" * MIB, SerializationError),
    "json closed again": (b"[" * 100_000 + b"]" * 100_000, SerializationError),
    "json objects nested": (b'{"a":' * 100_000, SerializationError),
    "a claim of four billion items": (NESTED + b"\xdd\xff\xff\xff\xff", SerializationError),
    "a claim of four billion keys": (NESTED + b"\xdf\xff\xff\xff\xff", SerializationError),
    "a claim of four billion bytes": (NESTED + b"\xc6\xff\xff\xff\xff", SerializationError),
    "a million maps": (packed({"v": 1, "params": [{}] * MIB}), TooLarge),
    "a million lists": (packed({"v": 1, "params": [[]] * MIB}), TooLarge),
    "a million keys": (json.dumps({str(key): 1 for key in range(90_000)}).encode(), TooLarge),
    "a million lists in json": (b"[" + b"[]," * (MIB // 3) + b"1]", TooLarge),
    "a key of a megabyte": (b'{"' + b"k" * MIB + b'":1}', TypeMismatch),
    "an unknown key of a megabyte": (packed({"v": 1, "k" * MIB: 1}), SerializationError),
    "an idempotency key of a megabyte": (packed({"v": 1, "op": "k" * MIB}), SerializationError),
    "a path of a million actors": (packed({"v": 1, "path": ["a"] * MIB}), SerializationError),
    "a number of a million digits": (b"[" + b"9" * MIB + b"]", SerializationError),
    "a float of a million digits": (b"[" + b"9" * MIB + b".5]", SerializationError),
    "a million parameters": (packed({"v": 1, "params": [1] * MIB}), TypeMismatch),
    "a list for a number": (packed({"v": 1, "params": [[1] * MIB]}), TypeMismatch),
    "a text of escapes": (b'"' + b"\\u0041" * (MIB // 6) + b'"', TypeMismatch),
    "zeros": (bytes(MIB), SerializationError),
    "cgrf of a hundred thousand tuples in one another": (
        packed({"v": 1, "cgrf": cgrf(TRUE, *[tuple_of(child) for child in range(100_000)])}),
        SerializationError,
    ),
    "cgrf that expands": (
        packed({"v": 1, "cgrf": cgrf(TRUE, *[tuple_of(child, child) for child in range(30)])}),
        SerializationError,
    ),
    "cgrf that is not canonical": (
        packed({"v": 1, "cgrf": cgrf(*[TRUE] * 100_000, tuple_of(*reversed(range(100_000))))}),
        SerializationError,
    ),
    "wide cgrf": (packed({"v": 1, "cgrf": cgrf(*[TRUE] * 60_000, tuple_of(*range(60_000)))}), TypeMismatch),
    "ten megabytes": (packed({"v": 1, "params": [b"x" * 10 * MIB]}), TooLarge),
}


async def test_a_bomb_is_refused_quickly_and_by_name(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    async with scene.bystander(host):
        for name, (body, cls) in BOMBS.items():
            error = await failure(scene.ask(scene.subject("a", "increment"), body))
            assert type(error) is cls, (name, error)
            assert error.ran == "never"
            assert len(str(error)) < 600, name
    assert await scene.call("a", "increment", 1) == 1


@pytest.mark.parametrize("function", [ECHO_LIST, ECHO_VALUES])
async def test_more_items_than_are_decoded_are_refused_before_they_are(
    scene: Scene, guest_of: Any, kind: str, function: str
) -> None:
    host = await scene.host()
    echo = guest_of("echo")
    await scene.spawn(host, "e", manifest_of(echo.manifest_text), echo.wasm, state="text")
    how = ("cgrf",) if kind == "module" else ()  # whose values are decoded in any form
    subject = Subjects(scene.namespace).ops("e", function, None)
    async with scene.bystander(host):
        for body in (packed({"v": 1, "params": [[""] * MIB]}), b"[[" + b'"",' * (MIB // 3) + b'""]]'):
            check(await failure(scene.ask(subject, body)), TooLarge, "never", "20,000", *how, "Fix: ")
    assert await scene.ask(subject, packed({"v": 1, "params": [["x", "y"]]})) == ["x", "y"]


async def test_a_request_over_the_limit_names_both_sizes(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    error = await failure(scene.ask(scene.subject("a", "increment"), BOMBS["ten megabytes"][0]))
    check(error, TooLarge, "never", str(error.details["size_bytes"]), str(error.details["limit_bytes"]))
    error = await failure(scene.ask(scene.subject("a", "increment"), bytes(MAX_PAYLOAD + 1)))
    assert (error.code, error.ran) == ("too-large", "never")
    assert scene.connection.connected


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (b"", TypeMismatch),
        (b" ", TypeMismatch),
        (b"null", TypeMismatch),
        (b"[]", TypeMismatch),
        (b"[18446744073709551616]", TypeMismatch),
        (b"[-1]", TypeMismatch),
        (b"[1e3]", TypeMismatch),
        (b"[true]", TypeMismatch),
        (b"[NaN]", SerializationError),
        (b"[1e999]", SerializationError),
        (b"\xef\xbb\xbf[1]", SerializationError),
        (b'["\\ud800"]', SerializationError),
        (b'{"by":1,"by":1}', SerializationError),
        (packed({"v": 1.0, "params": [1]}), SerializationError),
        (packed({"v": True, "params": [1]}), SerializationError),
        (packed({"v": None, "params": [1]}), SerializationError),
        (packed({"v": "1", "params": [1]}), SerializationError),
        (packed({"v": 0, "params": [1]}), UnsupportedVersion),
        (packed({"v": 2**64 - 1, "params": [1]}), UnsupportedVersion),
        (packed({"v": 1, "params": [1], "timeout_ms": -1}), SerializationError),
        (packed({"v": 1, "params": [1], "timeout_ms": 2**31}), SerializationError),
        (packed({"v": 1, "params": [1], "timeout_ms": "5"}), SerializationError),
        (packed({"v": 1, "params": [1], "sent_ms": -(2**63)}), SerializationError),
        (packed({"v": 1, "params": [1], "sent_ms": 2**64 - 1}), SerializationError),
        (packed({"v": 1, "params": [1], "reply": "all"}), SerializationError),
        (packed({"v": 1, "params": [1], "stream": 1}), SerializationError),
        (packed({"v": 1, "params": [1], "path": ["a.b"]}), SerializationError),
        (packed({"v": 1, "params": [1], "path": ["x"] * 33}), SerializationError),
        (packed({"v": 1, "params": [1], "op": "sp ace"}), SerializationError),
        (packed({"v": 1, "params": [1], "outbox": [b"short", 1]}), SerializationError),
        (packed({"v": 1, "params": [1], 5: 1}), SerializationError),
        (packed({"v": 1, "params": [1]}) + b"\0", SerializationError),
        (b"\x82\xa1v\x01\xa6params\xd6\xff\x00\x00\x00\x00", SerializationError),
    ],
    ids=range(33),
)
async def test_a_wrong_envelope_never_runs_and_says_what_is_wrong(
    scene: Scene, body: bytes, cls: type[ActorError]
) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    error = await failure(scene.ask(scene.subject("a", "increment"), body))
    check(error, cls, "never")
    assert await scene.call("a", "get") == 0


async def test_an_envelope_that_is_cut_anywhere_never_runs(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    body = packed({"v": 1, "params": [1], "timeout_ms": 9000, "op": "key", "path": ["x"], "sent_ms": 1})
    for size in range(1, len(body)):
        check(await failure(scene.ask(scene.subject("a", "increment"), body[:size])), SerializationError, "never")
    assert await scene.call("a", "get") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": "application/msgpack; charset=latin1"},
        {"Content-Type": ""},
        {"Content-Type": "application/json" * 100},
        {"Theater-Timeout-Ms": "soon"},
        {"Theater-Timeout-Ms": "99999999999999999999"},
        {"Theater-Op": "x" * 1000},
        {"Theater-Unknown": "1"},
        {"traceparent": "00-" + "f" * 5000},
        {"traceparent": "ff-00000000000000000000000000000000-0000000000000000-zz", "tracestate": "=,=,=" * 500},
    ],
    ids=range(10),
)
async def test_a_strange_header_is_answered(scene: Scene, headers: dict[str, str]) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    try:
        assert await scene.ask(scene.subject("a", "increment"), b"[1]", headers=headers) == 1
    except ActorError as error:
        check(error, SerializationError, "never")
    assert await scene.call("a", "increment", 0) in (0, 1)


@pytest.mark.parametrize("sent", [0, 1, 2**53 - 1])
async def test_a_clock_that_is_wrong_does_not_expire_a_request(scene: Scene, sent: int) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    assert await scene.call("a", "increment", 1, sent_ms=sent, timeout_ms=2000) == 1
    ahead = int(time() * 1000) + 50_000
    assert await scene.call("a", "increment", 1, sent_ms=ahead, timeout_ms=2000) == 2


TAILS = (
    "no-such",
    "INCREMENT",
    "increment.extra",
    "increment.extra.more",
    "increment.@.",
    "increment.@.a%20b",
    "increment.@.x.@.y",
    "increment.@boss.x",
    "%69ncrement",
    "%2E",
    "%zz",
    "%",
    "%00",
    "%FF%FE",
    "__pack_alloc",
    "memory",
    "theater:simple/actor.init",
    "theater:simple/runtime.log",
    "..",
    "x" * 900,
    "x" * 2000,
    "%41" * 300,
    "é",
    "🦊",
)


async def test_a_function_that_does_not_exist_is_not_found_however_it_is_spelt(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    async with scene.bystander(host):
        for tail in TAILS:
            error = await failure(scene.ask(scene.subject("a", tail), b"[1]", timeout_s=2))
            assert error.code in ("function-not-found", "channel-closed"), (tail, error)
            assert len(str(error)) < 600
    assert await scene.call("a", "get") == 0
    check(await failure(scene.call("a", "incremnt", 1)), FunctionNotFound, "never", "'incremnt'", "increment")


async def test_ten_thousand_invented_functions_are_not_remembered(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    codes: set[str] = set()
    async with scene.bystander(host):
        for begin in range(0, 10_000, 500):
            found = await asyncio.gather(*(failure(scene.call("a", f"f{n}")) for n in range(begin, begin + 500)))
            codes.update(error.code for error in found)
    assert codes == {"function-not-found"}
    assert len(host.roster._tails) <= 4096
    assert len(host.telemetry._specs) < 100
    assert await scene.call("a", "increment", 1) == 1


@pytest.mark.parametrize(
    "reply",
    ["_INBOX.*", "_INBOX.>", ">", "*", "_INBOX", "_INBOX.", "_INBOX..x", "_INBOX.a b", "$JS.API.STREAM.DELETE.x", "a"],
)
async def test_a_reply_subject_that_is_no_inbox_harms_nobody(scene: Scene, reply: str) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    async with scene.bystander(host):
        await _publish_raw(scene, scene.subject("a", "increment"), reply, b"[1]")
        assert await scene.call("a", "increment", 0) in (0, 1)
        assert (await scene.info("a"))["phase"] == "running"
    assert host.bus.connected


async def _publish_raw(scene: Scene, subject: str, reply: str, body: bytes) -> None:
    """What a client that checks nothing sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.server.port)
    try:
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        writer.write(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\nPING\r\n")
        await writer.drain()
        await asyncio.wait_for(reader.readline(), 5)
    finally:
        writer.close()


def mutations() -> st.SearchStrategy[bytes]:
    """Envelopes with some bytes changed, put in or taken out, and plain noise."""
    sources = st.sampled_from(
        [
            packed({"v": 1, "params": [1], "timeout_ms": 5000, "sent_ms": 1, "op": "k"}),
            packed({"v": 1, "params": {"by": 1}, "path": ["x", "y"], "stream": True, "reply": "cgrf"}),
            packed({"v": 1, "cgrf": cgrf(struct.pack("<IIQ", 15, 8, 1), tuple_of(0)), "x-y": [1, {"a": None}]}),
            b'{"by": 1}',
            b"[1]",
        ]
    )
    change = st.tuples(st.integers(0, 120), st.integers(0, 3), st.binary(max_size=4))

    def apply(source: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for place, cut, put in changes:
            at = place % (len(source) + 1)
            source = source[:at] + put + source[at + cut :]
        return source

    return st.one_of(st.builds(apply, sources, st.lists(change, min_size=1, max_size=4)), st.binary(max_size=200))


async def test_every_mutated_envelope_is_answered_and_the_actor_lives(scene: Scene) -> None:
    host = await scene.host()
    await scene.counter(host, "a")
    bodies: list[bytes] = []

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(mutations(), min_size=20, max_size=20))
    def collect(some: list[bytes]) -> None:
        bodies.extend(some)

    await asyncio.to_thread(collect)
    async with scene.bystander(host):
        for begin in range(0, len(bodies), 200):
            await asyncio.gather(*(_answered(scene, host, body) for body in bodies[begin : begin + 200]))
    before = await scene.call("a", "get")
    assert await scene.call("a", "increment", 1) == before + 1


async def _answered(scene: Scene, host: Host, body: bytes) -> None:
    for channel, verb in (("ops", "increment"), ("info", "status"), ("control", "resume")):
        message = await scene.connection.request_one(scene.subject("a", verb, channel), body, timeout_s=10)
        code = (message.headers or {}).get("Nats-Service-Error")
        assert code not in ("unexpected-error", "guest-trap", "capability-failed"), (body, message.data)
        assert code or decode_reply(message.data, message.headers)


async def test_a_one_way_bomb_is_dropped_and_counted(scene: Scene) -> None:
    host = await scene.host()
    actor = await scene.counter(host, "a")
    got: list[Message] = []
    scene.connection.subscribe(f"theater.{scene.namespace}.events.>", got.append)
    for body, _ in BOMBS.values():
        if len(body) < 2 * MIB:
            scene.connection.publish(scene.subject("a", "increment"), body)
    await eventually(lambda: _refused(actor) == sum(len(body) < 2 * MIB for body, _ in BOMBS.values()))
    assert await scene.call("a", "increment", 1) == 1


def _refused(actor: Any) -> int:
    return int(actor.metrics.snapshot(0, actor.mailbox)["operation_metrics"]["refused_operations"])


async def test_no_responders_is_what_an_actor_that_never_was_answers(scene: Scene) -> None:
    await scene.host()
    for channel in ("ops", "info", "control"):
        with pytest.raises(ChannelClosed):
            await scene.ask(scene.subject("nobody", "status", channel), timeout_s=5)
