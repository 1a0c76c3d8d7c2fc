"""The three forms of a body, and how a message says which one it has.

Source: wire protocol, "Requests and replies".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from theater_bus.errors import SerializationError

__all__ = ["CONTENT_TYPE", "Form", "MediaType", "answer_form", "content_type_of", "form_of", "parse_content_type"]

CONTENT_TYPE = "Content-Type"


class Form(Enum):
    """How a body is written; the value is its content type."""

    MSGPACK = "application/msgpack"
    JSON_BARE = "application/json"
    JSON_ENVELOPE = "application/vnd.theater+json"


class MediaType(NamedTuple):
    """A content type that was understood; with `int64_strings`, 64-bit integers come back as decimal strings."""

    form: Form
    int64_strings: bool


_KNOWN: Mapping[str, MediaType] = {form.value: MediaType(form, False) for form in Form}
_INT64 = {"string": True, "number": False}


def parse_content_type(text: str) -> MediaType:
    """The form that a `Content-Type` names; parameters are `charset=utf-8` and, for JSON, `int64=string|number`.

    Raises `SerializationError` for any other type or parameter: nothing is accepted and ignored.
    """
    known = _KNOWN.get(text)
    if known is not None:
        return known
    essence, *parameters = (part.strip() for part in text.lower().split(";"))
    known = _KNOWN.get(essence)
    if known is None:
        offered = ", ".join(_KNOWN)
        raise SerializationError(
            f"Content-Type {text[:80]!r} is not understood. Fix: use one of {offered}", offered=list(_KNOWN)
        )
    int64_strings = False
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip('"')
        if name == "int64" and value in _INT64 and known.form is not Form.MSGPACK:
            int64_strings = _INT64[value]
        elif (name, value) != ("charset", "utf-8"):
            raise SerializationError(f"Content-Type parameter {parameter[:80]!r} is not understood. Fix: leave it out")
    return MediaType(known.form, int64_strings)


def content_type_of(headers: Mapping[str, str] | None) -> str | None:
    """The content type that a message names, its header spelt in any case; None where it names none. HOT."""
    if headers is None:
        return None
    found = headers.get(CONTENT_TYPE)
    if found is None:
        for name in headers:
            if len(name) == len(CONTENT_TYPE) and name.lower() == "content-type":
                return headers[name]
    return found


def form_of(body: bytes) -> Form:
    """The form of a body that came without a content type: text below 0x80 is bare JSON, all else msgpack."""
    return Form.MSGPACK if body and body[0] >= 0x80 else Form.JSON_BARE


def answer_form(body: bytes, content_type: str | None) -> tuple[Form, bool]:
    """How to answer a request that cannot be read, as it came: the form, and whether it names its content type."""
    if content_type is not None:
        try:
            return parse_content_type(content_type).form, True
        except SerializationError:
            return form_of(body), True
    return form_of(body), False
