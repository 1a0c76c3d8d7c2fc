"""Reads the pages of the documentation: code blocks with their marks, links, headings.

A comment directly above a fenced block says what a test does with it:

    <!-- file: NAME -->      the block is saved under that name in the page's own empty folder
    <!-- output -->          the block is what the block before it printed
    <!-- stays: WORD -->     the command goes on until the page ends; the next block waits until it has printed WORD
    <!-- exit: NUMBER -->    the last command ends with this status, not with 0
    <!-- not run: REASON --> the block is only read

Without a mark, `python` blocks run as scripts, and in `console` blocks every line that begins with `$ ` is run, in
order; the lines below it are what it prints. `…` stands for any text, alone on a line for any lines. Blocks in other
languages are only read. The server at nats://127.0.0.1:4222 is, in a test, one of its own on a free port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MARKS = ("file", "output", "stays", "exit", "not run")
RUNNABLE = ("python", "console")

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)\s*$")
_MARK = re.compile(r"^\s*<!-- (?P<name>[a-z ]+?)(?:: (?P<value>.+?))? -->\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, its language, its text, and the marks above it."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def place(self) -> str:
        """The block as people find it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in RUNNABLE and not {"file", "output", "not run"} & set(self.marks)


def pages() -> list[Path]:
    """Every page that people read: README.md, CHANGELOG.md, docs, and the READMEs of the plugins."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    found += (ROOT / "plugins").glob("*/README.md")
    return sorted(path for path in found if path.is_file() and "templates" not in path.parts)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order. Raises `ValueError` for a block that is never closed."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for number, line in lines:
        if mark := _MARK.match(line):
            marks[mark["name"]] = mark["value"] or ""
        elif fence := _FENCE.match(line):
            text = "".join(f"{each}\n" for each in _until(lines, fence["indent"] + fence["fence"], page, number))
            found.append(Block(page, number, fence["language"], text, marks))
            marks = {}
        elif line.strip():
            marks = {}
    return found


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a `console` block, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


def links(page: Path) -> list[str]:
    """The targets of a page's links and images, without those inside of code."""
    text = "\n".join(_prose(page))
    return [match["target"] or match["image"] for match in _LINK.finditer(re.sub(r"`[^`]*`", "", text))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in _prose(page):
        if heading := _HEADING.match(line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            while name in found:
                stem, _, number = name.rpartition("-")
                name = f"{stem}-{int(number) + 1}" if number.isdigit() and stem in found else f"{name}-1"
            found.add(name)
    return found


def _prose(page: Path) -> Iterator[str]:
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for number, line in lines:
        if fence := _FENCE.match(line):
            for _ in _until(lines, fence["indent"] + fence["fence"], page, number):
                pass
        else:
            yield line


def _until(lines: Iterator[tuple[int, str]], fence: str, page: Path, begun: int) -> Iterator[str]:
    indent = len(fence) - len(fence.lstrip())
    for _, line in lines:
        if line.rstrip() == fence:
            return
        yield line[indent:]
    raise ValueError(f"{page}:{begun}: the block is never closed")
