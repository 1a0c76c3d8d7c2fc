"""The rules of a replay: what answers a host call, which ends are compared, and what the first divergence shows."""

import json
from typing import Any

import pytest

from theater_bus.core.chain.bodies import Call, Failure, HostCall, LogRun, Result
from theater_bus.core.chain.divergence import (
    CallScript,
    Divergence,
    Failed,
    RecordedOperation,
    Returned,
    compare_state,
    is_imposed,
    same_payload,
)
from theater_bus.core.chain.events import sha256
from theater_bus.core.chain.layout import Stored
from theater_bus.core.chain.recording import LogLines
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import Dynamic, Scalar, TupleOf

LOG = "theater:simple/runtime"


def text(value: str) -> bytes:
    return value_codec(Scalar.STRING).encode(value).standalone()


# The same list of two texts in an order of nodes that no compiler of ours writes.
CANONICAL = value_codec(Dynamic()).encode(["a", "b"]).standalone()


def reordered() -> bytes:
    """`CANONICAL` with the first two nodes swapped and the children pointed at them."""
    head, body = CANONICAL[:16], CANONICAL[16:]
    size = len(text("a")) - 16
    first, second, root = body[:size], body[size : 2 * size], body[2 * size :]
    children = root[-8:]
    return head + second + first + root[:-8] + children[4:] + children[:4]


def called(function: str = "get", data: bytes = b"in", outcome: Any = "returned", interface: str = "kv") -> HostCall:
    return HostCall(interface, function, data, outcome, b"out" if outcome == "returned" else None)


def logged(*lines: str) -> LogRun:
    run = LogLines(0, LOG)
    for line in lines:
        run.add(text(line), line)
    return LogRun(LOG, "log", run.count, run.digest, tuple(run.lines))


def failed(code: str, reason: str | None = None, value: bytes | None = None) -> Failure:
    return Failure("f", code, reason, "for people", value)


def script(*calls: HostCall | LogRun, end: Result | Failure | None = None, is_exact: bool = True) -> CallScript:
    numbered = [(n + 2, call) for n, call in enumerate(calls)]
    call = Call("f", b"params", b"i" * 16, "", "none", None)
    return CallScript(
        RecordedOperation(call, numbered, (len(calls) + 2, end or Result("f", text("v"), None))), is_exact
    )


@pytest.mark.parametrize(
    ("end", "calls", "imposed"),
    [
        (Result("f", b"", None), [], False),
        (failed("guest-error"), [called()], False),
        (failed("type-mismatch"), [], False),
        (failed("type-mismatch"), [called(outcome="raised")], True),
        (failed("too-large"), [logged("x")], False),
        (failed("guest-trap", "unreachable"), [], False),
        (failed("guest-trap", "memory-limit"), [], False),
        (failed("guest-trap", "cpu-limit"), [], True),
        (failed("guest-trap", "stack-overflow"), [], True),
        (failed("guest-trap", "record-limit"), [called()], True),
        (failed("guest-trap", "unreachable"), [called(outcome="unknown")], True),
        (failed("capability-failed"), [called(outcome="raised")], True),
        (failed("operation-timeout"), [], True),
        (failed("cancelled"), [called(outcome="unknown")], True),
        (failed("a-code-of-the-future"), [], True),
    ],
)
def test_what_no_replay_can_repeat_is_imposed(end: Any, calls: Any, imposed: bool) -> None:
    assert is_imposed(end, calls) is imposed


def test_calls_are_answered_in_order_and_the_end_is_compared() -> None:
    played = script(called("get", b"a"), called("put", b"b"))
    assert [played.next("kv", "get", b"a"), played.next("kv", "put", b"b")] == [0, 1]
    assert not played.is_over
    assert played.finish(Returned(text("v"), None), b"s") is None


@pytest.mark.parametrize(
    ("interface", "function", "data"), [("kv", "get", b"other"), ("kv", "put", b"in"), ("vk", "get", b"in")]
)
def test_another_interface_function_or_input_is_a_divergence_with_both_sides(
    interface: str, function: str, data: bytes
) -> None:
    played = script(called(), called())
    played.next("kv", "get", b"in")
    assert played.next(interface, function, data) is None
    found = played.finish(Failed("guest-trap", "host-call"), None)
    assert found is played.divergence
    assert found is not None
    assert (found.seq, found.kind, found.function) == (3, "different-call", "f")
    assert found.recorded is not None
    assert (found.recorded["interface"], found.recorded["function"]) == ("kv", "get")
    assert found.replayed is not None
    assert (found.replayed["interface"], found.replayed["function"]) == (interface, function)
    assert found.replayed["input"] == {
        "sha256": sha256(data).hex(),
        "size_bytes": len(data),
        "value": f"no value: {data.hex()}",
    }


def test_a_call_that_is_not_recorded_is_surplus() -> None:
    played = script(called())
    played.next("kv", "get", b"in")
    assert played.next("kv", "get", text("in")) is None
    found = played.divergence
    assert found is not None
    assert (found.seq, found.kind, found.recorded) == (3, "surplus-call", None)
    assert "replayed: {" in str(found)
    assert "recorded: nothing" in str(found)


def test_a_recorded_call_that_is_not_made_is_missing() -> None:
    found = script(called(), logged("a")).finish(Returned(text("v"), None), None)
    assert found is not None
    assert (found.seq, found.kind, found.replayed) == (2, "missing-call", None)
    assert json.loads(json.dumps(found.as_plain()))["recorded"]["function"] == "get"
    assert found.as_plain()["replayed"] is None


def test_an_imposed_end_is_over_with_the_last_recorded_call() -> None:
    assert script(end=failed("operation-timeout")).is_over
    played = script(called(), called(outcome="unknown"), end=failed("cancelled"))
    assert played.next("kv", "get", b"in") == 0
    assert not played.is_over
    assert played.next("kv", "get", b"in") is None
    assert played.is_over
    assert played.divergence is None


def test_an_operation_that_ends_before_its_imposed_end_lacks_calls() -> None:
    played = script(called(), end=failed("cancelled"))
    found = played.finish(Returned(b"", None), None)
    assert found is not None
    assert found.kind == "missing-call"


def test_a_run_of_log_is_answered_line_by_line() -> None:
    played = script(called(), logged("one", "two"), called())
    answers = [
        played.next("kv", "get", b"in"),
        played.next(LOG, "log", text("one")),
        played.next(LOG, "log", text("two")),
    ]
    assert answers == [0, 1, 1]
    assert played.next("kv", "get", b"in") == 2


def test_a_run_of_log_of_a_component_has_its_texts_in_tuples() -> None:
    in_tuple = value_codec(TupleOf((Scalar.STRING,)))
    run = LogLines(0, LOG)
    for line in ("one", "two"):
        run.add(in_tuple.encode([line]).standalone(), line)
    played = script(LogRun(LOG, "log", run.count, run.digest, tuple(run.lines)))
    assert [played.next(LOG, "log", in_tuple.encode([line]).standalone()) for line in ("one", "two")] == [0, 0]


@pytest.mark.parametrize("line", [text("three"), b"no value", value_codec(Scalar.U8).encode(1).standalone()])
def test_another_line_of_a_run_is_found_at_once(line: bytes) -> None:
    played = script(logged("one", "two", "three"))
    played.next(LOG, "log", text("one"))
    assert played.next(LOG, "log", line) is None
    assert played.divergence is not None
    assert played.divergence.recorded is not None
    assert played.divergence.recorded["lines"] == ["one", "two", "three"]


def test_a_difference_behind_what_is_kept_of_a_run_is_found_by_its_digest() -> None:
    long = "x" * 5_000
    played = script(logged(long, "one"))
    assert played.next(LOG, "log", text(long)) == 0
    assert played.next(LOG, "log", text("two")) is None
    assert played.divergence is not None


def test_a_run_of_log_that_is_too_short_lacks_a_call() -> None:
    played = script(logged("one", "two"))
    played.next(LOG, "log", text("one"))
    found = played.finish(Returned(text("v"), None), None)
    assert found is not None
    assert found.kind == "missing-call"
    assert played.next("kv", "get", b"in") is None


VALUE, STATE = text("v"), text("state")


@pytest.mark.parametrize(
    ("recorded", "ended", "before", "same"),
    [
        (Result("f", VALUE, None), Returned(VALUE, None), STATE, True),
        (Result("f", VALUE, None), Returned(VALUE, STATE), STATE, True),
        (Result("f", VALUE, None), Returned(VALUE, STATE), None, False),
        (Result("f", VALUE, STATE), Returned(VALUE, STATE), None, True),
        (Result("f", VALUE, STATE), Returned(VALUE, None), None, False),
        (Result("f", VALUE, STATE), Returned(VALUE, None), text("other"), False),
        (Result("f", VALUE, None), Returned(text("w"), None), None, False),
        (Result("f", Stored(sha256(VALUE), len(VALUE)), None), Returned(VALUE, None), None, True),
        (Result("f", VALUE, None), Failed("guest-trap", "unreachable"), None, False),
        (failed("guest-trap", "unreachable"), Failed("guest-trap", "unreachable"), None, True),
        (failed("guest-trap", "unreachable"), Failed("guest-trap", "out-of-bounds"), None, False),
        (failed("guest-trap", "unreachable"), Returned(VALUE, None), None, False),
        (failed("guest-error", None, VALUE), Failed("guest-error", None, VALUE), None, True),
        (failed("guest-error", None, VALUE), Failed("guest-error", None, STATE), None, False),
        (failed("guest-error", None, VALUE), Failed("type-mismatch"), None, False),
        (failed("too-large"), Returned(VALUE, None), None, True),
    ],
)
def test_ends_are_compared(recorded: Any, ended: Any, before: bytes | None, same: bool) -> None:
    found = script(end=recorded).finish(ended, before)
    assert (found is None) is same
    if found is not None:
        assert (found.seq, found.kind) == (2, "different-end")
        assert found.recorded
        assert found.replayed
        assert "value" in found.recorded
        assert "value" in found.replayed


def test_other_packages_are_compared_by_value() -> None:
    assert reordered() != CANONICAL
    assert not same_payload(CANONICAL, reordered())
    assert same_payload(CANONICAL, reordered(), is_exact=False)
    stored = Stored(sha256(CANONICAL), len(CANONICAL))
    assert not same_payload(stored, reordered())
    assert same_payload(stored, reordered(), is_exact=False)
    assert not same_payload(stored, text("a"), is_exact=False)
    assert not same_payload(b"no value", b"none either", is_exact=False)
    assert script(called(data=CANONICAL), is_exact=False).next("kv", "get", reordered()) == 0
    assert script(called(data=CANONICAL)).next("kv", "get", reordered()) is None


def test_a_checkpoint_must_name_the_replayed_state() -> None:
    assert compare_state(9, None, None) is None
    assert compare_state(9, STATE, STATE) is None
    for recorded, state in ((STATE, None), (None, STATE), (STATE, VALUE), (Stored(b"d" * 32, 3), VALUE)):
        found = compare_state(9, recorded, state)
        assert isinstance(found, Divergence)
        assert (found.seq, found.kind) == (9, "different-state")


@pytest.mark.parametrize(
    ("end", "is_same"),
    [
        (Result("f", VALUE, None), True),
        (Result("f", VALUE, STATE), False),
        (failed("too-large"), True),
        (failed("capability-failed"), True),
        (failed("guest-error", value=VALUE), False),
    ],
)
def test_an_answer_that_follows_from_the_host_calls_is_not_compared_itself(end: Any, is_same: bool) -> None:
    found = script(end=end).finish(Returned(None, None), None)
    assert (found is None) == is_same
    if found is not None:
        assert found.replayed == {"value": None, "state": None}
