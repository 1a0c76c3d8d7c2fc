"""What is asked of every capability, of `llm`."""

from __future__ import annotations

import asyncio
import atexit
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from theater_bus.testing import Example, RunningHost, conformance
from theater_bus_llm import Llm

PLACE = socket.socket()  # bound here, since a host is told its endpoints before it runs
PLACE.bind(("127.0.0.1", 0))
atexit.register(PLACE.close)
ENDPOINT = {"url": f"http://127.0.0.1:{PLACE.getsockname()[1]}/v1", "key": "secret:key"}


def request(content: str, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": content, "tool-calls": [], "tool-call-id": None}
    return {
        "model": "main/tiny",
        "messages": [message],
        "tools": [],
        "max-tokens": None,
        "temperature": None,
        "conversation": "c",
        "progress": False,
        **more,
    }


@asynccontextmanager
async def endpoint(host: RunningHost) -> AsyncIterator[Mapping[str, Any] | None]:
    """An endpoint that answers, except to `silence`."""
    over = asyncio.Event()

    async def answer(asked: web.BaseRequest) -> web.StreamResponse:
        if b"silence" in await asked.read():
            await over.wait()
        message = {"role": "assistant", "content": "yes"}
        usage = {"prompt_tokens": 3, "completion_tokens": 1}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, PLACE).start()
    yield None
    over.set()
    await runner.cleanup()


test_conformance = conformance(
    Llm,
    settings={"models": ["main/tiny"]},
    examples=[Example("chat", request("ready?")), Example("left", "c")],
    refused=[
        Example("chat", request("ready?")),
        Example("chat", request("ready?"), settings={"models": ["main/tiny"], "operation_tokens": 1}),
        Example("chat", request("ready?"), settings={"models": ["main/tiny"], "conversations": 0}),
    ],
    waiting=Example("chat", request("silence")),
    prepare=endpoint,
    host={
        "config": {
            "secrets": {"key": {"env": "PATH", "hosts": ["127.0.0.1"]}},
            "capabilities": {"llm": {"endpoints": {"main": ENDPOINT}}},
        }
    },
)
