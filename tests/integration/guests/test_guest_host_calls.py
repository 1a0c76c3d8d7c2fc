"""The guests that call their host: what they ask arrives, its answers are understood, and waiting is waiting."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from theater_bus.core.values.codec import Err, Ok, import_codec
from theater_bus.core.values.codec_wit import wit_import_codec
from theater_bus.engine import HostImport, Limits
from theater_bus.testing.guests import Guest, guest

CALLER = guest("caller")
RUNTIME = guest("runtime")
START = {"next": "", "calls": 0}


def host_imports(of: Guest, functions: dict[str, Any], codec_of: Any) -> list[HostImport]:
    """Host functions from Python ones, converted by what the guest's pact declares."""
    imports: list[HostImport] = []
    for wanted in of.pact.imports:
        assert wanted.declared is not None
        for function in wanted.declared.functions:
            imports.append(
                HostImport(wanted.interface, function.name, converted(codec_of(function), functions[function.name]))
            )
    return imports


def converted(codec: Any, call: Any) -> Any:
    async def later(parameters: Any) -> bytes:
        return codec.encode_result(await call(*parameters))

    def now(argument: bytes) -> Any:
        parameters = codec.decode_args(argument)
        if inspect.iscoroutinefunction(call):
            return later(parameters)
        return codec.encode_result(call(*parameters))

    return now


class Peer:
    """The host's end of `test:peer/peer`. Peers that it knows answer with twice the argument."""

    def __init__(self, codec_of: Any) -> None:
        self.codec_of = codec_of
        self.asked: list[tuple[Any, ...]] = []
        self.gate = asyncio.Event()

    async def call(self, actor: str, function: str, arg: int) -> Any:
        self.asked.append((actor, function, arg))
        await asyncio.sleep(0)
        return Ok(arg * 2) if actor == "known" else Err(f"there is no actor {actor}")

    async def wait(self, ms: int) -> None:
        self.asked.append(("wait", ms))
        await self.gate.wait()

    def add(self, a: int, b: int) -> int:
        self.asked.append(("add", a, b))
        return a + b

    def imports(self) -> list[HostImport]:
        return host_imports(CALLER, {"call": self.call, "wait": self.wait, "add": self.add}, self.codec_of)


@pytest.fixture
def wasm(wasm_of: Any) -> Any:
    return wasm_of("caller")


@pytest.fixture
def codec_of(kind: str) -> Any:
    """The conversions of host functions for that kind of guest."""
    return import_codec if kind == "module" else wit_import_codec


@pytest.fixture
async def peer(codec_of: Any) -> Peer:
    return Peer(codec_of)


@pytest.fixture
async def caller(load: Any, peer: Peer, wasm: bytes) -> Any:
    return await load(wasm, state=START, imports=peer.imports())


async def test_a_caller_passes_on_what_a_peer_answers(caller: Any, peer: Peer) -> None:
    assert await caller.call("call", "known", "increment", 21) == 42
    assert await caller.call("call-twice", "known", "increment", 10) == 40
    assert peer.asked == [("known", "increment", n) for n in (21, 10, 20)]
    assert await caller.call("calls") == 2


async def test_a_refusal_of_a_peer_becomes_the_callers_own(caller: Any) -> None:
    assert await caller.error("call", "nobody", "get", 1) == "there is no actor nobody"
    assert await caller.error("call-twice", "nobody", "get", 1) == "there is no actor nobody"
    assert await caller.call("calls") == 0


async def test_a_host_function_may_answer_at_once(caller: Any) -> None:
    assert await caller.call("add", 2, 40) == 42
    assert await caller.call("work-between", 3, 1, 2) == 5


async def test_a_waiting_guest_goes_on_when_its_host_does(caller: Any, peer: Peer) -> None:
    running = asyncio.ensure_future(caller.call("wait-then-add", 5, 1, 2))
    while not peer.asked:
        await asyncio.sleep(0)
    assert not running.done()
    peer.gate.set()
    assert await running == 3
    assert await caller.call("wait", 7) == 7
    assert peer.asked == [("wait", 5), ("add", 1, 2), ("wait", 7)]


async def test_instances_wait_side_by_side(load: Any, peer: Peer, wasm: bytes) -> None:
    callers = [await load(wasm, state=START, imports=peer.imports()) for _ in range(50)]
    running = [asyncio.ensure_future(one.call("wait", n)) for n, one in enumerate(callers)]
    while len(peer.asked) < len(callers):
        await asyncio.sleep(0)
    assert not any(one.done() for one in running)
    peer.gate.set()
    assert await asyncio.gather(*running) == list(range(50))


async def test_a_waiting_guest_can_be_cancelled_and_another_goes_on(load: Any, peer: Peer, wasm: bytes) -> None:
    leaving, staying = [await load(wasm, state=START, imports=peer.imports()) for _ in range(2)]
    running = [asyncio.ensure_future(one.run("wait", 1)) for one in (leaving, staying)]
    while len(peer.asked) < 2:
        await asyncio.sleep(0)
    leaving.instance.cancel("cancelled", "nobody waits for it")
    failed = await running[0]
    assert failed.failure is not None
    assert failed.failure.reason == "cancelled"
    assert leaving.instance.closed
    assert not running[1].done()
    peer.gate.set()
    assert (await running[1]).failure is None


async def test_a_ring_counts_its_hops(load: Any, wasm: bytes, peer: Peer) -> None:
    async def call(actor: str, function: str, arg: int) -> Any:
        ring = ring_of[actor]
        outcome = await ring.outcome(function, arg)
        return Ok(outcome.plain()) if outcome.ok else Err(outcome.error)

    peer.call = call  # type: ignore[method-assign]
    imports = peer.imports()
    ring_of = {name: await load(wasm, state=START, imports=imports) for name in "abcd"}
    for name, following in zip("abc", "bcd", strict=True):
        await ring_of[name].call("point-to", following)
    assert await ring_of["a"].call("ring", 3) == 3
    assert await ring_of["d"].call("calls") == 0


async def test_a_waiting_guest_is_small(caller: Any, peer: Peer, load: Any, wasm: bytes) -> None:
    peer.gate.set()
    await caller.call("wait", 1)
    declared = caller.instance.memory_bytes
    assert declared <= 17 * 65536
    small = await load(wasm, state=START, imports=peer.imports(), limits=Limits(memory_bytes=declared))
    assert await small.call("wait", 1) == 1


async def test_a_waiting_module_takes_two_pages(load: Any) -> None:
    peer = Peer(import_codec)
    peer.gate.set()
    small = await load(CALLER.wasm, state=START, imports=peer.imports(), limits=Limits(memory_bytes=131072))
    assert await small.call("wait", 1) == 1
    assert small.instance.memory_bytes == 2 * 65536


class Host:
    """The host's end of `theater:simple/runtime`."""

    def __init__(self, codec_of: Any) -> None:
        self.codec_of = codec_of
        self.lines: list[str] = []
        self.stopped: list[bytes | None] = []
        self.chain = b'[{"seq":1}]'
        self.accepts = True

    def log(self, msg: str) -> None:
        self.lines.append(msg)

    def shutdown(self, data: bytes | None) -> Any:
        self.stopped.append(data)
        return Ok(None) if self.accepts else Err("not now")

    async def get_chain(self) -> bytes:
        return self.chain

    def imports(self) -> list[HostImport]:
        functions = {"log": self.log, "self": lambda: "actor-7", "get-chain": self.get_chain, "shutdown": self.shutdown}
        return host_imports(RUNTIME, functions, self.codec_of)


@pytest.fixture
def host(codec_of: Any) -> Host:
    return Host(codec_of)


@pytest.fixture
async def runtime(load: Any, host: Host, wasm_of: Any) -> Any:
    return await load(wasm_of("runtime"), state=0, imports=host.imports())


async def test_runtime_introduces_itself_at_init(runtime: Any, host: Host) -> None:
    await runtime.call("theater:simple/actor.init")
    assert host.lines == ["hello from actor-7"]
    assert await runtime.call("who") == "actor-7"
    assert await runtime.call("count") == 1


@pytest.mark.parametrize("line", ["", "one", "漢字 " * 2000])
async def test_runtime_logs_what_it_is_given(runtime: Any, host: Host, line: str) -> None:
    await runtime.call("log", line)
    assert host.lines == [line]


async def test_runtime_answers_with_a_chain_of_any_size(runtime: Any, host: Host, load: Any, wasm_of: Any) -> None:
    assert await runtime.call("chain") == host.chain
    host.chain = bytes(300_000)
    small = await load(wasm_of("runtime"), state=0, imports=host.imports(), limits=Limits(memory_bytes=2 << 20))
    for _ in range(20):
        assert await small.call("chain") == host.chain


@pytest.mark.parametrize("data", [None, b"", b"done"])
async def test_runtime_asks_to_be_ended(runtime: Any, host: Host, data: bytes | None) -> None:
    await runtime.call("stop", data)
    assert host.stopped == [data]


async def test_runtime_hears_that_it_may_not_end(runtime: Any, host: Host) -> None:
    host.accepts = False
    assert await runtime.error("stop", b"done") == "not now"
    assert await runtime.call("count") == 0
