"""Subjects, function tokens and caller tokens: one spelling each, and nothing else gets through."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.wire import (
    Caller,
    Channel,
    OpsSubjects,
    ParsedSubject,
    Subjects,
    Tails,
    Target,
    decode_tail,
    encode_function,
    encode_tail,
    parse_subject,
)
from theater_bus.core.wire.function import MAX_TAIL
from theater_bus.errors import ConfigurationError, FunctionNotFound, UnknownVerb

NAMES = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)
PARTS = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() or text.isascii())
CALLERS = st.none() | st.builds(Caller, NAMES, st.booleans())


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("increment", "increment"),
        ("theater:simple/actor.init", "theater:simple/actor.init"),
        ("acme:shop/cart@1.2.0.add", "acme:shop/cart@1%2E2%2E0.add"),
        ("@home", "%40home"),
        ("@i.@f", "%40i.%40f"),
        ("a b", "a%20b"),
        ("50%", "50%25"),
        ("é", "%C3%A9"),
        ("i.*", "i.%2A"),
        (">", "%3E"),
    ],
)
def test_a_function_has_the_tokens_of_the_wire_page_and_reads_back(name: str, tokens: str) -> None:
    assert encode_function(name) == tokens
    assert decode_tail(tokens) == Target(name, None)


@pytest.mark.parametrize("name", ["", ".f", "i.", ".", "a\ud800"])
def test_a_name_that_no_export_can_have_is_refused(name: str) -> None:
    with pytest.raises(FunctionNotFound):
        encode_function(name)


@pytest.mark.parametrize(
    "alias",
    [
        "math%2Edouble",
        "math.a%2Eb",
        "%69ncrement",
        "a%2eb",
        "caf\u00e9",
        "%C3",
        "%",
        "%4",
        "%zz",
        "a b",
        "@f",
        "i.@f",
        "i.@",
        "@.f",
        "",
        ".",
        "f.",
        ".f",
        "i..f",
        "i.*",
        "a\ud800",
    ],
)
def test_an_alias_of_a_function_is_never_decoded(alias: str) -> None:
    with pytest.raises(FunctionNotFound):
        decode_tail(alias)


def test_a_bare_token_never_reaches_an_interface_qualified_export() -> None:
    assert decode_tail("double").function == "double"
    assert decode_tail("math.double").function == "math.double"
    with pytest.raises(FunctionNotFound, match="another way"):
        decode_tail("math%2Edouble")


@pytest.mark.parametrize(
    ("tail", "target"),
    [
        ("f.@.alice", Target("f", Caller("alice", False))),
        ("i.f.@.alice", Target("i.f", Caller("alice", False))),
        ("f.@actor.boss", Target("f", Caller("boss", True))),
        ("i.f.@actor.boss", Target("i.f", Caller("boss", True))),
    ],
)
def test_the_caller_is_read_from_the_end_of_the_subject(tail: str, target: Target) -> None:
    assert decode_tail(tail) == target


@pytest.mark.parametrize(
    "tail",
    [
        "f.@.",
        "f.@.a.b",
        "f.@.bob!",
        "f.@." + "x" * 65,
        "f.@user.bob",
        "f.%40.bob",
        "a.b.c.@.bob",
        "a.b.c",
        "f.@.a.@.b",
        "@.alice.x",
    ],
)
def test_a_malformed_caller_or_a_surplus_token_is_refused(tail: str) -> None:
    with pytest.raises(FunctionNotFound):
        decode_tail(tail)


def test_a_tail_beyond_the_bound_is_refused_and_its_message_stays_short() -> None:
    with pytest.raises(FunctionNotFound, match="longer") as caught:
        decode_tail("f" * (MAX_TAIL + 1))
    assert len(caught.value.message) < 500


@settings(max_examples=100, deadline=None)
@given(PARTS.filter(lambda part: "." not in part), st.none() | PARTS, CALLERS)
def test_every_function_and_caller_survives_the_round_trip(
    bare: str, interface: str | None, caller: Caller | None
) -> None:
    name = bare if interface is None else f"{interface}.{bare}"
    assert decode_tail(encode_tail(name, caller)) == Target(name, caller)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab.@%24E0é/") | st.characters(), max_size=12))
def test_any_tail_is_refused_or_is_the_one_spelling_of_what_it_names(tail: str) -> None:
    try:
        target = decode_tail(tail)
    except FunctionNotFound:
        return
    assert encode_tail(target.function, target.caller) == tail


def test_tails_are_remembered_up_to_the_bound_and_refused_ones_never() -> None:
    tails = Tails(capacity=2)
    first = tails.decode("f.@.alice")
    assert tails.decode("f.@.alice") is first
    with pytest.raises(FunctionNotFound):
        tails.decode("%66")
    assert len(tails) == 1
    tails.decode("g")
    tails.decode("h")
    assert len(tails) == 1
    assert tails.decode("f.@.alice") == first


def test_a_lane_parses_its_own_subjects_and_may_share_what_it_remembers() -> None:
    subjects, tails = Subjects("prod"), Tails()
    lanes = [OpsSubjects(subjects.ops_prefix("a"), tails), OpsSubjects(subjects.pool_prefix("b"), tails)]
    alice = Caller("alice", False)
    assert lanes[0].parse(subjects.ops("a", "i.f", alice)) == Target("i.f", alice)
    assert lanes[1].parse(subjects.pool("b", "i.f", alice)) == Target("i.f", alice)
    assert len(tails) == 1
    assert OpsSubjects(lanes[0].prefix).parse("theater.prod.ops.a.f") == Target("f", None)


def test_every_subject_of_the_table_is_built_as_the_wire_page_writes_it() -> None:
    subjects = Subjects()
    assert subjects.ops("orders-eu", "refund") == "theater.default.ops.orders-eu.refund"
    assert subjects.ops_lane("orders-eu") == "theater.default.ops.orders-eu.>"
    assert subjects.info("a", "status") == "theater.default.info.a.status"
    assert subjects.info("a", "*") == "theater.default.info.a.*"
    assert subjects.control("a", "pause") == "theater.default.control.a.pause"
    assert subjects.chain("a") == "theater.default.chain.a"
    assert subjects.events("a") == "theater.default.events.a"
    assert subjects.pool("p", "i.f") == "theater.default.pool.p.i.f"
    assert subjects.host("h", "spawn") == "theater.default.host.h.spawn"
    assert subjects.fleet("where") == "theater.default.fleet.where"
    assert subjects.beat("h") == "theater.default.beat.h"
    assert subjects.beat("*") == "theater.default.beat.*"


def test_names_on_the_server_carry_the_namespace() -> None:
    subjects = Subjects("prod")
    assert subjects.chain_stream == "THEATER_prod_CHAIN"
    assert subjects.hosts_bucket == "theater_prod_hosts"
    assert subjects.actors_bucket == "theater_prod_actors"
    assert subjects.objects_bucket == "theater_prod_objects"
    assert subjects.capability_bucket("store") == "theater_prod_cap_store"
    with pytest.raises(ConfigurationError):
        subjects.capability_bucket("a.b")
    assert subjects.object_name(bytes(32)) == "sha256-" + "00" * 32
    assert subjects.loan_name(bytes(32)) == "loan-sha256-" + "00" * 32


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "é", "x" * 65, "a\n"])
def test_free_text_never_becomes_part_of_a_subject(name: str) -> None:
    subjects = Subjects()
    with pytest.raises(ConfigurationError, match="Fix"):
        Subjects(name)
    with pytest.raises(ConfigurationError):
        subjects.chain(name)
    with pytest.raises(ConfigurationError):
        subjects.ops("a", "f", Caller(name, False))
    if name != "*":
        with pytest.raises(ConfigurationError):
            subjects.beat(name)
        with pytest.raises(UnknownVerb):
            subjects.info("a", name)


@pytest.mark.parametrize(
    ("subject", "parsed"),
    [
        ("theater.n.ops.a.i.f", ParsedSubject("n", Channel.OPS, "a", "", Target("i.f", None))),
        ("theater.n.pool.p.f", ParsedSubject("n", Channel.POOL, "p", "", Target("f", None))),
        ("theater.n.info.a.status", ParsedSubject("n", Channel.INFO, "a", "status", None)),
        ("theater.n.host.h.spawn", ParsedSubject("n", Channel.HOST, "h", "spawn", None)),
        ("theater.n.fleet.ping", ParsedSubject("n", Channel.FLEET, "", "ping", None)),
        ("theater.n.chain.a", ParsedSubject("n", Channel.CHAIN, "a", "", None)),
        ("theater.n.beat.h", ParsedSubject("n", Channel.BEAT, "h", "", None)),
    ],
)
def test_a_subject_of_ours_is_taken_apart(subject: str, parsed: ParsedSubject) -> None:
    assert parse_subject(subject) == parsed


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "other.n.ops.a.f",
        "theater.n",
        "theater.n.nothing.a",
        "theater.a b.info.a.status",
        "theater.n.ops.a",
        "theater.n.info.a!.status",
        "theater.n.info.a",
        "theater.n.info.a.b.c",
        "theater.n.fleet",
        "theater.n.fleet.a.b",
        "theater.n.chain.a.b",
    ],
)
def test_a_subject_of_others_is_none_of_ours(subject: str) -> None:
    assert parse_subject(subject) is None
