"""Segments and batches: the maps that travel, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from theater_bus.core.chain.batch import SEGMENT_MAX, Batch, Tail, decode_batch, encode_batch, segment_max
from theater_bus.core.chain.segments import CHECKPOINT, EXIT, GENESIS, STATE, Segment, Spilled
from theater_bus.errors import ChainTampered

ID = bytes(16)


@pytest.fixture
def batch(story: Any) -> Batch:
    return Tail("counter", ID, epoch=3, sent_through=1).batch(story.segments[:3], STATE | CHECKPOINT)


def test_a_batch_has_exactly_the_keys_of_the_page(batch: Batch) -> None:
    plain = msgpack.unpackb(encode_batch(batch))
    assert list(plain) == [
        "v", "actor", "incarnation", "epoch", "segments", "head", "prev_stream_seq", "state_seq", "checkpoint_seq",
        "sent_through",
    ]  # fmt: skip
    assert list(plain["segments"][0]) == ["first", "count", "head", "events"]
    assert list(plain["segments"][2]) == ["first", "count", "head", "events", "trace"]
    assert (plain["v"], plain["epoch"], plain["sent_through"]) == (1, 3, 1)


def test_a_batch_survives_a_round_trip(batch: Batch) -> None:
    found = decode_batch(encode_batch(batch))
    assert [(s.first, s.count, s.head, s.trace) for s in found.segments] == [
        (s.first, s.count, s.head, s.trace) for s in batch.segments
    ]
    assert [s.events for s in found.segments if isinstance(s, Segment)] == [
        s.events for s in batch.segments if isinstance(s, Segment)
    ]
    assert (found.first, found.next_seq, found.head) == (batch.first, batch.next_seq, batch.head)
    assert encode_batch(found) == encode_batch(batch)


def test_a_spilled_segment_travels_by_digest_and_comes_back(batch: Batch) -> None:
    segment = batch.segments[2]
    assert isinstance(segment, Segment)
    spilled, data = segment.spill()
    found = decode_batch(encode_batch(replace(batch, segments=(spilled,)))).segments[0]
    assert found == spilled
    assert list(msgpack.unpackb(encode_batch(replace(batch, segments=(spilled,))))["segments"][0]) == [
        "first", "count", "head", "digest", "size", "trace",
    ]  # fmt: skip
    back = spilled.unspill(data)
    assert (back.events, back.head, back.trace) == (segment.events, segment.head, segment.trace)


def test_a_spilled_segment_accepts_only_its_own_bytes(batch: Batch) -> None:
    segment = batch.segments[0]
    assert isinstance(segment, Segment)
    spilled, data = segment.spill()
    with pytest.raises(ChainTampered, match="is not what the segment names"):
        spilled.unspill(data + b"\0")
    with pytest.raises(ChainTampered, match="is not what the segment names"):
        spilled.unspill(data[:-1] + b"\0")
    for wrong, reason in ((b"\x80", "events are not an array"), (b"\xc1", "not msgpack")):
        with pytest.raises(ChainTampered, match=reason):
            rehashed(spilled, wrong).unspill(wrong)
    with pytest.raises(ChainTampered, match="1 events where the segment names 2"):
        replace(spilled, count=2).unspill(data)


def rehashed(spilled: Spilled, data: bytes) -> Spilled:
    from hashlib import sha256

    return replace(spilled, digest=sha256(data).digest(), size_bytes=len(data))


def change(plain: dict[str, Any], segment: dict[str, Any] | None = None, **changes: Any) -> bytes:
    if segment is not None:
        changes["segments"] = [{**plain["segments"][0], **segment}]
    return msgpack.packb({**plain, **changes})


def without(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in found.items() if k != key}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda plain: b"\x91\x00", "other keys"),
        (lambda plain: b"", "not msgpack"),
        (lambda plain: change(plain, extra=1), "other keys"),
        (lambda plain: msgpack.packb(without(plain, "epoch")), "other keys"),
        (lambda plain: change(plain, v=2), "version 2"),
        (lambda plain: change(plain, v=True), "version True"),
        (lambda plain: change(plain, actor=b"a"), "actor, incarnation or head"),
        (lambda plain: change(plain, incarnation=b"a"), "actor, incarnation or head"),
        (lambda plain: change(plain, head=b"a"), "actor, incarnation or head"),
        (lambda plain: change(plain, epoch=-1), "epoch"),
        (lambda plain: change(plain, state_seq="1"), "state_seq"),
        (lambda plain: change(plain, segments=[]), "without segments"),
        (lambda plain: change(plain, segments={}), "without segments"),
        (lambda plain: change(plain, segments=[1]), "not a map"),
        (lambda plain: change(plain, {"more": 1}), "has the keys"),
        (lambda plain: change(plain, {"first": -1}), "first or count"),
        (lambda plain: change(plain, {"count": 0}), "first or count"),
        (lambda plain: change(plain, {"head": b""}), "head of a segment"),
        (lambda plain: change(plain, {"count": 2}), "names 2 events and has 1"),
        (lambda plain: change(plain, {"events": []}), "array of bin"),
        (lambda plain: change(plain, {"events": ["x"]}), "array of bin"),
        (lambda plain: change(plain, {"trace": [b"t" * 16]}), "trace"),
        (lambda plain: change(plain, {"trace": [b"t" * 16, "s"]}), "trace"),
        (lambda plain: change(plain, {"trace": [b"t", b"s" * 8]}), "trace"),
        (lambda plain: change(plain, {"trace": None}), "trace"),
        (lambda plain: change(plain, segments=[spill(plain, digest=b"short")]), "digest or size"),
        (lambda plain: change(plain, segments=[spill(plain, size=-1)]), "digest or size"),
    ],
)
def test_what_is_no_batch_is_refused_by_name(
    batch: Batch, make: Callable[[dict[str, Any]], bytes], reason: str
) -> None:
    plain = msgpack.unpackb(encode_batch(batch))
    with pytest.raises(ChainTampered, match=reason):
        decode_batch(make(plain))


def spill(plain: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**without(plain["segments"][0], "events"), "digest": bytes(32), "size": 5, **changes}


def test_a_tail_leads_to_the_last_state_and_checkpoint() -> None:
    tail = Tail("counter", ID)
    segment = Segment(0, b"h" * 32, (b"e",), 1)
    first = tail.batch([segment], GENESIS | STATE | CHECKPOINT)
    assert (first.prev_stream_seq, first.state_seq, first.checkpoint_seq) == (0, 0, 0)
    tail.advance(1, 1, segment.head, GENESIS | STATE | CHECKPOINT)
    second = tail.batch([segment], 0)
    assert (second.prev_stream_seq, second.state_seq, second.checkpoint_seq) == (1, 1, 1)
    tail.advance(2, 2, segment.head, 0)
    third = tail.batch([segment], STATE)
    assert (third.prev_stream_seq, third.state_seq, third.checkpoint_seq) == (2, 0, 1)
    tail.advance(3, 3, segment.head, STATE)
    assert (tail.position, tail.next_seq, tail.state_seq, tail.checkpoint_seq) == (3, 3, 3, 1)


def test_a_tail_knows_whether_the_incarnation_has_ended() -> None:
    tail = Tail("counter", ID)
    tail.advance(1, 1, ID, EXIT)
    assert tail.exited
    tail.advance(2, 2, ID, 0)
    assert tail.exited
    tail.advance(3, 3, ID, GENESIS | STATE)
    assert not tail.exited


def test_the_longest_segment_fits_the_message_or_half_a_megabyte() -> None:
    assert segment_max(1024 * 1024) == SEGMENT_MAX == 520_192
    assert segment_max(65_536) == 61_440
