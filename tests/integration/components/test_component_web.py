"""Web servers that are components, in Python and JavaScript, asked through the handle of their actor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.client.actor import ActorHandle
from theater_bus.errors import ActorError

NAMES = ("web-python", "web-javascript")
LARGE = bytes(range(256)) * 12_000

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


async def ask(
    actor: ActorHandle, path: str, method: str = "GET", body: bytes = b"", headers: Any = (), **options: Any
) -> Any:
    """One request to http://example.com."""
    return await actor.handle_wasi_http_request(method, "http", "example.com", path, list(headers), body, **options)


async def test_python_sees_every_field_of_the_request_in_order(components: Any) -> None:
    actor = await components.one("web-python")
    headers = [("x-one", b"1"), ("x-two", b"2"), ("x-one", b"3"), ("x-raw", b"\xff\x80")]
    for method, scheme, authority, path, expected in (
        ("GET", "http", "example.com", "/a/b?c=d&e", ["GET", "Http", "example.com", "/a/b?c=d&e"]),
        ("PATCH", "https", "example.com:8443", "/", ["PATCH", "Https", "example.com:8443", "/"]),
        ("PURGE", None, None, None, ["PURGE", "NoneType", "None", "None"]),
    ):
        answer = await actor.handle_wasi_http_request(method, scheme, authority, path, headers, b"")
        assert answer.status == 200
        assert answer.headers == (("content-type", b"text/plain"),)
        lines = answer.body.decode().splitlines()
        assert lines[:4] == expected
        assert lines[4:] == ["x-one: 1", "x-two: 2", "x-one: 3", "x-raw: ÿ\x80"]


async def test_javascript_sees_the_request_as_a_fetch_event(components: Any) -> None:
    actor = await components.one("web-javascript")
    answer = await ask(actor, "/a?b=c", headers=[("x-one", b"1"), ("x-two", b"2")])
    assert answer.status == 200
    assert ("content-type", b"text/plain") in answer.headers
    assert answer.body.decode().splitlines() == ["GET", "http://example.com/a?b=c", "x-one: 1", "x-two: 2"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"x", b"x" * 4096, LARGE], ids=["one", "4 KiB", "3 MB"])
async def test_a_body_of_any_size_goes_in_and_comes_out(components: Any, name: str, body: bytes) -> None:
    actor = await components.one(name)
    answer = await ask(actor, "/echo", "POST", body)
    assert (answer.status, len(answer.body)) == (200, len(body))
    assert answer.body == body


async def test_a_guest_that_collects_garbage_disturbs_no_later_request(components: Any) -> None:
    actor = await components.one("web-python")
    answers = await asyncio.gather(*(ask(actor, "/echo", "POST", b"%d" % number) for number in range(200)))
    assert [answer.body for answer in answers] == [b"%d" % number for number in range(200)]


async def test_a_response_of_many_messages_arrives_whole(components: Any) -> None:
    answer = await ask(await components.one("web-python"), "/large?6000640")
    assert (answer.status, len(answer.body)) == (200, 6_000_640)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [200, 204, 301, 404, 503])
async def test_the_status_is_the_guests(components: Any, name: str, status: int) -> None:
    answer = await ask(await components.one(name), f"/status?{status}")
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("name", NAMES)
async def test_a_trap_before_the_response_costs_that_request_alone(components: Any, name: str) -> None:
    actor = await components.spawn(name, on_failure={"action": "restart"})
    with pytest.raises(ActorError) as trapped:
        await ask(actor, "/trap")
    assert trapped.value.code == "guest-trap"
    assert (await ask(actor, "/status?204")).status == 204


@pytest.mark.parametrize("name", NAMES)
async def test_a_request_is_one_operation_of_the_actor(components: Any, name: str) -> None:
    actor = await components.spawn(name)
    answers = await asyncio.gather(*(ask(actor, "/echo", "POST", b"%d" % number) for number in range(5)))
    assert [answer.body for answer in answers] == [b"0", b"1", b"2", b"3", b"4"]
    events = [one for one in await actor.get_chain().all() if one.type == "call"]
    assert [one.body.function for one in events] == ["wasi:http/incoming-handler.handle"] * 5
    assert (await components.running.replay(actor)).is_identical


@pytest.mark.parametrize("name", NAMES)
async def test_a_request_that_never_ends_is_ended(components: Any, name: str) -> None:
    actor = await components.spawn(name, on_failure={"action": "restart"}, limits={"cpu_ms": 500})
    with pytest.raises(ActorError, match="cpu"):
        await ask(actor, "/spin")
    assert (await ask(actor, "/status?204")).status == 204


async def test_headers_of_one_name_keep_their_order(components: Any) -> None:
    answer = await ask(await components.one("web-python"), "/twice")
    assert answer.headers == (("set-cookie", b"a=1"), ("x", b"0"), ("set-cookie", b"b=2"))


async def test_trailers_come_after_the_body(components: Any) -> None:
    answer = await ask(await components.one("web-python"), "/trailers")
    assert (answer.body, answer.trailers) == (b"body", (("x-checksum", b"1234"),))


async def test_a_header_that_is_none_is_refused_in_the_guest_as_wasi_says(components: Any) -> None:
    answer = await ask(await components.one("web-python"), "/header-refused")
    assert answer.body == b"HeaderError_InvalidSyntax"


async def test_an_error_in_place_of_a_response_is_the_callers(components: Any) -> None:
    with pytest.raises(ActorError, match="out of order"):
        await ask(await components.one("web-python"), "/error")


async def test_a_handler_without_an_answer_is_an_error(components: Any) -> None:
    actor = await components.one("web-python")
    with pytest.raises(ActorError, match="response"):
        await ask(actor, "/nothing")
    assert (await ask(actor, "/status?204")).status == 204


async def test_a_trap_in_the_middle_of_a_response_gives_no_half_of_one(components: Any) -> None:
    actor = await components.spawn("web-python", on_failure={"action": "restart"})
    with pytest.raises(ActorError) as trapped:
        await ask(actor, "/trap-within")
    assert trapped.value.code == "guest-trap"
    assert (await ask(actor, "/status?204")).status == 204


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/a b", {}),
        ("no-slash\r\nx: y", {}),
        ("/", {"method": "GE T"}),
        ("/", {"method": ""}),
        ("/", {"headers": [("a b", b"c")]}),
        ("/", {"headers": [("", b"c")]}),
        ("/", {"headers": [("a", b"c\r\nd: e")]}),
        ("/", {"headers": [("a", b"c\0")]}),
    ],
)
async def test_a_request_that_is_no_http_does_not_enter(components: Any, path: str, options: Any) -> None:
    actor = await components.one("web-python")
    with pytest.raises((ActorError, ValueError, TypeError)):
        await ask(actor, path, **options)
    assert (await ask(actor, "/status?204")).status == 204


async def test_a_flood_of_headers_is_refused_both_ways(components: Any) -> None:
    actor = await components.spawn("web-python", on_failure={"action": "restart"})
    with pytest.raises(ActorError):
        await ask(actor, "/", headers=[(f"x-{number}", b"v" * 100) for number in range(20_000)])
    with pytest.raises(ActorError):
        await ask(actor, "/headers?20000")
    assert (await ask(actor, "/status?204")).status == 204


async def test_a_body_beyond_the_limit_is_refused(components: Any) -> None:
    granted = {"wasi": {"random": True, "http_body_bytes": 1_000_000}}
    actor = await components.spawn("web-python", on_failure={"action": "restart"}, capabilities=granted)
    with pytest.raises(ActorError):
        await ask(actor, "/large?4000000")
    with pytest.raises(ActorError):
        await ask(actor, "/echo", "POST", b"x" * 1_000_001)
    assert (await ask(actor, "/status?204")).status == 204
