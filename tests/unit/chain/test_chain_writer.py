"""The writer: what a recording becomes, what counts, and what is undone."""

import hashlib
from collections.abc import Callable

import pytest

from theater_bus.core.chain import bodies, control
from theater_bus.core.chain.events import decode_event, event_hash
from theater_bus.core.chain.layout import Stored
from theater_bus.core.chain.recording import Limits, LogLines
from theater_bus.core.chain.segments import CHECKPOINT, EXIT, GENESIS, STATE
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.errors import ChainTampered, ConfigurationError, Internal

ID = bytes(16)


@pytest.fixture
def writer() -> ChainWriter:
    return ChainWriter("counter", ID, inline_max=64)


def bodies_of(events: tuple[bytes, ...]) -> list[object]:
    return [decode_event(event).body for event in events]


def test_an_operation_is_a_segment_of_linked_events(writer: ChainWriter) -> None:
    recording = writer.begin(10, "inc", b"params", "key", "alice", "subject", (ID, 3))
    recording.host_call(11, "http", "get", b"in", "returned", b"out")
    recording.result(12, b"value", b"state")
    assert (writer.seq, writer.state) == (0, None)
    segment = recording.commit((b"t" * 16, b"s" * 8))
    events = [decode_event(event) for event in segment.events]
    assert [event.body for event in events] == [
        bodies.Call("inc", b"params", "key", "alice", "subject", bodies.Received(ID, 3)),
        bodies.HostCall("http", "get", b"in", "returned", b"out"),
        bodies.Result("inc", b"value", b"state"),
    ]
    assert [event.time_ns for event in events] == [10, 11, 12]
    assert [event.seq for event in events] == [0, 1, 2]
    assert events[2].parent == event_hash(segment.events[1])
    assert (segment.first, segment.count, segment.head) == (0, 3, event_hash(segment.events[2]))
    assert (segment.marks, segment.trace) == (STATE, (b"t" * 16, b"s" * 8))
    assert (writer.seq, writer.head, writer.state) == (3, segment.head, b"state")


def test_the_state_is_recorded_only_when_its_bytes_changed(writer: ChainWriter) -> None:
    seen = []
    for state in (b"a", b"a", None, b"b"):
        recording = writer.begin(1, "f", b"", ID)
        recording.result(2, b"", state)
        segment = recording.commit()
        result = decode_event(segment.events[-1]).body
        assert isinstance(result, bodies.Result)
        seen.append((result.state, segment.marks))
    assert seen == [(b"a", STATE), (None, 0), (None, 0), (b"b", STATE)]


def test_an_error_changes_no_state_and_sends_nothing(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.host_call(1, "msg", "send", b"x", "queued")
    recording.result(2, b"v", b"state")
    recording.error(3, "too-large", None, "the result is too large")
    segment = recording.commit()
    assert bodies_of(segment.events)[-1] == bodies.Failure("f", "too-large", None, "the result is too large", None)
    assert (writer.state, writer.next_outbox, segment.marks) == (None, 1, 0)


def test_a_guest_error_is_committed_so_its_sends_are_numbered(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.host_call(1, "msg", "send", b"x", "queued")
    recording.error(3, "guest-error", None, "no", b"payload")
    assert bodies_of(recording.commit().events)[-1] == bodies.Failure("f", "guest-error", None, "no", b"payload")
    assert writer.next_outbox == 2


def test_queued_sends_of_a_result_are_numbered_on_commit_only(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.host_call(1, "msg", "send", b"x", "queued")
    recording.host_call(1, "msg", "send", b"y", "queued")
    recording.result(2, b"", None)
    assert writer.next_outbox == 1
    recording.commit()
    assert writer.next_outbox == 3


def test_a_recording_is_committed_once_and_only_with_an_end(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    with pytest.raises(RuntimeError, match="after its result"):
        recording.commit()
    recording.result(2, b"", None)
    recording.commit()
    with pytest.raises(RuntimeError, match="once"):
        recording.commit()


def test_what_happens_during_an_operation_enters_the_chain_before_it(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    writer.write(5, control.Undelivered(1, "b", "actor-not-found"))
    recording.result(6, b"", None)
    segment = recording.commit()
    assert segment.first == 1


def test_payloads_over_the_bound_are_replaced_and_handed_out(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"p" * 65, ID)
    recording.host_call(1, "i", "g", b"d" * 65, "returned", b"o" * 65)
    recording.result(2, b"v" * 65, b"s" * 65)
    segment = recording.commit()
    call, host_call, result = bodies_of(segment.events)
    assert isinstance(call, bodies.Call)
    assert isinstance(host_call, bodies.HostCall)
    assert isinstance(result, bodies.Result)
    seen = [call.params, host_call.input, host_call.output, result.value, result.state]
    for payload, data in zip(seen, (b"p", b"d", b"o", b"v", b"s"), strict=True):
        assert payload == Stored(hashlib.sha256(data * 65).digest(), 65)
        assert isinstance(payload, Stored)
        assert dict(segment.objects)[payload.digest] == data * 65
    assert writer.state == b"s" * 65


def test_payloads_at_the_bound_stay_in_place(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"p" * 64, ID)
    recording.result(2, b"v" * 65, b"s" * 64)
    call, result = bodies_of(recording.commit().events)
    assert isinstance(call, bodies.Call)
    assert call.params == b"p" * 64
    assert isinstance(result, bodies.Result)
    assert (isinstance(result.value, Stored), result.state) == (True, b"s" * 64)


def test_a_long_value_without_a_new_state_is_replaced_alone(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.result(2, b"v" * 65, None)
    result = bodies_of(recording.commit().events)[1]
    assert isinstance(result, bodies.Result)
    assert isinstance(result.value, Stored)
    assert result.state is None


def test_consecutive_logs_of_one_interface_are_one_event(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.log(2, "log-a", b"1", "one")
    recording.log(3, "log-a", b"2", "two")
    recording.log(4, "log-b", b"3", "three")
    recording.host_call(5, "i", "g", b"", "returned")
    recording.log(6, "log-a", b"4", "four")
    assert recording.calls == 5
    recording.result(7, b"", None)
    events = recording.commit().events
    runs = [body for body in bodies_of(events) if isinstance(body, bodies.LogRun)]
    framed = b"\1\0\0\0" + b"1" + b"\1\0\0\0" + b"2"
    assert runs[0] == bodies.LogRun("log-a", "log", 2, hashlib.sha256(framed).digest(), ("one", "two"))
    assert [(run.interface, run.count) for run in runs] == [("log-a", 2), ("log-b", 1), ("log-a", 1)]
    assert [decode_event(event).time_ns for event in events] == [1, 2, 4, 5, 6, 7]


def test_log_lines_are_cut_at_four_kibibytes_between_characters() -> None:
    run = LogLines(1, "log")
    assert run.add(b"", "a" * 4000) == 4001
    assert run.add(b"", "é" * 100) == 95
    assert run.add(b"x", "dropped") == 0
    _, _, body = run.entry()
    assert isinstance(body, tuple)
    assert (body[2], body[4]) == (3, ["a" * 4000, "é" * 47])


def test_recording_more_host_calls_than_allowed_is_a_record_limit() -> None:
    writer = ChainWriter("a", ID, limits=Limits(host_calls=2))
    recording = writer.begin(1, "f", b"", ID)
    recording.log(1, "log", b"", "")
    recording.host_call(1, "i", "g", b"", "returned")
    with pytest.raises(Internal, match="2 host calls") as limit:
        recording.host_call(1, "i", "h", b"", "returned")
    assert (limit.value.details["reason"], limit.value.ran) == ("record-limit", "rolled-back")
    recording.error(2, limit.value.code, "record-limit", str(limit.value))
    assert [type(body).__name__ for body in bodies_of(recording.commit().events)] == [
        "Call", "LogRun", "HostCall", "HostCall", "Failure",
    ]  # fmt: skip


def test_recording_more_bytes_than_allowed_is_a_record_limit() -> None:
    writer = ChainWriter("a", ID, limits=Limits(record_bytes=1000))
    recording = writer.begin(1, "f", b"p" * 100, ID)
    recording.host_call(1, "i", "g", b"x" * 500, "returned", b"y" * 200)
    assert recording.size_bytes == 864
    with pytest.raises(Internal, match="1000 recorded bytes"):
        recording.result(2, b"v" * 100, b"s" * 100)
    with pytest.raises(Internal):
        recording.log(2, "log", b"", "t" * 200)
    recording.result(2, b"", None) if recording.size_bytes <= 1000 else recording.error(2, "guest-trap", "r", "m")
    recording.commit()
    assert writer.state is None


def test_logs_beyond_the_kept_lines_cost_no_record_bytes() -> None:
    writer = ChainWriter("a", ID)
    recording = writer.begin(1, "f", b"", ID)
    recording.log(1, "log", b"x" * 9000, "t" * 9000)
    before = recording.size_bytes
    recording.log(1, "log", b"x" * 9000, "t" * 9000)
    assert recording.size_bytes == before == 64 + 4096


def test_what_follows_from_the_end_stands_in_the_same_segment(writer: ChainWriter) -> None:
    recording = writer.begin(1, "f", b"", ID)
    recording.control(4, control.FreshInstance("guest-trap"))
    recording.control(5, control.Restarted(1, "guest-trap"))
    recording.error(3, "guest-trap", None, "it trapped")
    assert [type(body).__name__ for body in bodies_of(recording.commit().events)] == [
        "Call", "Failure", "FreshInstance", "Restarted",
    ]  # fmt: skip


def test_any_error_can_be_recorded(writer: ChainWriter) -> None:
    for reason, message, seen in (
        (None, "plain", (None, "plain")),
        (7, "é\ud800", ("7", "é?")),
        ("stack", "é" * 3000, ("stack", "é" * 2048)),
        ("a" * 5000, "", ("a" * 4096, "")),
    ):
        recording = writer.begin(1, "f", b"", ID)
        recording.log(1, "log", b"", "x\ud800")
        recording.error(2, "guest-trap", reason, message)  # type: ignore[arg-type]
        _, run, failure = bodies_of(recording.commit().events)
        assert isinstance(run, bodies.LogRun)
        assert run.lines == ("x?",)
        assert isinstance(failure, bodies.Failure)
        assert (failure.reason, failure.message) == seen


def test_what_a_reader_would_refuse_is_not_written(
    writer: ChainWriter, sample_genesis: Callable[..., bodies.Genesis]
) -> None:
    for body in (bodies.Exit("fenced", None), sample_genesis(incarnation=b"short", inline_max=99)):
        with pytest.raises(ChainTampered, match="event 0"):
            writer.write(1, body)
    assert (writer.seq, writer.inline_max, writer.incarnation) == (0, 64, ID)


def test_a_refused_append_is_undone_by_rewinding(writer: ChainWriter) -> None:
    mark = writer.mark()
    recording = writer.begin(1, "f", b"", ID)
    recording.host_call(1, "msg", "send", b"", "queued")
    recording.result(2, b"", b"state")
    first = recording.commit()
    writer.rewind(mark)
    assert (writer.seq, writer.state, writer.next_outbox) == (0, None, 1)
    again = writer.begin(1, "f", b"", ID)
    again.host_call(1, "msg", "send", b"", "queued")
    again.result(2, b"", b"state")
    assert again.commit().head == first.head


def test_genesis_begins_an_incarnation(writer: ChainWriter, sample_genesis: Callable[..., bodies.Genesis]) -> None:
    writer.next_outbox = 9
    segment = writer.write(1, sample_genesis(incarnation=b"n" * 16, inline_max=100, state=b"s" * 101))
    assert (writer.incarnation, writer.inline_max, writer.next_outbox) == (b"n" * 16, 100, 1)
    assert writer.state == b"s" * 101
    assert segment.objects == ((hashlib.sha256(b"s" * 101).digest(), b"s" * 101),)
    assert segment.marks == GENESIS | STATE | CHECKPOINT
    writer.write(2, sample_genesis(state=Stored(b"d" * 32, 500)))
    assert writer.state is None


def test_checkpoints_replace_long_payloads_wherever_they_stand(
    writer: ChainWriter, sample_checkpoint: Callable[..., bodies.Checkpoint]
) -> None:
    unsent = (bodies.Unsent(2, "msg", "send", b"i" * 65, b"e" * 32, 7),)
    segment = writer.write(1, sample_checkpoint(unsent=unsent, snapshots={"timer": b"t" * 65}))
    found = decode_event(segment.events[0]).body
    assert isinstance(found, bodies.Checkpoint)
    assert isinstance(found.unsent[0].input, Stored)
    assert isinstance(found.snapshots["timer"], Stored)
    assert {data for _, data in segment.objects} == {b"i" * 65, b"t" * 65}
    assert segment.marks == STATE | CHECKPOINT


def test_an_exit_is_marked_and_a_control_is_not(writer: ChainWriter) -> None:
    assert writer.write(1, control.Resumed()).marks == 0
    assert writer.write(1, bodies.Exit("shutdown", None)).marks == EXIT


def test_a_bound_that_would_replace_digests_is_refused(sample_genesis: Callable[..., bodies.Genesis]) -> None:
    with pytest.raises(ConfigurationError, match="inline_max: 63 is below 64"):
        ChainWriter("a", ID, inline_max=63)
    with pytest.raises(ConfigurationError):
        ChainWriter("a", ID).write(1, sample_genesis(inline_max=0))
