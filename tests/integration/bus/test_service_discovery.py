"""ADR-32 as `nats micro` speaks it: a host answers PING, INFO and STATS under all three subjects."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from theater_bus.bus import Connection, EmbeddedServer, Endpoint, EndpointStats, ServiceIdentity, ServiceResponder
from theater_bus.errors import ChannelClosed, ConfigurationError

Open = Callable[..., Awaitable[Connection]]
IDENTITY = ServiceIdentity("theater", "host-1", "0.1.0", "a host", {"namespace": "default"})
OPERATIONS = Endpoint("operations", "theater.default.ops.>", metadata={"lane": "ops"})
COUNTED = EndpointStats(OPERATIONS, requests=4, errors=1, last_error="500:oops", processing_time_ns=1000, data={"x": 1})


@pytest.fixture
async def responder(start_server: Callable[..., Awaitable[EmbeddedServer]], connect: Open) -> tuple[Connection, Any]:
    server = await start_server(jetstream=False)
    host, asker = await connect(server.url), await connect(server.url)
    started = datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    responder = ServiceResponder(host, IDENTITY, lambda: [COUNTED, EndpointStats(OPERATIONS)], started=started)
    responder.start()
    responder.start()
    await host.ready()
    return asker, responder


@pytest.mark.parametrize("suffix", ["", ".theater", ".theater.host-1"])
async def test_every_verb_is_answered_once_under_every_subject(responder: Any, suffix: str) -> None:
    asker, _ = responder
    for verb in ("PING", "INFO", "STATS"):
        answers = [m async for m in asker.request_many(f"$SRV.{verb}{suffix}", timeout_s=5, stall_s=0.1)]
        assert [json.loads(m.data)["type"] for m in answers] == [f"io.nats.micro.v1.{verb.lower()}_response"]


async def test_the_answers_are_what_nats_micro_reads(responder: Any) -> None:
    asker, _ = responder

    async def ask(verb: str) -> dict[str, Any]:
        body = json.loads((await asker.request_one(f"$SRV.{verb}.theater.host-1", b"", timeout_s=5)).data)
        assert isinstance(body, dict)
        return body

    ping = ServicePing.from_dict(await ask("PING"))
    assert (ping.name, ping.id, ping.version, ping.metadata) == ("theater", "host-1", "0.1.0", {"namespace": "default"})
    info = ServiceInfo.from_dict(await ask("INFO"))
    assert (info.description, info.endpoints[0].subject) == ("a host", "theater.default.ops.>")
    stats = ServiceStats.from_dict(await ask("STATS"))
    assert stats.started == datetime(2025, 1, 2, 3, 4, 5, 678000)
    first, idle = stats.endpoints
    assert (first.num_requests, first.num_errors, first.average_processing_time, first.data) == (4, 1, 250, {"x": 1})
    assert (first.last_error, idle.num_requests, idle.average_processing_time) == ("500:oops", 0, 0)


async def test_only_inboxes_are_answered(responder: Any, new_inbox: Callable[[], Any]) -> None:
    asker, _ = responder
    inbox = new_inbox()
    asker.subscribe("theater.default.control.x.terminate", inbox)
    await asker.ready()
    asker.publish("$SRV.PING", b"", "theater.default.control.x.terminate")
    asker.publish("$SRV.PING", b"")
    await asker.request_one("$SRV.PING", b"", timeout_s=5)
    await asker.ready()
    assert inbox.messages == []


async def test_after_stop_nobody_answers(responder: Any) -> None:
    asker, answering = responder
    answering.stop()
    answering.stop()
    await answering._connection.flush()
    with pytest.raises(ChannelClosed):
        await asker.request_one("$SRV.PING.theater.host-1", b"", timeout_s=5)


@pytest.mark.parametrize("wrong", [{"name": "a.b"}, {"id": ""}, {"version": "1"}])
def test_an_identity_that_discovery_cannot_carry_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        ServiceIdentity(**{"name": "n", "id": "i", "version": "1.0.0", **wrong})
