"""Recovery in the core: what an actor comes back as."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from theater_bus.core.chain import bodies, control
from theater_bus.core.chain.events import Event, decode_event
from theater_bus.core.chain.restore import RecoveredActor, restore
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.core.wire.digest import effect_key, operation_digest
from theater_bus.errors import ChainTampered

INCARNATION = bytes(range(16))


def events_of(story: Any) -> list[Event]:
    return [decode_event(event) for event in story.events]


def restored(story: Any, begin: int = 0, sent_through: int = 0) -> RecoveredActor:
    return restore("counter", INCARNATION, events_of(story)[begin:], story.objects.get, sent_through)


def test_a_new_actor_comes_back_as_its_genesis(make_story: Callable[..., Any]) -> None:
    story = make_story(parent_actor="boss")
    found = restored(story)
    assert (found.state, found.phase, found.exited, found.next_seq) == (b"state-0", "running", None, 1)
    assert (found.package, found.manifest, found.grants) == (b"p" * 32, b"m" * 32, b"g" * 32)
    assert (found.abi, found.inline_max, found.head) == ("pack 2", 64, story.writer.head)
    assert found.genesis is not None
    assert found.genesis.parent_actor == "boss"


def test_the_writer_goes_on_where_the_chain_ended(make_story: Callable[..., Any]) -> None:
    story = make_story()
    story.operation("k", state=b"new")
    found = restored(story)
    writer = ChainWriter(
        found.actor, found.incarnation, found.next_seq, found.head, state=found.state, next_outbox=found.next_outbox
    )
    assert (writer.seq, writer.head, writer.state) == (story.writer.seq, story.writer.head, b"new")


def test_keyed_answers_are_in_the_window_and_errors_are_not(make_story: Callable[..., Any]) -> None:
    story = make_story()
    story.operation("k1", b"v" * 65, caller="alice", proof="subject")
    story.operation(b"\x01" * 16, b"no key")
    for code, value in (("guest-trap", None), ("guest-error", None), ("guest-error", b"payload")):
        recording = story.writer.begin(5, "f", b"p" * 70, f"k-{code}", "b", "actor")
        recording.error(6, code, None, "sorry", value)
        story.segments.append(recording.commit())
    found = restored(story)
    answer = hashlib.sha256(b"v" * 65).digest()
    error = hashlib.sha256(b"payload").digest()
    assert found.window == [
        bodies.WindowEntry("alice", "k1", operation_digest("inc", b"params"), answer, 2, False),
        bodies.WindowEntry("@actor.b", "k-guest-error", operation_digest("f", b"p" * 70), error, 10, True),
    ]
    assert found.answers == {2: b"v" * 65, 8: b"sorry", 10: b"payload"}


def test_a_checkpoint_carries_over_and_what_precedes_it_is_passed_over(story: Any) -> None:
    events = [event for event in events_of(story) if event.seq < len(story.events) - 3]
    begin = next(event.seq for event in events if isinstance(event.body, bodies.Checkpoint))
    for first in (0, begin - 1, begin):
        found = restore("counter", INCARNATION, events[first:], story.objects.get)
        assert (found.phase, found.state, found.next_outbox) == ("running", b"state-c", 3)
        assert [entry.key for entry in found.window] == ["k0"]
        assert found.received == {"@actor.b": bodies.Received(b"i" * 16, 9)}
        assert found.snapshots == {"timer": b"ticks"}
        assert (found.unsent, found.later, found.answers) == ([], [], {})
        assert (found.package, found.manifest, found.grants, found.abi) == (b"q" * 32, b"n" * 32, b"h" * 32, "pack 3")


def test_a_pause_holds(make_story: Callable[..., Any]) -> None:
    story = make_story()
    story.write(control.Paused("guest-trap"))
    story.write(control.Recovered(1, None))
    assert restored(story).phase == "paused"


def test_an_exit_is_known_and_a_new_incarnation_begins_empty(story: Any) -> None:
    events = events_of(story)
    ended = restore("counter", INCARNATION, events[:-2], story.objects.get)
    assert ended.exited == "exited"
    again = restore("counter", INCARNATION, events, story.objects.get)
    assert (again.exited, again.incarnation, again.state, again.window) == (None, b"2" * 16, None, [])
    assert (again.next_seq, again.next_outbox) == (len(events), 1)


def queue(story: Any, key: str | bytes, *, code: str | None = None) -> None:
    recording = story.writer.begin(5, "f", b"", key, "alice", "subject", (b"s" * 16, 7))
    recording.log(5, "log", b"", "x")
    recording.log(5, "log", b"", "y")
    recording.host_call(6, "http", "get", b"q", "returned", b"a")
    recording.host_call(7, "msg", "send", b"m" * 70, "queued", b"ok")
    if code is None:
        recording.result(8, b"", None)
    else:
        recording.error(8, code, None, "sorry")
    story.segments.append(recording.commit())


def test_queued_sends_are_numbered_with_their_effect_keys_and_those_settled_are_gone(
    make_story: Callable[..., Any],
) -> None:
    story = make_story()
    queue(story, "k1")
    queue(story, "k2", code="operation-timeout")
    queue(story, "k3", code="guest-error")
    queue(story, b"\x07" * 16)
    outcomes = [e.body.outcome for e in events_of(story) if isinstance(e.body, bodies.HostCall)]
    assert outcomes == ["returned", "queued", "returned", "dropped", "returned", "queued", "returned", "queued"]
    found = restored(story)
    assert [send.number for send in found.unsent] == [1, 2, 3]
    assert found.next_outbox == story.writer.next_outbox == 4
    args = ("counter", INCARNATION, ("alice", "k1"), 3, "msg", "send", b"m" * 70)
    assert found.unsent[0].effect_key.hex() == effect_key(*args)
    args = ("counter", INCARNATION, b"\x07" * 16, 3, "msg", "send", b"m" * 70)  # type: ignore[assignment]
    assert found.unsent[2].effect_key.hex() == effect_key(*args)
    assert (found.unsent[0].time_ns, len(found.later)) == (7, 8)
    assert [send.number for send in restored(story, sent_through=2).unsent] == [3]
    story.write(control.Undelivered(3, "b", "actor-not-found"))
    assert [send.number for send in restored(story).unsent] == [1, 2]


def test_the_highest_number_of_each_sender_is_kept(make_story: Callable[..., Any]) -> None:
    story = make_story()
    sends = [(b"a" * 16, 5), (b"a" * 16, 4), (b"b" * 16, 1), (b"a" * 16, 9)]
    for number, outbox in enumerate(sends):
        story.operation(f"k{number}", caller="b", proof="actor", outbox=outbox)
    story.operation("k9", caller="c", proof="actor", outbox=(b"a" * 16, 2))
    assert restored(story).received == {
        "@actor.b": bodies.Received(b"b" * 16, 1),
        "@actor.c": bodies.Received(b"a" * 16, 2),
    }


def test_a_send_whose_operation_failed_may_come_again(make_story: Callable[..., Any]) -> None:
    story = make_story()
    queue(story, "k", code="guest-trap")
    assert restored(story).received == {}


def test_a_repeated_key_keeps_its_last_answer_and_moves_to_the_end(make_story: Callable[..., Any]) -> None:
    story = make_story()
    for key, value in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        story.operation(key, value)
    assert [(entry.key, entry.seq) for entry in restored(story).window] == [("b", 4), ("a", 6)]


def test_without_a_checkpoint_there_is_no_recovery(make_story: Callable[..., Any]) -> None:
    story = make_story()
    story.operation("k")
    with pytest.raises(ChainTampered, match="no checkpoint or genesis"):
        restored(story, begin=1)
    with pytest.raises(ChainTampered, match="result without a call"):
        restore("counter", INCARNATION, [events_of(story)[0], events_of(story)[2]], dict.fromkeys([b""]).get)


def test_a_payload_that_recovery_needs_must_be_there(make_story: Callable[..., Any]) -> None:
    story = make_story(state=b"s" * 65)
    with pytest.raises(ChainTampered, match="which recovery needs, is missing"):
        restore("counter", INCARNATION, events_of(story), {}.get)
