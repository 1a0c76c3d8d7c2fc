"""A walk over pact tokens, with the parts of the grammar that nest: blocks, types and literals.

Invariants: every step consumes a token or refuses; types and literals nest at most `MAX_NESTING` deep, so hostile input
cannot exhaust the stack; every refusal says what was expected and what stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from theater_bus.core.values.pact_lexer import Source, Token, tokenize, unquote
from theater_bus.core.values.pact_syntax import LiteralValue, TypeExpression
from theater_bus.errors import PactSyntaxError

__all__ = ["MAX_NESTING", "Cursor"]

MAX_NESTING = 64

T = TypeVar("T")


class Cursor:
    """The tokens of a source and a position among them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.position = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.position]

    def advance(self) -> Token:
        """Consume the next token, which is not the end."""
        self.position += 1
        return self.tokens[self.position - 1]

    def sees(self, *texts: str) -> bool:
        """Whether the next tokens are these names and symbols; `NAME` stands for any name."""
        ahead = self.tokens[self.position : self.position + len(texts)]
        return len(ahead) == len(texts) and all(
            token.kind == "name" if text == "NAME" else token.text == text
            for token, text in zip(ahead, texts, strict=True)
        )

    def accept(self, text: str) -> bool:
        """Consume the next token if it is this one."""
        if self.tokens[self.position].text != text:  # strings keep their quotes, so no other kind looks like it
            return False
        self.position += 1
        return True

    def expect(self, text: str, where: str) -> Token:
        """Consume this token, or refuse; `where` completes the sentence."""
        if self.tokens[self.position].text != text:
            raise self.expected(f"`{text}` {where}")
        return self.advance()

    def name(self, what: str) -> Token:
        """Consume a name, or refuse saying that `what` was expected."""
        if self.token.kind != "name":
            raise self.expected(what)
        return self.advance()

    def expected(self, what: str) -> PactSyntaxError:
        """The error that says what was expected and what stands here."""
        return self.source.error(self.token.at, f"expected {what}, found {self.token.described()}")

    def separator(self) -> None:
        """Consume commas and semicolons, all of them optional."""
        while self.accept(",") or self.accept(";"):
            pass

    def block(self, what: str, member: Callable[[], T]) -> tuple[T, ...]:
        """`{ member* }` with optional separators."""
        opening = self.expect("{", f"after {what}")
        members: list[T] = []
        self.separator()
        while not self.accept("}"):
            if self.token.kind == "end":
                raise self.source.error(opening.at, f"the block of {what} that opens here is never closed")
            members.append(member())
            self.separator()
        return tuple(members)

    def type(self, depth: int) -> TypeExpression:
        """A type expression."""
        if depth > MAX_NESTING:
            raise self.source.error(self.token.at, f"types nest deeper than {MAX_NESTING}")
        name = self.name("a type")
        if not self.accept("<"):
            return TypeExpression(name.text, (), name.at)
        arguments: list[TypeExpression] = []
        while not self.accept(">"):
            arguments.append(self.type(depth + 1))
            if self.token.text != ">":
                self.expect(",", f"or `>` in the arguments of `{name.text}`")
        if not arguments and name.text != "tuple":
            raise self.source.error(name.at, f"`{name.text}<>` names no type argument")
        return TypeExpression(name.text, tuple(arguments), name.at)

    def parameters(self) -> tuple[str, ...]:
        """`<a, b>` of a generic declaration, or nothing."""
        names: list[str] = []
        if self.accept("<"):
            while not self.accept(">"):
                name = self.name("the name of a type parameter or `>`")
                if name.text in names:
                    raise self.source.error(name.at, f"type parameter `{name.text}` is declared twice")
                names.append(name.text)
                if self.token.text != ">":
                    self.expect(",", "or `>` after a type parameter")
        return tuple(names)

    def literal(self, depth: int) -> LiteralValue:
        """A string, number, boolean, list or record literal."""
        if depth > MAX_NESTING:
            raise self.source.error(self.token.at, f"literals nest deeper than {MAX_NESTING}")
        token = self.token
        if token.kind == "string":
            return unquote(self.source, self.advance())
        if token.kind == "number":
            return self._number(self.advance())
        if self.accept("true"):
            return True
        if self.accept("false"):
            return False
        if self.accept("["):
            return self._literal_list(depth)
        if self.sees("{"):
            return self._literal_record(depth)
        raise self.expected("a literal (a string, a number, `true`, `false`, `[…]` or `{…}`)")

    def _number(self, token: Token) -> int | float:
        if len(token.text) > 40:
            raise self.source.error(token.at, "a number of more than 40 characters")
        return float(token.text) if "." in token.text else int(token.text)

    def _literal_list(self, depth: int) -> list[LiteralValue]:
        items: list[LiteralValue] = []
        while not self.accept("]"):
            items.append(self.literal(depth + 1))
            if self.token.text != "]":
                self.expect(",", "or `]` in the list")
        return items

    def _literal_record(self, depth: int) -> dict[str, LiteralValue]:
        fields: dict[str, LiteralValue] = {}

        def one() -> None:
            name = self.name("a field name")
            if name.text in fields:
                raise self.source.error(name.at, f"field `{name.text}` is given twice")
            self.expect(":", "after the field name")
            fields[name.text] = self.literal(depth + 1)

        self.block("the literal", one)
        return fields
