"""How the demo tells what it does: headed paragraphs for people, one JSON document per step for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from theater_bus.cli.output import Output, facts, json_form

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Narrator"]


class Narrator:
    """Tells a story in numbered scenes. Facts are for JSON, lines for text; each scene gives both."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._number = 0

    def scene(self, title: str) -> None:
        """Begin the next scene."""
        self._number += 1
        if not self._out.is_json:
            heading = f"{self._number}. {title}"
            print(f"\n{self._bold(heading)}", flush=True)

    def line(self, text: str = "") -> None:
        """Say a line; nothing in JSON."""
        if not self._out.is_json:
            print(f"   {text}".rstrip(), flush=True)

    def row(self, left: str, right: str, width: int = 42) -> None:
        """Say what was done, and what came of it."""
        self.line(f"{left:<{width}} {self._arrow()} {right}")

    def draw(self, drawing: RenderableType) -> None:
        """Show a table; nothing in JSON."""
        if not self._out.is_json:
            from rich.padding import Padding

            self._out.document(None, lambda: Padding(drawing, (0, 0, 0, 3)))

    def fact(self, step: str, **found: Any) -> None:
        """State what a step found; nothing in text."""
        if self._out.is_json:
            document = {"step": step, **json_form(facts(found))}
            print(json.dumps(document, ensure_ascii=False), flush=True)

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._out.colours else text

    def _arrow(self) -> str:
        encoding = (sys.stdout.encoding or "").lower()
        return "→" if "utf" in encoding else "->"
