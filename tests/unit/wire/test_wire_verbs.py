"""Fields of queries and verbs are declared, bounded and filled in; nothing undeclared gets through."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.core.wire import VERBS, Channel, parse_fields, verb_of
from theater_bus.core.wire.verb_schema import ABSENT, Kind
from theater_bus.errors import SerializationError, UnknownVerb

DIGEST = "sha256:" + "0a" * 32
MANIFEST = 'name = "x"'


@pytest.mark.parametrize(
    ("channel", "verb", "params", "fields"),
    [
        (Channel.INFO, "status", None, {}),
        (Channel.INFO, "status", [], {}),
        (Channel.INFO, "state", {}, {"form": "value"}),
        (Channel.INFO, "state", ["cgrf"], {"form": "cgrf"}),
        (Channel.INFO, "chain", {"from": 5}, {"from": 5, "limit": 100, "bytes": 262_144}),
        (Channel.INFO, "operation", {"op": "k"}, {"op": "k", "caller": ""}),
        (Channel.INFO, "watch", {}, {"ttl_ms": 30_000}),
        (Channel.CONTROL, "shutdown", {"wait": True}, {"wait": True, "reason": ""}),
        (Channel.CONTROL, "terminate", None, {"wait": False}),
        (Channel.CONTROL, "cancel", {"op": "k"}, {"op": "k", "caller": ""}),
        (Channel.CONTROL, "cancel", {"op": "k", "caller": "@actor.b"}, {"op": "k", "caller": "@actor.b"}),
        (Channel.CONTROL, "cancel", {"reply": "_INBOX.a"}, {"reply": "_INBOX.a", "caller": ""}),
        (Channel.CONTROL, "waiting", {"path": ["a", "b"]}, {"path": ["a", "b"]}),
        (Channel.HOST, "spawn", {"manifest": MANIFEST}, {"manifest": MANIFEST, "continue": False, "fresh": False}),
        (
            Channel.HOST,
            "spawn",
            {"manifest": {"name": "x"}, "package": DIGEST, "id": "a", "state": None, "parent": "p", "fresh": True},
            {
                "manifest": {"name": "x"},
                "package": DIGEST,
                "id": "a",
                "state": None,
                "parent": "p",
                "continue": False,
                "fresh": True,
            },
        ),
        (Channel.HOST, "actors", {"after": "a"}, {"after": "a", "limit": 100}),
        (Channel.FLEET, "where", ["a"], {"id": "a"}),
    ],
)
def test_fields_are_parsed_with_their_defaults(
    channel: Channel, verb: str, params: Any, fields: dict[str, Any]
) -> None:
    assert parse_fields(channel, verb, params) == fields


@pytest.mark.parametrize(
    ("channel", "verb", "params", "says"),
    [
        (Channel.INFO, "status", {"form": 1}, "Known: none"),
        (Channel.INFO, "status", [1], "takes 0 fields"),
        (Channel.INFO, "state", {"from": "value"}, "Did you mean 'form'"),
        (Channel.INFO, "state", {"form": "json"}, "'value' or 'cgrf'"),
        (Channel.INFO, "chain", {"from": -1}, "integer from 0"),
        (Channel.INFO, "chain", {"limit": True}, "integer from 1"),
        (Channel.INFO, "operation", {}, "'op' is missing"),
        (Channel.INFO, "operation", {"op": "a b"}, "printable"),
        (Channel.CONTROL, "shutdown", {"wait": 1}, "true or false"),
        (Channel.CONTROL, "shutdown", {"reason": "x" * 257}, "0 to 256 characters"),
        (Channel.CONTROL, "cancel", {}, "'op' or 'reply'"),
        (Channel.CONTROL, "cancel", {"op": "k", "reply": "_INBOX.a"}, "exactly one"),
        (Channel.CONTROL, "cancel", {"caller": "a"}, "'op' is missing"),
        (Channel.CONTROL, "waiting", {}, "'path' is missing. Fix: send 1 to 32 names"),
        (Channel.CONTROL, "waiting", {"path": []}, "1 to 32 names"),
        (Channel.CONTROL, "waiting", {"path": ["a"] * 33}, "1 to 32 names"),
        (Channel.CONTROL, "waiting", {"path": "ab"}, "1 to 32 names"),
        (Channel.CONTROL, "waiting", {"path": ["a.b"]}, "1 to 32 names"),
        (Channel.CONTROL, "waiting", {"path": [1]}, "1 to 32 names"),
        (Channel.HOST, "spawn", {}, "'manifest' is missing"),
        (Channel.HOST, "spawn", {"manifest": 5}, "TOML"),
        (Channel.HOST, "spawn", {"manifest": MANIFEST, "package": "0a" * 32}, "sha256:"),
        (Channel.HOST, "spawn", {"manifest": MANIFEST, "package": "../x.wasm"}, "sha256:"),
        (Channel.HOST, "spawn", {"manifest": MANIFEST, "id": "a.b"}, "characters A-Z"),
        (Channel.HOST, "spawn", {"manifest": MANIFEST, "continue": True, "fresh": True}, "exclude each other"),
    ],
)
def test_an_unknown_missing_or_impossible_field_is_refused_and_says_what_fits(
    channel: Channel, verb: str, params: Any, says: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        parse_fields(channel, verb, params)
    assert says in caught.value.message
    assert caught.value.message.startswith(verb)


@pytest.mark.parametrize(
    ("channel", "verb", "nearest"),
    [
        (Channel.INFO, "statu", ["status", "state"]),
        (Channel.CONTROL, "stop", []),
        (Channel.CONTROL, "update", []),
        (Channel.FLEET, "bid", []),
        (Channel.FLEET, "were", ["where"]),
        (Channel.HOST, "spwan", ["spawn"]),
    ],
)
def test_an_unknown_or_reserved_verb_is_unknown_with_the_nearest(
    channel: Channel, verb: str, nearest: list[str]
) -> None:
    with pytest.raises(UnknownVerb) as caught:
        verb_of(channel, verb)
    assert caught.value.details["nearest"][: len(nearest)] == nearest
    assert verb not in caught.value.details["nearest"]


def test_the_verbs_are_those_of_the_wire_page() -> None:
    found = {channel: set(verbs) for channel, verbs in VERBS.items()}
    assert found == {
        Channel.INFO: {
            "chain",
            "exports",
            "grants",
            "manifest",
            "metrics",
            "object",
            "operation",
            "state",
            "status",
            "watch",
        },
        Channel.CONTROL: {"pause", "resume", "shutdown", "terminate", "cancel", "waiting", "update", "approve"},
        Channel.HOST: {"spawn", "info", "drain", "actors"},
        Channel.FLEET: {"ping", "where", "bid"},
    }


def test_every_declared_default_fits_its_own_field_and_every_field_says_what_it_wants() -> None:
    for verbs in VERBS.values():
        for verb in verbs.values():
            assert verb.reserved or verb.answer
            for field in verb.fields:
                assert field.doc
                assert field.wants()
                if field.default is not ABSENT:
                    assert field.check(verb.name, field.default) == field.default


def test_every_kind_has_words() -> None:
    seen = {field.kind for verbs in VERBS.values() for verb in verbs.values() for field in verb.fields}
    assert seen == set(Kind)
