"""Requests: from the bytes of a message to what is asked for, and back.

Invariants: what `decode_request` returns satisfies every rule of the table in the wire protocol, whichever form it came
in; `params` and `cgrf` are never both there; an unknown key is refused with the nearest known one, `x-…` is ignored.
`params` are plain values as they travelled: the types of the function judge them, not this module.
Source: wire protocol, "Requests and replies" and "Limits".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, cast

from theater_bus.core.wire.callpath import MAX_PATH
from theater_bus.core.wire.form import Form, form_of, parse_content_type
from theater_bus.core.wire.identity import is_name
from theater_bus.core.wire.strict import (
    DEFAULT_DEPTH,
    check_nesting,
    from_base64,
    read_flat_map,
    read_json,
    read_msgpack,
    write_json,
    write_msgpack,
)
from theater_bus.errors import SerializationError, TooLarge, UnsupportedVersion

__all__ = [
    "INCARNATION_BYTES",
    "MAX_BODY",
    "MAX_KEY",
    "MAX_MILLIS",
    "MAX_TIMEOUT_MS",
    "OP_HEADER",
    "REQUEST_KEYS",
    "TIMEOUT_HEADER",
    "VERSION",
    "Limits",
    "Outbox",
    "Params",
    "ReplyMode",
    "Request",
    "decode_request",
    "encode_request",
    "is_key",
]

VERSION = 1
MAX_KEY = 128
"""Characters of an idempotency key."""
MAX_TIMEOUT_MS = 2**31 - 1
MAX_MILLIS = 2**53 - 1
INCARNATION_BYTES = 16
MAX_BODY = 8 * 1024 * 1024
TIMEOUT_HEADER = "Theater-Timeout-Ms"
OP_HEADER = "Theater-Op"

Params: TypeAlias = "Sequence[Any] | Mapping[str, Any]"
ReplyMode = Literal["value", "cgrf", "none"]
Outbox: TypeAlias = tuple[bytes, int]

REPLY_MODES = ("value", "cgrf", "none")
REQUEST_KEYS = ("v", "params", "cgrf", "timeout_ms", "sent_ms", "op", "reply", "outbox", "path", "stream")
"""Every key of the envelope."""

_SHOWN = 80
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request: its size, how deep its values nest, and how many lists and maps they are made of."""

    body_bytes: int = MAX_BODY
    depth: int = DEFAULT_DEPTH
    containers: int = 20_000


_DEFAULT_LIMITS = Limits()


# Not frozen: a frozen dataclass of this size takes five times as long to make, on every request.
@dataclass(slots=True)
class Request:
    """What a request asks for, apart from the function, which is in its subject.

    `params` is None exactly when `cgrf` holds the encoded parameter tuple. Times are milliseconds; `sent_ms` is unix
    time. `has_type` says that the request named its content type, so that the reply does too.
    """

    params: Params | None
    cgrf: bytes | None = None
    timeout_ms: int | None = None
    op: str | None = None
    reply: ReplyMode = "value"
    sent_ms: int | None = None
    outbox: Outbox | None = None
    path: tuple[str, ...] = ()
    stream: bool = False
    form: Form = Form.MSGPACK
    has_type: bool = False
    int64_strings: bool = False


def decode_request(
    body: bytes,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> Request:
    """The request in `body`; `content_type` decides its form, else the first byte.

    A bare JSON body has its budget and key in `headers`; beside an envelope, which holds them itself, such are refused.

    Raises `SerializationError`, `UnsupportedVersion` or `TooLarge`, each with `ran: never`.
    """
    if content_type is None and body and len(body) <= limits.body_bytes:
        fields = read_flat_map(body)
        if fields is not None:
            if headers is not None:
                _refuse_headers(headers)
            return _from_fields(fields, None)
    if len(body) > limits.body_bytes:
        size, limit = len(body), limits.body_bytes
        raise TooLarge(f"the request has {size} bytes, the limit is {limit}", size_bytes=size, limit_bytes=limit)
    if content_type is None:
        form, int64_strings = form_of(body), False
    else:
        form, int64_strings = parse_content_type(content_type)
    if headers is not None and form is not Form.JSON_BARE:
        _refuse_headers(headers)
    if form is Form.MSGPACK:
        request = _from_fields(read_msgpack(body, limits.containers), limits)
    elif form is Form.JSON_BARE:
        request = _from_bare(body, headers, limits)
    else:
        request = _from_fields(_binary_fields(read_json(body, limits.containers)), limits)
        request.form = form
    if content_type is not None:
        request.has_type = True
        request.int64_strings = int64_strings
    return request


def encode_request(
    params: Params | None = None,
    *,
    cgrf: bytes | None = None,
    timeout_ms: int | None = None,
    sent_ms: int | None = None,
    op: str | None = None,
    reply: ReplyMode = "value",
    outbox: Outbox | None = None,
    path: Sequence[str] = (),
    stream: bool = False,
    form: Form = Form.MSGPACK,
) -> bytes:
    """The envelope of a request, in msgpack or as `Form.JSON_ENVELOPE` (send its content type with it).

    Raises `SerializationError` when a parameter is no plain value; `ValueError` for the bare form, which has no keys.
    """
    fields: dict[str, Any] = {"v": VERSION}
    if params is not None:
        fields["params"] = params
    if cgrf is not None:
        fields["cgrf"] = cgrf
    if timeout_ms is not None:
        fields["timeout_ms"] = timeout_ms
    if op is not None:
        fields["op"] = op
    if reply != "value":
        fields["reply"] = reply
    if sent_ms is not None:
        fields["sent_ms"] = sent_ms
    if outbox is not None:
        fields["outbox"] = outbox
    if path:
        fields["path"] = list(path)
    if stream:
        fields["stream"] = True
    if form is Form.MSGPACK:
        return write_msgpack(fields)
    if form is Form.JSON_BARE:
        raise ValueError("a bare JSON body has no envelope")
    return write_json(fields)


def is_key(op: str) -> bool:
    """Whether `op` can be an idempotency key: 1 to 128 printable ASCII characters, no space."""
    return 0 < len(op) <= MAX_KEY and op.isascii() and op.isprintable() and " " not in op


def _from_fields(fields: object, limits: Limits | None) -> Request:
    if type(fields) is not dict:
        raise SerializationError(f"the envelope is {_kind(fields)}, not a map. Fix: send {{'v': 1, 'params': […]}}")
    version = fields.pop("v", None)
    if version != VERSION or type(version) is not int:
        _refuse_version(version)
    params = fields.pop("params", _ABSENT)
    request = Request(None)
    timeout_ms = fields.pop("timeout_ms", _ABSENT)
    if timeout_ms is not _ABSENT:
        request.timeout_ms = _timeout(timeout_ms)
    op = fields.pop("op", _ABSENT)
    if op is not _ABSENT:
        request.op = _op(op)
    if fields:
        _take_rest(request, fields)
    if params is _ABSENT:
        if request.cgrf is None:
            request.params = []
        return request
    if request.cgrf is not None:
        raise SerializationError("the envelope has both 'params' and 'cgrf'. Fix: send one of them", key="cgrf")
    request.params = _params(params, limits)
    return request


def _params(params: Any, limits: Limits | None) -> Params:
    if type(params) is not list and type(params) is not dict:
        raise _wrong("params", params, "an array, or a map by parameter name")
    if limits is not None:
        check_nesting(params, limits.depth, limits.containers)
    return params


def _refuse_version(version: object) -> None:
    if version is None:
        raise SerializationError("the envelope has no 'v'. Fix: add 'v': 1", key="v")
    if type(version) is not int:
        raise _wrong("v", version, "the integer 1")
    raise UnsupportedVersion(
        f"envelope version {version} is not spoken here. Fix: use 1", v=version, supported=[VERSION]
    )


def _take_rest(request: Request, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        take = _TAKERS.get(key)
        if take is not None:
            take(request, value)
        elif not key.startswith("x-"):
            raise _unknown(key)
    if request.outbox is not None and request.reply != "none":
        raise SerializationError("'outbox' goes with 'reply': 'none' only", key="outbox")


def _timeout(value: object) -> int:
    if type(value) is int and 0 <= value <= MAX_TIMEOUT_MS:
        return value
    raise _wrong("timeout_ms", value, f"an integer from 0 to {MAX_TIMEOUT_MS}")


def _op(value: object) -> str:
    if type(value) is str and is_key(value):
        return value
    raise _wrong("op", value, f"a text of 1 to {MAX_KEY} printable ASCII characters without space")


def _take_cgrf(request: Request, value: object) -> None:
    if type(value) is not bytes:
        raise _wrong("cgrf", value, "bytes")
    request.cgrf = value


def _take_sent(request: Request, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_MILLIS:
        raise _wrong("sent_ms", value, f"an integer from 0 to {MAX_MILLIS}")
    request.sent_ms = value


def _take_reply(request: Request, value: object) -> None:
    if type(value) is not str or value not in REPLY_MODES:
        raise _wrong("reply", value, "'value', 'cgrf' or 'none'")
    request.reply = cast("ReplyMode", value)


def _take_outbox(request: Request, value: object) -> None:
    if type(value) is list and len(value) == 2:
        sender, number = value
        known = type(sender) is bytes and len(sender) == INCARNATION_BYTES
        if known and type(number) is int and 1 <= number <= MAX_MILLIS:
            request.outbox = (sender, number)
            return
    raise _wrong("outbox", value, f"[incarnation of {INCARNATION_BYTES} bytes, a number from 1]")


def _take_path(request: Request, value: object) -> None:
    if type(value) is not list or len(value) > MAX_PATH:
        raise _wrong("path", value, f"an array of at most {MAX_PATH} actor ids")
    for actor in value:
        if type(actor) is not str or not is_name(actor):
            raise _wrong("path", actor, "actor ids only")
    request.path = tuple(value)


def _take_stream(request: Request, value: object) -> None:
    if type(value) is not bool:
        raise _wrong("stream", value, "true or false")
    request.stream = value


_TAKERS: Mapping[str, Callable[[Request, object], None]] = {
    "cgrf": _take_cgrf,
    "sent_ms": _take_sent,
    "reply": _take_reply,
    "outbox": _take_outbox,
    "path": _take_path,
    "stream": _take_stream,
}


def _unknown(key: str) -> SerializationError:
    nearest = get_close_matches(key[:_SHOWN], REQUEST_KEYS, 1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(REQUEST_KEYS)}."
    return SerializationError(
        f"unknown key {key[:_SHOWN]!r} in the envelope. {hint}", key=key[:_SHOWN], nearest=nearest
    )


def _wrong(key: str, value: object, wanted: str) -> SerializationError:
    return SerializationError(f"{key!r} is {_kind(value)}. Fix: send {wanted}", key=key)


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)[:_SHOWN]
    if not isinstance(value, Sized):
        return "a msgpack extension"
    return f"a {'map' if isinstance(value, dict) else type(value).__name__} of {len(value)}"


def _binary_fields(fields: Any) -> Any:
    """JSON has no bytes: where the envelope wants them stands `{"$bytes": base64}`."""
    if type(fields) is dict:
        if "cgrf" in fields:
            fields["cgrf"] = _bytes_of(fields["cgrf"])
        outbox = fields.get("outbox")
        if type(outbox) is list and outbox:
            outbox[0] = _bytes_of(outbox[0])
    return fields


def _bytes_of(value: Any) -> Any:
    if type(value) is dict and value.keys() == {"$bytes"} and type(value["$bytes"]) is str:
        return from_base64(value["$bytes"])
    return value


def _refuse_headers(headers: Mapping[str, str]) -> None:
    """A key that has no effect would let an operation run twice that was to run once."""
    for name in headers:
        if name[: len(_OURS)].lower() == _OURS:
            raise SerializationError(
                f"the header {name[:_SHOWN]!r} goes with bare JSON. Fix: write 'timeout_ms' and 'op' into the envelope",
                key=name[:_SHOWN],
            )


def _from_bare(body: bytes, headers: Mapping[str, str] | None, limits: Limits) -> Request:
    request = Request([], form=Form.JSON_BARE)
    if body.strip(b" \t\r\n"):
        value = read_json(body, limits.containers)
        request.params = value if type(value) is list or type(value) is dict else [value]
        check_nesting(request.params, limits.depth, limits.containers)
    for name, text in (headers or {}).items():
        lowered = name.lower()
        if lowered == _TIMEOUT:
            if not _DIGITS.fullmatch(text):
                raise _wrong(TIMEOUT_HEADER, text, "decimal digits")
            request.timeout_ms = _timeout(int(text))
        elif lowered == _OP:
            request.op = _op(text)
        elif lowered.startswith(_OURS):
            nearest = get_close_matches(name[:_SHOWN], (TIMEOUT_HEADER, OP_HEADER), 1)
            raise SerializationError(
                f"unknown header {name[:_SHOWN]!r}. Fix: use {TIMEOUT_HEADER} or {OP_HEADER}",
                key=name[:_SHOWN],
                nearest=nearest,
            )
    return request


_TIMEOUT, _OP, _OURS = TIMEOUT_HEADER.lower(), OP_HEADER.lower(), "theater-"
_DIGITS = re.compile(r"[0-9]{1,10}")
