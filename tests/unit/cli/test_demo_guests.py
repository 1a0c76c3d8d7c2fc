"""The guests that the demo carries are those of the tests, and its text is real and large."""

from __future__ import annotations

from pathlib import Path

import pytest

from theater_bus.cli.demo.megabyte import MINIMUM_BYTES, write_text
from theater_bus.cli.demo.stage import GUESTS, capabilities
from theater_bus.core.manifest import parse_manifest
from theater_bus.plugins import find
from theater_bus.testing.guests import guest

NAMES = ["chaos", "counter", "text"]


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_of_the_demo_is_the_one_of_the_tests(name: str) -> None:
    """Run `python tests/guests/build.py` after changing one."""
    assert (GUESTS / f"{name}.wasm").read_bytes() == guest(name).wasm


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_of_the_demo_names_its_module_and_starts_as_the_tests_do(name: str) -> None:
    ours, theirs = parse_manifest((GUESTS / f"{name}.toml").read_text()), parse_manifest(guest(name).manifest_text)
    assert (ours.name, ours.package, ours.initial_state) == (name, f"{name}.wasm", theirs.initial_state)
    assert set(ours.capabilities) == set(theirs.capabilities)


def test_the_demo_has_what_its_guests_import_also_where_no_plugin_is_installed() -> None:
    assert list(capabilities([]).capabilities) == list(capabilities(find()).capabilities) == ["runtime"]


def test_the_text_is_a_file_of_more_than_a_megabyte_and_always_the_same(tmp_path: Path) -> None:
    first = write_text(tmp_path).read_bytes()
    assert len(first) >= MINIMUM_BYTES
    assert first.decode().count("statement") > 100
    assert write_text(tmp_path).read_bytes() == first
