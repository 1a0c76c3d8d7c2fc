"""A chain in one file: everything comes back, and a file that is cut off, forged or something else is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theater_bus.core.chain import archive
from theater_bus.core.chain.archive import read_archive
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import ChainVerifier, Verdict
from theater_bus.errors import ChainTampered


def written(story: Any, spill: int | None = None) -> bytes:
    """The file of a story; with `spill` that segment lies in an object."""
    records = [archive.begin("counter", "default")]
    count = 0
    for number, segment in enumerate(story.segments):
        records += [archive.object_record(data) for _, data in segment.objects]
        shown: Segment | Spilled = segment
        if number == spill:
            shown, data = segment.spill()
            records.append(archive.object_record(data))
        records.append(archive.segment_record(shown))
        count += segment.count
    return b"".join([*records, archive.end(count, story.segments[-1].head, [b"m" * 32])])


def test_what_was_written_comes_back_and_verifies(story: Any) -> None:
    found = read_archive(written(story, spill=2))
    assert (found.actor, found.namespace, found.missing) == ("counter", "default", (b"m" * 32,))
    assert isinstance(found.segments[2], Spilled)
    verifier = ChainVerifier(found.objects.get)
    assert all(verifier.segment(found.whole(segment)) for segment in found.segments)
    report = verifier.report()
    assert (report.verdict, report.events) == (Verdict.INTACT, len(story.events))
    [(digest, data), *_] = story.objects.items()
    assert asyncio.run(found.object(digest)) == data
    assert asyncio.run(found.object(b"x" * 32)) is None
    lost = archive.Archive("counter", "default", found.segments, {}, ())
    assert lost.whole(found.segments[2]) is found.segments[2]


def test_what_is_named_and_not_there_is_absent_and_what_was_changed_is_not_there(story: Any) -> None:
    found = read_archive(written(story, spill=2))
    spilled = found.segments[2]
    assert isinstance(spilled, Spilled)
    packages = {b"p" * 32, b"m" * 32, b"g" * 32}
    assert packages <= set(found.absent())
    assert not set(story.objects) & set(found.absent())
    [(digest, data), *_] = story.objects.items()
    assert data in found.objects.values()
    changed = read_archive(written(story, spill=2).replace(data, bytes([data[0] ^ 1]) + data[1:]))
    assert digest in changed.absent()
    lost = archive.Archive("counter", "default", (spilled,), {}, ())
    assert lost.absent() == (spilled.digest,)
    everything = found.objects | dict.fromkeys(found.absent(), b"")
    assert archive.Archive("counter", "default", found.segments, everything, ()).absent() == ()


def test_a_segment_names_its_payloads_packages_manifests_and_grants(story: Any) -> None:
    named = [digest for segment in story.segments for digest in archive.named(segment)]
    assert set(named) >= set(story.objects)
    assert {b"p" * 32, b"m" * 32, b"g" * 32, b"P" * 32, b"q" * 32, b"n" * 32, b"h" * 32} <= set(named)


@given(st.data())
def test_a_file_that_is_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    whole = b"".join([archive.begin("a", "b"), archive.object_record(b"x" * 40), archive.end(0, bytes(32), [])])
    assert read_archive(whole).objects
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ChainTampered):
        read_archive(whole[:cut])


HEAD = ["theater-chain", {"v": 1, "actor": "a", "namespace": "b"}]
END = ["end", {"count": 0, "head": bytes(32), "missing": []}]


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([], "no exported chain"),
        ([7], "no pair"),
        ([["x"]], "no pair"),
        ([["theater-chain", 7]], "another version"),
        ([["theater-chain", {"v": 2}]], "another version"),
        ([["theater-chain", {"v": 1, "actor": 7, "namespace": "b"}]], "names no actor"),
        ([["theater-chain", {"v": 1, "actor": "a"}]], "names no actor"),
        ([["object", b"x"]], "no exported chain"),
        ([HEAD], "cut off"),
        ([HEAD, ["object", "text"], END], "record of kind 'object'"),
        ([HEAD, ["extra", 1], END], "record of kind 'extra'"),
        ([HEAD, ["segment", {}], END], "segment has the keys"),
        ([HEAD, ["end", 7]], "cannot be read"),
        ([HEAD, ["end", {"count": -1, "head": bytes(32), "missing": []}]], "cannot be read"),
        ([HEAD, ["end", {"count": 0, "head": bytes(32), "missing": [b"x"]}]], "cannot be read"),
        ([HEAD, ["end", {"count": 1, "head": bytes(32), "missing": []}]], "ends with 0 events, and says that it has 1"),
        ([HEAD, ["end", {"count": 0, "head": b"x" * 32, "missing": []}]], "ends with 0 events"),
        ([HEAD, END, END], "goes on behind its end"),
    ],
)
def test_what_is_no_exported_chain_is_refused(records: list[Any], problem: str) -> None:
    with pytest.raises(ChainTampered, match=problem):
        read_archive(b"".join(map(msgpack.packb, records)))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_order(data: bytes) -> None:
    with pytest.raises(ChainTampered):
        read_archive(data)
    with pytest.raises(ChainTampered):
        read_archive(archive.begin("a", "b") + data)
