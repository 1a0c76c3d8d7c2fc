"""Replies: from a result or an error to the bytes of a message, and back to the value or the same error.

Invariants: a reply is an error if and only if it has the header `Nats-Service-Error`; an error can always be told,
whatever its details hold; what `decode_reply` raises is the class that went in at the host.
Source: wire protocol, "Requests and replies" and "Errors"; NATS ADR-32 (the two headers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn, TypeAlias

from theater_bus.core.wire.form import CONTENT_TYPE, Form, content_type_of, form_of, parse_content_type
from theater_bus.core.wire.request import VERSION
from theater_bus.core.wire.strict import (
    DEFAULT_DEPTH,
    base64_of,
    check_nesting,
    from_base64,
    read_json,
    read_msgpack,
    write_json,
    write_msgpack,
)
from theater_bus.errors import ActorError, SerializationError, from_wire

__all__ = [
    "ERROR_CODE_HEADER",
    "ERROR_HEADER",
    "MAX_MESSAGE",
    "Encoded",
    "Reply",
    "ReplyKind",
    "decode_reply",
    "encode_cgrf",
    "encode_error",
    "encode_part",
    "encode_value",
    "encode_void",
]

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
MAX_MESSAGE = 4096
"""Characters of an error's message that travel; the rest is cut."""
DEFAULT_ERROR_BYTES = 512 * 1024
REPLY_KEYS = ("v", "value", "cgrf", "error", "part")

Encoded: TypeAlias = tuple[bytes, dict[str, str] | None]
"""The body and the headers of a message."""

_CUT = "… (cut)"
_ABSENT: Any = object()
_VALUE_HEAD = write_msgpack({"v": VERSION, "value": None})[:-1]
_VALUE_AT = len(_VALUE_HEAD)
_VOID = write_msgpack({"v": VERSION})


class ReplyKind(Enum):
    """What a reply carries."""

    VALUE = "value"
    CGRF = "cgrf"
    VOID = "void"


@dataclass(slots=True)
class Reply:
    """A reply that is no error. `value` is a plain value or CGRF bytes; `part` is None but in the parts of a stream."""

    kind: ReplyKind
    value: Any
    part: int | None = None


def encode_value(value: Any, form: Form = Form.MSGPACK, *, has_type: bool = False) -> Encoded:
    """A result as a plain value, in the request's form; `has_type` as the request has it.

    Raises `SerializationError` when `value` is no plain value.
    """
    if form is Form.MSGPACK:
        # A map head followed by the value is the map, without building it.
        return _VALUE_HEAD + write_msgpack(value), _headers(form) if has_type else None
    body = write_json(value if form is Form.JSON_BARE else {"v": VERSION, "value": value})
    return body, _headers(form) if has_type else None


def encode_cgrf(cgrf: bytes, form: Form = Form.MSGPACK, *, has_type: bool = False) -> Encoded:
    """A result as CGRF bytes; in bare JSON `{"$cgrf": base64}`."""
    headers = _headers(form) if has_type else None
    if form is Form.MSGPACK:
        return write_msgpack({"v": VERSION, "cgrf": cgrf}), headers
    if form is Form.JSON_BARE:
        return write_json({"$cgrf": base64_of(cgrf)}), headers
    return write_json({"v": VERSION, "cgrf": cgrf}), headers


def encode_void(form: Form = Form.MSGPACK, *, has_type: bool = False) -> Encoded:
    """The answer to a void call: it was done; in bare JSON `null`."""
    headers = _headers(form) if has_type else None
    if form is Form.MSGPACK:
        return _VOID, headers
    return (b"null" if form is Form.JSON_BARE else write_json({"v": VERSION})), headers


def encode_part(part: int, value: Any = _ABSENT, form: Form = Form.MSGPACK, *, has_type: bool = False) -> Encoded:
    """One message of a stream before the final reply, numbered from 0; without a value, a heartbeat."""
    if form is Form.JSON_BARE:
        raise ValueError("a bare JSON reply has no parts")
    fields = {"v": VERSION, "part": part}
    if value is not _ABSENT:
        fields["value"] = value
    body = write_msgpack(fields) if form is Form.MSGPACK else write_json(fields)
    return body, _headers(form) if has_type else None


def encode_error(
    error: ActorError, form: Form = Form.MSGPACK, *, has_type: bool = False, limit_bytes: int = DEFAULT_ERROR_BYTES
) -> Encoded:
    """An error in the request's form, with the headers that mark it.

    A message over `MAX_MESSAGE` characters is cut. Details that make the body longer than `limit_bytes`, or that are
    no plain values, are left out and `details.cut` says so.
    """
    headers = {ERROR_HEADER: error.code, ERROR_CODE_HEADER: str(error.number)}
    if has_type:
        headers[CONTENT_TYPE] = form.value
    fields = error.to_wire()
    fields["message"] = _cut(error.message)
    try:
        body = _error_body(fields, form)
    except SerializationError:
        body = b""
    if not 0 < len(body) <= limit_bytes:
        body = _error_body({**fields, "details": {"ran": error.ran, "cut": True}}, form)
    return body, headers


def decode_reply(body: bytes, headers: Mapping[str, str] | None = None, actor: str | None = None) -> Reply:
    """What a reply says. Raises the `ActorError` that it carries, with `actor` as the one it came from.

    A reply that cannot be read is a `SerializationError` with `ran: unknown`: the operation may well be done.
    """
    if headers and ERROR_HEADER in headers:
        raise _error(body, headers, actor)
    try:
        return _reply(body, _form(body, headers))
    except SerializationError as error:
        raise SerializationError(f"the reply cannot be read: {error.message}", ran="unknown", actor=actor) from None


def _form(body: bytes, headers: Mapping[str, str] | None) -> Form:
    named = content_type_of(headers)
    return parse_content_type(named).form if named else form_of(body)


def _headers(form: Form) -> dict[str, str]:
    return {CONTENT_TYPE: form.value}


def _cut(message: str) -> str:
    text = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - len(_CUT)] + _CUT
    return text.encode("utf-8", "backslashreplace").decode()


def _error_body(fields: dict[str, Any], form: Form) -> bytes:
    if form is Form.MSGPACK:
        return write_msgpack({"v": VERSION, "error": fields})
    return write_json(fields if form is Form.JSON_BARE else {"v": VERSION, "error": fields})


def _reply(body: bytes, form: Form) -> Reply:
    if form is Form.MSGPACK and body.startswith(_VALUE_HEAD):
        return _value_reply(read_msgpack(body[_VALUE_AT:]))
    if form is Form.JSON_BARE:
        return _value_reply(read_json(body))
    fields = read_msgpack(body) if form is Form.MSGPACK else read_json(body)
    if type(fields) is not dict:
        raise SerializationError("the envelope is not a map")
    version = fields.pop("v", None)
    if type(version) is not int or version != VERSION:
        raise SerializationError(f"envelope version {version!r:.80} is not spoken here")
    value = fields.pop("value", _ABSENT)
    return _value_reply(value) if value is not _ABSENT and not fields else _uncommon(fields, value, form)


def _value_reply(value: Any, part: int | None = None) -> Reply:
    check_nesting(value, DEFAULT_DEPTH)
    return Reply(ReplyKind.VALUE, value, part)


def _uncommon(fields: dict[str, Any], value: Any, form: Form) -> Reply:
    part = fields.pop("part", None)
    if part is not None and (type(part) is not int or part < 0):
        raise SerializationError("'part' is not a number from 0")
    cgrf = fields.pop("cgrf", _ABSENT)
    for key in fields:
        if not key.startswith("x-"):
            _refuse_key(key)
    if value is not _ABSENT:
        if cgrf is not _ABSENT:
            raise SerializationError("the reply has both 'value' and 'cgrf'")
        return _value_reply(value, part)
    if cgrf is not _ABSENT:
        return Reply(ReplyKind.CGRF, _cgrf_bytes(cgrf, form), part)
    return Reply(ReplyKind.VOID, None, part)


def _refuse_key(key: str) -> NoReturn:
    if key == "error":
        raise SerializationError(f"the reply has an error but not the header {ERROR_HEADER}")
    raise SerializationError(f"unknown key {key[:80]!r}")


def _cgrf_bytes(cgrf: Any, form: Form) -> bytes:
    if form is Form.JSON_ENVELOPE and type(cgrf) is dict and cgrf.keys() == {"$bytes"}:
        cgrf = cgrf["$bytes"]
        if type(cgrf) is str:
            return from_base64(cgrf)
    if type(cgrf) is not bytes:
        raise SerializationError("'cgrf' is not bytes")
    return cgrf


def _error(body: bytes, headers: Mapping[str, str], actor: str | None) -> ActorError:
    """The error of a reply that has the header; the header's code stands when the body says nothing readable."""
    try:
        fields = _error_fields(body, headers)
    except SerializationError as error:
        fields = {"code": headers[ERROR_HEADER], "message": f"the error reply cannot be read: {error.message}"}
    return from_wire(fields, actor)


def _error_fields(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    form = _form(body, headers)
    fields = read_msgpack(body) if form is Form.MSGPACK else read_json(body)
    if form is not Form.JSON_BARE:
        fields = fields.get("error") if type(fields) is dict else None
    if type(fields) is not dict:
        raise SerializationError("it carries no error")
    check_nesting(fields, DEFAULT_DEPTH)
    return fields
