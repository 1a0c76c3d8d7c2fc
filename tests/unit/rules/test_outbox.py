"""The numbers of an outbox, and what a receiver remembers of its senders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theater_bus.core.chain.bodies import Received
from theater_bus.core.outbox import Receipts, SentNumbers, pause_s
from theater_bus.core.wire.caller import Proof, sender_of

OLD, NEW = b"1" * 16, b"2" * 16


def test_everything_up_to_through_is_settled() -> None:
    numbers = SentNumbers(4)
    assert numbers.through == 4
    for number in (5, 6, 7):
        numbers.add(number)
    assert numbers.through == 4
    numbers.settle(6)
    assert numbers.through == 4
    numbers.settle(5)
    assert numbers.through == 6
    numbers.settle(7)
    assert numbers.through == 7


def test_what_a_recovery_does_not_find_was_settled() -> None:
    numbers = SentNumbers(6)
    for number in (2, 5):
        numbers.add(number)
    assert numbers.through == 1
    numbers.settle(2)
    assert numbers.through == 4
    numbers.settle(5)
    assert numbers.through == 6
    numbers.add(7)
    assert numbers.through == 6


@given(st.permutations(range(1, 12)))
def test_through_is_below_the_first_that_is_open_in_every_order(order: list[int]) -> None:
    numbers = SentNumbers()
    for number in sorted(order):
        numbers.add(number)
    open_ = set(order)
    for number in order:
        numbers.settle(number)
        open_.discard(number)
        assert numbers.through == min(open_, default=12) - 1


def test_a_send_is_taken_once_per_incarnation() -> None:
    receipts = Receipts()
    assert not receipts.has("a", OLD, 1)
    receipts.note("a", OLD, 3)
    assert [receipts.has("a", OLD, number) for number in (1, 3, 4)] == [True, True, False]
    assert not receipts.has("b", OLD, 1)
    assert not receipts.has("a", NEW, 1)
    receipts.note("a", NEW, 1)
    assert receipts.has("a", NEW, 1)


def test_what_comes_late_does_not_replace_what_is_newer() -> None:
    receipts = Receipts({"a": Received(NEW, 5)})
    receipts.note("a", OLD, 9)
    receipts.note("a", NEW, 4)
    assert receipts.snapshot() == {"a": Received(NEW, 5)}


def test_the_sender_heard_from_longest_ago_is_forgotten_first() -> None:
    receipts = Receipts(capacity=2)
    for sender in ("a", "b", "a", "c"):
        receipts.note(sender, OLD, 1)
    assert list(receipts.snapshot()) == ["a", "c"]


def test_pauses_grow_to_a_bound() -> None:
    assert [pause_s(attempt) for attempt in (0, 1, 2, 6, 7, 10_000)] == [0.05, 0.1, 0.2, 3.2, 5.0, 5.0]


@pytest.mark.parametrize(("proof", "name"), [(Proof.ACTOR, "@actor.a"), (Proof.NONE, "actor.a")])
def test_senders_without_a_proof_are_kept_apart(proof: Proof, name: str) -> None:
    assert sender_of("a", proof) == name
