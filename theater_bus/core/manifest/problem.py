"""What is wrong with a manifest, all of it at once, and where.

Invariants: a problem names its setting by its full path; the line is there when the text of the manifest is known and
holds the setting in a plain `key = value` or `[section]` form, and is left out rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from theater_bus.errors import SpawnRefused

__all__ = ["Path", "Problem", "lines_of", "refuse"]

Path = tuple[str, ...]

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\\]*"|'[^']*')"""
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER: Final = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]\s*(?:#.*)?")
_SETTING: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_PART: Final = re.compile(_KEY)
_LONG_TEXT: Final = re.compile(r'"""|' + "'''")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to do about it."""

    path: Path
    what: str
    fix: str = ""

    def text(self) -> str:
        """`limits.cpu_ms is 0, outside 1 to 10. Fix: …`."""
        return ".".join(self.path) + " " + self.what + (f". Fix: {self.fix}" if self.fix else "")


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of each section and setting of a TOML text that stands at the beginning of a line."""
    found: dict[Path, int] = {}
    section: Path = ()
    for number, line in _outside_long_texts(text):
        header = _HEADER.fullmatch(line)
        if header:
            section = _parts(header[1])
            found.setdefault(section, number)
            continue
        assigned = _SETTING.match(line)
        if assigned:
            found.setdefault(section + _parts(assigned[1]), number)
    return found


def refuse(problems: Sequence[Problem], source: str, lines: Mapping[Path, int]) -> SpawnRefused:
    """The error that names every problem of a manifest, in the order of the text."""
    placed = [(_line(problem.path, lines), problem) for problem in problems]
    placed.sort(key=lambda one: one[0])
    texts = [
        f"{source}:{line}: {problem.text()}" if line else f"{source}: {problem.text()}" for line, problem in placed
    ]
    message = texts[0] if len(texts) == 1 else "\n  ".join([f"{len(texts)} problems in the manifest:", *texts])
    return SpawnRefused(
        message,
        source=source,
        problems=[
            {"path": ".".join(problem.path), "line": line, "problem": problem.what, "fix": problem.fix}
            for line, problem in placed
        ],
    )


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of a setting, else that of the inline table that holds it, else 0."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _outside_long_texts(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        begins_outside = not fence
        for mark in _LONG_TEXT.findall(line):
            if not fence:
                fence = mark
            elif mark == fence:
                fence = ""
        if begins_outside:
            yield number, line
