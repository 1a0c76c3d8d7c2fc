"""Requests against a real server: what is granted arrives as it was given, everything else never leaves."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from theater_bus.capability import CapabilityError
from theater_bus.errors import SpawnRefused
from theater_bus_http_client import HttpClient

Ask = Callable[..., dict[str, Any]]


def granted(*sites: Any, **more: Any) -> dict[str, Any]:
    """The grants for these sites."""
    private = [site if isinstance(site, str) else site.private for site in sites]
    return {"hosts": ["127.0.0.1"], "private": private, **more}


async def test_a_request_arrives_as_it_was_given_and_so_does_the_answer(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, granted(site, methods=["PUT", "GET"]))
    headers = [("X-One", "a"), ("X-Two", "ü: b")]
    answer = await http.call("send-http", ask("put", f"{site.url}/a%20b/?q=%2F#part", headers, b"\0\xff body"))
    assert answer["status"] == 200
    assert ["X-Site", "echo"] in answer["headers"]
    [(method, path, arrived, body)] = site.requests
    assert (method, path, body) == ("PUT", "/a%20b/?q=%2F", b"\0\xff body")
    assert (arrived["x-one"], arrived["x-two"], arrived["user-agent"]) == ("a", "ü: b", "theater-bus")
    assert "content-type" not in arrived
    for uri, arrives_as in (("", "/"), ("?a=b%20c", "/?a=b%20c"), ("/a/%2e?%41=+", "/a/%2e?%41=+"), ("/ü", "/%C3%BC")):
        answer = await http.call("send-http", ask("GET", f"{site.url.upper()}{uri}"))
        assert answer["body"].startswith(f"GET {arrives_as}\n".encode())


async def test_a_head_has_no_body_and_an_error_status_is_an_answer(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503, body=b"x" * 5000)

    site = await start_site(answer)
    http = await start_harness(HttpClient, granted(site, response_bytes=100))
    found = await http.call("send-http", ask("HEAD", site.url))
    assert (found["status"], found["body"], dict(found["headers"])["Content-Length"]) == (503, b"", "5000")


@pytest.mark.parametrize(
    ("method", "uri", "why"),
    [
        ("DELETE", "http://127.0.0.1:1/", r'methods does not hold \'DELETE\'\. Fix: add "DELETE" to `methods` under'),
        ("CONNECT", "http://127.0.0.1:1/", "no method for a request"),
        ("GE T", "http://127.0.0.1:1/", "no method for a request"),
        ("GET\r\nX: y", "http://127.0.0.1:1/", "no method for a request"),
        ("", "http://127.0.0.1:1/", "no method for a request"),
        ("GET", "http://other.test/", r'hosts does not hold \'other\.test\'\. Fix: add "other\.test" to `hosts`'),
        ("GET", "http://127.0.0.1.other.test/", "hosts does not hold"),
        ("GET", "http://2130706433/", "hosts does not hold"),
        ("GET", "http://0x7f.1/", "hosts does not hold"),
        ("GET", "http://[::ffff:127.0.0.1]/", "hosts does not hold"),
        ("GET", "file:///etc/passwd", "no address"),
        ("GET", "ftp://127.0.0.1/", "no address"),
        ("GET", "//127.0.0.1/", "no address"),
        ("GET", "127.0.0.1", "no address"),
        ("GET", "http:///path", "no address"),
        ("GET", "http://127.0.0.1:99999/", "no address"),
        ("GET", "http://127.0.0.1/a b", "no address"),
        ("GET", "http://127.0.0.1/\r\nHost: x", "no address"),
        ("GET", "http://127.0.0.1/\0", "no address"),
        ("GET", "http://127.0.0.1\\@other.test/", "no address"),
        ("GET", "http://other.test@127.0.0.1/", "no user and no password"),
        ("GET", "http://a:b@127.0.0.1/", "no user and no password"),
        ("GET", f"http://127.0.0.1/{'x' * 10_000}", "more than 8192 characters"),
        ("GET", "", "no address"),
    ],
)
async def test_what_is_not_granted_or_no_request_is_refused(
    start_harness: Any, ask: Ask, method: str, uri: str, why: str
) -> None:
    http = await start_harness(HttpClient, granted("127.0.0.1:1"))
    with pytest.raises(CapabilityError, match=why):
        await http.call("send-http", ask(method, uri))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("X-A", "one\r\nX-B: two", "X-A holds a line end"),
        ("X-A", "one\nX-B: two", "X-A holds a line end"),
        ("X-A", "a\0b", "X-A holds a line end"),
        ("X-A\r\nX-B", "two", "no name of a header"),
        ("X A", "one", "no name of a header"),
        ("X-A:", "one", "no name of a header"),
        ("", "one", "no name of a header"),
        ("host", "other.test", "host is set by the host"),
        ("Content-Length", "5", "is set by the host"),
        ("Transfer-Encoding", "chunked", "is set by the host"),
        ("Proxy-Authorization", "x", "is set by the host"),
        ("X-Large", "x" * 70_000, "the headers are more than"),
    ],
)
async def test_headers_that_could_smuggle_something_in_are_refused(
    start_harness: Any, start_site: Any, ask: Ask, name: str, value: str, why: str
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, granted(site))
    with pytest.raises(CapabilityError, match=why):
        await http.call("send-http", ask("GET", site.url, [(name, value)]))
    with pytest.raises(CapabilityError, match="the headers are more than"):
        await http.call("send-http", ask("GET", site.url, [("X-A", "b")] * 101))
    assert site.requests == []


async def test_sizes_are_bounded_both_ways(start_harness: Any, start_site: Any, ask: Ask) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/whole":
            return web.Response(body=b"x" * int(request.query["n"]))
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"x" * int(request.query["n"]))
        await response.write_eof()
        return response

    site = await start_site(answer)
    bounds = {"request_bytes": 1000, "response_bytes": 1000, "methods": ["POST", "GET"]}
    http = await start_harness(HttpClient, granted(site, **bounds))
    for kind in ("whole", "chunked"):
        assert len((await http.call("send-http", ask("GET", f"{site.url}/{kind}?n=1000")))["body"]) == 1000
        with pytest.raises(CapabilityError, match=r"more than the granted http-client\.response_bytes = 1000"):
            await http.call("send-http", ask("GET", f"{site.url}/{kind}?n=1001"))
    await http.call("send-http", ask("POST", f"{site.url}/whole?n=1", body=b"x" * 1000))
    with pytest.raises(CapabilityError, match=r"1001 bytes, more than .* Fix: write `request_bytes = 1001` under"):
        await http.call("send-http", ask("POST", f"{site.url}/whole?n=1", body=b"x" * 1001))


async def test_a_compressed_answer_stays_as_it_is_so_nothing_small_becomes_large(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    packed = gzip.compress(b"\0" * 10_000_000)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    site = await start_site(answer)
    http = await start_harness(HttpClient, granted(site))
    assert (await http.call("send-http", ask("GET", site.url)))["body"] == packed
    assert site.requests[0][2]["accept-encoding"] == "identity"


async def test_an_answer_that_does_not_come_in_time_is_an_err_and_its_connection_is_closed(
    start_harness: Any, start_raw: Any, ask: Ask
) -> None:
    hung_up = asyncio.Event()
    port = await start_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", hung_up)
    http = await start_harness(HttpClient, granted(f"127.0.0.1:{port}", timeout_ms=1000))
    with pytest.raises(CapabilityError, match=r"http-client\.timeout_ms = 1000"):
        await http.call("send-http", ask("GET", f"http://127.0.0.1:{port}/"))
    async with asyncio.timeout(10):
        await hung_up.wait()


async def test_a_cancelled_request_closes_its_connection(start_harness: Any, start_raw: Any, ask: Ask) -> None:
    arrived, hung_up = asyncio.Event(), asyncio.Event()
    port = await start_raw(b"", hung_up, arrived)
    http = await start_harness(HttpClient, granted(f"127.0.0.1:{port}", timeout_ms=60_000))
    call = asyncio.create_task(http.call("send-http", ask("GET", f"http://127.0.0.1:{port}/"), timeout_s=60))
    async with asyncio.timeout(10):
        await arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(10):
        await hung_up.wait()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed the connection without an answer"),
        (b"\x16\x03\x01 garbage\r\n\r\n", "what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "broke off in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off in the middle|no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", "no HTTP|broke off|failed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no HTTP"),
    ],
    ids=["nothing", "no http", "short", "chunk cut off", "no chunk", "huge header"],
)
async def test_a_broken_answer_is_an_err_and_never_a_shorter_one(
    start_harness: Any, start_raw: Any, ask: Ask, answer: bytes, why: str
) -> None:
    port = await start_raw(answer)
    http = await start_harness(HttpClient, granted(f"127.0.0.1:{port}"))
    with pytest.raises(CapabilityError, match=why):
        await http.call("send-http", ask("GET", f"http://127.0.0.1:{port}/"))


async def test_nobody_there_is_an_err(start_harness: Any, start_raw: Any, ask: Ask) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    http = await start_harness(HttpClient, {"hosts": ["127.0.0.1", "no-such-host.invalid"], "private": ["127.0.0.1:*"]})
    with pytest.raises(CapabilityError, match=r"cannot connect to 127\.0\.0\.1: Connection refused"):
        await http.call("send-http", ask("GET", f"http://127.0.0.1:{port}/"))
    with pytest.raises(CapabilityError, match=r"no-such-host\.invalid cannot be resolved"):
        await http.call("send-http", ask("GET", "http://no-such-host.invalid/"))


async def test_what_is_not_idempotent_carries_the_effect_key_unless_the_guest_has_its_own(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site()
    every = ["GET", "PUT", "POST", "PATCH"]
    http = await start_harness(HttpClient, granted(site, methods=every))
    for method in every:
        await http.call("send-http", ask(method, site.url))
    await http.call("send-http", ask("POST", site.url, [("idempotency-key", "mine")]))
    keys = [headers.get("idempotency-key") for _, _, headers, _ in site.requests]
    assert keys[:2] == [None, None]
    assert [len(key or "") for key in keys[2:4]] == [64, 64]
    assert keys[2] != keys[3]
    assert keys[4] == "mine"
    plain = await start_harness(HttpClient, granted(site, methods=every, idempotency_key=False))
    await plain.call("send-http", ask("POST", site.url))
    assert "idempotency-key" not in site.requests[-1][2]


async def test_neither_proxies_nor_cookies_come_between(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": "a=b"})

    site = await start_site(answer)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    http = await start_harness(HttpClient, granted(site))
    for _ in range(2):
        await http.call("send-http", ask("GET", site.url))
    assert all("cookie" not in headers for _, _, headers, _ in site.requests)


@pytest.mark.parametrize(
    "settings",
    [
        {"hosts": ["http://a.com"]},
        {"hosts": "a.com"},
        {"methods": ["get"]},
        {"private": ["10.0.0.0/8"]},
        {"timeout_ms": 0},
        {"timeout_ms": True},
        {"redirects": -1},
        {"response_bytes": "1 MB"},
        {"host": []},
    ],
)
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="http-client"):
        await start_harness(HttpClient, settings)
