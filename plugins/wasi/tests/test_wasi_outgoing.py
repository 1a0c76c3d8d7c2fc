"""Requests to elsewhere, function by function: what a guest may say of a request, and when it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.capability import CapabilityError, HandlerError
from theater_bus.testing import capability_harness
from theater_bus_wasi import Wasi

TYPES = "wasi:http/types."
REQUEST = f"{TYPES}[method]outgoing-request."
OPTIONS = f"{TYPES}[method]request-options."


async def refused(call: Any) -> Any:
    """The error of WASI that a call gives."""
    with pytest.raises(CapabilityError) as caught:
        await call
    return caught.value.value


async def test_a_request_says_what_it_was_told() -> None:
    async with capability_harness(Wasi) as harness:
        functions = harness.instance.functions()  # type: ignore[attr-defined]
        fields = functions[f"{TYPES}[static]fields.from-list"]([["X-A", b"1"]])
        request = functions[f"{TYPES}[constructor]outgoing-request"](fields)
        assert functions[f"{REQUEST}method"](request) == "get"
        for what, given, kept in (
            ("method", "post", "post"),
            ("method", {"other": "PURGE"}, {"other": "PURGE"}),
            ("path-with-query", "/a?b", "/a?b"),
            ("path-with-query", "?b", "/?b"),
            ("path-with-query", None, None),
            ("scheme", "HTTP", "HTTP"),
            ("scheme", {"other": "gopher"}, {"other": "gopher"}),
            ("authority", "example.com:8443", "example.com:8443"),
        ):
            functions[f"{REQUEST}set-{what}"](request, given)
            assert functions[f"{REQUEST}{what}"](request) == kept
        for what, given in (
            ("method", {"other": "a b"}),
            ("path-with-query", "no-slash"),
            ("authority", "user@example.com"),
            ("authority", "example.com/path"),
        ):
            with pytest.raises(CapabilityError):
                functions[f"{REQUEST}set-{what}"](request, given)
        shown = functions[f"{REQUEST}headers"](request)
        assert functions[f"{TYPES}[method]fields.entries"](shown) == [["x-a", b"1"]]
        with pytest.raises(CapabilityError, match="immutable"):
            functions[f"{TYPES}[method]fields.append"](shown, "x", b"")
        assert functions[f"{REQUEST}body"](request) > 0
        with pytest.raises(CapabilityError):
            functions[f"{REQUEST}body"](request)


async def test_timeouts_of_the_guests_own_are_refused() -> None:
    async with capability_harness(Wasi) as harness:
        functions = harness.instance.functions()  # type: ignore[attr-defined]
        options = functions[f"{TYPES}[constructor]request-options"]()
        for which in ("connect", "first-byte", "between-bytes"):
            assert functions[f"{OPTIONS}{which}-timeout"](options) is None
            functions[f"{OPTIONS}set-{which}-timeout"](options, None)
            with pytest.raises(CapabilityError):
                functions[f"{OPTIONS}set-{which}-timeout"](options, 1)


async def test_without_http_client_nothing_leaves_and_the_request_is_gone() -> None:
    async with capability_harness(Wasi) as harness:
        functions = harness.instance.functions()  # type: ignore[attr-defined]
        fields = functions[f"{TYPES}[constructor]fields"]()
        request = functions[f"{TYPES}[constructor]outgoing-request"](fields)
        assert await refused(functions["wasi:http/outgoing-handler.handle"](request, None)) == "HTTP-request-denied"
        with pytest.raises(HandlerError, match="gone"):
            functions[f"{REQUEST}method"](request)
