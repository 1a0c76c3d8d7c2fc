"""Writes the WIT of every shipped capability beside its pact, for guests that are components.

`render(pact)` gives the text of one; running the file writes all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from theater_bus.core.values.pact import parse
from theater_bus.core.values.wit import capability_wit
from theater_bus.plugins import PluginRegistry

ROOT = Path(__file__).resolve().parents[2]


def pacts() -> Iterator[Path]:
    """The pact of every capability in this repository."""
    named = {capability.pact.source for capability in PluginRegistry.discover().capabilities.values()}
    yield from sorted(path for path in (ROOT / "plugins").glob("*/src/*/*.pact") if path.name in named)


def render(pact: Path) -> str:
    """The WIT of one pact file."""
    return capability_wit(parse(pact.read_text("utf-8"), pact.name))


if __name__ == "__main__":
    for path in pacts():
        path.with_suffix(".wit").write_text(render(path), "utf-8")
