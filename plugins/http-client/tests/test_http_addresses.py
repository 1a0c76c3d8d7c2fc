"""Where a connection may go: the address that was checked, which is public or granted, also after a redirect."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from theater_bus.capability import CapabilityError
from theater_bus.core.grants import UNLIMITED
from theater_bus_http_client import HttpClient

Ask = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "[::1%25lo]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"]
)
async def test_no_spelling_of_a_private_address_gets_through(
    start_harness: Any, start_site: Any, ask: Ask, host: str
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, {"hosts": ["*.com"]})
    http.instance._bounds._hosts = UNLIMITED  # as if the grant held every host
    with pytest.raises(CapabilityError, match=r"no public address|is no address"):
        await http.call("send-http", ask("GET", f"http://{host}:{site.port}/"))
    assert site.requests == []


async def test_an_address_that_is_not_public_has_to_be_granted_with_its_port(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, {"hosts": ["127.0.0.1"]})
    with pytest.raises(CapabilityError, match=rf'"{site.private}" to `private` under \[capabilities\.http-client\]'):
        await http.call("send-http", ask("GET", site.url))
    other = await start_harness(HttpClient, {"hosts": ["127.0.0.1"], "private": [f"127.0.0.1:{site.port + 1}"]})
    with pytest.raises(CapabilityError, match="no public address"):
        await other.call("send-http", ask("GET", site.url))
    assert site.requests == []
    third = await start_harness(HttpClient, {"hosts": ["127.0.0.1"], "private": ["127.0.0.0/8:*"]})
    assert (await third.call("send-http", ask("GET", site.url)))["status"] == 200


async def test_a_granted_name_does_not_smuggle_in_a_private_address(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, {"hosts": ["localhost"]})
    with pytest.raises(CapabilityError, match=r"localhost leads to (127\.0\.0\.1|::1), which is no public address"):
        await http.call("send-http", ask("GET", f"http://localhost:{site.port}/"))
    assert site.requests == []
    granted = await start_harness(HttpClient, {"hosts": ["localhost"], "private": ["127.0.0.1:*", "[::1]:*"]})
    assert (await granted.call("send-http", ask("GET", f"http://localhost:{site.port}/")))["status"] == 200


class Names:
    """A name server that an attacker owns: each question gets the next answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        real = socket.getaddrinfo

        def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if not str(host).endswith(".test"):
                return real(host, port, *rest, **more)
            self.asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.answers.pop(0)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def test_the_connection_goes_to_the_address_that_was_checked(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, {"hosts": ["rebind.test"], "private": [f"127.0.0.2:{site.port}"]})
    names = Names(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    with pytest.raises(CapabilityError, match=r"cannot connect to rebind\.test"):
        await http.call("send-http", ask("GET", f"http://rebind.test:{site.port}/"))
    assert (names.asked, site.requests) == (["rebind.test"], [])
    with pytest.raises(CapabilityError, match=r"rebind\.test leads to 127\.0\.0\.1"):
        await http.call("send-http", ask("GET", f"http://rebind.test:{site.port}/"))
    assert (names.asked, site.requests) == (["rebind.test"] * 2, [])


async def test_one_address_that_may_not_be_refuses_all_of_a_name(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await start_site()
    http = await start_harness(HttpClient, {"hosts": ["*.test"], "private": [site.private]})
    Names(monkeypatch, ["127.0.0.1", "169.254.169.254"], ["127.0.0.1"])
    with pytest.raises(CapabilityError, match=r"leads to 169\.254\.169\.254"):
        await http.call("send-http", ask("GET", f"http://mixed.test:{site.port}/"))
    assert site.requests == []
    answer = await http.call("send-http", ask("GET", f"http://fine.test:{site.port}/"))
    assert answer["status"] == 200
    assert site.requests[0][2]["host"] == f"fine.test:{site.port}"


async def redirecting(request: web.Request) -> web.StreamResponse:
    """`/301?to=…` redirects so; `/loop` to itself; all else is an end."""
    if request.path == "/loop":
        return web.Response(status=302, headers={"Location": "/loop"})
    if request.path[1:].isdigit():
        return web.Response(status=int(request.path[1:]), headers={"Location": request.query["to"]})
    return web.Response(text="the end")


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (302, "PUT", "PUT"),
    ],
)
async def test_a_redirect_is_followed_as_browsers_do(
    start_harness: Any, start_site: Any, ask: Ask, status: int, method: str, then: str
) -> None:
    site = await start_site(redirecting)
    every = ["GET", "HEAD", "POST", "PUT"]
    http = await start_harness(HttpClient, {"hosts": ["127.0.0.1"], "private": [site.private], "methods": every})
    request = ask(method, f"{site.url}/{status}?to=/end", [("Content-Type", "a/b"), ("Authorization", "c")], b"body")
    assert (await http.call("send-http", request))["status"] == 200
    _, (followed, path, headers, body) = site.requests
    assert (followed, path, headers["authorization"]) == (then, "/end", "c")
    assert (body, headers.get("content-type")) == ((b"", None) if then != method else (b"body", "a/b"))


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://other.test/", r"hosts does not hold 'other\.test'"),
        ("http://127.0.0.1:1/", r'no public address .* "127\.0\.0\.1:1" to `private`'),
        ("http://localhost:PORT/", r"hosts does not hold 'localhost'"),
        ("http://[::1]:PORT/", r"hosts does not hold '::1'"),
        ("file:///etc/passwd", "no address"),
        ("http://user:pass@127.0.0.1:PORT/", "no user and no password"),
        ("//other.test/x", r"hosts does not hold 'other\.test'"),
        ("http://[", "no address"),
    ],
)
async def test_each_redirect_is_checked_like_the_first_request(
    start_harness: Any, start_site: Any, ask: Ask, to: str, why: str
) -> None:
    site = await start_site(redirecting)
    http = await start_harness(HttpClient, {"hosts": ["127.0.0.1"], "private": [site.private]})
    with pytest.raises(CapabilityError, match=why):
        await http.call("send-http", ask("GET", f"{site.url}/302?to={to.replace('PORT', str(site.port))}"))
    assert len(site.requests) == 1


async def test_a_redirect_that_needs_another_method_needs_it_granted(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site(redirecting)
    http = await start_harness(HttpClient, {"hosts": ["127.0.0.1"], "private": [site.private], "methods": ["POST"]})
    with pytest.raises(CapabilityError, match="methods does not hold 'GET'"):
        await http.call("send-http", ask("POST", f"{site.url}/303?to=/end"))


async def test_redirects_are_counted_and_without_any_they_are_answers(
    start_harness: Any, start_site: Any, ask: Ask
) -> None:
    site = await start_site(redirecting)
    places = {"hosts": ["127.0.0.1"], "private": [site.private]}
    http = await start_harness(HttpClient, {**places, "redirects": 2})
    with pytest.raises(CapabilityError, match=r"more often than the granted http-client\.redirects = 2"):
        await http.call("send-http", ask("GET", f"{site.url}/loop"))
    assert len(site.requests) == 3
    none = await start_harness(HttpClient, {**places, "redirects": 0})
    answer = await none.call("send-http", ask("GET", f"{site.url}/loop"))
    assert (answer["status"], dict(answer["headers"])["Location"]) == (302, "/loop")
