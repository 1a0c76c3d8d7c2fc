"""Parts of chains for these tests: valid bodies of every layout, and a chain that uses all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from theater_bus.core.chain import control
from theater_bus.core.chain.bodies import Checkpoint, Exit, Genesis, Origin, Received, Unsent, WindowEntry
from theater_bus.core.chain.segments import Segment
from theater_bus.core.chain.writer import ChainWriter

INCARNATION = bytes(range(16))
LOG = "theater:simple/runtime"


def genesis(**changes: object) -> Genesis:
    fields: dict[str, object] = {
        "actor": "counter",
        "incarnation": INCARNATION,
        "package": b"p" * 32,
        "manifest": b"m" * 32,
        "grants": b"g" * 32,
        "state": b"state-0",
        "engine": "wasmtime 50.0.1",
        "abi": "pack 2",
        "inline_max": 64,
        "parent_actor": None,
        "origin": None,
    }
    return Genesis(**{**fields, **changes})  # type: ignore[arg-type]


def checkpoint(**changes: object) -> Checkpoint:
    fields: dict[str, object] = {
        "phase": "running",
        "package": b"P" * 32,
        "manifest": b"M" * 32,
        "grants": b"G" * 32,
        "abi": "pack 2",
        "inline_max": 64,
        "state": b"state-c",
        "window": (WindowEntry("alice", "k0", b"r" * 32, b"a" * 32, 4, False),),
        "next_outbox": 3,
        "unsent": (Unsent(2, "msg", "send", b"input", b"e" * 32, 77),),
        "received": {"@actor.b": Received(b"i" * 16, 9)},
        "snapshots": {"timer": b"ticks"},
    }
    return Checkpoint(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass
class Story:
    """A chain with every kind of event, and the objects it names."""

    writer: ChainWriter
    segments: list[Segment] = field(default_factory=list)

    @property
    def events(self) -> list[bytes]:
        return [event for segment in self.segments for event in segment.events]

    @property
    def objects(self) -> dict[bytes, bytes]:
        return {digest: data for segment in self.segments for digest, data in segment.objects}

    def write(self, body: object) -> None:
        self.segments.append(self.writer.write(1_000, body))  # type: ignore[arg-type]

    def operation(
        self, key: str | bytes = "k", value: bytes = b"value", state: bytes | None = None, **call: object
    ) -> None:
        recording = self.writer.begin(1_001, "inc", b"params", key, **call)  # type: ignore[arg-type]
        recording.result(1_002, value, state)
        self.segments.append(recording.commit())


@pytest.fixture
def make_story() -> Callable[..., Story]:
    def make(**changes: object) -> Story:
        story = Story(ChainWriter("counter", INCARNATION, inline_max=64))
        story.write(genesis(**changes))
        return story

    return make


@pytest.fixture
def story(make_story: Callable[..., Story]) -> Story:
    """Genesis, operations of all endings, control events, a checkpoint, an exit and a second incarnation."""
    story = make_story()
    writer = story.writer
    story.operation("k1", b"v" * 65, b"s" * 70, caller="alice", proof="subject")
    recording = writer.begin(2, "say", b"p" * 90, b"\x07" * 16, "b", "actor", (b"i" * 16, 4))
    recording.log(3, LOG, b"in-1", "one")
    recording.log(3, LOG, b"in-2", "two")
    recording.host_call(4, "msg", "send", b"hello", "queued", b"ok")
    recording.host_call(4, "http", "get", b"url", "raised", None)
    recording.result(5, b"done", b"state-2")
    story.segments.append(recording.commit((b"t" * 16, b"s" * 8)))
    recording = writer.begin(6, "boom", b"", "k2")
    recording.host_call(6, "msg", "send", b"lost", "queued")
    recording.error(7, "guest-trap", "unreachable", "it trapped")
    recording.control(8, control.FreshInstance("guest-trap"))
    recording.control(8, control.Restarted(1, None))
    story.segments.append(recording.commit())
    story.write(control.Paused(None))
    story.write(checkpoint(phase="paused"))
    story.write(control.Resumed())
    story.write(control.HiddenState(3, "different-end"))
    version = control.Version(b"p" * 32, b"m" * 32, b"g" * 32, "pack 2")
    story.write(control.Updated(version, control.Version(b"q" * 32, b"n" * 32, b"h" * 32, "pack 3")))
    story.write(control.Recovered(2, "host-1"))
    story.write(control.Moved(None))
    story.write(control.Undelivered(2, "b", "actor-not-found"))
    story.write(Exit("exited", b"r" * 80))
    story.write(control.Archived(3, b"h" * 32))
    origin = Origin("continue", "counter", INCARNATION, writer.seq - 1, writer.head)
    story.write(genesis(incarnation=b"2" * 16, state=None, parent_actor="boss", origin=origin))
    return story


@pytest.fixture
def sample_genesis() -> Callable[..., Genesis]:
    return genesis


@pytest.fixture
def sample_checkpoint() -> Callable[..., Checkpoint]:
    return checkpoint
