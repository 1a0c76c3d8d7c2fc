"""Every setting of a host and of a manifest has the effect that its reference page says."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from theater_bus.bus import Message, TlsSettings
from theater_bus.capability import Capability, blocking
from theater_bus.core.wire.function import encode_function
from theater_bus.core.wire.response import decode_reply
from theater_bus.errors import Internal, OperationTimeout, Overloaded
from theater_bus.host.settings import HostSettings
from theater_bus.testing import running_host

from .conftest import Stage, eventually, one_kind, packed

BYTES = encode_function("test:echo/plain.bytes")


async def test_a_host_s_maxima_cut_what_manifests_ask_for(stage: Stage, kind: str) -> None:
    host = await stage.host(max_memory_bytes=2 << 20, max_cpu_ms=40, max_timeout_ms=500)
    asked = "[limits]\nmemory_bytes = 268_435_456\ncpu_ms = 60_000\ntimeout_ms = 60_000\n"
    await stage.spawn(host, "a", guest_name="chaos", manifest=asked)
    limits = (await stage.info("a", "manifest"))["manifest"]["limits"]
    assert (limits["memory_bytes"], limits["cpu_ms"], limits["timeout_ms"]) == (2 << 20, 40, 500)
    spun = await stage.error(stage.call("a", "spin"))
    assert isinstance(spun, Internal)
    assert spun.details["reason"] == "cpu-limit"
    ate = await stage.error(stage.call("a", "eat", "trap"))
    assert isinstance(ate, Internal)
    assert ate.details["reason"] == ("memory-limit" if kind == "module" else "unreachable")


async def test_no_operation_gets_more_time_than_the_host_s_maximum_also_when_its_caller_asks(stage: Stage) -> None:
    host = await stage.host(max_timeout_ms=150)
    await stage.spawn(host, "a")
    envelopes: tuple[dict[str, Any], ...] = ({}, {"timeout_ms": 60_000})
    for envelope in envelopes:
        started = time.monotonic()
        error = await stage.error(stage.call("a", "wait", "forever", **envelope))
        assert isinstance(error, OperationTimeout)
        assert error.ran == "rolled-back"
        assert time.monotonic() - started < 5


@one_kind
async def test_heartbeats_come_as_often_as_they_are_set_and_say_what_the_host_has(stage: Stage) -> None:
    host = await stage.host(heartbeat_ms=100, max_actors=7)
    await stage.spawn(host, "a")
    beats: list[dict[str, Any]] = []

    def heard(message: Message) -> None:
        beats.append(decode_reply(message.data).value)

    stage.connection.subscribe(f"theater.{stage.namespace}.beat.{host.id}", heard)
    await eventually(lambda: len(beats) >= 3, timeout_s=3)
    assert beats[-1]["phases"] == {"running": 1}
    assert beats[-1]["capacity"] == {"actors": 7}
    assert (beats[-1]["interval_ms"], beats[-1]["draining"]) == (100, False)


class Slow(Capability):
    """Blocks, and counts how many do at once."""

    name = "slow"
    pact = """
@package: string = "test:slow"

interface slow {
    exports { block: func() -> u32 }
}
"""
    lock = Lock()
    now = 0
    most = 0

    @blocking
    def block(self) -> int:
        cls = type(self)
        with cls.lock:
            cls.now += 1
            cls.most = max(cls.most, cls.now)
        time.sleep(0.05)
        with cls.lock:
            cls.now -= 1
        return cls.most


@pytest.mark.parametrize("threads", [1, 3])
async def test_so_many_host_functions_block_at_once_as_there_are_threads_for_them(threads: int) -> None:
    counting: Any = type("Counting", (Slow,), {"lock": Lock(), "now": 0, "most": 0})
    async with running_host(counting, blocking_threads=threads) as host:
        actors = [await host.spawn(counting) for _ in range(5)]
        await asyncio.gather(*(actor.call_function("block") for actor in actors))
    assert counting.most == threads


def test_tls_settings_reach_the_bus(tmp_path: Path) -> None:
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    settings = HostSettings(tls_ca=ca, tls_cert=cert, tls_key=key, tls_hostname="bus.test", tls_handshake_first=True)
    assert settings.bus().tls == TlsSettings(ca, cert, key, "bus.test", True)
    assert HostSettings().bus().tls is None


async def test_payloads_over_inline_max_are_kept_by_digest(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", guest_name="echo", state="none", manifest="[chain]\ninline_max = 256\n")
    for size in (100, 1000):
        await stage.call("a", BYTES, bytes(size))
    bodies: list[Any] = [event.body for event in await stage.events("a") if event.type == "result"]
    assert [isinstance(body.value, bytes) for body in bodies[-2:]] == [True, False]


async def test_the_ring_of_a_memory_actor_keeps_its_bytes_and_no_more(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", guest_name="echo", state="none", manifest="[chain]\nkeep_bytes = 4096\n")
    for _ in range(10):
        await stage.call("a", BYTES, bytes(1000))
    page = await stage.info("a", "chain")
    kept = sum(len(event) for segment in page["segments"] for event in segment["events"])
    assert 2048 < kept <= 4096
    assert page["segments"][0]["first"] > 0


async def test_an_operation_that_records_too_much_is_rolled_back(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", guest_name="echo", state="none", manifest="[limits]\nrecord_bytes = 2048\n")
    assert await stage.call("a", BYTES, bytes(500)) == bytes(500)
    error = await stage.error(stage.call("a", BYTES, bytes(1500)))
    assert isinstance(error, Internal)
    assert (error.details["reason"], error.ran) == ("record-limit", "rolled-back")
    assert await stage.call("a", BYTES, b"x") == b"x"


@pytest.mark.parametrize(("setting", "bound"), [("enqueues = 2", 2), ("enqueue_bytes = 1024", 4)])
async def test_capabilities_have_bounds_of_their_own_in_the_mailbox(stage: Stage, setting: str, bound: int) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", manifest=f"[mailbox]\n{setting}\n")
    await stage.control("a", "pause")
    context = stage.gates.instances["a"].context
    for _ in range(bound):
        context.enqueue("test:peer/peer-client.poke")
    with pytest.raises(Overloaded, match=setting.split()[0]):
        context.enqueue("test:peer/peer-client.poke")
    waiting = stage.start(stage.call("a", "add", 1))
    await eventually(lambda: len(host.actors["a"].mailbox) == bound + 1)
    await stage.control("a", "resume")
    await waiting


@one_kind
async def test_callers_have_a_bound_in_bytes(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a", guest_name="echo", state="none", manifest="[mailbox]\nbytes = 8192\n")
    await stage.control("a", "pause")
    waiting = [stage.start(stage.call("a", BYTES, bytes(3000))) for _ in range(2)]
    await eventually(lambda: len(host.actors["a"].mailbox) == 2)
    error = await stage.error(stage.ask(stage.subject("a", BYTES), packed({"v": 1, "params": [bytes(3000)]})))
    assert isinstance(error, Overloaded)
    assert error.details["bound"] == "mailbox.bytes"
    await stage.control("a", "resume")
    await asyncio.gather(*waiting)
