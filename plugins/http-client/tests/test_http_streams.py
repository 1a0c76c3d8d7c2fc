"""Streams: pieces as they come, bounded, and closed by their operation at the latest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from theater_bus.capability import CapabilityError
from theater_bus_http_client import HttpClient

Ask = Callable[..., dict[str, Any]]


class Steps:
    """A body that comes step by step: `say(b"…")` sends the next piece, `say(None)` ends it."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.hung_up = asyncio.Event()

    def say(self, piece: bytes | None) -> None:
        self.pieces.put_nowait(piece)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while (piece := await self.pieces.get()) is not None:
                await response.write(piece)
            await response.write_eof()
        finally:
            self.hung_up.set()
        return response


def settings(site: Any, **more: Any) -> dict[str, Any]:
    return {"hosts": ["127.0.0.1"], "private": [site.private], **more}


class Operation:
    """Has all calls of a harness be one operation: their ends are kept and run by `end`."""

    def __init__(self, http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: list[Callable[[bool], None]] = []
        monkeypatch.setattr(http.context, "on_operation_end", self.ends.append)

    def end(self) -> None:
        for then in self.ends:
            then(True)


async def test_pieces_arrive_as_they_are_sent(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    site = await start_site(steps.answer)
    http = await start_harness(HttpClient, settings(site))
    Operation(http, monkeypatch)
    head = await http.call("open", ask("GET", site.url))
    assert (head["stream"], head["status"], dict(head["headers"])["Content-Type"]) == (1, 200, "text/event-stream")
    steps.say(b"one")
    assert await http.call("read", 1, 100) == b"one"
    steps.say(b"twothree")
    assert [await http.call("read", 1, 3), await http.call("read", 1, 100)] == [b"two", b"three"]
    steps.say(None)
    assert await http.call("read", 1, 100) is None
    with pytest.raises(CapabilityError, match="no open stream 1"):
        await http.call("read", 1, 100)


async def test_a_stream_ends_with_its_operation(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    site = await start_site(steps.answer)
    http = await start_harness(HttpClient, settings(site))
    operation = Operation(http, monkeypatch)
    await http.call("open", ask("GET", site.url))
    operation.end()
    with pytest.raises(CapabilityError, match="no open stream 1"):
        await http.call("read", 1, 100)
    steps.say(b"x" * 1_000_000)
    steps.say(b"x" * 1_000_000)
    async with asyncio.timeout(10):
        await steps.hung_up.wait()


async def test_streams_are_counted_and_closing_one_makes_room(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    site = await start_site(steps.answer)
    http = await start_harness(HttpClient, settings(site, streams=1))
    Operation(http, monkeypatch)
    await http.call("open", ask("GET", site.url))
    with pytest.raises(CapabilityError, match=r"http-client\.streams = 1 is used up\. Fix: .*`streams = 2`"):
        await http.call("open", ask("GET", site.url))
    await http.call("close", 1)
    assert (await http.call("open", ask("GET", site.url)))["stream"] == 2
    for wrong in (1, 3, 2**64 - 1):
        with pytest.raises(CapabilityError, match="no open stream"):
            await http.call("close", wrong)
    with pytest.raises(CapabilityError, match="0 bytes"):
        await http.call("read", 2, 0)


async def test_a_stream_is_bounded_in_bytes_and_in_waiting(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    site = await start_site(steps.answer)
    http = await start_harness(HttpClient, settings(site, stream_bytes=10))
    Operation(http, monkeypatch)
    await http.call("open", ask("GET", site.url))
    steps.say(b"0123456789")
    assert await http.call("read", 1, 100) == b"0123456789"
    steps.say(b"x")
    with pytest.raises(CapabilityError, match=r"http-client\.stream_bytes = 10"):
        await http.call("read", 1, 100)
    steps.say(None)
    await http.call("open", ask("GET", site.url))
    http.instance.settings = http.instance.settings.model_copy(update={"timeout_ms": 50})
    with pytest.raises(CapabilityError, match=r"http-client\.timeout_ms = 50"):
        await http.call("read", 2, 100)
    with pytest.raises(CapabilityError, match="no open stream 2"):
        await http.call("read", 2, 100)


async def test_stop_closes_what_is_open(
    start_harness: Any, start_site: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    site = await start_site(steps.answer)
    http = await start_harness(HttpClient, settings(site))
    Operation(http, monkeypatch)
    await http.call("open", ask("GET", site.url))
    await http.instance.stop()
    steps.say(b"x" * 1_000_000)
    steps.say(b"x" * 1_000_000)
    async with asyncio.timeout(10):
        await steps.hung_up.wait()
