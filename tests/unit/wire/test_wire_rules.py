"""Ids, callers, call paths, budgets and digests."""

from __future__ import annotations

import uuid
from hashlib import sha256

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus import errors
from theater_bus.core.wire import (
    GUIDE,
    HOST_SCOPE,
    MAX_PATH,
    RANDOM_BYTES,
    Budget,
    Caller,
    Proof,
    attempt_ms,
    check_cycle,
    check_name,
    effect_key,
    extend_path,
    generate_id,
    incarnation,
    is_name,
    nested_ms,
    operation_digest,
    proof_of,
    remaining,
    scope_of,
)
from theater_bus.core.wire.callpath import circle_of, seen_from, victim_of
from theater_bus.errors import CallCycle, OperationTimeout, Overloaded, SerializationError

MILLIS = st.integers(0, 2**48 - 1)
NOISE = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@settings(max_examples=50, deadline=None)
@given(MILLIS, NOISE)
def test_an_incarnation_is_a_uuid_version_7_that_holds_its_time(now_ms: int, noise: bytes) -> None:
    found = uuid.UUID(bytes=incarnation(now_ms, noise))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == now_ms


@settings(max_examples=50, deadline=None)
@given(MILLIS, NOISE, MILLIS, NOISE)
def test_generated_ids_are_names_and_sort_by_birth(early: int, one: bytes, late: int, other: bytes) -> None:
    first, second = generate_id(early, one), generate_id(late, other)
    assert is_name(first)
    assert len(first) == 26
    assert first.isupper() or first.isdigit()
    if early != late:
        assert (first < second) == (early < late)


def test_a_generated_id_is_the_incarnation_in_crockford_base32() -> None:
    noise = bytes(range(RANDOM_BYTES))
    assert incarnation(0x0123456789AB, noise).hex() == "0123456789ab70048203040506070809"
    found = generate_id(0x0123456789AB, noise)
    assert found == "014D2PF2DBE02840R40M30E209"
    plain = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789ABCDEFGHIJKLMNOPQRSTUV")
    assert int(found.translate(plain), 32) == 0x0123456789AB70048203040506070809


def test_an_id_takes_exactly_its_random_bytes() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        incarnation(0, b"short")


def test_a_name_is_returned_and_free_text_is_refused_with_what_it_was_for() -> None:
    assert check_name("orders-eu") == "orders-eu"
    with pytest.raises(SerializationError, match=r"parent 'a\.b'"):
        check_name("a.b", "parent")


@pytest.mark.parametrize(
    ("caller", "trusted", "proof", "scope"),
    [
        (None, True, Proof.NONE, ""),
        (Caller("alice", False), False, Proof.NONE, ""),
        (Caller("alice", True), False, Proof.NONE, ""),
        (Caller("alice", False), True, Proof.SUBJECT, "alice"),
        (Caller("alice", True), True, Proof.ACTOR, "@actor.alice"),
    ],
)
def test_a_caller_is_proven_only_where_the_setting_says_that_permissions_are_in_force(
    caller: Caller | None, trusted: bool, proof: Proof, scope: str
) -> None:
    assert proof_of(caller, caller_subjects=trusted) is proof
    assert scope_of(caller.id if caller else "", proof) == scope


def test_the_host_has_a_scope_that_no_caller_can_have() -> None:
    assert scope_of("", Proof.HOST) == HOST_SCOPE
    assert not is_name(HOST_SCOPE)


def test_a_receiver_that_already_waits_is_a_call_cycle_with_its_path() -> None:
    check_cycle((), "a")
    check_cycle(("a", "b"), "c")
    with pytest.raises(CallCycle, match="a → b → a") as caught:
        check_cycle(("a", "b"), "a")
    assert caught.value.details["path"] == ["a", "b", "a"]


def test_a_path_grows_up_to_its_bound_and_no_further() -> None:
    path: tuple[str, ...] = ()
    for number in range(MAX_PATH):
        path = extend_path(path, f"a{number}")
    assert path == tuple(f"a{number}" for number in range(MAX_PATH))
    with pytest.raises(Overloaded) as caught:
        extend_path(path, "b", limit=64)
    assert (caught.value.details["bound"], caught.value.details["limit"]) == ("call_depth", MAX_PATH)
    with pytest.raises(Overloaded):
        extend_path(("a",), "b", limit=1)


@pytest.mark.parametrize(
    ("timeout_ms", "sent_ms", "budget"),
    [
        (None, None, Budget(30_000, False)),
        (500, None, Budget(500, False)),
        (500, 99_900, Budget(400, False)),
        (500, 100_050, Budget(500, False)),
        (500, 39_999, Budget(500, True)),
        (500, 160_001, Budget(500, True)),
        (90_000, 40_000, Budget(30_000, False)),
    ],
)
def test_what_is_left_counts_the_journey_unless_the_clocks_disagree(
    timeout_ms: int | None, sent_ms: int | None, budget: Budget
) -> None:
    assert remaining(timeout_ms, sent_ms, 100_000) == budget


@pytest.mark.parametrize(("timeout_ms", "sent_ms"), [(0, None), (0, 1), (100, 99_900), (100, 99_000)])
def test_an_expired_request_is_a_timeout_that_never_ran(timeout_ms: int, sent_ms: int | None) -> None:
    with pytest.raises(OperationTimeout) as caught:
        remaining(timeout_ms, sent_ms, 100_000)
    assert (caught.value.ran, caught.value.details["limit_ms"]) == ("never", timeout_ms)


def test_a_nested_call_gets_no_more_than_its_operation_has_left() -> None:
    assert nested_ms(None, 1000) == 995
    assert nested_ms(200, 1000) == 200
    assert nested_ms(2000, 1000) == 995
    assert nested_ms(2000, 3) == 0


def test_an_attempt_lasts_a_quarter_of_what_is_left_and_a_second_at_most() -> None:
    assert [attempt_ms(left) for left in (60_000, 4_000, 400, 1)] == [1_000, 1_000, 100, 1]


def test_the_operation_digest_is_the_hash_of_prefix_and_msgpack() -> None:
    expected = sha256(b"theater-op-1\0" + msgpack.packb(["i.f", b"\x01"])).digest()
    assert operation_digest("i.f", b"\x01") == expected
    assert operation_digest("i.f", b"\x02") != expected
    assert operation_digest("i.f\x01", b"") != operation_digest("i.f", b"\x01")


def test_the_effect_key_is_the_hash_of_what_the_chain_page_lists() -> None:
    made, keyed = bytes(16), ("alice", "k")
    for operation in (keyed, made):
        fields = ["a", made, list(operation) if operation is keyed else operation, 3, "i", "f", sha256(b"in").digest()]
        expected = sha256(b"theater-effect-1\0" + msgpack.packb(fields)).hexdigest()
        assert effect_key("a", made, operation, 3, "i", "f", b"in") == expected


def test_every_error_that_travels_has_a_guide_that_allows_its_default_outcome() -> None:
    tree = {cls.code: cls for cls in errors.ActorError.__subclasses__() if cls.__module__ == errors.__name__}
    assert {code: guide.error for code, guide in GUIDE.items()} == tree
    for guide in GUIDE.values():
        assert guide.error.default_ran in guide.ran
        assert set(guide.ran) <= errors.RAN_VALUES


def test_a_circle_is_seen_by_everybody_and_has_one_victim() -> None:
    # a waits for b, b for c, c for a; c hears of it from the path of those that wait for it.
    circle = circle_of(("z", "a", "b"), "c", "a")
    assert circle == ("a", "b", "c")
    assert circle_of(("z", "a", "b"), "c", "d") == ()
    assert victim_of(circle) == "a"
    assert seen_from(circle, "a") == ("b", "c")
    assert circle_of(seen_from(circle, "a"), "a", "b") == ("b", "c", "a")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, unique=True), st.data())
def test_every_member_finds_the_same_circle(ids: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(ids) - 1))
    path = seen_from(tuple(ids), ids[at])
    circle = circle_of(path, ids[at], path[0])
    assert sorted(circle) == sorted(ids)
    assert circle[-1] == ids[at]
    assert victim_of(circle) == min(ids)
