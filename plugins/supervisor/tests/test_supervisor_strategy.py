"""Who begins anew with whom, how often, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theater_bus_supervisor.strategy import TRIGGERS, Strategy, affected, delays, intensity

ORDER = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("strategy", "failed", "anew"),
    [
        ("none", "b", []),
        ("one-for-one", "b", ["b"]),
        ("one-for-all", "b", ["a", "b", "c"]),
        ("rest-for-one", "a", ["a", "b", "c"]),
        ("rest-for-one", "b", ["b", "c"]),
        ("rest-for-one", "c", ["c"]),
    ],
)
def test_a_strategy_says_who_begins_anew(strategy: Strategy, failed: str, anew: list[str]) -> None:
    assert affected(strategy, ORDER, failed) == anew


@given(st.sampled_from(["one-for-one", "one-for-all", "rest-for-one"]), st.lists(st.text(), min_size=1, unique=True))
def test_whoever_ended_begins_anew_and_all_in_the_order_of_birth(strategy: Strategy, order: list[str]) -> None:
    for failed in order:
        found = affected(strategy, order, failed)
        assert failed in found
        assert found == [one for one in order if one in found]


def test_one_restart_more_than_allowed_within_the_window_is_too_many() -> None:
    policy = intensity(3, 10)
    assert [policy.decide(now).action.value for now in (0.0, 1.0, 2.0, 3.0)] == ["restart"] * 3 + ["stop"]
    assert policy.decide(11.5).action.value == "restart"
    assert intensity(0, 10).decide(0.0).action.value == "stop"


def test_each_further_restart_waits_twice_as_long_and_never_more_than_half_a_minute() -> None:
    policy = delays(86_400, 100)
    waits = [policy.decide(float(number)).delay_s for number in range(14)]
    assert waits[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 30.0
    assert [delays(60, 0).decide(0.0).delay_s for _ in range(3)] == [0.0] * 3


def test_failures_alone_or_every_end_call_for_an_answer() -> None:
    assert TRIGGERS["failed"] == {"failed"}
    assert TRIGGERS["always"] == {"failed", "exited", "shutdown", "terminated"}
