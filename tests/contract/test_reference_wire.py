"""The published pages are what the code says, and their vectors hold for the code."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from theater_bus.core.wire import ERROR_HEADER, decode_reply, decode_request, decode_tail, encode_function
from theater_bus.errors import ActorError, FunctionNotFound

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/wire-protocol.md").read_text(encoding="utf-8")


def generator(name: str) -> ModuleType:
    """The generator of that name, loaded from its file."""
    spec = importlib.util.spec_from_file_location(f"docs_generators_{name}", ROOT / f"docs/generators/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(title: str) -> list[list[str]]:
    """The cells of the table that follows a heading of the page."""
    section = PAGE.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("name", "page"), [("wire_protocol", "wire-protocol.md"), ("errors", "errors.md")])
def test_the_committed_page_is_what_its_generator_renders(name: str, page: str) -> None:
    committed = (ROOT / "docs/reference" / page).read_text(encoding="utf-8")
    assert committed == generator(name).render(), f"run: python docs/generators/{name}.py"


def test_the_page_has_no_unfilled_place() -> None:
    assert not re.search(r"\{\{|\}\}[^}]", re.sub(r"`[^`]*`", "", PAGE))


@pytest.mark.parametrize(("what", "body", "content_type"), rows("Requests that are accepted"))
def test_a_request_of_the_page_is_accepted(what: str, body: str, content_type: str) -> None:
    request = decode_request(bytes.fromhex(body), content_type or None)
    assert (request.params is None) == ("CGRF" in what or "bytes" in what)


@pytest.mark.parametrize(("what", "body", "code"), rows("Requests that are refused"))
def test_a_request_that_the_page_calls_wrong_is_refused_with_its_code(what: str, body: str, code: str) -> None:
    with pytest.raises(ActorError) as caught:
        decode_request(bytes.fromhex(body))
    assert (caught.value.code, caught.value.ran) == (code, "never"), what


@pytest.mark.parametrize(("what", "body", "code"), rows("Replies, encoded"))
def test_a_reply_of_the_page_says_what_it_says(what: str, body: str, code: str) -> None:
    data = bytes.fromhex(body)
    if code:
        with pytest.raises(FunctionNotFound) as caught:
            decode_reply(data, {ERROR_HEADER: code})
        assert caught.value.details["nearest"] == ["g"]
    else:
        reply = decode_reply(data)
        assert (reply.part is not None) == ("part" in what)


def test_the_functions_of_the_page_have_the_tokens_it_gives_and_its_aliases_are_refused() -> None:
    found = {name: tokens for name, tokens in rows("Functions") if name}
    assert len(found) >= 5
    for name, tokens in found.items():
        assert encode_function(name) == tokens
        assert decode_tail(tokens).function == name
    line = next(line for line in PAGE.splitlines() if line.startswith("These are refused:"))
    refused = re.findall(r"`([^`]+)`", line)
    assert refused
    for tail in refused:
        with pytest.raises(FunctionNotFound):
            decode_tail(tail)


def test_the_bare_json_vectors_are_the_text_that_the_page_shows_first() -> None:
    shown = re.search(r"nats req \S+ '([^']+)'", PAGE)
    assert shown is not None
    assert decode_request(shown[1].encode()).params == json.loads(shown[1])
