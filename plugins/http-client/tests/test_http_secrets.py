"""Secrets and TLS: values go to granted hosts over verified connections, and are hidden in what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from theater_bus.capability import CapabilityError
from theater_bus_http_client import HttpClient, stream

Ask = Callable[..., dict[str, Any]]

PLANTED = "pl4nted-s3cret-value"
BEARER = [("Authorization", "Bearer secret:key")]


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An operator's configuration with the secret `key` for this machine."""
    monkeypatch.setenv("PLANTED_KEY", PLANTED)
    return {"secrets": {"key": {"env": "PLANTED_KEY", "hosts": ["127.0.0.1", "localhost"]}}}


def places(*sites: Any, **more: Any) -> dict[str, Any]:
    return {"hosts": ["127.0.0.1", "localhost"], "private": ["127.0.0.1:*", "[::1]:*"], **more}


ALLOWED = {"secrets": ["key@127.0.0.1", "key@localhost"]}


async def test_the_value_arrives_and_the_answer_shows_the_handle(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any]
) -> None:
    async def answer(request: web.Request) -> web.Response:
        sent = request.headers["Authorization"]
        return web.Response(text=f"you sent {sent}!", headers={"X-Echo": sent})

    site = await start_site(answer)
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    found = await http.call("send-http", ask("GET", site.url, BEARER))
    assert site.requests[0][2]["authorization"] == f"Bearer {PLANTED}"
    assert found["body"] == b"you sent Bearer secret:key!"
    assert dict(found["headers"])["X-Echo"] == "Bearer secret:key"


async def test_a_streamed_beginning_without_its_rest_is_shown_after_a_while(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(PLANTED[:5].encode())
        await arrived.wait()
        await response.write(b"!" + PLANTED.encode())
        return response

    site = await start_site(answer)
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    monkeypatch.setattr(http.context, "on_operation_end", lambda _: None)
    monkeypatch.setattr(stream, "HOLD_S", 0.01)
    id = (await http.call("open", ask("GET", site.url, BEARER)))["stream"]
    assert await http.call("read", id, 100) == PLANTED[:5].encode()
    monkeypatch.setattr(stream, "HOLD_S", 3600.0)
    arrived.set()
    rest = b""
    while (piece := await http.call("read", id, 100)) is not None:
        rest += piece
    assert rest == b"!secret:key"


async def test_a_secret_without_its_grants_never_leaves(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any]
) -> None:
    site = await start_site()
    cases = [
        (config, {"secrets": ["key@localhost"]}, r'add "key@127\.0\.0\.1" to `secrets` under \[capabilities\.config\]'),
        (config, None, "config.secrets does not name 'key'"),
        ({"secrets": {"key": {"env": "PLANTED_KEY"}}}, ALLOWED, "operator does not let secret 'key' go to"),
        ({}, ALLOWED, "this host has no secret 'key'"),
    ]
    for operator, allowed, why in cases:
        http = await start_harness(HttpClient, places(), config=operator, allowed=allowed)
        with pytest.raises(CapabilityError, match=why) as caught:
            await http.call("send-http", ask("GET", site.url, BEARER))
        assert PLANTED not in str(caught.value)
    assert site.requests == []


async def test_a_secret_does_not_follow_to_another_host_or_port(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await start_site()

    async def answer(request: web.Request) -> web.Response:
        to = "/again" if request.path == "/" else f"{other.url}/"
        return web.Response(status=307, headers={"Location": to})

    site = await start_site(answer)
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    headers = [*BEARER, ("X-Key", "secret:key"), ("Cookie", "a=b"), ("X-Plain", "c")]
    assert (await http.call("send-http", ask("GET", site.url, headers)))["status"] == 200
    assert [one[2].get("authorization") for one in site.requests] == [f"Bearer {PLANTED}"] * 2
    [(_, _, arrived, _)] = other.requests
    assert {"authorization", "x-key", "cookie"}.isdisjoint(arrived)
    assert arrived["x-plain"] == "c"
    assert PLANTED not in repr(arrived)


async def test_a_secret_is_not_sent_in_the_clear_to_another_machine(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any]
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    with pytest.raises(CapabilityError, match=r"unencrypted to localhost\. Fix: write https"):
        await http.call("send-http", ask("GET", f"http://localhost:{site.port}/", BEARER))
    assert site.requests == []


async def test_a_value_that_would_end_the_header_is_not_sent(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_KEY", f"{PLANTED}\r\nX-More: yes")
    site = await start_site()
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    with pytest.raises(CapabilityError, match="the value of secret:key holds characters") as caught:
        await http.call("send-http", ask("GET", site.url, BEARER))
    assert PLANTED not in str(caught.value)
    assert site.requests == []


async def test_a_handle_elsewhere_than_in_a_header_is_a_text(
    start_harness: Any, start_site: Any, ask: Ask, config: dict[str, Any]
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, places(methods=["POST"]), config=config, allowed=ALLOWED)
    await http.call("send-http", ask("POST", f"{site.url}/secret:key", body=b"secret:key"))
    [(_, path, _, body)] = site.requests
    assert (path, body) == ("/secret:key", b"secret:key")


async def test_tls_is_verified_or_nothing_is_sent(
    start_harness: Any,
    start_site: Any,
    ask: Ask,
    config: dict[str, Any],
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = await start_site(tls="server")
    wrong_name = await start_site(tls="else")
    plain = await start_site()
    http = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    with pytest.raises(CapabilityError, match=r"TLS with 127\.0\.0\.1 failed, so nothing was sent: .*certificate"):
        await http.call("send-http", ask("GET", site.url, BEARER))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    trusting = await start_harness(HttpClient, places(), config=config, allowed=ALLOWED)
    with pytest.raises(CapabilityError, match=r"TLS with 127\.0\.0\.1 failed, so nothing was sent: .*not valid for"):
        await trusting.call("send-http", ask("GET", wrong_name.url, BEARER))
    with pytest.raises(CapabilityError, match=r"TLS with 127\.0\.0\.1 failed"):
        await trusting.call("send-http", ask("GET", f"https://127.0.0.1:{plain.port}/", BEARER))
    assert site.requests == wrong_name.requests == plain.requests == []
    for host in ("127.0.0.1", "localhost"):
        answer = await trusting.call("send-http", ask("GET", f"https://{host}:{site.port}/", BEARER))
        assert answer["status"] == 200
    assert [one[2]["authorization"] for one in site.requests] == [f"Bearer {PLANTED}"] * 2


async def test_a_redirect_does_not_lead_from_https_to_http(
    start_harness: Any, start_site: Any, ask: Ask, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await start_site()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": plain.url})

    site = await start_site(answer, tls="server")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    http = await start_harness(HttpClient, places())
    with pytest.raises(CapabilityError, match=r"redirects from https to http://127\.0\.0\.1"):
        await http.call("send-http", ask("GET", site.url))
    assert plain.requests == []
