"""Parts before the reply: who hears them, in which order, in which form, and what a silent host means."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgpack
import pytest

from theater_bus import connect_sync
from theater_bus.capability import Capability, CapabilityError
from theater_bus.client import CallStream
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import Dynamic
from theater_bus.core.wire.response import decode_reply, encode_part, encode_value
from theater_bus.errors import ActorError, ActorNotFound, Cancelled, FunctionNotFound, HandlerError, OperationTimeout
from theater_bus.errors import SerializationError as Unreadable


class Talker(Capability):
    """Sends parts as it is told; `gate` holds it between two of them."""

    name = "talker"
    pact = """
@package: string = "test:talker"

interface talker {
    exports {
        count: func(parts: u32) -> u32
        say: func(part: value) -> result<bool, string>
        say-and-fail: func(part: string) -> bool
        hold: func(before: string, after: string) -> u32
        large: func(bytes: u32) -> result<bool, string>
    }
}
"""
    started: ClassVar[asyncio.Event]
    gate: ClassVar[asyncio.Event]

    async def count(self, parts: int) -> int:
        taken = 0
        for number in range(parts):
            await asyncio.sleep(0)
            taken += self.context.emit_part(number)
        return taken

    async def say(self, part: Any) -> bool:
        return self.context.emit_part(part)

    async def say_and_fail(self, part: str) -> bool:
        self.context.emit_part(part)
        raise RuntimeError("as I was told")

    async def hold(self, before: str, after: str) -> int:
        self.context.emit_part(before)
        self.started.set()
        await self.gate.wait()
        self.context.emit_part(after)
        return 2

    async def large(self, bytes: int) -> bool:
        try:
            return self.context.emit_part("x" * bytes)
        except ActorError as error:
            raise CapabilityError(error.code) from None


@pytest.fixture
def talker() -> type[Talker]:
    """The capability with events of this test's own."""
    return type("Talker", (Talker,), {"started": asyncio.Event(), "gate": asyncio.Event()})


async def heard(stream: CallStream) -> tuple[list[Any], Any]:
    """All parts, and the result."""
    async with stream:
        return [part async for part in stream], await stream.result()


async def test_parts_come_in_order_and_then_the_result(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    assert await heard(actor.stream_function("count", [100])) == (list(range(100)), 100)
    assert await heard(actor.stream_function("count", [0])) == ([], 0)


async def test_a_caller_that_does_not_ask_for_parts_gets_none(start_host: Any, talker: Any, kind: str) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    assert await actor.call_function("count", [100]) == 0
    assert await actor.call_function("say", [any_value("x", kind)]) == [{"ok": False}]


def any_value(plain: Any, kind: str) -> Any:
    """What a guest of that kind passes for it where the pact says `value`: of a component it is JSON text."""
    codec = value_codec(Dynamic())
    return plain if kind == "module" else json.dumps(codec.decode_json(codec.encode(plain)))


@pytest.mark.parametrize("part", [None, True, -1, 1.5, "ü", b"\0\xff", [1, "a"], {"text": "b", "n": [None]}])
async def test_any_plain_value_is_a_part(start_host: Any, talker: Any, part: Any, kind: str) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    parts, result = await heard(actor.stream_function("say", [any_value(part, kind)]))
    assert (parts, result) == ([part], [{"ok": True}])


async def test_an_error_after_parts_ends_the_iteration_and_the_wait_for_the_result(
    start_host: Any, talker: Any
) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    async with actor.stream_function("say-and-fail", ["a"]) as stream:
        assert await anext(stream) == "a"
        with pytest.raises(HandlerError):
            await anext(stream)
        with pytest.raises(HandlerError):
            await anext(stream)
        with pytest.raises(HandlerError):
            await stream.result()
    for wrong, error in ((actor.stream_function("unknown"), FunctionNotFound),):
        with pytest.raises(error):
            await heard(wrong)
    with pytest.raises(ActorNotFound):
        await heard(host.theater.actor("nobody").stream_function("count", [1]))


async def test_a_part_that_no_message_holds_is_refused_and_the_next_one_has_its_number(
    start_host: Any, talker: Any
) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    assert await heard(actor.stream_function("large", [2_000_000])) == ([], [{"err": "too-large"}])
    parts, result = await heard(actor.stream_function("large", [500_000]))
    assert (len(parts[0]), result) == (500_000, [{"ok": True}])


async def test_leaving_early_ends_nothing_but_the_listening(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    async with actor.stream_function("hold", ["a", "b"]) as stream:
        assert await anext(stream) == "a"
    talker.gate.set()
    assert await actor.call_function("count", [1]) == 0
    calls = [event.body for event in await actor.get_chain().all() if event.type == "result"]
    assert [call.function for call in calls] == ["hold", "count"]
    with pytest.raises(RuntimeError, match="async with"):
        await anext(actor.stream_function("count", [1]))


async def test_a_cancelled_operation_ends_its_stream(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    async with actor.stream_function("hold", ["a", "b"], key="k") as stream:
        assert await anext(stream) == "a"
        assert await actor.cancel("k") == "running"
        with pytest.raises(Cancelled):
            await anext(stream)


async def test_a_repeat_under_the_same_key_hears_the_rest(start_host: Any, talker: Any, eventually: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    async with actor.stream_function("hold", ["a", "b"], key="k") as first:
        assert await anext(first) == "a"
        async with actor.stream_function("hold", ["a", "b"], key="k") as second:
            running = host.host.actors[actor.id]
            await eventually(lambda: len(running.current.progress._listeners) == 2)
            talker.gate.set()
            assert await anext(second) == "b"
            assert await anext(first) == "b"
            assert await first.result() == await second.result() == 2
    assert await heard(actor.stream_function("hold", ["a", "b"], key="k")) == ([], 2)


@asynccontextmanager
async def asked(host: Any, actor: Any, function: str, body: bytes, headers: Any = None) -> AsyncIterator[Any]:
    """Everything that a raw request gets, message by message."""
    messages: asyncio.Queue[Any] = asyncio.Queue()
    subject = host.host.subjects.ops(actor.id, function)
    token = host.host.bus.services.request(
        subject, body, timeout_s=20.0, on_reply=messages.put_nowait, headers=headers, stream=True
    )
    try:
        yield messages
    finally:
        token.close()


async def test_heartbeats_come_while_an_operation_waits_and_while_it_runs(
    start_host: Any, talker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus.host.progress.HEARTBEAT_S", 0.02)
    host = await start_host(talker)
    actor = await host.spawn(talker)
    body = msgpack.packb({"v": 1, "params": ["a", "b"], "stream": True})
    quick = msgpack.packb({"v": 1, "params": [1], "stream": True})
    async with asked(host, actor, "hold", body) as running, asked(host, actor, "count", quick) as waiting:
        got: list[dict[str, Any]] = []
        while len(got) < 4 or not any("value" in one for one in got):
            got.append(msgpack.unpackb((await running.get()).data))
        assert [one["part"] for one in got] == list(range(len(got)))
        assert [one["value"] for one in got if "value" in one] == ["a"]
        beats = [msgpack.unpackb((await waiting.get()).data) for _ in range(3)]
        assert beats == [{"v": 1, "part": n} for n in range(3)]
        talker.gate.set()
        replies = []
        for messages in (running, waiting):
            parts: list[dict[str, Any]] = []
            while "part" in (one := msgpack.unpackb((await messages.get()).data)):
                parts.append(one)
            replies.append((parts, one))
    (rest, reply), (counted, result) = replies
    assert [one["part"] for one in rest] == list(range(len(got), len(got) + len(rest)))
    assert rest[-1]["value"] == "b"
    assert reply == {"v": 1, "value": 2}
    assert (counted[-1]["value"], result) == (0, {"v": 1, "value": 1})


async def test_a_request_that_is_refused_gets_its_refusal_and_no_heartbeat(
    start_host: Any, talker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus.host.progress.HEARTBEAT_S", 0.02)
    host = await start_host(talker)
    actor = await host.spawn(talker)
    assert await actor.call_function("count", [1], key="used") == 0
    held = msgpack.packb({"v": 1, "params": ["a", "b"], "stream": True})
    for wrong, code in (
        ({"params": [2], "op": "used"}, "key-reused"),
        ({"params": ["x"]}, "type-mismatch"),
        ({"params": [1], "outbox": [bytes(16), 1], "reply": "none"}, "permission-denied"),
    ):
        body = msgpack.packb({"v": 1, "stream": True, **wrong})
        async with asked(host, actor, "count", body) as messages:
            assert (await messages.get()).headers["Nats-Service-Error"] == code
            async with asked(host, actor, "hold", held) as running:
                for _ in range(4):  # as many heartbeats of another one: the refused one would have had its own by then
                    await running.get()
                talker.gate.set()
            assert messages.empty()
            talker.gate.clear()


async def test_parts_have_the_form_of_the_request(start_host: Any, talker: Any, kind: str) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    said = {"$bytes": "AP8="} if kind == "module" else any_value(b"\0\xff", kind)
    body = json.dumps({"v": 1, "params": [said], "stream": True}).encode()
    form = {"Content-Type": "application/vnd.theater+json"}
    async with asked(host, actor, "say", body, form) as messages:
        part, reply = await messages.get(), await messages.get()
    assert part.headers["Content-Type"] == "application/vnd.theater+json"
    assert json.loads(part.data)["part"] == 0
    assert json.loads(reply.data) == {"v": 1, "value": [{"ok": True}]}


async def test_queries_and_verbs_answer_once(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    body = msgpack.packb({"v": 1, "stream": True})
    message = await host.host.bus.services.request_one(host.host.subjects.info(actor.id, "status"), body, timeout_s=5.0)
    with pytest.raises(Unreadable, match="'stream' is for operations"):
        decode_reply(message.data, message.headers)


class Stage:
    """A receiver that the test plays itself: `requests` are what arrived, with their reply subjects."""

    def __init__(self, host: Any, actor: str) -> None:
        self.arrived: asyncio.Queue[Any] = asyncio.Queue()
        self.bus = host.host.bus.services
        self.subscription = self.bus.subscribe(host.host.subjects.ops_lane(actor), self.arrived.put_nowait)

    def part(self, request: Any, number: int, *value: Any) -> None:
        self.bus.publish(request.reply, encode_part(number, *value)[0])

    def reply(self, request: Any, value: Any) -> None:
        self.bus.publish(request.reply, encode_value(value)[0])


@pytest.fixture
def quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again after 50 ms, and take silence of 200 ms after a part for the end of the receiver."""
    monkeypatch.setattr("theater_bus.bus.exchange.attempt_ms", lambda _left_ms: 50)
    monkeypatch.setattr("theater_bus.bus.exchange.SILENCE_S", 0.2)


@pytest.mark.usefixtures("quick_attempts")
async def test_a_receiver_that_falls_silent_is_asked_again_and_no_part_counts_twice(start_host: Any) -> None:
    host = await start_host()
    stage = Stage(host, "staged")
    await stage.bus.ready()
    async with host.theater.actor("staged").stream_function("f", key="k") as stream:
        first = await stage.arrived.get()
        again = await stage.arrived.get()
        assert msgpack.unpackb(again.data)["op"] == msgpack.unpackb(first.data)["op"] == "k"
        stage.part(first, 0, "a")
        stage.part(again, 0, "a")
        stage.part(first, 1)
        assert await anext(stream) == "a"
        late = await stage.arrived.get()
        for number, value in enumerate("abc"):
            stage.part(late, number, value)
        stage.reply(late, "done")
        assert [part async for part in stream] == ["c"]
        assert await stream.result() == "done"
    stage.subscription.unsubscribe()


async def test_a_reply_that_never_comes_is_a_timeout_whatever_parts_came(start_host: Any) -> None:
    host = await start_host()
    stage = Stage(host, "staged")
    await stage.bus.ready()
    async with host.theater.actor("staged").stream_function("f", timeout=1.5, keyed=False) as stream:
        request = await stage.arrived.get()
        stage.part(request, 0, "a")
        assert await anext(stream) == "a"
        with pytest.raises(OperationTimeout):
            await anext(stream)
    stage.subscription.unsubscribe()


@pytest.mark.parametrize("kind", ["module"], indirect=True)
async def test_the_client_without_await_streams_too(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)

    def listen() -> tuple[list[Any], Any]:
        with (
            connect_sync(host.url, namespace=host.host.namespace) as theater,
            theater.actor(actor.id).stream_function("count", [5]) as stream,
        ):
            return list(stream), stream.result()

    assert await asyncio.to_thread(listen) == (list(range(5)), 5)


@pytest.mark.parametrize("kind", ["module"], indirect=True)
async def test_the_command_line_prints_parts_as_they_come(start_host: Any, talker: Any) -> None:
    host = await start_host(talker)
    actor = await host.spawn(talker)
    for options, printed in (
        ((), "0\n1\n2\n3\n"),
        (("-o", "json"), '{"part": 0}\n{"part": 1}\n{"part": 2}\n{"value": 3}\n'),
    ):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("theater-bus")),
            *("--server", host.url, "--namespace", host.host.namespace, *options),
            *("call", "--stream", actor.id, "count", "3"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert (process.returncode, out.decode()) == (0, printed)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`await eventually(holds)`: wait until `holds()` is true."""

    async def wait(holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.002)

    return wait
