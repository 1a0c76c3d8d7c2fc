"""A host answers to inboxes only."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.wire import ReplyRule
from theater_bus.core.wire.reply import MAX_REPLY
from theater_bus.errors import ConfigurationError

RULE = ReplyRule()


@pytest.mark.parametrize(
    "reply",
    [
        "_INBOX.abc",
        "_INBOX.abc.1",
        "_INBOX_alice.abc.1",
        "_R_.gA1b2C.0abc",
        "_GR_.acct.hash._INBOX.abc.1",
        "_GR_.acct.hash._R_.abc",
    ],
)
def test_an_inbox_is_answered(reply: str) -> None:
    assert RULE.allows(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "theater.default.ops.other.refund",
        "theater.default.control.other.terminate",
        "$JS.API.STREAM.DELETE.THEATER_default_CHAIN",
        "_GR_.a.b.theater.default.control.x.terminate",
        "_GR_.a.b.$JS.API.STREAM.PURGE.X",
        "_GR_.a._INBOX.b",
        "_GR_._INBOX.b",
        "_GR_.a.b._GR_.c.d._INBOX.e",
        "_GR_.a.b",
        "_INBOX",
        "_R_",
        "_R_x.a",
        "x_INBOX.a",
        "_inbox.a",
        "_INBOX.*",
        "_INBOX.>",
        "_INBOX.a.>",
        "_INBOX.a*b",
        "_INBOX..a",
        "_INBOX.a.",
        "._INBOX.a",
        "_INBOX.a b",
        "_INBOX.a\r\nPUB theater.x 0",
        "_INBOX.a\x00",
        "_INBOX.é",
        "_INBOX." + "a" * MAX_REPLY,
    ],
)
def test_anything_but_a_well_formed_inbox_is_not_answered(reply: str) -> None:
    assert not RULE.allows(reply)


def test_the_setting_replaces_the_prefixes() -> None:
    rule = ReplyRule(["_ME", "_CI*"])
    assert rule.prefixes == ("_ME", "_CI*")
    assert rule.allows("_ME.a")
    assert rule.allows("_CI_7.a")
    assert not rule.allows("_MEE.a")
    assert not rule.allows("_INBOX.a")


@pytest.mark.parametrize(
    "prefixes", [[], [""], ["*"], [">"], ["a.b"], ["$JS"], ["theater"], ["theater*"], ["thea*"], ["a b"], ["_I*X"]]
)
def test_a_prefix_that_would_open_more_than_inboxes_is_refused(prefixes: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="reply_prefixes"):
        ReplyRule(prefixes)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("_INBOXRG.$*> a\n"), max_size=40))
def test_whatever_is_answered_is_literal_and_begins_as_an_inbox(reply: str) -> None:
    if RULE.allows(reply):
        assert not set(reply) & set("*> \n")
        assert "" not in reply.split(".")
        assert reply.startswith(("_INBOX", "_R_.", "_GR_."))


TOKENS = st.sampled_from(["_INBOX", "_INBOX_x", "_R_", "_GR_", "a", "b1", "é", "", "*", ">", "$JS", "theater", "-"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(TOKENS, min_size=1, max_size=5).map(".".join), min_size=1, max_size=12))
def test_what_was_answered_before_changes_no_later_answer(replies: list[str]) -> None:
    used = ReplyRule()
    for reply in replies + replies:
        assert used.allows(reply) == ReplyRule().allows(reply)


def test_inboxes_are_remembered_up_to_a_number() -> None:
    rule = ReplyRule()
    for number in range(10_000):
        assert rule.allows(f"_INBOX.{number}.1")
    assert len(rule._known) <= 4_096
    assert not rule.allows("_INBOX.1." + "x" * MAX_REPLY)
    assert rule.allows("_INBOX.1.x")
    assert not rule.allows("_INBOX.1." + "x" * MAX_REPLY)
