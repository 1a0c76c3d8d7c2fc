"""The reference page on pact: every example in it parses, and what it says of them is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from theater_bus.core.values.export_table import is_stateful
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.pact import parse
from theater_bus.core.values.pact_resolver import MAX_DEPTH, MAX_FILE_NODES, MAX_TYPE_NODES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "pact.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```pact\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_parses(block: str) -> None:
    assert parse(block, "example.pact").declared


def test_the_page_has_its_examples() -> None:
    assert len(BLOCKS) == PAGE.count("```pact") == 6


def test_the_hash_on_the_page_is_that_of_its_example() -> None:
    (found,) = parse(BLOCKS[-1]).interfaces
    assert interface_hash(found).hex() in PAGE


def test_the_names_and_the_state_of_exports_are_as_the_page_says() -> None:
    assert parse(BLOCKS[0]).interfaces[0].name == "my:tools/clock"
    found = {f"{one.name}.{f.name}": is_stateful(f) for one in parse(BLOCKS[2]).exports for f in one.functions}
    assert found == {
        ".version": False,
        "theater:simple/actor.init": True,
        "my:app/counter.increment": True,
        "my:app/counter.get": True,
    }


def test_the_effects_are_as_the_page_says() -> None:
    (mail,) = parse(BLOCKS[4]).declared
    assert [mail.effect(name) for name in ("send", "fetch", "count")] == ["queued", "external", "none"]


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    for limit in (MAX_DEPTH, MAX_TYPE_NODES, MAX_FILE_NODES):
        assert f"{limit:,}" in PAGE
