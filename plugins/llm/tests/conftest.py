"""A real server that speaks the OpenAI protocol, whole and streamed, with answers that the test writes."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["start_harness", "start_host", "theater_server"]

PLANTED = "sk-pl4nted-endpoint-key"


class Model:
    """An endpoint. `say` and `call` queue answers, `bodies` and `keys` are what arrived."""

    def __init__(self) -> None:
        self.port = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.pieces = 3
        self.usage: dict[str, int] | None = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.gate: asyncio.Event | None = None
        self._answers: deque[Any] = deque()

    @property
    def url(self) -> str:
        """The address that the operator names."""
        return f"http://127.0.0.1:{self.port}/v1"

    def say(self, text: str, finish: str = "stop") -> None:
        """Answer with words."""
        self._answers.append(({"role": "assistant", "content": text}, finish))

    def call(self, id: str, name: str, arguments: str) -> None:
        """Answer with a call of a tool."""
        function = {"name": name, "arguments": arguments}
        call = {"id": id, "type": "function", "function": function}
        self._answers.append(({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"))

    def raw(self, response: Callable[[], web.StreamResponse]) -> None:
        """Answer with anything."""
        self._answers.append(response)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        body = await request.json()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if not self._answers:
            return web.json_response({"error": {"message": "nothing to say", "type": "server_error"}}, status=503)
        answer = self._answers.popleft()
        if callable(answer):
            made: web.StreamResponse = answer()
            return made
        message, finish = answer
        if body.get("stream"):
            return await self._stream(request, body, message, finish)
        if self.gate is not None:
            await self.gate.wait()
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({"id": "chatcmpl-1", "choices": [choice], "usage": self.usage})

    async def _stream(
        self, request: web.Request, body: dict[str, Any], message: dict[str, Any], finish: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def event(choices: list[Any], **more: Any) -> None:
            await response.write(f"data: {json.dumps({'choices': choices, **more})}\r\n\r\n".encode())

        await response.write(b": a comment\n\n")
        await event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for delta in self._deltas(message):
            await event([{"index": 0, "delta": delta, "finish_reason": None}])
            if self.gate is not None:
                await self.gate.wait()
        await event([{"index": 0, "delta": {}, "finish_reason": finish}])
        if self.usage is not None and body.get("stream_options", {}).get("include_usage"):
            await event([], usage=self.usage)
        await response.write(b"data: [DONE]\n\n")
        return response

    def _deltas(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = [{"content": piece} for piece in _cut(message["content"] or "", self.pieces)]
        for index, call in enumerate(message.get("tool_calls", ())):
            function = call["function"]
            deltas.append({"tool_calls": [{**call, "index": index, "function": {"name": function["name"]}}]})
            for piece in _cut(function["arguments"], self.pieces):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        return deltas


def _cut(text: str, pieces: int) -> list[str]:
    size = -(-len(text) // pieces) or 1
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest_asyncio.fixture
async def start_model() -> AsyncIterator[Callable[[], Awaitable[Model]]]:
    """`model = await start_model()`: stopped at the test's end."""
    async with AsyncExitStack() as stack:

        async def start() -> Model:
            model = Model()
            application = web.Application()
            application.router.add_post("/v1/chat/completions", model.answer)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            model.port = runner.addresses[0][1]
            return model

        yield start


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`operator(model)`: a host's configuration with the endpoint `main`, its key and the prices of `tiny`."""
    monkeypatch.setenv("PLANTED_ENDPOINT_KEY", PLANTED)

    def tables(model: Model, **more: Any) -> dict[str, Any]:
        endpoint = {
            "url": model.url,
            "key": "secret:main-key",
            "models": {"tiny": {"input": 2.0, "output": 4.0}, "free": {}},
            **more,
        }
        return {
            "secrets": {"main-key": {"env": "PLANTED_ENDPOINT_KEY", "hosts": ["127.0.0.1"]}},
            "capabilities": {"llm": {"endpoints": {"main": endpoint}}},
        }

    return tables


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """`ask("hello", progress=True)`: a chat request as a guest gives it."""

    def request(content: str = "hello", **more: Any) -> dict[str, Any]:
        user: dict[str, Any] = {"role": "user", "content": content, "tool-calls": [], "tool-call-id": None}
        return {
            "model": "main/tiny",
            "messages": [user],
            "tools": [],
            "max-tokens": None,
            "temperature": None,
            "conversation": "c",
            "progress": False,
            **more,
        }

    return request
