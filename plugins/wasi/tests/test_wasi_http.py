"""HTTP through the handle: a component in WebAssembly text serves requests, and misbehaves as its path says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.client import ActorHandle, connect_sync
from theater_bus.core.chain.bodies import Call, HostCall
from theater_bus.engine import wat2wasm
from theater_bus.errors import (
    ActorError,
    FunctionNotFound,
    HandlerError,
    Internal,
    KeyReused,
    OperationTimeout,
    Overloaded,
    SpawnRefused,
    TooLarge,
    TypeMismatch,
)
from theater_bus.testing import FakeClock, RunningHost, running_host
from theater_bus_wasi import Wasi
from theater_bus_wasi.upload import Uploads

TEXT = (Path(__file__).parents[3] / "tests" / "guests" / "wat" / "web_component.wat").read_text("utf-8")
WASM = wat2wasm(TEXT)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[RunningHost]:
    async with running_host(Wasi) as running:
        yield running


@pytest_asyncio.fixture
async def web(host: RunningHost) -> ActorHandle:
    return await host.spawn(WASM, on_failure={"action": "restart"})


async def test_a_request_is_served_and_answered_with_status_headers_and_body(web: ActorHandle) -> None:
    answer = await web.handle_wasi_http_request(
        "POST", "https", "example.com", "/x?q=7", [("Content-Type", b"text/plain"), ("x", b"1"), ("x", b"2")], b"hello"
    )
    assert (answer.status, answer.headers, answer.body, answer.trailers) == (
        201,
        (("x-actor", b"wat"),),
        b"hello",
        None,
    )


async def test_a_request_is_one_operation_in_the_chain(web: ActorHandle) -> None:
    await web.handle_wasi_http_request("GET", path_with_query="/")
    events = [event async for event in web.get_chain()]
    calls = [event.body for event in events if isinstance(event.body, Call)]
    assert [one.function for one in calls] == ["wasi:http/incoming-handler.handle"]
    host_calls = [event.body.function for event in events if isinstance(event.body, HostCall)]
    assert host_calls[0] == "[method]incoming-request.path-with-query"
    assert "[static]response-outparam.set" in host_calls
    assert events[-1].type == "result"


async def test_what_was_served_replays_without_any_capability(host: RunningHost, web: ActorHandle) -> None:
    for path in ("/", "/x", "/"):
        await web.handle_wasi_http_request("POST", path_with_query=path, body=b"again")
    for path in ("/t", "/n"):
        with pytest.raises(ActorError):
            await web.handle_wasi_http_request("GET", path_with_query=path)
    await web.handle_wasi_http_request("GET", path_with_query="/")
    report = await host.replay(web)
    assert report.is_identical, report
    other = TEXT.replace('"x-actor"', '"x-other"')
    assert not (await host.replay(web, package=await asyncio.to_thread(wat2wasm, other))).is_identical


async def test_any_caller_can_ask_by_the_name_without_a_version(web: ActorHandle) -> None:
    answer = await web.call_function(
        "wasi:http/incoming-handler.handle",
        {
            "method": "GET",
            "scheme": None,
            "authority": None,
            "path-with-query": "/",
            "headers": [],
            "body": b"b",
            "upload": None,
            "trailers": None,
        },
    )
    assert answer == {"status": 201, "headers": [["x-actor", b"wat"]], "body": b"b", "trailers": None}
    with pytest.raises(FunctionNotFound):
        await web.call_function("wasi:http/incoming-handler@0.2.3.handle", [1, 2])


async def test_a_long_body_comes_in_parts_and_is_put_together(web: ActorHandle) -> None:
    body = bytes(range(256)) * 10_000
    answer = await web.handle_wasi_http_request("POST", path_with_query="/", body=body)
    assert answer.body == body, "longer than any message of the server may be, both ways"
    small = await web.handle_wasi_http_request("POST", path_with_query="/", body=b"small")
    assert small.body == b"small"


async def test_who_repeats_a_request_with_its_key_gets_the_whole_answer_again(web: ActorHandle) -> None:
    body = bytes(range(256)) * 4_000
    for _ in range(3):
        answer = await web.handle_wasi_http_request("POST", path_with_query="/", body=body, key="once")
        assert (answer.status, answer.body) == (201, body)
    calls = [event async for event in web.get_chain() if isinstance(event.body, Call)]
    assert len(calls) == 1
    with pytest.raises(KeyReused):
        await web.handle_wasi_http_request("POST", path_with_query="/", body=body + b"x", key="once")


async def test_two_who_ask_under_one_key_at_once_both_get_the_whole_answer(web: ActorHandle) -> None:
    body = bytes(range(256)) * 4_000
    ask = [web.handle_wasi_http_request("POST", path_with_query="/", body=body, key="both") for _ in range(4)]
    assert [answer.body for answer in await asyncio.gather(*ask)] == [body] * 4
    calls = [event async for event in web.get_chain() if isinstance(event.body, Call)]
    assert len(calls) == 1


async def test_one_timeout_covers_the_parts_and_the_request(web: ActorHandle) -> None:
    with pytest.raises(OperationTimeout):
        await web.handle_wasi_http_request("POST", path_with_query="/", body=bytes(5_000_000), timeout=0.001)
    assert (await web.handle_wasi_http_request("POST", path_with_query="/", body=b"next")).body == b"next"


UPLOAD = "theater:bus/wasi-http.upload"


async def test_parts_of_a_body_may_come_twice_and_have_no_gaps(web: ActorHandle) -> None:
    assert await web.call_function(UPLOAD, ["a", 0, b"0123"]) == 4
    assert await web.call_function(UPLOAD, ["a", 0, b"0123"]) == 4
    assert await web.call_function(UPLOAD, ["a", 2, b"2345"]) == 6
    with pytest.raises(TypeMismatch, match="has 6 bytes"):
        await web.call_function(UPLOAD, ["a", 7, b"x"])
    rest: list[Any] = ["POST", None, None, "/", [], b"67", None]
    answer = await web.call_function("wasi:http/incoming-handler.handle", [*rest, "a"])
    assert answer["body"] == b"01234567"
    with pytest.raises(TypeMismatch, match="no body 'a'"):
        await web.call_function("wasi:http/incoming-handler.handle", [*rest, "a"])


async def test_bodies_that_nobody_asks_for_are_bounded(host: RunningHost) -> None:
    web = await host.spawn(WASM, capabilities={"wasi": {"http_body_bytes": 1000}})
    with pytest.raises(TooLarge, match=re.escape("wasi.http_body_bytes")):
        await web.call_function(UPLOAD, ["big", 0, bytes(1001)])
    await web.call_function(UPLOAD, ["one", 0, bytes(1000)])
    await web.call_function(UPLOAD, ["two", 0, bytes(1000)])
    with pytest.raises(Overloaded):
        await web.call_function(UPLOAD, ["three", 0, b"x"])
    small = await host.spawn(WASM)
    for number in range(16):
        await small.call_function(UPLOAD, [f"n{number}", 0, b"x"])
    with pytest.raises(Overloaded):
        await small.call_function(UPLOAD, ["more", 0, b"x"])


async def test_a_body_that_nobody_asks_for_is_forgotten_after_a_minute_without_a_part() -> None:
    clock = FakeClock()
    uploads = Uploads(1000, clock)
    uploads.add("one", 0, b"x")
    await clock.advance(30)
    uploads.add("two", 0, b"x")
    await clock.advance(29)
    assert uploads.get("one") == b"x"
    await clock.advance(1)
    assert (uploads.get("one"), uploads.get("two")) == (None, b"x")
    uploads.add("two", 1, b"y")
    await clock.advance(59)
    assert uploads.get("two") == b"xy"
    await clock.advance(1)
    assert len(uploads) == 0
    uploads.add("three", 0, b"x")
    uploads.close()
    assert len(uploads) == 0


async def test_an_actor_that_serves_no_http_keeps_no_bodies(host: RunningHost) -> None:
    silent = await host.spawn(wat2wasm(TEXT.replace("wasi:http/incoming-handler@0.2.3", "acme:web/other")))
    with pytest.raises(FunctionNotFound):
        await silent.call_function(UPLOAD, ["a", 0, b"x"])


@pytest.mark.parametrize("path", ["/t", "/s", "/h", "/2"])
async def test_a_guest_that_traps_in_the_middle_fails_its_request_only(web: ActorHandle, path: str) -> None:
    with pytest.raises(Internal) as caught:
        await web.handle_wasi_http_request("GET", path_with_query=path)
    assert caught.value.details["reason"] == "unreachable"
    assert (await web.handle_wasi_http_request("GET", path_with_query="/")).status == 201


@pytest.mark.parametrize(("path", "why"), [("/n", "without a response"), ("/l", "before its response was finished")])
async def test_a_response_that_is_not_whole_is_none(web: ActorHandle, path: str, why: str) -> None:
    with pytest.raises(HandlerError, match=why):
        await web.handle_wasi_http_request("GET", path_with_query=path)
    assert (await web.handle_wasi_http_request("GET", path_with_query="/")).status == 201


async def test_a_body_without_end_stops_at_its_bound(host: RunningHost) -> None:
    web = await host.spawn(WASM, capabilities={"wasi": {"http_body_bytes": 200_000}})
    with pytest.raises(Internal):
        await web.handle_wasi_http_request("GET", path_with_query="/b")
    with pytest.raises(TypeMismatch, match=re.escape("wasi.http_body_bytes")):
        await web.handle_wasi_http_request("POST", path_with_query="/", body=bytes(200_001))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": ""}, "method"),
    ({"method": "GE T"}, "method"),
    ({"path_with_query": "/a b"}, "path_with_query"),
    ({"path_with_query": "/a#b"}, "path_with_query"),
    ({"path_with_query": "/\r\nx: y"}, "path_with_query"),
    ({"authority": "a\nb"}, "authority"),
    ({"authority": "a/../b"}, "authority"),
    ({"scheme": "ht tp"}, "scheme"),
    ({"scheme": "http\r\nx: y"}, "scheme"),
    ({"scheme": ""}, "scheme"),
    ({"headers": [("bad name", b"x")]}, "no name of a header"),
    ({"headers": [("", b"x")]}, "no name of a header"),
    ({"headers": [("a", b"x\r\ny: z")]}, "no name of a header"),
    ({"headers": [("a", b"x" * 70_000)]}, "http_header_bytes"),
    ({"headers": [("a", b"x")] * 2_000}, "http_header_bytes"),
    ({"trailers": [("a\0", b"")]}, "trailers"),
]


@pytest.mark.parametrize(("given", "why"), WRONG)
async def test_what_is_no_http_never_enters_the_guest(web: ActorHandle, given: dict[str, Any], why: str) -> None:
    with pytest.raises((TypeMismatch, TooLarge), match=why):
        await web.handle_wasi_http_request(**({"method": "GET", "path_with_query": "/"} | given))
    assert [event.type async for event in web.get_chain()] == ["genesis"]


async def test_the_sync_facade_has_the_method_too(host: RunningHost, web: ActorHandle) -> None:
    def ask() -> Any:
        with connect_sync(host.url) as theater:
            return theater.actor(web.id).handle_wasi_http_request("POST", path_with_query="/", body=b"sync")

    assert (await asyncio.to_thread(ask)).body == b"sync"


async def test_a_package_of_another_version_is_named(host: RunningHost) -> None:
    with pytest.raises(SpawnRefused, match=re.escape("implements version 0.2 of wasi:")):
        await host.spawn(wat2wasm(TEXT.replace("@0.2.3", "@0.3.0")))


async def test_without_the_plugin_the_refusal_names_it() -> None:
    async with running_host() as bare:
        with pytest.raises(SpawnRefused, match="theater-bus-wasi"):
            await bare.spawn(WASM)
