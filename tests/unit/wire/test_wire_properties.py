"""Any bytes decode or raise the documented errors; whatever plain value goes in comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.wire import (
    ERROR_HEADER,
    Form,
    ReplyKind,
    decode_reply,
    decode_request,
    encode_error,
    encode_request,
    encode_value,
)
from theater_bus.errors import ActorError, GuestError, SerializationError, UnsupportedVersion

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSONABLE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
PLAIN = st.recursive(
    SCALARS | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PATHS = st.lists(st.from_regex(r"\A[A-Za-z0-9_-]{1,8}\Z"), max_size=4)
REFUSALS = (SerializationError, UnsupportedVersion)
ALL_TYPES = st.sampled_from([None, *(form.value for form in Form), "application/json; int64=string"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(PLAIN, max_size=4) | st.dictionaries(TEXT, PLAIN, max_size=4),
    st.none() | st.integers(0, 2**31 - 1),
    st.none() | st.from_regex(r"\A[!-~]{1,128}\Z"),
    PATHS,
    st.booleans(),
)
def test_a_msgpack_request_survives(
    params: Any, timeout_ms: int | None, op: str | None, path: Any, stream: bool
) -> None:
    request = decode_request(encode_request(params, timeout_ms=timeout_ms, op=op, path=path, stream=stream))
    assert (request.params, request.timeout_ms, request.op) == (params, timeout_ms, op)
    assert (request.path, request.stream, request.form) == (tuple(path), stream, Form.MSGPACK)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSONABLE, max_size=4))
def test_a_json_request_survives(params: Any) -> None:
    body = encode_request(params, form=Form.JSON_ENVELOPE)
    assert decode_request(body, Form.JSON_ENVELOPE.value).params == params


@settings(max_examples=80, deadline=None)
@given(JSONABLE, st.sampled_from(Form))
def test_a_value_survives_in_every_form(value: Any, form: Form) -> None:
    body, headers = encode_value(value, form, has_type=True)
    reply = decode_reply(body, headers)
    assert (reply.kind, reply.value, reply.part) == (ReplyKind.VALUE, value, None)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), PLAIN, st.sampled_from(Form))
def test_any_error_can_be_told_in_every_form(message: str, value: Any, form: Form) -> None:
    body, headers = encode_error(GuestError(message, value=value), form, has_type=True)
    with pytest.raises(GuestError) as caught:
        decode_reply(body, headers)
    assert caught.value.ran == "committed"


def refusal(call: Callable[[], object]) -> ActorError | None:
    """What `call` refuses with, or None; any other exception is the test's failure."""
    try:
        call()
    except ActorError as error:
        return error
    return None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), ALL_TYPES)
def test_random_bytes_decode_or_raise_the_documented_errors(body: bytes, content_type: str | None) -> None:
    refused = refusal(lambda: decode_request(body, content_type))
    assert refused is None or (isinstance(refused, REFUSALS) and refused.ran == "never")
    headers = {"Content-Type": content_type} if content_type else None
    refused = refusal(lambda: decode_reply(body, headers))
    assert refused is None or (isinstance(refused, SerializationError) and refused.ran == "unknown")


@settings(max_examples=100, deadline=None)
@given(st.lists(PLAIN, max_size=3), st.data(), st.sampled_from(Form), st.booleans())
def test_mutated_bytes_decode_or_raise_the_documented_errors(
    params: Any, data: Any, form: Form, as_value: bool
) -> None:
    source = encode_value({"v": 1, "params": params}, form)[0] if as_value else encode_request(params, op="k")
    body = bytearray(source)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    mutated = bytes(body)
    refused = refusal(lambda: decode_request(mutated))
    assert refused is None or isinstance(refused, REFUSALS)
    refused = refusal(lambda: decode_reply(mutated))
    assert refused is None or isinstance(refused, SerializationError)
    assert refusal(lambda: decode_reply(mutated, {ERROR_HEADER: "guest-error"})) is not None
