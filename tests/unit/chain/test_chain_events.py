"""Events: their bytes, their hashes, and that nothing else is accepted."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.chain import bodies, control
from theater_bus.core.chain.events import (
    TYPES,
    ZERO,
    Body,
    Event,
    decode_event,
    dump_body,
    encode_event,
    event_hash,
    load_body,
)
from theater_bus.core.chain.layout import Misshapen, Stored
from theater_bus.errors import ChainTampered

uint = st.integers(0, 2**64 - 1)
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
digest = st.binary(min_size=32, max_size=32)
id16 = st.binary(min_size=16, max_size=16)
payload = st.binary(max_size=40) | st.builds(Stored, digest, uint)
maybe_payload = st.none() | payload
maybe_text = st.none() | text
received = st.builds(bodies.Received, id16, uint)
version = st.builds(control.Version, digest, digest, digest, text)
window = st.builds(bodies.WindowEntry, text, text, digest, digest, uint, st.booleans())
unsent = st.builds(bodies.Unsent, uint, text, text, payload, digest, uint)
origin = st.builds(bodies.Origin, st.sampled_from(["continue", "fork"]), text, id16, uint, digest)

any_body: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        bodies.Genesis,
        text, id16, digest, digest, digest, maybe_payload, text, text, uint, maybe_text, st.none() | origin,
    ),
    st.builds(
        bodies.Call, text, payload, text | id16, text,
        st.sampled_from(["subject", "actor", "host", "none"]), st.none() | received,
    ),
    st.builds(
        bodies.HostCall, text, text, payload,
        st.sampled_from(["returned", "raised", "queued", "dropped", "unknown"]), maybe_payload,
    ),
    st.builds(bodies.LogRun, text, st.just("log"), uint, digest, st.lists(text, max_size=3).map(tuple)),
    st.builds(bodies.Result, text, payload, maybe_payload),
    st.builds(bodies.Failure, text, text, maybe_text, text, maybe_payload),
    st.builds(
        bodies.Checkpoint,
        st.sampled_from(["running", "paused"]), digest, digest, digest, text, uint, maybe_payload,
        st.lists(window, max_size=2).map(tuple), uint, st.lists(unsent, max_size=2).map(tuple),
        st.dictionaries(text, received, max_size=3), st.dictionaries(text, payload, max_size=3),
    ),
    st.builds(bodies.Exit, st.sampled_from(["exited", "shutdown", "failed", "terminated"]), maybe_payload),
    st.builds(control.Paused, maybe_text),
    st.builds(control.Resumed),
    st.builds(control.Updated, version, version),
    st.builds(control.Restarted, uint, maybe_text),
    st.builds(control.FreshInstance, maybe_text),
    st.builds(control.HiddenState, uint, text),
    st.builds(control.Recovered, uint, maybe_text),
    st.builds(control.Moved, maybe_text),
    st.builds(control.Archived, uint, digest),
    st.builds(control.Undelivered, uint, text, text),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(uint, digest, uint, any_body)
def test_every_body_survives_a_round_trip(seq: int, parent: bytes, time_ns: int, body: Body) -> None:
    data = encode_event(seq, parent, time_ns, body)
    assert decode_event(data) == Event(seq, parent, time_ns, body, event_hash(data))
    assert decode_event(data).type in TYPES


@settings(max_examples=100, deadline=None)
@given(any_body, st.data())
def test_changed_bytes_are_refused_or_are_another_event_with_another_hash(body: Body, data: st.DataObject) -> None:
    event = encode_event(7, ZERO, 9, body)
    at = data.draw(st.integers(0, len(event) - 1))
    changed = event[:at] + bytes([event[at] ^ data.draw(st.integers(1, 255))]) + event[at + 1 :]
    assert event_hash(changed) != event_hash(event)
    try:
        found = decode_event(changed)
    except ChainTampered:
        return
    assert encode_event(found.seq, found.parent, found.time_ns, found.body) == changed


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_random_bytes_raise_the_one_documented_error(data: bytes) -> None:
    with pytest.raises(ChainTampered):
        decode_event(data)


def test_the_hash_covers_the_domain_and_exactly_the_stored_bytes() -> None:
    event = encode_event(0, ZERO, 1, control.Resumed())
    assert event_hash(event) == hashlib.sha256(b"theater-event-1\0" + event).digest()
    assert event == msgpack.packb([0, ZERO, 1, "control", ["resumed"]])


def event_of(*parts: object) -> bytes:
    return msgpack.packb(list(parts))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not msgpack"),
        (b"\x94\x00\x00\x00\x00", "not an array of five"),
        (event_of(-1, ZERO, 0, "control", ["resumed"]), "seq"),
        (event_of(True, ZERO, 0, "control", ["resumed"]), "seq"),
        (event_of(0, b"short", 0, "control", ["resumed"]), "parent"),
        (event_of(0, ZERO, 1.5, "control", ["resumed"]), "time_ns"),
        (event_of(0, ZERO, 0, b"control", ["resumed"]), "type is not a str"),
        (event_of(0, ZERO, 0, "control", {}), "the body not an array"),
        (event_of(0, ZERO, 0, "intent", []), "unknown event type"),
        (event_of(0, ZERO, 0, "control", []), "unknown control"),
        (event_of(0, ZERO, 0, "control", ["halted"]), "unknown control"),
        (event_of(0, ZERO, 0, "control", ["paused"]), "0 positions where Paused has 1"),
        (event_of(0, ZERO, 0, "exit", ["fenced", None]), "reason: 'fenced' where one of"),
        (event_of(0, ZERO, 0, "exit", ["exited", 5]), "result: 5 where a bin or"),
        (event_of(0, ZERO, 0, "exit", ["exited", [b"x", 5]]), "result: digest: bin of 1 where a bin of 32"),
        (event_of(0, ZERO, 0, "control", ["recovered", -1, None]), "epoch: -1 where an unsigned"),
        (event_of(0, ZERO, 0, "result", [7, b"", None]), "function: 7 where a str"),
        (event_of(0, ZERO, 0, "host-call", ["i", "log", 2, ZERO, "text"]), "lines: 'text' where an array"),
        (event_of(0, ZERO, 0, "host-call", ["i", "f", b"", "returned", None, 1]), "6 positions where HostCall has 5"),
        (event_of(0, ZERO, 0, "call", ["f", b"", b"short", "", "none", None]), "identity"),
        (event_of(0, ZERO, 0, "call", ["f", b"", "k", "", "none", 3]), "outbox: 3 where an array for Received"),
        (b"\x95\xcc\x00" + event_of(0, ZERO, 0, "control", ["resumed"])[2:], "canonical"),
        (event_of(0, ZERO, 0, "control", ["resumed"]) + b"\0", "not msgpack"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ChainTampered, match=reason.replace("|", r"\|")):
        decode_event(data)


def test_the_error_names_the_event_once_its_sequence_is_known() -> None:
    with pytest.raises(ChainTampered, match="event 5:"):
        decode_event(event_of(5, ZERO, 0, "intent", []))


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [
        (7, [["s", "k", ZERO, ZERO, 1, 0]], "window: is_error: 0 where a bool"),
        (10, {"b": [bytes(16), 1], "a": [bytes(16), 1]}, "ascending"),
        (10, [], "received: .* where a map"),
        (11, {"a": 7}, "snapshots: 7"),
    ],
)
def test_a_checkpoint_is_strict_inside(
    sample_checkpoint: Callable[..., bodies.Checkpoint], position: int, value: object, reason: str
) -> None:
    values = dump_body(sample_checkpoint())
    values[position] = value
    with pytest.raises(Misshapen, match=reason):
        load_body("checkpoint", values)


def test_map_keys_are_written_in_ascending_order(sample_checkpoint: Callable[..., bodies.Checkpoint]) -> None:
    one, other = {"b": b"1", "a": b"2", "é": b"3"}, {"é": b"3", "a": b"2", "b": b"1"}
    first, second = (encode_event(1, ZERO, 1, sample_checkpoint(snapshots=snapshots)) for snapshots in (one, other))
    assert first == second
