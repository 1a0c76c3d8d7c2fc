"""What each function of WASI answers, with its grant and without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from theater_bus.capability import HandlerError
from theater_bus.errors import SpawnRefused
from theater_bus.testing import FakeClock, capability_harness
from theater_bus_wasi import Wasi
from theater_bus_wasi.message import Fields, size_of
from theater_bus_wasi.streams import ByteSource, InputStream, OutputStream
from theater_bus_wasi.table import MAX_RESOURCES, Pollable

from .conftest import Call, refusal, refused, wasi

# -- nothing by default ----------------------------------------------------------------------------------------------


async def test_without_grants_there_is_nothing_to_see() -> None:
    async with wasi() as (_, call):
        assert call("cli/environment.get-environment") == []
        assert call("cli/environment.get-arguments") == []
        assert call("cli/environment.initial-cwd") is None
        assert call("filesystem/preopens.get-directories") == []
        assert call("clocks/monotonic-clock.now") == 0
        assert call("cli/terminal-stdout.get-terminal-stdout") is None
        assert refusal(lambda: call("sockets/tcp-create-socket.create-tcp-socket", "ipv4")) == "access-denied"
        assert refusal(lambda: call("sockets/udp-create-socket.create-udp-socket", "ipv6")) == "access-denied"
        network = call("sockets/instance-network.instance-network")
        assert await refused(call("sockets/ip-name-lookup.resolve-addresses", network, "localhost")) == "access-denied"


@pytest.mark.parametrize(
    ("name", "args", "grant"),
    [
        ("clocks/wall-clock.now", (), "clocks = true"),
        ("clocks/monotonic-clock.subscribe-duration", (1,), "clocks = true"),
        ("clocks/monotonic-clock.subscribe-instant", (1,), "clocks = true"),
        ("random/random.get-random-bytes", (5000,), "random = true"),
    ],
)
async def test_what_cannot_be_refused_in_wit_ends_the_operation_with_the_line_to_add(
    name: str, args: tuple[int, ...], grant: str
) -> None:
    async with wasi() as (_, call):
        with pytest.raises(HandlerError, match=grant) as caught:
            call(name, *args)
        assert "[capabilities.wasi]" in str(caught.value)


async def test_standard_streams_are_closed_without_the_grant_and_lines_of_the_log_with_it() -> None:
    async with wasi() as (_, call):
        out = call("cli/stdout.get-stdout")
        assert refusal(lambda: call("io/streams.[method]output-stream.check-write", out)) == "closed"
        assert refusal(lambda: call("io/streams.[method]output-stream.write", out, b"x")) == "closed"
        read = call("cli/stdin.get-stdin")
        assert refusal(lambda: call("io/streams.[method]input-stream.read", read, 10)) == "closed"
    async with wasi(stdio=True) as (instance, call):
        out = call("cli/stderr.get-stderr")
        call("io/streams.[method]output-stream.write", out, b"one\ntw")
        await call("io/streams.[method]output-stream.blocking-write-and-flush", out, "o é\n\xff".encode("latin-1"))
        instance.dropped("wasi:io/streams/output-stream", out)
        assert instance.context.guest_lines == ["one", "two \ufffd", "\ufffd"]  # type: ignore[attr-defined]


def test_what_reaches_the_outside_is_among_what_is_offered() -> None:
    assert Wasi.external < Wasi.offers()
    assert "wasi:io/streams.[method]output-stream.write" in Wasi.external


async def test_exit_ends_the_operation() -> None:
    async with wasi() as (_, call):
        with pytest.raises(HandlerError, match="called exit with err"):
            call("cli/exit.exit", {"err": None})
        with pytest.raises(HandlerError, match="code 3"):
            call("cli/exit.exit-with-code", 3)


# -- with grants -----------------------------------------------------------------------------------------------------


async def test_environment_and_arguments_are_what_the_manifest_says() -> None:
    async with wasi(environment=["A=1", "B=x=y"], arguments=["run", "-v"]) as (_, call):
        assert sorted(call("cli/environment.get-environment")) == [["A", "1"], ["B", "x=y"]]
        assert call("cli/environment.get-arguments") == ["run", "-v"]


@pytest.mark.parametrize("wrong", ["A", "=1", "A\0=1"])
async def test_a_variable_of_another_form_refuses_the_spawn(wrong: str) -> None:
    with pytest.raises(SpawnRefused, match="NAME=value"):
        async with wasi(environment=[wrong]):
            raise AssertionError("it was accepted")


async def test_clocks_and_waiting_are_the_hosts() -> None:
    async with wasi(clocks=True) as (_, call):
        wall = call("clocks/wall-clock.now")
        assert abs(wall["seconds"] - time.time()) < 60
        before = call("clocks/monotonic-clock.now")
        pollable = call("clocks/monotonic-clock.subscribe-duration", 2_000_000)
        late = call("clocks/monotonic-clock.subscribe-duration", 3_600_000_000_000)
        assert not call("io/poll.[method]pollable.ready", late)
        assert await call("io/poll.poll", [late, pollable]) == [1]
        await call("io/poll.[method]pollable.block", pollable)
        assert call("clocks/monotonic-clock.now") >= before + 2_000_000
        past = call("clocks/monotonic-clock.subscribe-instant", 0)
        assert await call("io/poll.poll", [past]) == [0]


async def test_random_bytes_are_the_hosts_with_the_grant() -> None:
    async with wasi(random=True) as (_, call):
        assert len(call("random/random.get-random-bytes", 5000)) == 5000
        assert call("random/random.get-random-bytes", 16) != call("random/random.get-random-bytes", 16)
        assert call("random/insecure-seed.insecure-seed") != call("random/insecure-seed.insecure-seed")
        assert 0 <= call("random/random.get-random-u64") < 1 << 64


async def test_more_random_bytes_than_are_given_at_once_are_refused_and_not_cut_short() -> None:
    async with wasi(random=True) as (_, call):
        assert len(call("random/random.get-random-bytes", 1 << 20)) == 1 << 20
        for count in ((1 << 20) + 1, (1 << 64) - 1):
            with pytest.raises(HandlerError, match=f"asked for {count} random bytes, 1048576 are given at once"):
                call("random/random.get-random-bytes", count)


async def test_time_is_that_of_the_capabilities_so_that_a_test_can_move_it() -> None:
    clock = FakeClock()
    async with capability_harness(Wasi, {"clocks": True}, clock=clock) as harness:
        assert isinstance(harness.instance, Wasi)
        functions = harness.instance.functions()
        assert functions["wasi:clocks/wall-clock.now"]() == {"seconds": 1_750_000_000, "nanoseconds": 0}
        hour = functions["wasi:clocks/monotonic-clock.subscribe-duration"](3_600 * 10**9)
        waiting = asyncio.create_task(functions["wasi:io/poll.[method]pollable.block"](hour))
        await clock.advance(3_599)
        assert not waiting.done()
        await clock.advance(1)
        await waiting
        assert functions["wasi:clocks/wall-clock.now"]()["seconds"] == 1_750_003_600


# -- header fields ---------------------------------------------------------------------------------------------------

FIELDS = "http/types.[method]fields."
RESPONSE = "http/types.[method]outgoing-response."


async def test_fields_keep_order_and_repeats_and_refuse_what_is_none() -> None:
    async with wasi() as (_, call):
        fields = call("http/types.[constructor]fields")
        for name, value in (("A", b"1"), ("b", b"2"), ("a", b"3")):
            call(f"{FIELDS}append", fields, name, value)
        assert call(f"{FIELDS}entries", fields) == [["a", b"1"], ["b", b"2"], ["a", b"3"]]
        assert call(f"{FIELDS}get", fields, "a") == [b"1", b"3"]
        for name, value in (("a b", b""), ("", b""), ("a", b"x\r\ny: z"), ("a", b"\0")):
            assert refusal(partial(call, f"{FIELDS}append", fields, name, value)) == "invalid-syntax"
        assert refusal(lambda: call(f"{FIELDS}append", fields, "Transfer-Encoding", b"chunked")) == "forbidden"
        call(f"{FIELDS}set", fields, "a", [b"4"])
        assert call(f"{FIELDS}entries", fields) == [["b", b"2"], ["a", b"4"]]


async def test_a_bomb_of_small_fields_reaches_the_bound_and_costs_no_more_than_it() -> None:
    async with wasi(http_header_bytes=10_000) as (instance, call):
        many = [["a", b""]] * 100_000
        assert refusal(lambda: call("http/types.[static]fields.from-list", many)) == "invalid-syntax"
        fields = call("http/types.[constructor]fields")
        for _ in range(303):  # of 33 bytes each
            call(f"{FIELDS}append", fields, "a", b"")
        assert refusal(lambda: call(f"{FIELDS}append", fields, "a", b"")) == "invalid-syntax"
        call(f"{FIELDS}delete", fields, "a")
        call(f"{FIELDS}append", fields, "a", b"x" * 9_967)
        assert instance.table.get(fields, Fields).size == size_of([("a", b"x" * 9_967)]) == 10_000


async def test_a_status_beyond_three_digits_is_refused() -> None:
    async with wasi() as (_, call):
        response = call("http/types.[constructor]outgoing-response", call("http/types.[constructor]fields"))
        for status in (0, 99, 1000, 65535):
            assert refusal(partial(call, f"{RESPONSE}set-status-code", response, status)) is None
        call(f"{RESPONSE}set-status-code", response, 299)
        assert call(f"{RESPONSE}status-code", response) == 299


BODY = "http/types.[method]outgoing-body."


async def test_a_body_may_be_as_long_as_its_bound_and_no_longer() -> None:
    out = "io/streams.[method]output-stream."
    async with wasi(http_body_bytes=10) as (_, call):
        response = call("http/types.[constructor]outgoing-response", call("http/types.[constructor]fields"))
        body = call(f"{RESPONSE}body", response)
        stream = call(f"{BODY}write", body)
        await call(f"{out}blocking-write-and-flush", stream, b"0123456789")
        assert refusal(partial(call, f"{out}check-write", stream)) == "closed"
        assert await refused(call(f"{out}blocking-write-and-flush", stream, b"x")) == "closed"
        call(f"{out}flush", stream)
        await call("http/types.[static]outgoing-body.finish", body, None)
        assert refusal(partial(call, f"{out}flush", stream)) == "closed"


# -- streams ---------------------------------------------------------------------------------------------------------


async def test_streams_give_what_is_there_and_end() -> None:
    async with wasi() as (instance, call):
        source = instance.table.put(ByteSource(b"abcdefgh"))
        assert call("io/streams.[method]input-stream.read", source, 3) == b"abc"
        assert call("io/streams.[method]input-stream.skip", source, 2) == 2
        assert await call("io/streams.[method]input-stream.blocking-read", source, 100) == b"fgh"
        assert await refused(call("io/streams.[method]input-stream.blocking-read", source, 1)) == "closed"
        ready = call("io/streams.[method]input-stream.subscribe", source)
        assert call("io/poll.[method]pollable.ready", ready)


async def test_what_the_system_refuses_is_the_streams_error_with_its_text() -> None:
    class Broken(InputStream):
        def read(self, most: int) -> bytes | None:
            raise OSError(5, "disk on fire")

    async with wasi() as (instance, call):
        error = refusal(lambda: call("io/streams.[method]input-stream.read", instance.table.put(Broken()), 1))
        number = error["last-operation-failed"]
        assert "disk on fire" in call("io/error.[method]error.to-debug-string", number)


async def test_more_than_a_stream_has_room_for_is_refused() -> None:
    class Narrow(OutputStream):
        def room(self) -> int | None:
            return 4

    async with wasi() as (instance, call):
        out = instance.table.put(Narrow())
        assert call("io/streams.[method]output-stream.check-write", out) == 4
        error = refusal(lambda: call("io/streams.[method]output-stream.write", out, b"12345"))
        assert "last-operation-failed" in error


async def test_leaked_handles_reach_a_bound_and_a_fresh_instance_has_none() -> None:
    async with wasi() as (instance, call):
        for _ in range(MAX_RESOURCES):
            call("cli/stdin.get-stdin")
        with pytest.raises(HandlerError, match="lets go of none"):
            call("cli/stdin.get-stdin")
        instance.renewed()
        assert len(instance.table) == 0
        first = call("cli/stdin.get-stdin")
        instance.dropped("wasi:io/streams/input-stream", first)
        instance.dropped("wasi:io/streams/input-stream", first)
        with pytest.raises(HandlerError, match="gone"):
            call("io/streams.[method]input-stream.read", first, 1)


async def test_polling_waits_for_the_first_and_leaves_nothing_behind() -> None:
    never = asyncio.Event()
    async with wasi() as (instance, call):
        waiting = instance.table.put(Pollable(lambda: False, never.wait))
        ready = instance.table.put(Pollable.always())
        assert await call("io/poll.poll", [waiting, ready]) == [1]
        assert await call("io/poll.poll", []) == []
        assert len(asyncio.all_tasks()) == 1


# -- connections -----------------------------------------------------------------------------------------------------

TCP = "sockets/tcp.[method]tcp-socket."


def at(port: int) -> dict[str, Any]:
    return {"ipv4": {"port": port, "address": [127, 0, 0, 1]}}


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """A server that sends back what it gets, and ends when its peer does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def connected(call: Call, port: int) -> tuple[int, int, int]:
    socket = call("sockets/tcp-create-socket.create-tcp-socket", "ipv4")
    call(TCP + "start-connect", socket, call("sockets/instance-network.instance-network"), at(port))
    await call("io/poll.[method]pollable.block", call(TCP + "subscribe", socket))
    incoming, outgoing = call(TCP + "finish-connect", socket)
    return socket, incoming, outgoing


async def test_a_granted_endpoint_is_connected_to_read_and_written() -> None:
    async with echo_server() as port, wasi(connect=[f"127.0.0.1:{port}"]) as (instance, call):
        socket, incoming, outgoing = await connected(call, port)
        assert call(TCP + "remote-address", socket) == at(port)
        assert call(TCP + "local-address", socket)["ipv4"]["address"] == [127, 0, 0, 1]
        assert call("io/streams.[method]input-stream.read", incoming, 10) == b""
        await call("io/streams.[method]output-stream.blocking-write-and-flush", outgoing, b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += await call("io/streams.[method]input-stream.blocking-read", incoming, 1 << 20)
        call(TCP + "shutdown", socket, "send")
        assert await refused(call("io/streams.[method]input-stream.blocking-read", incoming, 1)) == "closed"
        for kind, number in (("tcp-socket", socket), ("input-stream", incoming), ("output-stream", outgoing)):
            instance.dropped(kind, number)


async def test_an_endpoint_that_is_not_granted_is_refused_before_anything_is_sent() -> None:
    async with echo_server() as port, wasi(connect=[f"127.0.0.1:{port + 1}", "localhost:9"]) as (_, call):
        socket = call("sockets/tcp-create-socket.create-tcp-socket", "ipv4")
        network = call("sockets/instance-network.instance-network")
        assert refusal(lambda: call(TCP + "start-connect", socket, network, at(port))) == "access-denied"
        assert (
            await refused(call("sockets/ip-name-lookup.resolve-addresses", network, "example.com")) == "access-denied"
        )
        stream = await call("sockets/ip-name-lookup.resolve-addresses", network, "localhost")
        first = call("sockets/ip-name-lookup.[method]resolve-address-stream.resolve-next-address", stream)
        assert first is not None
        assert refusal(lambda: call(TCP + "start-connect", socket, network, at(9))) == "access-denied", (
            "a name gives no way into a private network"
        )
        assert refusal(lambda: call(TCP + "start-listen", socket)) == "access-denied"


async def test_a_connection_that_is_refused_says_so() -> None:
    async with echo_server() as port:
        pass
    async with wasi(connect=["127.0.0.1:*"]) as (_, call):
        socket = call("sockets/tcp-create-socket.create-tcp-socket", "ipv4")
        network = call("sockets/instance-network.instance-network")
        assert refusal(lambda: call(TCP + "finish-connect", socket)) == "not-in-progress"
        call(TCP + "start-connect", socket, network, at(port))
        assert refusal(lambda: call(TCP + "start-connect", socket, network, at(port))) == "invalid-state"
        await call("io/poll.[method]pollable.block", call(TCP + "subscribe", socket))
        assert refusal(lambda: call(TCP + "finish-connect", socket)) == "connection-refused"


async def test_connections_end_with_the_instance() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, wasi(connect=["127.0.0.1:*"]) as (instance, call):
        await connected(call, port)
        instance.renewed()
        async with asyncio.timeout(20):
            await ended.wait()
