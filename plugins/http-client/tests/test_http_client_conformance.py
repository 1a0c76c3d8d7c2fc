"""What is asked of every capability, of `http-client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_http_client import HttpClient


def request(url: str, method: str = "GET") -> dict[str, Any]:
    return {"method": method, "uri": url, "headers": [], "body": None}


@asynccontextmanager
async def site(host: RunningHost) -> AsyncIterator[Mapping[str, Any]]:
    """A server that answers, except at `/silence`."""
    over = asyncio.Event()

    async def answer(asked: web.BaseRequest) -> web.StreamResponse:
        if asked.path == "/silence":
            await over.wait()
        return web.Response(text="answer")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    yield {
        "settings": {"hosts": ["127.0.0.1"], "private": [address]},
        "examples": [
            Example("send-http", request(f"http://{address}/")),
            Example("open", request(f"http://{address}/")),
        ],
        "refused": [
            Example("send-http", request(f"http://{address}/")),
            Example("open", request(f"http://{address}/")),
            Example("send-http", request(f"http://{address}/"), settings={"hosts": ["127.0.0.1"]}),
        ],
        "waiting": Example("send-http", request(f"http://{address}/silence")),
    }
    over.set()
    await runner.cleanup()


test_conformance = conformance(HttpClient, refused=[Example("send-http", request("http://example.com/"))], prepare=site)
