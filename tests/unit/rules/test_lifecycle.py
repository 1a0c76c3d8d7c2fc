"""The phases of an actor: which follow which, and what a verb in the wrong phase says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.lifecycle import TRANSITIONS, Phase, PhaseMachine, StopReason
from theater_bus.errors import IllegalTransition, NotPaused, Paused, ShuttingDown, TheaterError, Unavailable

VERBS = {
    "started": PhaseMachine.started,
    "pause": PhaseMachine.pause,
    "resume": PhaseMachine.resume,
    "begin_restart": PhaseMachine.begin_restart,
    "begin_update": PhaseMachine.begin_update,
    "renewed": PhaseMachine.renewed,
    "stopped": PhaseMachine.stopped,
    **{reason.value: lambda machine, reason=reason: machine.begin_stop(reason) for reason in StopReason},
}


def running() -> PhaseMachine:
    machine = PhaseMachine()
    machine.started()
    return machine


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(VERBS)), max_size=30))
def test_no_sequence_of_verbs_leaves_the_graph(walk: list[str]) -> None:
    seen: list[tuple[Phase, Phase]] = []
    machine = PhaseMachine(lambda before, after: seen.append((before, after)))
    for verb in walk:
        before = machine.phase
        try:
            VERBS[verb](machine)
        except TheaterError:
            assert machine.phase is before
        assert machine.is_ending == (machine.reason is not None)
        assert machine.is_running == (machine.phase is Phase.RUNNING)
    assert all(after in TRANSITIONS[before] for before, after in seen)
    assert [before for before, _ in seen] == [Phase.STARTING, *(after for _, after in seen)][: len(seen)]


def test_nothing_but_stopped_follows_stopping_and_nothing_follows_stopped() -> None:
    assert TRANSITIONS[Phase.STOPPING] == {Phase.STOPPED}
    assert not TRANSITIONS[Phase.STOPPED]


def test_every_phase_but_the_last_two_can_begin_to_stop() -> None:
    for phase in set(Phase) - {Phase.STOPPING, Phase.STOPPED}:
        assert Phase.STOPPING in TRANSITIONS[phase]


def test_a_pause_and_a_resume_lead_back_to_running() -> None:
    machine = running()
    assert machine.can(Phase.PAUSED)
    machine.pause()
    assert machine.phase is Phase.PAUSED
    assert not machine.can(Phase.UPDATING)
    machine.resume()
    assert machine.is_running


def test_a_restart_and_an_update_lead_back_to_running() -> None:
    for begin in (PhaseMachine.begin_restart, PhaseMachine.begin_update):
        machine = running()
        begin(machine)
        with pytest.raises(Unavailable, match="ask again"):
            machine.pause()
        machine.renewed()
        assert machine.is_running


def test_a_second_pause_is_refused_as_paused() -> None:
    machine = running()
    machine.pause()
    with pytest.raises(Paused):
        machine.pause()


def test_a_resume_of_what_runs_is_refused_as_not_paused() -> None:
    with pytest.raises(NotPaused, match="running, not paused"):
        running().resume()


def test_verbs_to_an_actor_that_ends_are_refused_as_shutting_down() -> None:
    machine = running()
    machine.begin_stop(StopReason.EXITED)
    for verb in (machine.pause, machine.resume):
        with pytest.raises(ShuttingDown) as caught:
            verb()
        assert caught.value.details == {"ran": "never", "phase": "stopping", "reason": "exited"}


def test_a_more_severe_stop_overtakes_a_milder_one_and_never_the_other_way() -> None:
    machine = running()
    assert machine.begin_stop(StopReason.SHUTDOWN)
    assert not machine.begin_stop(StopReason.TERMINATED)
    assert not machine.begin_stop(StopReason.EXITED)
    assert machine.reason is StopReason.TERMINATED
    machine.stopped()
    assert not machine.begin_stop(StopReason.FENCED)
    assert machine.reason is StopReason.TERMINATED


@pytest.mark.parametrize("verb", ["started", "renewed", "stopped"])
def test_the_hosts_own_steps_are_illegal_in_the_wrong_phase(verb: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        VERBS[verb](running())
    assert caught.value.found == "running"


def test_an_actor_that_ends_says_so_even_before_a_reason_is_known() -> None:
    assert PhaseMachine().shutting_down().details["reason"] == "shutdown"
