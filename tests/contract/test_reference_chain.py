"""The published page of the chain is what the code does, and its vectors hold without our code."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import msgpack
import pytest

from theater_bus.core.chain.batch import decode_batch, encode_batch
from theater_bus.core.chain.events import TYPES, decode_event, encode_event
from theater_bus.core.chain.segments import Spilled, load_segment
from theater_bus.core.chain.verify import Verdict, verify

ROOT = Path(__file__).resolve().parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/unit/chain/vectors.json").read_text(encoding="utf-8"))
EVENTS = [bytes.fromhex(vector["event"]) for vector in VECTORS["events"]]
OBJECTS = {bytes.fromhex(digest): bytes.fromhex(data) for digest, data in VECTORS["objects"].items()}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = spec_from_file_location("docs_generators_chain", ROOT / "docs" / "generators" / "chain.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_and_vectors_are_the_rendered_ones(generator: ModuleType) -> None:
    """Run `python docs/generators/chain.py` after changing a layout (and think of the chains that exist)."""
    assert generator.PAGE.read_text(encoding="utf-8") == generator.render()
    assert generator.VECTORS.read_text(encoding="utf-8") == generator.render_vectors()


def test_the_check_by_hand_on_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "reference" / "chain.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["head"].hex() == VECTORS["events"][-1]["hash"]


def test_every_event_type_has_a_vector() -> None:
    assert {vector["type"] for vector in VECTORS["events"]} == set(TYPES)


def test_the_vectors_are_canonical_msgpack_and_decode_to_what_they_were_made_from() -> None:
    for data in EVENTS:
        assert msgpack.packb(msgpack.unpackb(data)) == data
        event = decode_event(data)
        assert encode_event(event.seq, event.parent, event.time_ns, event.body) == data


def test_the_vectors_are_an_intact_chain() -> None:
    report = verify(EVENTS, OBJECTS.get)
    assert (report.verdict, report.events, report.anchored) == (Verdict.INTACT, len(EVENTS), True)


def test_the_segments_of_the_vectors_end_in_the_hashes_of_their_events() -> None:
    for first, count, head in VECTORS["segments"]:
        last = EVENTS[first + count - 1]
        assert hashlib.sha256(b"theater-event-1\0" + last).hexdigest() == head


def test_the_batch_of_the_page_decodes_and_comes_out_again() -> None:
    data = bytes.fromhex(VECTORS["batch"])
    batch = decode_batch(data)
    assert (batch.first, batch.next_seq, batch.epoch, batch.sent_through) == (0, 3, 3, 1)
    assert encode_batch(batch) == data


def test_the_spilled_segment_of_the_page_is_made_whole_by_its_object() -> None:
    spilled = load_segment(msgpack.unpackb(bytes.fromhex(VECTORS["spilled"]["segment"])))
    assert isinstance(spilled, Spilled)
    segment = spilled.unspill(bytes.fromhex(VECTORS["spilled"]["object"]))
    assert list(segment.events) == EVENTS[spilled.first : spilled.first + spilled.count]


def test_the_log_digest_of_the_vectors_is_computed_as_the_page_says() -> None:
    runs = [body for *_, kind, body in map(msgpack.unpackb, EVENTS) if kind == "host-call" and body[1] == "log"]
    framed = b"".join(len(data).to_bytes(4, "little") + data for data in (b"in-1", b"in-2"))
    assert runs == [["theater:simple/runtime", "log", 2, hashlib.sha256(framed).digest(), ["one", "two"]]]
