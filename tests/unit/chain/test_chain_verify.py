"""Verification: every way to cut a chain verifies, every changed byte is found."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theater_bus.core.chain import bodies, control
from theater_bus.core.chain.batch import Batch, Tail, decode_batch, encode_batch
from theater_bus.core.chain.events import ZERO, Body, encode_event, event_hash, sha256
from theater_bus.core.chain.layout import Stored
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import ChainVerifier, Problem, Verdict, verify
from theater_bus.errors import ChainTampered

shared_fixtures = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def batches_of(story: Any, sizes: Sequence[int] = ()) -> list[Batch]:
    """The story in batches of these sizes, then one segment each; a genesis begins a batch."""
    tail, found, waiting = Tail("counter", story.writer.incarnation), [], list(story.segments)
    incarnations = iter([bytes(range(16)), b"2" * 16])
    plan = list(sizes)
    while waiting:
        size = plan.pop(0) if plan else 1
        taken = [waiting.pop(0)]
        if b"\xa7genesis" in taken[0].events[0]:
            tail.incarnation = next(incarnations)
        while waiting and len(taken) < size and b"\xa7genesis" not in waiting[0].events[0]:
            taken.append(waiting.pop(0))
        found.append(tail.batch(taken, 0))
    return found


def relinked(*chain: Body, first: int = 0, parent: bytes = ZERO) -> list[bytes]:
    events = []
    for seq, body in enumerate(chain, first):
        events.append(encode_event(seq, parent, 1, body))
        parent = event_hash(events[-1])
    return events


def as_segment(events: Sequence[bytes], first: int) -> Segment:
    return Segment(first, event_hash(events[-1]), tuple(events), sum(map(len, events)))


def test_a_whole_chain_is_intact_with_its_payloads(story: Any) -> None:
    found = verify(story.segments, story.objects.get)
    assert (found.verdict, found.problem, found.missing) == (Verdict.INTACT, None, ())
    assert (found.events, found.segments) == (len(story.events), len(story.segments))
    assert (found.first_seq, found.next_seq, found.head) == (0, len(story.events), story.writer.head)
    assert found.anchored
    assert found.incarnations == (bytes(range(16)), b"2" * 16)


def test_the_report_is_plain_for_machines(story: Any) -> None:
    plain = verify(story.segments, story.objects.get).as_plain()
    assert (plain["verdict"], plain["head"], plain["first_problem"]) == ("intact", story.writer.head.hex(), None)
    broken = verify([story.segments[1], story.segments[0]]).as_plain()
    assert broken["first_problem"] == {"seq": 0, "reason": "the sequence goes on with 0 after 2"}
    assert verify([]).as_plain()["head"] is None


@shared_fixtures
@given(sizes=st.lists(st.integers(1, 6), max_size=8))
def test_any_batching_verifies(story: Any, sizes: list[int]) -> None:
    batches = [decode_batch(encode_batch(batch)) for batch in batches_of(story, sizes)]
    assert verify(batches, story.objects.get).verdict is Verdict.INTACT


@shared_fixtures
@given(data=st.data())
def test_events_segments_and_batches_verify_in_any_mixture_and_spilled_or_not(story: Any, data: st.DataObject) -> None:
    objects, chain = dict(story.objects), []
    for batch in batches_of(story):
        (segment,) = batch.segments
        assert isinstance(segment, Segment)
        form = data.draw(st.sampled_from(["batch", "segment", "events", "spilled"]))
        if form == "spilled":
            spilled, raw = segment.spill()
            objects[spilled.digest] = raw
            chain.append(spilled)
        else:
            chain += {"batch": [batch], "segment": [segment], "events": list(segment.events)}[form]
    found = verify(chain, objects.get)
    assert (found.verdict, found.events) == (Verdict.INTACT, len(story.events))


@shared_fixtures
@given(data=st.data())
def test_any_single_changed_byte_of_an_event_is_found(story: Any, data: st.DataObject) -> None:
    segments = list(story.segments)
    number = data.draw(st.integers(0, len(segments) - 1))
    segment = segments[number]
    index = data.draw(st.integers(0, segment.count - 1))
    event = bytearray(segment.events[index])
    event[data.draw(st.integers(0, len(event) - 1))] ^= data.draw(st.integers(1, 255))
    events = (*segment.events[:index], bytes(event), *segment.events[index + 1 :])
    segments[number] = replace(segment, events=events)
    found = verify(segments, story.objects.get)
    assert found.verdict is Verdict.CORRUPT
    assert found.problem is not None


@shared_fixtures
@given(data=st.data())
def test_any_single_changed_byte_of_a_payload_is_found(story: Any, data: st.DataObject) -> None:
    objects = dict(story.objects)
    digest = data.draw(st.sampled_from(sorted(objects)))
    changed = bytearray(objects[digest])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    objects[digest] = bytes(changed)
    found = verify(story.segments, objects.get)
    assert found.problem is not None
    assert "is not what the event names" in found.problem.reason


@pytest.mark.parametrize("change", ["head", "first"])
def test_a_changed_segment_map_is_found(story: Any, change: str) -> None:
    segments = list(story.segments)
    segments[1] = replace(segments[1], **{change: {"head": ZERO, "first": 7}[change]})
    assert verify(segments, story.objects.get).verdict is Verdict.CORRUPT


def test_a_changed_batch_map_is_found(story: Any) -> None:
    whole = batches_of(story)
    for changes, reason in (
        ({"head": ZERO}, "head of the batch"),
        ({"incarnation": b"x" * 16}, "another incarnation"),
        ({"actor": "other"}, "a batch of 'other'"),
    ):
        found = verify([whole[0], replace(whole[1], **changes)], story.objects.get)
        assert found.problem is not None
        assert reason in found.problem.reason


def test_a_genesis_of_another_actor_is_found(story: Any) -> None:
    found = verify([replace(batches_of(story)[0], actor="other")], story.objects.get)
    assert found.problem == Problem(0, "a genesis of 'counter' in the chain of 'other'")


def test_a_missing_payload_makes_it_incomplete_not_corrupt(story: Any) -> None:
    objects = story.objects
    gone = sorted(objects)[0]
    del objects[gone]
    found = verify(story.segments, objects.get)
    assert (found.verdict, found.missing, found.problem) == (Verdict.INCOMPLETE, (gone,), None)
    assert found.as_plain()["missing"] == [gone.hex()]


def test_a_missing_spilled_segment_is_passed_over_by_its_head(story: Any) -> None:
    spilled = [segment.spill()[0] for segment in story.segments]
    chain: list[Segment | Spilled] = [spilled[0], *story.segments[1:3], spilled[3], *story.segments[4:]]
    for lookup in (None, story.objects.get):
        found = verify(chain, lookup)
        assert (found.verdict, found.problem) == (Verdict.INCOMPLETE, None)
        assert found.missing == (spilled[0].digest, spilled[3].digest)
        assert (found.first_seq, found.next_seq) == (0, len(story.events))


def test_a_spilled_segment_must_be_the_next_one(story: Any) -> None:
    found = verify([story.segments[0], story.segments[3].spill()[0]])
    assert found.problem is not None
    assert "goes on with 8 after 0" in found.problem.reason


def test_a_chain_whose_beginning_is_gone_verifies_without_an_anchor(story: Any) -> None:
    found = verify(story.segments[2:], story.objects.get)
    assert (found.verdict, found.first_seq, found.anchored) == (Verdict.INTACT, 3, False)


def test_a_batch_in_the_middle_tells_the_incarnation(story: Any) -> None:
    assert verify(batches_of(story)[2:4], story.objects.get).incarnations == (bytes(range(16)),)


def test_a_known_head_anchors_what_follows(story: Any) -> None:
    head = story.segments[1].head
    found = verify(story.segments[2:], story.objects.get, after=(2, head))
    assert (found.verdict, found.anchored, found.first_seq) == (Verdict.INTACT, True, 3)
    forged = verify(story.segments[2:], story.objects.get, after=(2, ZERO))
    assert forged.problem == Problem(3, "parent is not the hash of the event before it")


def test_after_a_problem_nothing_counts_any_more(story: Any) -> None:
    verifier = ChainVerifier(story.objects.get)
    assert verifier.segment(story.segments[0])
    assert not verifier.segment(story.segments[2])
    assert not verifier.segment(story.segments[1])
    assert not verifier.fail(ChainTampered("later"))
    report = verifier.report()
    assert (report.events, report.problem) == (1, Problem(3, "the sequence goes on with 3 after 0"))


def test_verified_events_are_handed_on(story: Any) -> None:
    taken: list[int] = []
    verifier = ChainVerifier(take=lambda event: taken.append(event.seq))
    for segment in story.segments:
        verifier.segment(segment)
    assert taken == list(range(len(story.events)))


CALL = bodies.Call("f", b"", "k", "", "none", None)
RESULT = bodies.Result("f", b"", None)
HOST = bodies.HostCall("i", "g", b"", "returned", None)
EXIT = bodies.Exit("exited", None)


@pytest.mark.parametrize(
    ("chain", "seq", "reason"),
    [
        ([control.Resumed()], 0, "begins with a genesis"),
        ([CALL, CALL], 2, "call inside an operation"),
        ([CALL, EXIT], 2, "exit inside an operation"),
        ([RESULT], 1, "result of 'f', which does not run"),
        ([CALL, bodies.Failure("g", "c", None, "m", None)], 2, "error of 'g', which does not run"),
        ([HOST], 1, "a host call outside"),
        ([EXIT, CALL], 2, "call after the exit"),
        ([EXIT, control.Archived(1, ZERO), EXIT], 3, "exit after the exit"),
        (["genesis"], 1, "a genesis before the exit"),
        ([bodies.Result("f", Stored(ZERO, 64), None)], 1, "does not run"),
        ([CALL, bodies.Result("f", Stored(ZERO, 64), None)], 2, "64 bytes are stored where inline_max is 64"),
        ([CALL, bodies.Result("f", b"v" * 65, None)], 2, "a bin of 65 where inline_max is 64"),
        (["checkpoint"], 1, "inline_max 99 where the incarnation began with 64"),
    ],
)
def test_events_out_of_order_are_found(
    sample_genesis: Callable[..., bodies.Genesis],
    sample_checkpoint: Callable[..., bodies.Checkpoint],
    chain: list[Any],
    seq: int,
    reason: str,
) -> None:
    named = {"genesis": sample_genesis(), "checkpoint": sample_checkpoint(inline_max=99)}
    whole = [named[body] if isinstance(body, str) else body for body in chain]
    begin = [] if seq == 0 else [sample_genesis()]
    found = verify(relinked(*begin, *whole))
    assert found.problem is not None
    assert found.problem.seq == seq
    assert reason in found.problem.reason


def test_a_genesis_at_zero_has_no_parent(sample_genesis: Callable[..., bodies.Genesis]) -> None:
    found = verify(relinked(sample_genesis(), parent=b"x" * 32))
    assert found.problem == Problem(0, "a chain begins with a genesis that has no parent")


def test_segments_hold_one_operation_or_one_event(sample_genesis: Callable[..., bodies.Genesis]) -> None:
    events = relinked(sample_genesis(), CALL, HOST, RESULT, CALL, RESULT, control.Resumed(), control.Resumed())
    genesis = as_segment(events[:1], 0)
    for cut, reason in (
        ([as_segment(events[1:3], 1)], "ends inside an operation"),
        ([as_segment(events[1:6], 1)], "more than one operation"),
        ([as_segment(events[1:4], 1), as_segment(events[4:6], 4), as_segment(events[6:8], 6)], "more than one"),
    ):
        found = verify([genesis, *cut])
        assert found.problem is not None
        assert reason in found.problem.reason
    found = verify([genesis, events[1], as_segment(events[2:4], 2)])
    assert found.problem == Problem(2, "a segment begins inside an operation")


def test_a_checkpoint_in_the_middle_tells_the_bound(sample_checkpoint: Callable[..., bodies.Checkpoint]) -> None:
    events = relinked(sample_checkpoint(), CALL, bodies.Result("f", b"v" * 65, None), first=5, parent=sha256(b"x"))
    found = verify(events)
    assert found.problem is not None
    assert "inline_max is 64" in found.problem.reason
