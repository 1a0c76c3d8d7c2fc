"""The published reference of the command line is what the commands say."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from theater_bus.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = spec_from_file_location("docs_generators_cli", ROOT / "docs" / "generators" / "cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_the_rendered_one() -> None:
    """Run `python docs/generators/cli.py` after changing a command."""
    page = generator()
    assert page.PAGE.read_text(encoding="utf-8") == page.render()


def test_the_page_has_a_heading_for_every_command() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"### `theater-bus {name}" in page
