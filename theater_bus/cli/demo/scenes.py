"""The scenes of the demo, in their order. Each shows one promise on real guests, and says what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from theater_bus.cli.commands.chain import verdict_text, verified
from theater_bus.cli.demo.megabyte import write_text
from theater_bus.cli.demo.narrator import Narrator
from theater_bus.cli.demo.stage import GUESTS, NAMESPACE, Stage
from theater_bus.cli.event_line import event_line
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.output import shown_bytes, shown_ns
from theater_bus.core.chain.segments import Segment
from theater_bus.core.chain.verify import Verdict
from theater_bus.errors import ActorError, GuestError

if TYPE_CHECKING:
    from theater_bus.client import ActorHandle
    from theater_bus.core.chain.events import Event
    from theater_bus.core.chain.segments import Spilled

__all__ = ["SCENES", "Scene"]

Scene = Callable[[Stage, Narrator], Awaitable[None]]
_CHUNK_BYTES = 64 * 1024
_SHOWN_EVENTS = 9
_PATIENCE_S = 10.0
_WIDE = 50
_FORGED = 3
"""The first event of increment(5); the last byte of its result is one of the state's."""


async def begin(stage: Stage, tell: Narrator) -> None:
    """The parts, and three actors spawned from their manifests."""
    tell.scene("A NATS server, a host, three actors")
    tell.row("nats-server", stage.server.url)
    tell.row("host", f"{stage.host.id}, namespace {NAMESPACE!r}")
    for name in ("counter", "text", "chaos"):
        started = perf_counter()
        actor = await stage.theater.spawn(GUESTS / f"{name}.toml", id=name)
        took_ms = (perf_counter() - started) * 1000
        status = await actor.get_status()
        size = (GUESTS / f"{name}.wasm").stat().st_size
        tell.row(f"spawn {name}.toml", f"{name} is {status.phase} ({shown_bytes(size)} of wasm, {took_ms:.0f} ms)")
        tell.fact("spawn", actor=name, phase=status.phase, wasm_bytes=size, took_ms=round(took_ms, 1))


async def calls(stage: Stage, tell: Narrator) -> None:
    """The same function from Python and as a raw NATS message, with the chain followed live meanwhile."""
    tell.scene("Call it: from Python, and from anything that speaks NATS")
    counter = stage.theater.actor("counter")
    async with _Watcher(counter) as watcher:
        value = await counter.call.increment(5)
        tell.row("await counter.call.increment(5)", str(value), _WIDE)
        tell.fact("call", how="python", function="increment", value=value)
        subject = f"theater.{NAMESPACE}.ops.counter.increment"
        reply = await stage.raw.request_one(subject, b"[37]", timeout_s=5)
        tell.row(f"nats req {subject} '[37]'", reply.data.decode(), _WIDE)
        tell.fact("call", how="raw", subject=subject, sent="[37]", received=reply.data.decode())
        try:
            await counter.call.decrement(1000)
        except GuestError as error:
            tell.row("await counter.call.decrement(1000)", f"GuestError: {error.message}", _WIDE)
            tell.fact("call", how="python", function="decrement", error=error.to_wire())
        same = [await counter.call_function("increment", [1], key="order-4711") for _ in range(3)]
        tell.row("increment(1) three times, one key", f"{same}: it ran once", _WIDE)
        tell.fact("call", how="python", function="increment", key="order-4711", values=same)
        state = await counter.get_state()
        tell.row("the state", str(state), _WIDE)
        await watcher.caught_up()
    seen = watcher.seen
    tell.line()
    tell.line("What the chain received meanwhile, live: number, time, kind, what, hash")
    for event in seen[:_SHOWN_EVENTS]:
        tell.line(event_line(event)[4:])
    tell.fact("live-chain", events=len(seen), last=seen[-1].seq, state=state)


async def text(stage: Stage, tell: Narrator) -> None:
    """A real text of more than a megabyte, by pieces and whole, checked against Python's own count."""
    tell.scene("Give it real work: a megabyte of text")
    path = await asyncio.to_thread(write_text, stage.folder)
    data = await asyncio.to_thread(path.read_bytes)
    tell.line(f"{path.name}: {len(data):,} bytes, Python's language reference and some of its sources")
    actor = stage.theater.actor("text")
    pieces = [data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES)]
    started = perf_counter()
    for piece in pieces:
        await actor.call_function("add", [piece])
    took_ms = (perf_counter() - started) * 1000
    totals = await actor.call_function("totals")
    tell.row(
        f"add(…) in {len(pieces)} pieces", f"{totals['words']:,} words, {totals['lines']:,} lines in {took_ms:.0f} ms"
    )
    started = perf_counter()
    report = await actor.call_function("analyse", [data])
    whole_ms = (perf_counter() - started) * 1000
    words = ", ".join(f"{word} {count:,}" for word, count in report["top"][:4])
    tell.row("analyse(…) in one message", f"most frequent: {words} ({whole_ms:.0f} ms)")
    agrees = totals["lines"] == report["lines"] == data.count(b"\n") and totals["bytes"] == len(data)
    _require(agrees, "the guest counts other lines or bytes than Python does")
    tell.row("Python counts lines and bytes too", "the same")
    tell.fact("text", bytes=len(data), pieces=len(pieces), pieces_ms=took_ms, whole_ms=whole_ms, totals=totals)
    tell.fact("text-report", report=report, agrees=agrees)


async def contain(stage: Stage, tell: Narrator) -> None:
    """A guest that traps, spins and eats memory, while others go on without noticing."""
    tell.scene("Let one misbehave, while the others go on")
    chaos = stage.theater.actor("chaos")
    counter = stage.theater.actor("counter")
    await chaos.call.touch()
    misdeeds: list[tuple[str, list[Any], str]] = [
        ("trap", ["unreachable"], "runs into an unreachable instruction"),
        ("spin", [], "spins forever"),
        ("eat", ["trap"], "takes memory until there is none"),
        ("trap", ["recursion"], "calls itself without end"),
    ]
    async with _bystanders(counter) as latencies:
        for function, params, what in misdeeds:
            seen, started = len(latencies), perf_counter()
            outcome = await _misbehave(chaos, function, params)
            _require(outcome.startswith("guest-trap"), f"a guest that {what} got away with {outcome!r}")
            took_ms = (perf_counter() - started) * 1000
            meanwhile = len(latencies) - seen
            tell.row(f"chaos {what}", f"{outcome} after {took_ms:.0f} ms; meanwhile {meanwhile} calls of counter", 44)
            tell.fact("contain", misdeed=what, outcome=outcome, took_ms=took_ms, others_meanwhile=meanwhile)
    middle_ns, worst_ns = sorted(latencies)[len(latencies) // 2], max(latencies)
    tell.row(
        f"counter, called {len(latencies):,} times all the while",
        f"no error, {shown_ns(middle_ns)} each, {shown_ns(worst_ns)} at worst",
        44,
    )
    count = await chaos.call.count()
    _require(count == 1, f"the state of chaos is {count}, so something was not rolled back")
    tell.row("chaos itself", f"still answers; its state is {count}, all of that was rolled back", 44)
    tell.fact("contained", calls=len(latencies), median_ns=middle_ns, worst_ns=worst_ns, chaos_count=count)


async def verify(stage: Stage, tell: Narrator) -> None:
    """The chains verified from their bytes, and one byte changed to see that it is noticed."""
    tell.scene("Verify what was recorded")
    for name in ("counter", "text", "chaos"):
        report = await verified(stage.theater.actor(name).get_chain().segments())
        tell.line(verdict_text(name, report))
        _require(report.verdict is Verdict.INTACT, f"the chain of {name} is {report.verdict.value}")
        tell.fact("verify", actor=name, **report.as_plain())
    segments = [segment async for segment in stage.theater.actor("counter").get_chain().segments()]
    forged = await verified(_with_a_bit_flipped(segments))
    problem = forged.problem
    if problem is None:
        raise CommandFailed("a chain with a changed bit passed the verification")
    tell.line("And a copy of counter's chain with one bit of one result changed:")
    tell.line(f"{forged.verdict.value} at event {problem.seq}: {problem.reason}")
    tell.fact("forged", **forged.as_plain())


async def trace(stage: Stage, tell: Narrator) -> None:
    """One operation from the caller through NATS into the guest and out through its host calls."""
    from theater_bus.telemetry import render_waterfall

    tell.scene("Look inside one operation: its trace")
    stage.traces.clear()
    await stage.theater.actor("chaos").call.log(2, 20)
    await stage.telemetry.flush()
    await stage.host.telemetry.flush()
    spans = stage.traces.spans()
    ids = {span.context.trace_id for span in spans if span.name.endswith("Actor/log") and span.context is not None}
    if not ids:
        tell.line("no trace came: OTEL_SDK_DISABLED or a sampler of the environment prevents it")
        tell.fact("trace", spans=0)
        return
    found = stage.traces.trace(ids.pop().to_bytes(16, "big"))
    tell.draw(render_waterfall(found))
    tell.fact("trace", spans=[span.name for span in found])


async def _with_a_bit_flipped(segments: list[Segment | Spilled]) -> AsyncIterator[Segment | Spilled]:
    for segment in segments:
        if isinstance(segment, Segment) and segment.first == _FORGED:
            *others, last = segment.events
            changed = last[:-1] + bytes([last[-1] ^ 1])
            yield Segment(segment.first, segment.head, (*others, changed), segment.size_bytes)
        else:
            yield segment


class _Watcher:
    """Events of one actor as they are accepted. Use it as a context manager around what is to be watched."""

    def __init__(self, actor: ActorHandle) -> None:
        self.seen: list[Event] = []
        self._actor = actor
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Watcher:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def caught_up(self) -> None:
        """Return when everything that the chain holds has been seen."""
        last = (await self._actor.get_status()).as_of.sequence
        async with asyncio.timeout(_PATIENCE_S):
            while not self.seen or self.seen[-1].seq < last:
                self._came.clear()
                await self._came.wait()

    async def _follow(self) -> None:
        async with aclosing(self._actor.get_chain().follow()) as events:  # type: ignore[type-var]
            async for event in events:
                self.seen.append(event)
                self._came.set()


@asynccontextmanager
async def _bystanders(counter: ActorHandle) -> AsyncIterator[list[int]]:
    """Four callers of a well-behaved actor, each call timed in nanoseconds; an error of theirs ends the demo."""
    latencies: list[int] = []
    over = asyncio.Event()

    async def call() -> None:
        while not over.is_set():
            started = perf_counter()
            await counter.call_function("get", keyed=False)
            latencies.append(int((perf_counter() - started) * 1e9))
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(call())
        yield latencies
        over.set()


async def _misbehave(chaos: ActorHandle, function: str, params: list[Any]) -> str:
    try:
        await chaos.call_function(function, params, keyed=False)
    except ActorError as error:
        reason = error.details.get("reason")
        return f"{error.code} ({reason})" if reason else error.code
    return "no error"


def _require(promise: bool, otherwise: str) -> None:
    """Raise `CommandFailed`: the demo shows what happens, and must not claim what does not."""
    if not promise:
        raise CommandFailed(otherwise, "run `theater-bus doctor`, and report it if that finds nothing")


SCENES: tuple[Scene, ...] = (begin, calls, text, contain, verify, trace)
