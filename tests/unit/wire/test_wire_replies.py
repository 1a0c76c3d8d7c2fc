"""Replies: values, bytes, voids, parts and errors survive; an unreadable reply says that the outcome is unknown."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from theater_bus import errors
from theater_bus.core.wire import (
    ERROR_CODE_HEADER,
    ERROR_HEADER,
    GUIDE,
    Form,
    Reply,
    ReplyKind,
    decode_reply,
    encode_cgrf,
    encode_error,
    encode_part,
    encode_value,
    encode_void,
)
from theater_bus.core.wire.response import MAX_MESSAGE
from theater_bus.errors import ActorError, FunctionNotFound, GuestError, SerializationError, UnexpectedError

FORMS = list(Form)
ENVELOPES = [Form.MSGPACK, Form.JSON_ENVELOPE]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [None, 5, "x", [1, {"a": None}], {"ok": []}])
def test_a_value_survives_in_every_form(form: Form, value: Any) -> None:
    body, headers = encode_value(value, form, has_type=True)
    assert headers == {"Content-Type": form.value}
    assert decode_reply(body, headers) == Reply(ReplyKind.VALUE, value)


def test_a_msgpack_value_is_the_map_of_the_wire_page() -> None:
    body, headers = encode_value([1])
    assert (msgpack.unpackb(body), headers) == ({"v": 1, "value": [1]}, None)


@pytest.mark.parametrize("form", FORMS)
def test_headers_come_only_when_the_request_had_a_content_type(form: Form) -> None:
    assert encode_value(1, form)[1] is None
    assert encode_void(form)[1] is None
    assert encode_cgrf(b"", form)[1] is None
    assert set(encode_error(GuestError("no"), form)[1] or ()) == {ERROR_HEADER, ERROR_CODE_HEADER}


@pytest.mark.parametrize("form", ENVELOPES)
def test_cgrf_and_void_survive_in_both_envelopes(form: Form) -> None:
    body, headers = encode_cgrf(b"\x00\xff", form, has_type=True)
    assert decode_reply(body, headers) == Reply(ReplyKind.CGRF, b"\x00\xff")
    body, headers = encode_void(form, has_type=True)
    assert decode_reply(body, headers) == Reply(ReplyKind.VOID, None)


def test_bare_json_says_cgrf_and_void_in_its_own_way() -> None:
    assert encode_cgrf(b"\x00\xff", Form.JSON_BARE)[0] == b'{"$cgrf":"AP8="}'
    assert encode_void(Form.JSON_BARE)[0] == b"null"
    assert encode_value(b"\x00\xff", Form.JSON_BARE)[0] == b'{"$bytes":"AP8="}'
    assert encode_value("é", Form.JSON_BARE)[0] == '"é"'.encode()


@pytest.mark.parametrize("form", ENVELOPES)
def test_parts_are_numbered_and_a_heartbeat_has_no_value(form: Form) -> None:
    body, headers = encode_part(0, {"done": 5}, form, has_type=True)
    assert decode_reply(body, headers) == Reply(ReplyKind.VALUE, {"done": 5}, 0)
    body, headers = encode_part(1, form=form, has_type=True)
    assert decode_reply(body, headers) == Reply(ReplyKind.VOID, None, 1)
    assert encode_part(2, None, form)[1] is None


def test_bare_json_has_no_parts() -> None:
    with pytest.raises(ValueError, match="no parts"):
        encode_part(0, 1, Form.JSON_BARE)


def test_a_part_may_carry_cgrf_and_x_keys_are_ignored() -> None:
    body = msgpack.packb({"v": 1, "part": 3, "cgrf": b"\x01", "x-a": 1})
    assert decode_reply(body) == Reply(ReplyKind.CGRF, b"\x01", 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", GUIDE)
def test_every_error_comes_out_as_the_class_that_went_in(form: Form, code: str) -> None:
    guide = GUIDE[code]
    for ran in guide.ran:
        sent = guide.error("it failed", ran=ran, bound="mailbox", nearest=["a"], self=1, message="m", error="e")
        body, headers = encode_error(sent, form, has_type=True)
        assert headers == {
            ERROR_HEADER: code,
            ERROR_CODE_HEADER: str(guide.error.number),
            "Content-Type": form.value,
        }
        with pytest.raises(guide.error) as caught:
            decode_reply(body, headers, "orders")
        seen = caught.value
        assert (type(seen), seen.message, seen.ran, seen.actor) == (guide.error, "it failed", ran, "orders")
        assert seen.details == {"ran": ran, "bound": "mailbox", "nearest": ["a"], "self": 1, "error": "e"}


def test_a_bare_error_is_the_three_fields_alone() -> None:
    body, _ = encode_error(FunctionNotFound("no f"), Form.JSON_BARE)
    assert json.loads(body) == {"code": "function-not-found", "message": "no f", "details": {"ran": "never"}}


@pytest.mark.parametrize("form", FORMS)
def test_a_long_message_is_cut_and_text_that_is_no_unicode_is_told_all_the_same(form: Form) -> None:
    body, headers = encode_error(GuestError("x" * 100_000 + "\ud800"), form, has_type=True)
    with pytest.raises(GuestError) as caught:
        decode_reply(body, headers)
    assert len(caught.value.message) == MAX_MESSAGE
    assert caught.value.message.endswith("(cut)")
    body, headers = encode_error(GuestError("a\ud800"), form, has_type=True)
    with pytest.raises(GuestError, match="ud800"):
        decode_reply(body, headers)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["x" * 10_000, object(), "\ud800", {1, 2}])
def test_details_that_are_too_large_or_no_plain_values_give_way_to_a_mark(form: Form, value: Any) -> None:
    body, headers = encode_error(GuestError("no", value=value), form, has_type=True, limit_bytes=1_000)
    assert len(body) <= 1_000
    with pytest.raises(GuestError, match="no") as caught:
        decode_reply(body, headers)
    assert caught.value.details == {"ran": "committed", "cut": True}


def test_an_error_of_a_newer_host_keeps_its_code() -> None:
    body = msgpack.packb({"v": 1, "error": {"code": "brand-new", "message": "m", "details": {"ran": "never"}}})
    with pytest.raises(UnexpectedError, match="brand-new") as caught:
        decode_reply(body, {ERROR_HEADER: "brand-new"})
    assert caught.value.details == {"ran": "never", "code": "brand-new"}


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x81\xa1v\x01", b"\x90", b"[]", b"5", msgpack.packb({"v": 1, "error": 5}), b"\xff",
     msgpack.packb({"v": 1, "error": {"details": msgpack.Timestamp(1, 2)}})],
)  # fmt: skip
def test_the_header_alone_makes_it_an_error_when_the_body_says_nothing(body: bytes) -> None:
    with pytest.raises(FunctionNotFound, match="cannot be read") as caught:
        decode_reply(body, {ERROR_HEADER: "function-not-found"})
    assert caught.value.ran == "unknown"


def test_an_error_reply_with_a_foreign_content_type_is_still_that_error() -> None:
    with pytest.raises(GuestError):
        decode_reply(b"\x81", {ERROR_HEADER: "guest-error", "Content-Type": "text/plain"})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", None),
        (b"\x90", None),
        (b"\x80", None),
        (msgpack.packb({"v": 2, "value": 1}), None),
        (msgpack.packb({"v": True, "value": 1}), None),
        (msgpack.packb({"v": 1, "value": 1, "cgrf": b""}), None),
        (msgpack.packb({"v": 1, "cgrf": "x"}), None),
        (msgpack.packb({"v": 1, "part": -1}), None),
        (msgpack.packb({"v": 1, "part": "a"}), None),
        (msgpack.packb({"v": 1, "part": True}), None),
        (msgpack.packb({"v": 1, "values": 1}), None),
        (msgpack.packb({"v": 1, "error": {"code": "guest-error"}}), None),
        (msgpack.packb({"v": 1, "value": msgpack.Timestamp(1, 2)}), None),
        (msgpack.packb({"v": 1, "value": 1}) + b"\x00", None),
        (b'{"v":1,"cgrf":{"$bytes":5}}', {"Content-Type": "application/vnd.theater+json"}),
        (b'{"v":1,"cgrf":{"$bytes":"?"}}', {"Content-Type": "application/vnd.theater+json"}),
        (b"{}", {"Content-Type": "text/plain"}),
    ],
)
def test_a_reply_that_cannot_be_read_leaves_the_outcome_unknown(body: bytes, headers: dict[str, str] | None) -> None:
    with pytest.raises(SerializationError) as caught:
        decode_reply(body, headers, "orders")
    assert (caught.value.ran, caught.value.actor) == ("unknown", "orders")


def test_a_reply_without_a_content_type_is_read_by_its_first_byte() -> None:
    assert decode_reply(b"[1]", {"X": "y"}) == Reply(ReplyKind.VALUE, [1])
    assert decode_reply(encode_void()[0], {}) == Reply(ReplyKind.VOID, None)


def test_what_is_no_plain_value_cannot_be_answered() -> None:
    for form in FORMS:
        with pytest.raises(SerializationError, match="cannot be written"):
            encode_value(object(), form)


def test_the_error_tree_is_what_the_wire_knows() -> None:
    assert all(errors.by_code(code) is guide.error for code, guide in GUIDE.items())
    assert issubclass(errors.GuestError, ActorError)
