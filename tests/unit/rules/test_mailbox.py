"""The mailbox: order, bounds, deadlines, cancellation, and counts that are always true."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.mailbox import Bounds, Mailbox
from theater_bus.errors import Overloaded, ShuttingDown, TooLarge


@dataclass(eq=True)
class Waiting:
    size_bytes: int = 100
    deadline: float = inf
    key: Hashable | None = None
    own: bool = False


def mailbox(**bounds: int) -> Mailbox[Waiting]:
    return Mailbox(Bounds(**bounds))


def test_entries_leave_in_the_order_in_which_they_came_whoever_sent_them() -> None:
    box = mailbox()
    entries = [Waiting(at) for at in range(1, 5)]
    box.push(entries[0])
    box.push_enqueue(entries[1])
    box.push(entries[2])
    box.push_enqueue(entries[3])
    assert list(box) == entries
    assert [box.pop() for _ in range(5)] == [*entries, None]


def test_equal_entries_are_told_apart_by_identity() -> None:
    box = mailbox()
    first, second = Waiting(), Waiting()
    box.push(first)
    box.push(second)
    assert box.remove(second)
    assert not box.remove(second)
    assert box.pop() is first


def test_the_bound_on_operations_is_named() -> None:
    box = mailbox(operations=2)
    box.push(Waiting())
    box.push(Waiting())
    with pytest.raises(Overloaded, match=r"2 of 2 entries wait.*raise mailbox\.operations") as caught:
        box.push(Waiting())
    assert caught.value.details == {"ran": "never", "bound": "mailbox.operations", "limit": 2}


def test_the_bound_on_bytes_is_named() -> None:
    box = mailbox(bytes=1024)
    box.push(Waiting(1000))
    with pytest.raises(Overloaded, match=r"1,000 of 1,024 bytes wait.*raise mailbox\.bytes"):
        box.push(Waiting(25))
    box.push(Waiting(24))


def test_what_never_fits_is_too_large_and_not_overloaded() -> None:
    with pytest.raises(TooLarge) as caught:
        mailbox(bytes=1024).push(Waiting(1025))
    assert caught.value.details == {"ran": "never", "size_bytes": 1025, "limit_bytes": 1024}
    with pytest.raises(TooLarge, match="enqueue_bytes"):
        mailbox(enqueue_bytes=1024).push_enqueue(Waiting(1025))


def test_callers_and_capabilities_cannot_take_each_others_room() -> None:
    box = mailbox(operations=1, enqueues=1, bytes=1024, enqueue_bytes=1024)
    box.push(Waiting(1024))
    box.push_enqueue(Waiting(1024))
    with pytest.raises(Overloaded, match=r"mailbox\.operations"):
        box.push(Waiting(0))
    with pytest.raises(Overloaded, match=r"mailbox\.enqueues"):
        box.push_enqueue(Waiting(0))
    box.pop()
    box.push(Waiting(1024))
    assert (len(box), box.enqueues, box.size_bytes) == (2, 1, 2048)


def test_the_byte_bound_of_capabilities_is_named() -> None:
    box = mailbox(enqueue_bytes=1024)
    box.push_enqueue(Waiting(1000))
    with pytest.raises(Overloaded, match=r"mailbox\.enqueue_bytes"):
        box.push_enqueue(Waiting(25))


def test_a_cancelled_entry_is_given_back_once_and_never_popped() -> None:
    box = mailbox()
    entry = Waiting(key=("alice", "k1"))
    box.push(entry)
    assert box.find(("alice", "k1")) is entry
    assert box.cancel(("alice", "k1")) is entry
    assert box.cancel(("alice", "k1")) is None
    assert box.pop() is None


def test_a_key_waits_once_and_may_come_again_after_it_left() -> None:
    box = mailbox()
    box.push(Waiting(key="k"))
    with pytest.raises(ValueError, match="waits already"):
        box.push(Waiting(key="k"))
    assert len(box) == 1
    assert box.size_bytes == 100
    box.pop()
    box.push(Waiting(key="k"))


def test_only_entries_whose_deadline_passed_expire_oldest_first() -> None:
    box = mailbox()
    late, soon, never, sooner = Waiting(1, 9.0), Waiting(2, 3.0), Waiting(3), Waiting(4, 2.0)
    for entry in (late, soon, never, sooner):
        box.push(entry)
    assert box.next_deadline == 2.0
    assert box.expire(1.9) == []
    assert box.expire(3.0) == [soon, sooner]
    assert box.next_deadline == 9.0
    assert list(box) == [late, never]


def test_the_next_deadline_of_an_empty_mailbox_is_never() -> None:
    box = mailbox()
    box.push(Waiting(deadline=1.0))
    box.pop()
    assert box.next_deadline == inf
    assert box.expire(5.0) == []


def test_closing_gives_back_everything_and_lets_nothing_in() -> None:
    box = mailbox()
    caller, own = Waiting(1, key="k"), Waiting(2)
    box.push(caller)
    box.push_enqueue(own)
    assert box.close() == [caller, own]
    assert (len(box), box.enqueues, box.size_bytes, box.pop()) == (0, 0, 0, None)
    for push in (box.push, box.push_enqueue):
        with pytest.raises(ShuttingDown):
            push(Waiting())
    assert box.close() == []


steps = st.lists(
    st.one_of(
        st.builds(
            Waiting,
            st.integers(0, 500),
            st.sampled_from([1.0, 2.0, 3.0, inf]),
            st.sampled_from([None, "a", "b", "c"]),
            st.booleans(),
        ),
        st.sampled_from(["pop", "remove", "expire", "a", "b"]),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_any_use_keeps_order_bounds_and_counts(walk: list[Waiting | str]) -> None:
    """The mailbox against a plain list: the same entries in the same order, within the bounds, counted right."""
    bounds = Bounds(operations=4, bytes=1024, enqueues=2, enqueue_bytes=600)
    box: Mailbox[Waiting] = Mailbox(bounds)
    model: list[Waiting] = []
    now, peak = 0.0, 0
    for step in walk:
        if isinstance(step, Waiting):
            try:
                (box.push_enqueue if step.own else box.push)(step)
            except (Overloaded, ValueError):
                pass
            else:
                model.append(step)
        elif step == "pop":
            assert box.pop() is (model.pop(0) if model else None)
        elif step == "remove":
            assert box.remove(model.pop()) if model else box.pop() is None
        elif step == "expire":
            now += 1.0
            due = [entry for entry in model if entry.deadline <= now]
            assert box.expire(now) == due
            model = [entry for entry in model if entry.deadline > now]
        else:
            found = next((entry for entry in model if entry.key == step), None)
            assert box.cancel(step) is found
            model = [entry for entry in model if entry is not found]
        peak = max(peak, len(model))
        assert all(mine is theirs for mine, theirs in zip(box, model, strict=True))
        own = [entry for entry in model if entry.own]
        callers = [entry for entry in model if not entry.own]
        assert len(own) == box.enqueues <= bounds.enqueues
        assert len(callers) <= bounds.operations
        assert sum(entry.size_bytes for entry in callers) <= bounds.bytes
        assert sum(entry.size_bytes for entry in own) <= bounds.enqueue_bytes
        assert box.size_bytes == sum(entry.size_bytes for entry in model) <= box.peak_bytes
        assert box.peak_depth == peak
        assert box.next_deadline <= min((entry.deadline for entry in model), default=inf)
