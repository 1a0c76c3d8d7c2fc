"""The idempotency window: a repeat joins, is answered again, or is refused, and is never a second operation."""

from __future__ import annotations

from hashlib import sha256
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.idempotency import RECORD_BYTES, RUN, Join, KeyRecord, Replay, Window, WindowBounds
from theater_bus.errors import KeyReused

D = b"digest"


def committed(window: Window[str], key: str, answer: bytes = b"answer", sequence: int = 1, now: float = 0.0) -> None:
    assert window.admit("", key, D, "token") is RUN
    window.commit("", key, answer, sequence, now)


def test_the_first_request_runs_and_its_repeat_joins_it() -> None:
    window: Window[str] = Window()
    assert window.admit("alice", "k", D, "first") is RUN
    assert window.admit("alice", "k", D, "second") == Join("first")
    assert window.look("alice", "k") == Join("first")


def test_a_repeat_after_the_commit_gets_the_recorded_answer() -> None:
    window: Window[str] = Window()
    window.admit("", "k", D, "token")
    window.commit("", "k", b"no", 7, 0.0, is_error=True)
    assert window.admit("", "k", D, "again") == Replay(b"no", sha256(b"no").digest(), 7, True)


def test_the_same_key_of_another_caller_is_another_operation() -> None:
    window: Window[str] = Window()
    committed(window, "k")
    assert window.admit("bob", "k", D, "his") is RUN
    assert window.look("carol", "k") is None


def test_the_same_key_with_other_parameters_is_refused_running_or_committed() -> None:
    window: Window[str] = Window()
    window.admit("", "k", D, "token")
    with pytest.raises(KeyReused) as caught:
        window.admit("", "k", b"other", "token")
    assert caught.value.details == {"ran": "never", "key": "k"}
    window.commit("", "k", b"", 1, 0.0)
    with pytest.raises(KeyReused):
        window.admit("", "k", b"other", "token")


def test_what_ended_without_a_commit_runs_again() -> None:
    window: Window[str] = Window()
    window.admit("", "k", D, "token")
    assert window.abandon("", "k") == "token"
    assert window.admit("", "k", b"other", "next") is RUN


def test_only_a_running_key_can_be_committed_or_abandoned() -> None:
    window: Window[str] = Window()
    with pytest.raises(ValueError, match="no operation runs"):
        window.commit("", "k", b"", 1, 0.0)
    committed(window, "k")
    with pytest.raises(ValueError, match="no operation runs"):
        window.abandon("", "k")


def test_a_key_stays_for_its_time_however_many_newer_ones_come() -> None:
    window: Window[str] = Window(WindowBounds(keys=2, seconds=120.0))
    for at in range(10):
        committed(window, f"k{at}", now=float(at))
    assert len(window) == 10
    committed(window, "late", now=124.0)
    assert window.look("", "k4") is None
    assert window.look("", "k5") is not None


def test_a_key_stays_until_enough_newer_ones_came_however_long_that_takes() -> None:
    window: Window[str] = Window(WindowBounds(keys=3, seconds=1.0))
    for at in range(3):
        committed(window, f"k{at}", now=at * 1000.0)
    assert len(window) == 3
    committed(window, "k3", now=9000.0)
    assert window.look("", "k0") is None
    assert len(window) == 3


def test_a_long_answer_is_kept_by_reference() -> None:
    window: Window[str] = Window(WindowBounds(answer_bytes=10))
    committed(window, "k", b"x" * 11, sequence=42)
    assert window.look("", "k") == Replay(None, sha256(b"x" * 11).digest(), 42, False)


def test_for_room_the_oldest_answers_become_references_before_any_key_is_forgotten() -> None:
    window: Window[str] = Window(WindowBounds(bytes=3 * (RECORD_BYTES + 2) + 250))
    for at in range(3):
        committed(window, f"k{at}", bytes([at]) * 100, sequence=at)
    first, second, third = (window.look("", f"k{at}") for at in range(3))
    assert first == Replay(None, sha256(b"\0" * 100).digest(), 0, False)
    assert isinstance(second, Replay)
    assert isinstance(third, Replay)
    assert second.answer == b"\1" * 100
    assert third.answer == b"\2" * 100
    committed(window, "k3", b"")
    assert window.look("", "k0") is None
    assert window.size_bytes <= 3 * (RECORD_BYTES + 2) + 250


def test_a_running_key_is_never_forgotten() -> None:
    window: Window[str] = Window(WindowBounds(keys=1, seconds=0.0, bytes=1))
    window.admit("", "running", D, "token")
    for at in range(5):
        committed(window, f"k{at}", now=float(at))
    assert len(window) == 1
    assert window.look("", "running") == Join("token")
    assert window.size_bytes == 0


def test_the_default_window_holds_its_keys_even_with_the_longest_names() -> None:
    bounds = WindowBounds()
    assert bounds.keys * (RECORD_BYTES + 64 + 256) <= bounds.bytes


def test_a_restored_window_answers_by_reference_and_still_knows_reuse() -> None:
    window: Window[str] = Window()
    committed(window, "a", b"one", sequence=3)
    committed(window, "b", b"two", sequence=5)
    window.admit("", "running", D, "token")
    kept = window.snapshot()
    assert kept[0] == KeyRecord("", "a", D, sha256(b"one").digest(), 3, False)
    again: Window[str] = Window()
    again.restore(kept, now=100.0)
    assert again.snapshot() == kept
    assert again.look("", "b") == Replay(None, sha256(b"two").digest(), 5, False)
    assert again.admit("", "running", D, "token") is RUN
    with pytest.raises(KeyReused):
        again.admit("", "a", b"other", "token")


def test_a_window_in_use_cannot_be_restored() -> None:
    window: Window[str] = Window()
    committed(window, "a")
    with pytest.raises(ValueError, match="empty"):
        window.restore([], 0.0)


def test_a_restored_window_keeps_within_its_bytes() -> None:
    records = [KeyRecord("", f"k{at}", D, D, at, False) for at in range(10)]
    window: Window[str] = Window(WindowBounds(bytes=3 * (RECORD_BYTES + 2)))
    window.restore(records, 0.0)
    assert [record.key for record in window.snapshot()] == ["k7", "k8", "k9"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["run", "end", "fail"]), st.integers(0, 120)), max_size=60
    )
)
def test_no_two_operations_run_under_one_key_and_bytes_stay_bounded(walk: list[tuple[str, str, int]]) -> None:
    limit = 3 * (RECORD_BYTES + 1) + 150
    window: Window[int] = Window(WindowBounds(keys=2, seconds=5.0, bytes=limit, answer_bytes=100))
    running: dict[str, int] = {}
    answers: dict[str, bytes] = {}
    for at, (key, step, size) in enumerate(walk):
        if step == "run":
            verdict = window.admit("", key, D, at)
            if key in running:
                assert verdict == Join(running[key])
            elif verdict is RUN:
                running[key] = at
            else:
                assert isinstance(verdict, Replay)
                assert verdict.answer in (None, answers[key])
                assert verdict.answer_digest == sha256(answers[key]).digest()
        elif key in running and step == "end":
            del running[key]
            answers[key] = bytes([at]) * size
            window.commit("", key, answers[key], at, float(at))
        elif key in running:
            assert window.abandon("", key) == running.pop(key)
        assert window.size_bytes <= limit
        assert len(window.snapshot()) + len(running) == len(window)


def test_an_operation_that_runs_is_not_taken_for_one_committed_long_ago() -> None:
    window: Window[str] = Window(WindowBounds(keys=1, seconds=1.0))
    window.admit("", "k", D, "token")
    committed(window, "a", now=inf)
    committed(window, "b", now=inf)
    assert window.look("", "k") == Join("token")
