"""What follows failures: restarts within their intensity, then the end; or what the manifest says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.supervision import BACKOFF_MAX_S, Action, FailurePolicy, Supervisor


@pytest.mark.parametrize(("action", "expected"), [("pause", Action.PAUSE), ("stop", Action.STOP)])
def test_pause_and_stop_follow_at_once(action: str, expected: Action) -> None:
    decision = Supervisor(FailurePolicy(action)).decide(0.0)
    assert (decision.action, decision.attempt, decision.delay_s) == (expected, 0, 0.0)
    assert action in decision.why


def test_the_first_restart_is_at_once_and_further_ones_back_off() -> None:
    supervisor = Supervisor(FailurePolicy(backoff_ms=100))
    decisions = [supervisor.decide(float(at), jitter=1.0) for at in range(4)]
    assert [one.attempt for one in decisions] == [1, 2, 3, 4]
    assert [one.delay_s for one in decisions] == [0.0, 0.1, 0.2, 0.4]


def test_jitter_moves_a_delay_within_its_upper_half() -> None:
    supervisor = Supervisor(FailurePolicy(backoff_ms=1000))
    supervisor.decide(0.0)
    assert supervisor.decide(0.0, jitter=0.0).delay_s == 0.5
    assert supervisor.decide(0.0, jitter=0.5).delay_s == 1.5


def test_one_failure_more_than_the_intensity_stops_the_actor_and_says_why() -> None:
    supervisor = Supervisor(FailurePolicy(max_restarts=2, window_s=10))
    assert supervisor.decide(0.0).action is Action.RESTART
    assert supervisor.decide(1.0).action is Action.RESTART
    decision = supervisor.decide(2.0)
    assert decision.action is Action.STOP
    assert decision.why == "2 restarts within 10 s, as many as on_failure.max_restarts allows"


def test_restarts_that_left_the_window_do_not_count() -> None:
    supervisor = Supervisor(FailurePolicy(max_restarts=1, window_s=10))
    supervisor.decide(0.0)
    assert supervisor.restarts(9.9) == 1
    assert supervisor.decide(10.0).attempt == 1


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 5),
    st.integers(1, 20),
    st.integers(0, 30_000),
    st.lists(st.tuples(st.floats(0, 10), st.floats(-1, 2)), max_size=40),
)
def test_no_window_ever_holds_more_restarts_than_allowed(
    most: int, window_s: int, backoff_ms: int, failures: list[tuple[float, float]]
) -> None:
    supervisor = Supervisor(FailurePolicy("restart", most, window_s, backoff_ms))
    now, restarts = 0.0, []
    for after, jitter in failures:
        now += after
        decision = supervisor.decide(now, jitter)
        assert 0.0 <= decision.delay_s <= BACKOFF_MAX_S
        if decision.action is Action.RESTART:
            restarts.append(now)
    for at in restarts:
        assert len([one for one in restarts if at - window_s < one <= at]) <= most
