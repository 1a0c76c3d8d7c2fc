"""Components that ask others over HTTP: through the capability http-client and its grants, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from theater_bus.core.chain.bodies import HostCall

from .conftest import capabilities_of

NAMES = ("web-python", "web-javascript")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """A web server on this machine, `HOST:PORT`; it answers with what it was asked."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/broken":
            broken = web.StreamResponse(headers={"content-length": "100000"})
            await broken.prepare(request)
            await broken.write(b"x" * 10)
            assert request.transport is not None
            request.transport.close()
            return broken
        text = f"{request.method} {request.path_qs} {request.headers.get('x-from')} {await request.text()}"
        return web.Response(text=text * (300 if request.path == "/long" else 1), status=201)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def spawn(components: Any, name: str, site: str, **grants: Any) -> Any:
    client = {"hosts": ["127.0.0.1"], "private": [site], "methods": ["GET", "POST"], **grants}
    return await components.spawn(name, capabilities=capabilities_of(name) | {"http-client": client})


async def ask(actor: Any, url: str, method: str = "GET", body: bytes = b"") -> Any:
    return await actor.handle_wasi_http_request(method, "http", "example.com", f"/fetch?{url}", [], body)


@pytest.mark.parametrize("name", NAMES)
async def test_a_guest_fetches_what_its_grants_allow(components: Any, site: str, name: str) -> None:
    actor = await spawn(components, name, site)
    answer = await ask(actor, f"http://{site}/a?b=c")
    assert (answer.status, answer.body) == (201, b"GET /a?b=c guest ")
    answer = await ask(actor, f"http://{site}/a", "POST", b"content")
    assert (answer.status, answer.body) == (201, b"POST /a guest content")
    answer = await ask(actor, f"http://{site}/long", "POST", b"x" * 1000)
    assert (answer.status, len(answer.body)) == (201, 300 * len(b"POST /long guest ") + 300_000)
    called = [event.body async for event in actor.get_chain() if isinstance(event.body, HostCall)]
    assert "wasi:http/outgoing-handler" in {one.interface.partition("@")[0] for one in called}


async def test_what_was_fetched_replays_without_a_network(components: Any, site: str) -> None:
    actor = await spawn(components, "web-python", site)
    await ask(actor, f"http://{site}/a", "POST", b"content")
    report = await components.running.replay(actor)
    assert report.is_identical, report


async def test_an_answer_that_breaks_off_is_an_error_of_its_stream(components: Any, site: str) -> None:
    actor = await spawn(components, "web-python", site)
    answer = await ask(actor, f"http://{site}/broken")
    assert (answer.status, answer.body) == (403, b"StreamError_LastOperationFailed")
    assert (await ask(actor, f"http://{site}/a")).status == 201


async def test_what_is_not_granted_is_denied_in_the_words_of_wasi(components: Any, site: str) -> None:
    elsewhere = await spawn(components, "web-python", site, hosts=["example.com"])
    answer = await ask(elsewhere, f"http://{site}/a")
    assert (answer.status, answer.body) == (502, b"ErrorCode_HttpRequestDenied ")
    nothing = await components.one("web-python")
    answer = await ask(nothing, f"http://{site}/a")
    assert (answer.status, answer.body) == (403, b"ErrorCode_HttpRequestDenied")
    dead = await spawn(components, "web-python", "127.0.0.1:1")
    answer = await ask(dead, "http://127.0.0.1:1/a")
    assert answer.status == 502
    assert b"cannot connect to 127.0.0.1" in answer.body
