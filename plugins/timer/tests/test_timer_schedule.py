"""When an interval is due next, and the snapshot of timers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus_timer.schedule import MOST_MS, Missed, Scheduled, next_due, read_snapshot, write_snapshot

TIMES = st.floats(0, 1e6)


@pytest.mark.parametrize("missed", ["skip", "once"])
def test_a_tick_that_ends_in_time_keeps_the_rhythm(missed: Missed) -> None:
    assert next_due(10.0, 1000, 10.4, missed) == 11.0


@pytest.mark.parametrize(("missed", "due"), [("skip", 15.0), ("once", 14.0), ("delay", 15.5)])
def test_what_a_late_tick_missed_is_left_out_or_made_up_for_once_or_moves_the_rhythm(
    missed: Missed, due: float
) -> None:
    assert next_due(10.0, 1000, 14.5, missed) == due


@settings(max_examples=100, deadline=None)
@given(due=TIMES, interval_ms=st.integers(1, MOST_MS), late=TIMES)
def test_nothing_is_due_in_the_past_but_the_one_tick_of_once(due: float, interval_ms: int, late: float) -> None:
    now, interval = due + late, interval_ms / 1000
    assert next_due(due, interval_ms, now, "skip") == pytest.approx(max(due + interval, now), abs=interval + 1e-6)
    assert next_due(due, interval_ms, now, "skip") >= now - 1e-6
    assert next_due(due, interval_ms, now, "once") >= now - interval - 1e-6
    assert next_due(due, interval_ms, now, "delay") == now + interval


def test_timers_without_anything_set_have_no_snapshot() -> None:
    assert write_snapshot([], 0.0, 0.0) is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.none() | st.integers(1, MOST_MS), st.floats(0, 1e6)),
        unique_by=lambda one: one[0],
        min_size=1,
    )
)
def test_a_snapshot_moves_timers_to_another_clock(found: list[tuple[str, int | None, float]]) -> None:
    snapshot = write_snapshot([Scheduled(*one) for one in found], 100.0, 1_700_000_000.0)
    assert snapshot is not None
    restored = read_snapshot(snapshot, 5.0, 1_700_000_000.0)
    assert [one.due for one in restored] == sorted(one.due for one in restored)
    assert {one.name: one.interval_ms for one in restored} == {name: interval for name, interval, _ in found}
    for one in restored:
        [due] = [due for name, _, due in found if name == one.name]
        assert one.due == pytest.approx(due - 95.0, abs=0.01)


@pytest.mark.parametrize("wrong", [b"", b"{}x", b"[1]", b'[{"name": "a"}]', json.dumps([{"name": []}]).encode(), b"7"])
def test_what_is_no_snapshot_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        read_snapshot(wrong, 0.0, 0.0)
