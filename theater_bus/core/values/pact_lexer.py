"""Pact source as tokens.

Invariants: lexing takes time linear in the source, which is bounded; every character belongs to a token, to space or
to a comment, or the source is refused with its place; a token knows its offset, lines are counted only when asked for.
Source of the lexical rules: the Pack language (identifiers are greedy: `-` belongs to them; `//` starts a comment).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from theater_bus.errors import PactSyntaxError

__all__ = ["MAX_SOURCE_CHARS", "Source", "Token", "tokenize", "unquote"]

MAX_SOURCE_CHARS = 1 << 20

_TOKEN = re.compile(
    r"""(?P<newline>\n)
      | (?P<space>[ \t\r\f\ufeff]+)
      | (?P<comment>//[^\n]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<symbol>->|[{}()<>\[\],;:=@./])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\"}


class Token(NamedTuple):
    """One token: `kind` is name, number, string, symbol or end; `doc` is the comment block right above it."""

    kind: str
    text: str
    at: int
    doc: str = ""

    def described(self) -> str:
        """How an error message names this token."""
        return "the end of the file" if self.kind == "end" else f"`{_shortened(self.text)}`"


class Source:
    """A source text and its name; turns offsets into errors with line and column."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    def line(self, at: int) -> int:
        """The line of an offset, counted from 1."""
        return self.text.count("\n", 0, at) + 1

    def error(self, at: int, message: str) -> PactSyntaxError:
        """The error to raise for what stands at offset `at`."""
        column = at - (self.text.rfind("\n", 0, at) + 1) + 1
        return PactSyntaxError(message, line=self.line(at), column=column, source=self.name)


def tokenize(source: Source) -> list[Token]:
    """The tokens of a source, the last of kind `end`. Raises `PactSyntaxError`."""
    text = source.text
    if len(text) > MAX_SOURCE_CHARS:
        raise PactSyntaxError(f"source has {len(text)} characters, the limit is {MAX_SOURCE_CHARS}", source=source.name)
    tokens: list[Token] = []
    doc: list[str] = []
    at, fresh_line = 0, True
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise source.error(at, _unexpected(text[at]))
        kind, found = match.lastgroup or "", match.group()
        if kind == "newline":
            if fresh_line:
                doc.clear()
            fresh_line = True
        elif kind == "comment":
            if fresh_line:
                doc.append(found.lstrip("/").strip())
            fresh_line = False
        elif kind != "space":
            tokens.append(Token(kind, found, at, "\n".join(doc)))
            doc.clear()
            fresh_line = False
        at = match.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


def unquote(source: Source, token: Token) -> str:
    r"""The value of a string token; escapes are `\n \t \r \0 \" \\ \u{…}`. Raises `PactSyntaxError`."""

    def replace(match: re.Match[str]) -> str:
        code, letter = match.groups()
        if code is not None:
            point = int(code, 16)
            if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
                return chr(point)
        elif letter in _ESCAPED:
            return _ESCAPED[letter]
        place = token.at + 1 + match.start()
        raise source.error(place, rf"unknown escape `{match.group()}`. Fix: use \n, \t, \r, \0, \", \\ or \u{{…}}")

    return _ESCAPE.sub(replace, token.text[1:-1])


def _unexpected(character: str) -> str:
    if character == '"':
        return 'the string that starts here has no closing `"` on its line'
    return f"unexpected character {character!r}"


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"
