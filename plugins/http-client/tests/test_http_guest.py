"""`http-client` through a real guest on a real host: recording, secrets, grants, replay without a network."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import ActorError, Cancelled, GuestError, OperationTimeout
from theater_bus.host.replay import Verdict, replay
from theater_bus.plugins import compile_capability
from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.testing import build_guest, guest
from theater_bus_http_client import HttpClient

HERE = Path(__file__).parent
GUEST = guest("fetcher", HERE / "guests")
TYPE = compile_capability("http-client", HttpClient)
PLANTED = "pl4nted-s3cret-value"
INSTALLED = ["http-client", "config"]


def grants(site: Any, **more: Any) -> dict[str, Any]:
    return {"hosts": ["127.0.0.1"], "private": [site.private], **more}


def test_the_guest_imports_what_the_plugin_offers() -> None:
    declared = {one.interface: one.declared for one in GUEST.pact.imports}
    original = declared["theater:simple/http-client"]
    assert original is not None
    assert interface_hash(original) == TYPE.hashes()["theater:simple/http-client"]


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "fetcher.c") == GUEST.wasm


async def test_a_guest_fetches_whole_and_piece_by_piece(start_host: Any, start_site: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201)
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"piece " * 1000)
            await asyncio.sleep(0)
        return response

    site = await start_site(answer)
    host = await start_host(installed=INSTALLED)
    actor = await host.spawn(GUEST, capabilities={"http-client": grants(site)})
    assert await actor.call_function("fetch", [site.url, ""]) == 201
    assert (await actor.get_state())["body"] == b"piece " * 3000
    assert await actor.call_function("drain", [site.url, ""]) >= 1
    assert (await actor.get_state())["body"] == b"piece " * 3000


async def test_a_stream_that_a_guest_leaves_open_ends_with_its_operation(start_host: Any, start_site: Any) -> None:
    site = await start_site()
    host = await start_host(HttpClient)
    actor = await host.spawn(HttpClient, capabilities={"http-client": grants(site)})
    request = {"method": "GET", "uri": site.url, "headers": [], "body": None}
    [opened] = await actor.call_function("open", [request])
    assert opened["ok"]["stream"] == 1
    [refused] = await actor.call_function("read", [1, 100])
    assert refused == {"err": "there is no open stream 1: it has ended, or its operation has"}
    assert host.host.actors[actor.id].capabilities["http-client"]._streams == {}


async def test_a_planted_secret_is_found_at_the_server_and_nowhere_else(
    start_host: Any,
    start_site: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PLANTED_KEY", PLANTED)
    caplog.set_level(logging.DEBUG)
    site = await start_site()
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider)
    host = await start_host(
        installed=INSTALLED,
        telemetry=telemetry,
        data_dir=tmp_path / "data",
        config={"secrets": {"key": {"env": "PLANTED_KEY", "hosts": ["127.0.0.1"]}}},
    )
    capabilities = {"http-client": grants(site), "config": {"secrets": ["key@127.0.0.1"]}}
    actor = await host.spawn(GUEST, capabilities=capabilities, chain={"durability": "file"})
    seen: list[Any] = []
    for function in ("fetch", "drain"):
        await actor.call_function(function, [site.url, "Bearer secret:key"])
        state = await actor.get_state()
        assert b"Authorization: Bearer secret:key" in state["body"]
        seen.append(state)
    for wrong in ("http://127.0.0.1:1/", "http://other.test/"):
        with pytest.raises(GuestError) as caught:
            await actor.call_function("fetch", [wrong, "Bearer secret:key"])
        seen += [caught.value, caught.value.details]
    seen += [*await actor.get_chain().all(), await actor.get_status(), await actor.inspect.manifest()]
    await actor.shutdown()
    await telemetry.flush()
    provider.shutdown()
    assert [headers["authorization"] for _, _, headers, _ in site.requests] == [f"Bearer {PLANTED}"] * 2
    spans = [span.to_json() for span in collector.spans()]
    assert any("http-client/send-http" in span for span in spans)
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert any(b"Bearer secret:key" in data for data in kept)
    assert all(PLANTED.encode() not in data for data in kept)
    assert PLANTED not in "\n".join([caplog.text, *spans, *map(repr, seen), *map(str, seen)])


async def test_what_the_host_grants_cuts_what_the_manifest_asks_for(start_host: Any, start_site: Any) -> None:
    site = await start_site()
    bounds = {"hosts": ["127.0.0.1"], "private": [], "response_bytes": 10}
    host = await start_host(installed=INSTALLED, grants={"http-client": bounds})
    actor = await host.spawn(GUEST, capabilities={"http-client": grants(site)})
    with pytest.raises(GuestError, match=r"not granted by http-client\.private"):
        await actor.call_function("fetch", [site.url, ""])
    wide = await start_host(installed=INSTALLED, grants={"http-client": {**bounds, "private": ["127.0.0.0/8:*"]}})
    actor = await wide.spawn(GUEST, capabilities={"http-client": grants(site)})
    with pytest.raises(GuestError, match=r"http-client\.response_bytes = 10"):
        await actor.call_function("fetch", [site.url, ""])
    assert len(site.requests) == 1


async def test_the_deadline_of_the_operation_ends_a_request_and_the_actor_goes_on(
    start_host: Any, start_site: Any, start_raw: Any
) -> None:
    hung_up = asyncio.Event()
    port = await start_raw(b"", hung_up)
    site = await start_site()
    host = await start_host(installed=INSTALLED)
    settings = {"hosts": ["127.0.0.1"], "private": ["127.0.0.1:*"], "timeout_ms": 600_000}
    actor = await host.spawn(GUEST, capabilities={"http-client": settings})
    with pytest.raises(OperationTimeout):
        await actor.call_function("fetch", [f"http://127.0.0.1:{port}/", ""], timeout=1.5)
    async with asyncio.timeout(10):
        await hung_up.wait()
    assert await actor.call_function("fetch", [site.url, ""]) == 200


async def test_a_recorded_run_replays_without_the_server(start_host: Any, start_site: Any) -> None:
    site = await start_site()
    host = await start_host(installed=INSTALLED)
    actor = await host.spawn(GUEST, capabilities={"http-client": grants(site)})
    assert await actor.call_function("fetch", [site.url, "a"]) == 200
    assert await actor.call_function("drain", [f"{site.url}/b", "c"]) >= 1
    with pytest.raises(GuestError):
        await actor.call_function("fetch", ["http://other.test/", ""])
    segments = [segment async for segment in actor.get_chain().segments()]
    count = len(site.requests)

    async def nothing(_digest: bytes) -> None:
        return None

    report = await replay(segments, nothing, package=GUEST.wasm)
    assert (report.verdict, report.operations) == (Verdict.IDENTICAL, 3), str(report)
    assert len(site.requests) == count == 2


async def test_an_operation_that_is_run_again_under_its_key_sends_the_same_idempotency_key(
    start_host: Any, start_site: Any
) -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if len(site.requests) == 1:
            await go_on.wait()
        return web.Response(text="done")

    site = await start_site(answer)
    host = await start_host(HttpClient)
    actor = await host.spawn(HttpClient, capabilities={"http-client": grants(site, methods=["POST"])})
    request = {"method": "POST", "uri": site.url, "headers": [], "body": b"order"}
    call = asyncio.create_task(actor.call_function("send-http", [request], key="order-1"))
    async with asyncio.timeout(10):
        while not site.requests:
            await actor.get_status()
    assert await actor.cancel("order-1") == "running"
    with pytest.raises(Cancelled):
        await call
    go_on.set()
    for key in ("order-1", "order-2"):
        [done] = await actor.call_function("send-http", [request], key=key)
        assert done["ok"]["status"] == 200
    first, again, other = (headers["idempotency-key"] for _, _, headers, _ in site.requests)
    assert first == again != other


async def test_wrong_arguments_end_the_operation_and_not_the_actor(start_host: Any, start_site: Any) -> None:
    site = await start_site()
    host = await start_host(HttpClient)
    actor = await host.spawn(HttpClient, capabilities={"http-client": grants(site)})
    request = {"method": "GET", "uri": site.url, "headers": [], "body": None}
    for wrong in ([7], [None], [{"method": "GET"}], [{**request, "headers": [["one"]]}], [{**request, "body": "text"}]):
        with pytest.raises(ActorError):
            await actor.call_function("send-http", wrong)
    [answer] = await actor.call_function("send-http", [request])
    assert answer["ok"]["status"] == 200
