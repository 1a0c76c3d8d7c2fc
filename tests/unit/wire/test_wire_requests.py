"""Requests: every rule of the envelope, in msgpack and in both JSON forms."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from theater_bus.core.wire import Form, Limits, Request, decode_request, encode_request, is_key
from theater_bus.core.wire.form import answer_form, content_type_of
from theater_bus.core.wire.request import REQUEST_KEYS
from theater_bus.errors import SerializationError, TooLarge, UnsupportedVersion

SENDER = bytes(range(16))
MSGPACK, JSON, ENVELOPE = "application/msgpack", "application/json", "application/vnd.theater+json"


def packed(**fields: Any) -> bytes:
    return bytes(msgpack.packb({"v": 1, **fields}))


def enveloped(**fields: Any) -> bytes:
    return json.dumps({"v": 1, **fields}).encode()


def test_the_frequent_shape_is_decoded_with_defaults() -> None:
    assert decode_request(packed(params=[5, "x"])) == Request([5, "x"])
    assert decode_request(packed(params={"by": 5})) == Request({"by": 5})


def test_neither_params_nor_cgrf_is_no_parameters() -> None:
    assert decode_request(packed()) == Request([])


def test_cgrf_stands_in_the_place_of_params() -> None:
    assert decode_request(packed(cgrf=b"\x01")) == Request(None, cgrf=b"\x01")
    with pytest.raises(SerializationError, match="both"):
        decode_request(packed(cgrf=b"\x01", params=[]))


def test_every_key_is_taken_and_x_keys_are_ignored() -> None:
    body = packed(
        params=[1],
        timeout_ms=250,
        sent_ms=1_700_000_000_000,
        op="k-1",
        reply="none",
        outbox=[SENDER, 7],
        path=["a", "b"],
        stream=True,
        **{"x-note": {"any": ["thing"]}},
    )
    assert decode_request(body) == Request(
        [1],
        timeout_ms=250,
        op="k-1",
        reply="none",
        sent_ms=1_700_000_000_000,
        outbox=(SENDER, 7),
        path=("a", "b"),
        stream=True,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"params": 5},
        {"params": "x"},
        {"params": None},
        {"params": b"x"},
        {"cgrf": "x"},
        {"cgrf": None},
        {"timeout_ms": -1},
        {"timeout_ms": 2**31},
        {"timeout_ms": 1.0},
        {"timeout_ms": True},
        {"timeout_ms": "5"},
        {"timeout_ms": None},
        {"sent_ms": -1},
        {"sent_ms": 2**53},
        {"sent_ms": False},
        {"op": ""},
        {"op": "x" * 129},
        {"op": "a b"},
        {"op": "é"},
        {"op": "a\x07"},
        {"op": b"k"},
        {"op": 7},
        {"reply": "all"},
        {"reply": ["value"]},
        {"outbox": [SENDER, 1]},
        {"outbox": [SENDER], "reply": "none"},
        {"outbox": [SENDER[:15], 1], "reply": "none"},
        {"outbox": [SENDER, 0], "reply": "none"},
        {"outbox": [SENDER, True], "reply": "none"},
        {"outbox": ["x" * 16, 1], "reply": "none"},
        {"outbox": {}, "reply": "none"},
        {"path": ["a"] * 33},
        {"path": ["a.b"]},
        {"path": [1]},
        {"path": "ab"},
        {"stream": 1},
    ],
)
def test_a_wrong_type_or_an_out_of_range_value_is_refused_and_named(fields: dict[str, Any]) -> None:
    with pytest.raises(SerializationError, match=r"Fix: send|goes with") as caught:
        decode_request(packed(**fields))
    assert caught.value.details["key"] in fields
    assert caught.value.ran == "never"


@pytest.mark.parametrize(("typo", "nearest"), [("timeout", ["timeout_ms"]), ("Params", ["params"]), ("zzz", [])])
def test_an_unknown_key_is_refused_with_the_nearest_known_one(typo: str, nearest: list[str]) -> None:
    with pytest.raises(SerializationError, match="unknown key") as caught:
        decode_request(packed(**{typo: 1}))
    assert caught.value.details["nearest"] == nearest
    assert "Did you mean" in caught.value.message or all(key in caught.value.message for key in REQUEST_KEYS)


def test_a_missing_version_and_another_version_are_different_errors() -> None:
    with pytest.raises(SerializationError, match="no 'v'"):
        decode_request(msgpack.packb({"params": []}))
    with pytest.raises(SerializationError, match="'v' is"):
        decode_request(msgpack.packb({"v": True}))
    with pytest.raises(SerializationError, match="'v' is"):
        decode_request(msgpack.packb({"v": [1]}))
    with pytest.raises(UnsupportedVersion) as caught:
        decode_request(msgpack.packb({"v": 2, "future": 1}))
    assert (caught.value.details["v"], caught.value.details["supported"]) == (2, [1])


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"\x82\xa1v\x01",
        packed(params=[1]) + b"\x00",
        packed(params=[1])[:-1],
        b"\x82\xa1v\x01\xa6params\xdd\xff\xff\xff\xff",
        b"\x82\xa1v\x01\xa6params\xc6\xff\xff\xff\xff",
        b"\x82\xa1v\x01\xa1v\x01",
        b"\x82\xa1v\x01\xa6params\x82\xa1a\x01\xa1a\x02",
        b"\x82\xa1v\x01\xa6params\x91\x81\x01\x02",
        b"\x82\xa1v\x01\xa6params\x91\x81\xc4\x01a\x02",
        b"\x82\xa1v\x01\xa6params\x91\x81\x90\x02",
        b"\x82\xa1v\x01\xa6params\x91\xa3\xed\xa0\x80",
        b"\x82\xa1v\x01\xa6params\x91\xd4\x05\x00",
        b"\x82\xa1v\x01\xa6params\x91\xc7\x03\x05abc",
        b"\x82\xa1v\x01\xa6params\x91\xd6\xff\x00\x00\x00\x01",
        b"\x82\xa1v\x01\xa6params\x81\xa1a\xd7\xff\x00\x00\x00\x01\x00\x00\x00\x01",
        b"\x82\xa1v\x01\xa6params\x91\x91\xc8\x00\x04\xff\x00\x00\x00\x01",
        b"\x82\xa1v\x01\xa6params\x91\xd4\xff\x00",
        b"\x90",
        b"\xc0",
        b"\xff",
        b"\xa1v",
        b"\xef\xbb\xbf[1]",
    ],
)
def test_bytes_with_no_or_two_readings_are_refused(body: bytes) -> None:
    with pytest.raises(SerializationError):
        decode_request(body)


def test_nesting_is_bounded_in_every_form_and_what_reaches_the_bound_passes() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for step in range(depth):
            value = {"a": value} if step % 2 else [value, value]
        return value if depth % 2 else [value]

    def chain_of(depth: int) -> Any:
        value: Any = []
        for _ in range(depth - 1):
            value = [value]
        return value

    limits = Limits(depth=4)
    for write, kind in ((packed, None), (enveloped, ENVELOPE)):
        decode_request(write(params=chain_of(4)), kind, limits=limits)
        with pytest.raises(SerializationError, match="deeper than 4"):
            decode_request(write(params=chain_of(5)), kind, limits=limits)
        decode_request(write(params=nested(10)), kind)
    decode_request(packed(params=chain_of(64)))
    with pytest.raises(SerializationError, match="deeper than 64"):
        decode_request(packed(params=chain_of(65)))
    with pytest.raises(SerializationError, match="too deep"):
        decode_request(b"\x82\xa1v\x01\xa6params" + b"\x91" * 100_000 + b"\x01")
    for body in (b"[" * 1_000_000, b"[" * 65 + b"]" * 65, b'{"a":' * 100_000):
        with pytest.raises(SerializationError):
            decode_request(body)
    decode_request(b"[" * 64 + b"]" * 64)


def test_a_body_over_the_limit_is_too_large_and_names_both_sizes() -> None:
    for body in (packed(params=["x" * 100]), b'"' + b"x" * 100 + b'"'):
        with pytest.raises(TooLarge) as caught:
            decode_request(body, limits=Limits(body_bytes=50))
        assert caught.value.details["size_bytes"] == len(body)
        assert caught.value.details["limit_bytes"] == 50


@pytest.mark.parametrize(
    ("body", "params"),
    [
        (b"", []),
        (b" \n", []),
        (b"[1, 2]", [1, 2]),
        (b'{"by": 5}', {"by": 5}),
        (b"5", [5]),
        (b'"x"', ["x"]),
        (b"null", [None]),
        (b" true", [True]),
        (b'"\\ud83d\\ude00"', ["\U0001f600"]),
        ('"\u00e9"'.encode(), ["é"]),
    ],
)
def test_bare_json_becomes_parameters(body: bytes, params: Any) -> None:
    assert decode_request(body) == Request(params, form=Form.JSON_BARE)
    assert decode_request(body, JSON) == Request(params, form=Form.JSON_BARE, has_type=True)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1] x",
        b"[1][2]",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'{"a":1,"a":2}',
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b"'x'",
        b"[1,]",
        b"9" * 5000,
        b'"\xff"',
        b"\x00",
        b'"a\nb"',
    ],
)
def test_json_with_no_or_two_readings_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationError):
        decode_request(body, JSON)


def test_bare_json_takes_its_budget_and_key_from_headers_of_any_case() -> None:
    headers = {"Theater-Timeout-Ms": "250", "theater-op": "k", "traceparent": "00-…"}
    request = decode_request(b"[1]", None, headers)
    assert (request.timeout_ms, request.op) == (250, "k")


@pytest.mark.parametrize("name", ["Theater-Op", "theater-timeout-ms", "Theater-Typo"])
@pytest.mark.parametrize("content_type", [None, MSGPACK, ENVELOPE])
def test_beside_an_envelope_a_header_of_ours_is_refused_and_no_other(content_type: str | None, name: str) -> None:
    body = enveloped() if content_type == ENVELOPE else packed(params=[])
    headers = {"traceparent": "00-…", "X-Theater-Op": "k", "": "1"}
    assert decode_request(body, content_type, headers).op is None
    with pytest.raises(SerializationError, match="goes with bare JSON"):
        decode_request(body, content_type, headers | {name: "5"})


def test_a_content_type_is_found_however_its_header_is_spelt() -> None:
    assert content_type_of(None) is None
    assert content_type_of({"traceparent": "00-…", "Content-Tyqe": "no"}) is None
    for name in ("Content-Type", "content-type", "CONTENT-TYPE"):
        assert content_type_of({"a": "b", name: ENVELOPE}) == ENVELOPE


@pytest.mark.parametrize(
    "headers",
    [
        {"Theater-Timeout-Ms": ""},
        {"Theater-Timeout-Ms": "-1"},
        {"Theater-Timeout-Ms": "1.5"},
        {"Theater-Timeout-Ms": "９"},
        {"Theater-Timeout-Ms": "9999999999"},
        {"Theater-Op": ""},
        {"Theater-Op": "a b"},
        {"Theater-Timeout": "5"},
    ],
)
def test_a_malformed_or_unknown_header_of_ours_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SerializationError, match="Fix"):
        decode_request(b"[1]", None, headers)


def test_the_json_envelope_has_the_same_keys_with_bytes_as_base64() -> None:
    fields = {"cgrf": {"$bytes": "AQI="}, "outbox": [{"$bytes": "AAECAwQFBgcICQoLDA0ODw=="}, 3], "reply": "none"}
    request = decode_request(enveloped(**fields), ENVELOPE)
    assert request == Request(
        None, cgrf=b"\x01\x02", outbox=(SENDER, 3), reply="none", form=Form.JSON_ENVELOPE, has_type=True
    )


@pytest.mark.parametrize(
    "cgrf", ["AQI=", {"$bytes": 1}, {"$bytes": "AQI"}, {"$bytes": "A_I="}, {"$bytes": "AQJ="}, {"$cgrf": "AQI="}, None]
)
def test_bytes_of_the_json_envelope_are_canonical_base64(cgrf: Any) -> None:
    with pytest.raises(SerializationError):
        decode_request(enveloped(cgrf=cgrf), ENVELOPE)


@pytest.mark.parametrize(
    "body", [b"[1]", b"5", b'{"v":1,"outbox":[]}', b'{"v":1,"outbox":["x",1],"reply":"none"}', b""]
)
def test_the_json_envelope_is_checked_like_the_other(body: bytes) -> None:
    with pytest.raises(SerializationError):
        decode_request(body, ENVELOPE)


@pytest.mark.parametrize(
    ("content_type", "form", "int64_strings"),
    [
        ("application/json; charset=utf-8", Form.JSON_BARE, False),
        ("Application/JSON;charset=UTF-8; int64=string", Form.JSON_BARE, True),
        ('application/json; int64="number"', Form.JSON_BARE, False),
        ("application/vnd.theater+json; int64=string", Form.JSON_ENVELOPE, True),
    ],
)
def test_content_types_are_read_with_their_parameters(content_type: str, form: Form, int64_strings: bool) -> None:
    body = b"[]" if form is Form.JSON_BARE else enveloped()
    request = decode_request(body, content_type)
    assert (request.form, request.int64_strings, request.has_type) == (form, int64_strings, True)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/json; int64=hex",
        "application/msgpack; int64=string",
        "application/json; charset=latin-1",
    ],
)
def test_a_content_type_that_is_not_understood_is_refused(content_type: str) -> None:
    with pytest.raises(SerializationError, match="Content-Type"):
        decode_request(b"[]", content_type)


@pytest.mark.parametrize(
    ("body", "content_type", "form", "has_type"),
    [
        (b"[1,", None, Form.JSON_BARE, False),
        (b"", None, Form.JSON_BARE, False),
        (b"\x92\x01", None, Form.MSGPACK, False),
        (b"{", ENVELOPE, Form.JSON_ENVELOPE, True),
        (b"[1,", MSGPACK, Form.MSGPACK, True),
        (b"[1]", "text/json", Form.JSON_BARE, True),
        (b"\x91\x01", "text/json", Form.MSGPACK, True),
    ],
)
def test_what_cannot_be_read_is_answered_in_the_form_in_which_it_came(
    body: bytes, content_type: str | None, form: Form, has_type: bool
) -> None:
    assert answer_form(body, content_type) == (form, has_type)


def test_the_content_type_decides_against_the_first_byte() -> None:
    assert decode_request(packed(params=[1]), MSGPACK) == Request([1], has_type=True)
    with pytest.raises(SerializationError):
        decode_request(packed(params=[1]), JSON)
    with pytest.raises(SerializationError):
        decode_request(b"[1]", MSGPACK)


@pytest.mark.parametrize("form", [Form.MSGPACK, Form.JSON_ENVELOPE])
def test_what_a_client_encodes_is_what_the_host_decodes(form: Form) -> None:
    body = encode_request(
        cgrf=b"\x00\xff",
        timeout_ms=5,
        sent_ms=6,
        op="k",
        reply="none",
        outbox=(SENDER, 9),
        path=("a",),
        stream=True,
        form=form,
    )
    request = decode_request(body, form.value)
    expected = Request(None, b"\x00\xff", 5, "k", "none", 6, (SENDER, 9), ("a",), True, form, has_type=True)
    assert request == expected
    assert decode_request(encode_request([1], form=form), form.value).params == [1]
    assert decode_request(encode_request(form=form), form.value).params == []


@pytest.mark.parametrize("form", [Form.MSGPACK, Form.JSON_ENVELOPE])
@pytest.mark.parametrize("bad", [object(), 2**70, "a\ud800", {1, 2}])
def test_what_is_no_plain_value_cannot_be_sent(form: Form, bad: Any) -> None:
    if form is Form.JSON_ENVELOPE and bad == 2**70:
        bad = float("nan")
    with pytest.raises(SerializationError, match="cannot be written"):
        encode_request([bad], form=form)


def test_the_bare_form_has_no_envelope_to_encode() -> None:
    with pytest.raises(ValueError, match="no envelope"):
        encode_request([1], form=Form.JSON_BARE)


def test_keys_are_printable_ascii_without_space() -> None:
    assert is_key("a" * 128)
    assert is_key("!~")
    assert not any(is_key(text) for text in ("", " ", "a b", "a\t", "é", "a" * 129, "\x7f"))


@pytest.mark.parametrize(
    "value",
    [[[]] * 30_000, [{}] * 30_000, [{"a": 1}] * 25_000, {str(key): 1 for key in range(25_000)}, [[[{}] * 25_000]]],
    ids=["lists", "maps", "filled", "keys", "nested"],
)
def test_a_large_body_holds_only_so_many_containers_and_keys_in_every_form(value: Any) -> None:
    pad = "x" * 70_000
    for body, kind in (
        (packed(params=[value, pad]), None),
        (enveloped(params=[value, pad]), ENVELOPE),
        (json.dumps([value, pad]).encode(), JSON),
    ):
        with pytest.raises(TooLarge, match=r"more than 20,000 lists, maps or keys.*Fix: ") as refused:
            decode_request(body, kind)
        assert refused.value.ran == "never"
        assert decode_request(body, kind, limits=Limits(containers=60_000)).params == [value, pad]


def test_long_lists_of_numbers_and_texts_are_no_containers() -> None:
    params: list[Any] = [[1] * 100_000, [1.5] * 50_000, ["x"] * 50_000, [[1, 2]] * 1_000, [{"a": 1}] * 1_000]
    for body, kind in ((packed(params=params), None), (json.dumps(params).encode(), JSON)):
        assert decode_request(body, kind).params == params


def test_a_small_body_may_be_all_containers() -> None:
    params = [[]] * 25_000
    assert decode_request(packed(params=params), limits=Limits(containers=25_000)).params == params
    with pytest.raises(SerializationError):
        decode_request(b"\x82\xa1v\x01\xa6params\xdf\xff\xff\xff\xff")
    with pytest.raises(SerializationError):
        decode_request(b"\x82\xa1v\x01\xa6params\xdc\xff\xff" + b"\x01" * 70_000)


@pytest.mark.parametrize("key", [key for key in REQUEST_KEYS if key != "cgrf"])
def test_a_timestamp_is_refused_wherever_it_stands(key: str) -> None:
    fields = {"v": 1, "params": [1], key: msgpack.Timestamp(1)}
    with pytest.raises(SerializationError, match="extension"):
        decode_request(bytes(msgpack.packb(fields)))
    with pytest.raises(SerializationError, match="extension"):
        decode_request(packed(params=[1], path=[msgpack.Timestamp(1)]))


@pytest.mark.parametrize("head", [b"\x82\xa1v\x01\xc4\x01x\x01", b"\x82\xa1v\x01\xc4\x01v\x01"])
def test_a_key_of_bytes_is_refused(head: bytes) -> None:
    with pytest.raises(SerializationError, match="is not text"):
        decode_request(head)
