"""Writes docs/reference/chain.md and the vectors of the chain's tests from the code.

`render()` gives the page, `render_vectors()` the vectors; running the file writes both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap

from theater_bus.core.chain import bodies, control
from theater_bus.core.chain.batch import SEGMENT_MAX, Tail, encode_batch
from theater_bus.core.chain.events import INLINE_MAX, decode_event, event_hash, pack
from theater_bus.core.chain.layout import Record, Stored, positions
from theater_bus.core.chain.recording import LOG_LINES_BYTES, Limits
from theater_bus.core.chain.segments import CHECKPOINT, STATE, Segment, segment_map
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.core.outbox import CAPACITY, CAPACITY_BYTES
from theater_bus.host.chain.frame import FILE_HEADER_BYTES, HEADER_BYTES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "chain.md"
VECTORS = ROOT / "tests" / "unit" / "chain" / "vectors.json"
TEMPLATE = ROOT / "docs" / "generators" / "templates" / "chain.md"

INCARNATION = bytes(range(16))
TIME_NS = 1_700_000_000_000_000_000
LOG = "theater:simple/runtime"

_EVENTS: tuple[type[Record], ...] = (
    bodies.Genesis,
    bodies.Call,
    bodies.HostCall,
    bodies.LogRun,
    bodies.Result,
    bodies.Failure,
    bodies.Checkpoint,
    bodies.Exit,
)
_RECORDS = (Stored, bodies.Origin, bodies.Received, bodies.WindowEntry, bodies.Unsent, control.Version)
_BATCH = (
    ("v", "uint", "1"),
    ("actor", "str", "the actor's id"),
    ("incarnation", "bin 16", "the incarnation of all events in it"),
    ("epoch", "uint", "the owner's epoch"),
    ("segments", "array of maps", "whole segments, in order"),
    ("head", "bin 32", "the hash of the last event"),
    ("prev_stream_seq", "uint", "position of the actor's batch before it; 0 = none"),
    ("state_seq", "uint", "position of the last batch with a state (genesis, checkpoint, `result`); 0 = this one"),
    ("checkpoint_seq", "uint", "position of the last batch with a checkpoint or genesis; 0 = this one"),
    ("sent_through", "uint", "every outbox number up to this one is settled"),
)


def segments() -> list[Segment]:
    """The chain of the vectors: every event type once at least, all values fixed."""
    writer = ChainWriter("counter", INCARNATION)
    made = [
        writer.write(
            TIME_NS,
            bodies.Genesis(
                "counter",
                INCARNATION,
                b"p" * 32,
                b"m" * 32,
                b"g" * 32,
                b"state 0",
                "wasmtime 50.0.1",
                "pack 2",
                64,
                None,
                None,
            ),
        )
    ]
    recording = writer.begin(TIME_NS + 1, "increment", b"five", "key-1", "alice", "subject")
    recording.result(TIME_NS + 2, b"value", b"state 5")
    made.append(recording.commit())
    recording = writer.begin(TIME_NS + 3, "my:app/counter.note", b"x" * 65, b"\x07" * 16, "b", "actor", (b"i" * 16, 4))
    recording.log(TIME_NS + 4, LOG, b"in-1", "one")
    recording.log(TIME_NS + 5, LOG, b"in-2", "two")
    recording.host_call(TIME_NS + 6, "theater:simple/message", "send", b"hello", "queued", b"")
    recording.result(TIME_NS + 7, b"", None)
    made.append(recording.commit((b"t" * 16, b"s" * 8)))
    recording = writer.begin(TIME_NS + 8, "increment", b"much", "key-2")
    recording.error(TIME_NS + 9, "guest-trap", "unreachable", "the guest trapped: unreachable")
    recording.control(TIME_NS + 10, control.FreshInstance("guest-trap"))
    made.append(recording.commit())
    made.append(writer.write(TIME_NS + 11, control.Paused(None)))
    checkpoint = bodies.Checkpoint(
        phase="paused",
        package=b"p" * 32,
        manifest=b"m" * 32,
        grants=b"g" * 32,
        abi="pack 2",
        inline_max=64,
        state=b"state 5",
        window=(bodies.WindowEntry("alice", "key-1", b"r" * 32, b"a" * 32, 2, False),),
        next_outbox=2,
        unsent=(bodies.Unsent(1, "theater:simple/message", "send", b"hello", b"e" * 32, TIME_NS + 6),),
        received={"@actor.b": bodies.Received(b"i" * 16, 4)},
        snapshots={"timer": b"ticks"},
    )
    made.append(writer.write(TIME_NS + 12, checkpoint))
    made.append(writer.write(TIME_NS + 13, control.Resumed()))
    made.append(writer.write(TIME_NS + 14, bodies.Exit("shutdown", None)))
    origin = bodies.Origin("continue", "counter", INCARNATION, writer.seq - 1, writer.head)
    again = bodies.Genesis(
        "counter",
        b"2" * 16,
        b"p" * 32,
        b"m" * 32,
        b"g" * 32,
        b"state 5",
        "wasmtime 50.0.1",
        "pack 2",
        64,
        "boss",
        origin,
    )
    made.append(writer.write(TIME_NS + 15, again))
    return made


def vectors() -> dict[str, object]:
    """The vectors as plain values: events with their hashes, objects, a batch, a spilled segment."""
    made = segments()
    tail = Tail("counter", INCARNATION, epoch=3, sent_through=1)
    spilled, spilled_object = made[2].spill()
    return {
        "events": [
            {"type": decode_event(event).type, "event": event.hex(), "hash": event_hash(event).hex()}
            for segment in made
            for event in segment.events
        ],
        "segments": [[segment.first, segment.count, segment.head.hex()] for segment in made],
        "objects": {digest.hex(): data.hex() for segment in made for digest, data in segment.objects},
        "batch": encode_batch(tail.batch(made[:2], STATE | CHECKPOINT)).hex(),
        "spilled": {"segment": pack(segment_map(spilled)).hex(), "object": spilled_object.hex()},
    }


def render_vectors() -> str:
    """The text of `vectors.json`."""
    return json.dumps(vectors(), indent=1) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _layout(cls: type[Record]) -> str:
    rows = [(name, kind.label, meaning) for name, kind, meaning in positions(cls)]
    return _table(("position", "type", "meaning"), rows) if rows else "No further positions.\n"


def _lead(cls: type[Record]) -> str:
    return (cls.__doc__ or "").partition("\n")[0]


def _bodies() -> Iterator[str]:
    names: dict[type[Record], str] = {bodies.LogRun: "host-call of `log`"}
    for cls in _EVENTS:
        title = names.get(cls, f"{getattr(cls, 'TYPE', '')}")
        yield f"### {title}\n\n{_lead(cls)}\n\n{_layout(cls)}"


def _controls() -> Iterator[str]:
    for word, cls in control.KINDS.items():
        yield f"**`{word}`**: {_lead(cls)}\n\n{_layout(cls)}"


def _records() -> Iterator[str]:
    for cls in _RECORDS:
        yield f"**`{cls.__name__}`**: {_lead(cls)}\n\n{_layout(cls)}"


def _vectors() -> Iterator[str]:
    events = [event for segment in segments() for event in segment.events]
    for event in events:
        found = decode_event(event)
        body = "\n".join(f"    {line}" for line in wrap(event.hex(), 96))
        yield f"Event {found.seq}, {found.type}, hash `{event_hash(event).hex()}`:\n\n{body}\n"


def render() -> str:
    """The text of the page."""
    made, limits = vectors(), Limits()
    spilled = made["spilled"]
    assert isinstance(spilled, dict)
    parts = {
        "inline_max": f"{INLINE_MAX:,}",
        "stored": "`[SHA-256 (bin 32), length]`",
        "bodies": "\n".join(_bodies()),
        "controls": "\n".join(_controls()),
        "records": "\n".join(_records()),
        "batch": _table(("key", "type", "meaning"), ((f"`{key}`", kind, what) for key, kind, what in _BATCH)).rstrip(),
        "segment_max": f"{SEGMENT_MAX:,}",
        "log_bytes": f"{LOG_LINES_BYTES:,}",
        "host_calls": f"{limits.host_calls:,}",
        "outbox": f"{CAPACITY:,}",
        "outbox_bytes": f"{CAPACITY_BYTES:,}",
        "record_bytes": f"{limits.record_bytes:,}",
        "file_header": str(FILE_HEADER_BYTES),
        "header": str(HEADER_BYTES),
        "vectors": "\n".join(_vectors()),
        "batch_vector": "\n    ".join(wrap(str(made["batch"]), 96)),
        "spilled_vector": "\n    ".join(wrap(str(spilled["segment"]), 96)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    VECTORS.write_text(render_vectors(), encoding="utf-8")
