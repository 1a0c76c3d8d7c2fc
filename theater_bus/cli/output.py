"""What a command says: text for people, or JSON for programs, from the same facts.

JSON is one document on stdout, or one per line for what comes bit by bit. Text has colours on a terminal only, and
none with NO_COLOR.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Output", "compact", "facts", "hanging", "json_form", "shown_bytes", "shown_ns"]


class Output:
    """Where a command writes. `is_json` says which of the two forms is wanted."""

    def __init__(self, is_json: bool = False) -> None:
        self.is_json = is_json
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """The terminal for text; made when first asked for, since rich is slow to import."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                highlight=False,
                no_color=not self.colours,
                force_terminal=None,
                width=None if sys.stdout.isatty() else _columns(),
                soft_wrap=False,
                markup=True,
            )
        return self._console

    def document(self, value: Any, text: Callable[[], str | RenderableType]) -> None:
        """The one answer of a command: `value` as JSON, or what `text` returns."""
        if self.is_json:
            print(json.dumps(value, ensure_ascii=False, indent=2))
        else:
            self._write(text())

    def line(self, value: Any, text: Callable[[], str | RenderableType]) -> None:
        """One of many: `value` as JSON on a line, or what `text` returns. It is out when this returns."""
        if self.is_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)
        else:
            self._write(text())
            sys.stdout.flush()

    def table(self, value: Any, head: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
        """A list: `value` as JSON, or a table; `empty` is said where there are no rows."""
        if self.is_json:
            print(json.dumps(value, ensure_ascii=False, indent=2))
            return
        listed = list(rows)
        self._write(make_table(head, listed) if listed else empty)

    def pairs(self, value: Any, rows: Iterable[tuple[str, str]]) -> None:
        """Facts about one thing: `value` as JSON, or a name and a fact per line."""
        if self.is_json:
            print(json.dumps(value, ensure_ascii=False, indent=2))
            return
        listed = list(rows)
        width = max((len(name) for name, _ in listed), default=0)
        for name, fact in listed:
            shown = fact.replace("\n", "\n" + " " * (width + 2))
            print(f"{self.dim(name.ljust(width))}  {shown}")

    def dim(self, text: str) -> str:
        """`text` in a quiet colour, where there are colours."""
        return f"\x1b[2m{text}\x1b[0m" if self.colours else text

    @property
    def columns(self) -> int:
        """How wide the terminal is; 0 where stdout is none, and nothing needs to be cut."""
        return get_terminal_size().columns if sys.stdout.isatty() else 0

    @property
    def colours(self) -> bool:
        """Whether stdout is a terminal that wants colours."""
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def _write(self, text: str | RenderableType) -> None:
        if isinstance(text, str):
            sys.stdout.write(text + "\n")  # in one piece: stderr may be the same terminal
        else:
            with self.console.capture() as captured:
                self.console.print(text)
            print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _columns() -> int:
    """How wide text is that does not go to a terminal."""
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) else 100


def hanging(text: str, indent: int, columns: int) -> str:
    """`text`, which begins at column `indent`, in lines that begin there too and fit; whole where `columns` is 0."""
    if columns <= indent:
        return text
    lines = wrap(text, columns - indent, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """A table without lines, which can be cut and searched with the usual tools."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in head:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def json_form(value: Any) -> Any:
    """A plain value as JSON can hold it: bytes as `{"$bytes": base64}`, odd floats as `{"$float": "nan"}`."""
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode("ascii")}
    if isinstance(value, float) and not isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): json_form(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_form(item) for item in value]
    return value


def facts(value: Any) -> Any:
    """What the system says about itself as JSON can hold it: dataclasses as maps, digests and ids in hex."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: facts(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): facts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [facts(item) for item in value]
    return value


def compact(value: Any, limit: int = 0) -> str:
    """A plain value as JSON on one line, cut to `limit` characters where one is given."""
    text = json.dumps(json_form(value), ensure_ascii=False, separators=(",", ":"))
    return text if not limit or len(text) <= limit else text[: limit - 1] + "…"


def shown_bytes(size: int) -> str:
    """A size for people: `1.5 MiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def shown_ns(duration_ns: int | None) -> str:
    """A duration for people: `1.5 ms`."""
    if duration_ns is None:
        return "-"
    for unit, length in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if duration_ns >= length:
            return (
                f"{duration_ns / length:.3g} {unit}"
                if duration_ns < 100 * length
                else f"{duration_ns // length} {unit}"
            )
    return f"{duration_ns} ns"
