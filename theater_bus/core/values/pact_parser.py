"""Pact tokens as a syntax tree.

Invariants: one token of progress per step, so parsing is linear; nothing but grammar is decided here.
Grammar: `docs/reference/pact.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from theater_bus.core.values.pact_cursor import Cursor
from theater_bus.core.values.pact_lexer import Source
from theater_bus.core.values.pact_syntax import (
    AnnotationDecl,
    FunctionDecl,
    ImportDecl,
    InterfaceDecl,
    Member,
    TypeDecl,
    UseDecl,
)

__all__ = ["parse_tree"]

_ITEM = "an item (`@name`, `type`, `record`, `variant`, `enum`, `flags`, `use`, `imports`, `exports`"


def parse_tree(source: Source) -> list[InterfaceDecl]:
    """The interfaces of a source in order; items outside of any come first, under the empty name."""
    return _Parser(source).file()


class _Parser(Cursor):
    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.items: dict[str, Callable[[InterfaceDecl], None]] = {
            "type": self.type_item,
            "record": self.record,
            "variant": self.variant,
            "enum": self.enum,
            "flags": self.flags,
            "use": self.use,
            "imports": self.imports,
            "exports": self.exports,
        }

    def file(self) -> list[InterfaceDecl]:
        root = InterfaceDecl("", 0, "")
        found = [root]
        self.separator()
        while self.token.kind != "end":
            if self.token.text == "interface":
                found.append(self.interface())
            else:
                self.item(root, "or `interface`)")
            self.separator()
        empty = not (root.types or root.uses or root.annotations or root.imports or root.exports)
        return found[1:] if empty and len(found) > 1 else found

    def interface(self) -> InterfaceDecl:
        keyword = self.advance()
        name = self.name("the name of the interface")
        if self.token.text == "=":
            raise self.source.error(
                self.token.at, "interface transforms are not supported. Fix: write the interface out"
            )
        declared = InterfaceDecl(name.text, name.at, keyword.doc)
        self.block(f"interface `{name.text}`", lambda: self.item(declared, "or `}`)"))
        return declared

    def item(self, into: InterfaceDecl, otherwise: str) -> None:
        if self.token.text == "@":
            self.annotation(into)
            return
        if self.token.text == "interface":
            raise self.source.error(
                self.token.at, "an interface inside an interface is not supported. Fix: put it beside the other"
            )
        reader = self.items.get(self.token.text) if self.token.kind == "name" else None
        if reader is None:
            raise self.expected(f"{_ITEM} {otherwise}")
        reader(into)

    def annotation(self, into: InterfaceDecl) -> None:
        self.advance()
        name = self.name("the name of the annotation after `@`")
        self.expect(":", f"and a type after `@{name.text}`")
        declared = self.type(0)
        self.expect("=", "and a literal after the type of the annotation")
        into.annotations.append(AnnotationDecl(name.text, declared, self.literal(0), name.at))

    def type_item(self, into: InterfaceDecl) -> None:
        self.advance()
        name = self.name("the name of the type")
        if self.sees("<") or self.sees("="):
            parameters = self.parameters()
            self.expect("=", f"and a type after `type {name.text}`")
            member = Member(name.text, self.type(0), name.at)
            into.types.append(TypeDecl("alias", name.text, parameters, (member,), name.at))
            return
        if self.accept(":"):
            self.name("the interface that constrains the type parameter")
        into.types.append(TypeDecl("parameter", name.text, (), (), name.at))

    def declared(
        self,
        into: InterfaceDecl,
        kind: Literal["record", "variant", "flags"],
        member: Callable[[], Member],
        generic: bool,
    ) -> None:
        keyword = self.advance()
        name = self.name(f"the name of the {keyword.text}")
        parameters = self.parameters() if generic else ()
        members = self.block(f"{keyword.text} `{name.text}`", member)
        into.types.append(TypeDecl(kind, name.text, parameters, members, name.at))

    def record(self, into: InterfaceDecl) -> None:
        self.declared(into, "record", self.field, generic=True)

    def variant(self, into: InterfaceDecl) -> None:
        self.declared(into, "variant", self.case, generic=True)

    def enum(self, into: InterfaceDecl) -> None:
        self.declared(into, "variant", self.plain_name, generic=False)

    def flags(self, into: InterfaceDecl) -> None:
        self.declared(into, "flags", self.plain_name, generic=False)

    def field(self) -> Member:
        name = self.name("a name")
        self.expect(":", f"and a type after `{name.text}`")
        return Member(name.text, self.type(0), name.at)

    def plain_name(self) -> Member:
        name = self.name("a name")
        return Member(name.text, None, name.at)

    def case(self) -> Member:
        name = self.name("the name of a case")
        payload = None
        if self.accept("("):
            payload = self.type(0)
            self.expect(")", "after the payload of the case")
        return Member(name.text, payload, name.at)

    def use(self, into: InterfaceDecl) -> None:
        self.advance()
        interface = self.name("the name of the interface to use")
        if self.token.text == "(":
            raise self.source.error(self.token.at, "interface transforms are not supported. Fix: use the types by name")
        names: tuple[tuple[str, int], ...] = ()
        if self.accept("."):
            names = tuple((m.name, m.at) for m in self.block(f"use `{interface.text}`", self.plain_name))
        into.uses.append(UseDecl(interface.text, names, interface.at))

    def path(self) -> str:
        """An interface name: `name` or `namespace:package/name`."""
        text = self.name("the name of an interface or a function").text
        if self.sees(":", "NAME", "/"):
            self.advance()
            text += ":" + self.advance().text
        while self.accept("/"):
            text += "/" + self.name("a name after `/`").text
        return text

    def imports(self, into: InterfaceDecl) -> None:
        self.advance()
        found = self.block("`imports`", self.imported)
        into.imports.extend(one for one in found if one.interface)

    def imported(self) -> ImportDecl:
        at = self.token.at
        interface = self.path()
        if self.accept(":"):
            # `parameter: interface` constrains a type parameter; a host has nothing to provide for it.
            self.name("the interface that constrains the type parameter")
            return ImportDecl("", (), None, at)
        if self.accept("."):
            return ImportDecl(interface, (self.name("the name of a function").text,), None, at)
        if self.token.text == "{":
            functions = self.block(f"the imports from `{interface}`", lambda: self.function(interface))
            return ImportDecl(interface, (), functions, at)
        return ImportDecl(interface, (), None, at)

    def exports(self, into: InterfaceDecl) -> None:
        self.advance()
        for exported in self.block("`exports`", lambda: self.exported(into)):
            into.exports.extend(exported)

    def exported(self, into: InterfaceDecl) -> tuple[FunctionDecl, ...]:
        start = self.token
        path = self.path()
        if self.token.text == "{":
            return self.block(f"the exports of `{path}`", lambda: self.function(path))
        if self.accept("."):
            return (self.function(path, start.doc),)
        self.position -= 1  # the last name of the path is the function's
        if self.tokens[self.position] is not start:
            raise self.source.error(start.at, f"`{path}` names an interface. Fix: write `{path}.name: func(…)`")
        if self.sees("NAME", ":") and self.tokens[self.position + 2].text != "func":
            self.position += 2
            member = Member(start.text, self.type(0), start.at)
            into.types.append(TypeDecl("alias", start.text, (), (member,), start.at))
            return ()
        return (self.function(""),)

    def function(self, path: str, doc: str = "") -> FunctionDecl:
        name = self.name("the name of a function")
        self.expect(":", f"and `func(…)` after `{name.text}`")
        self.expect("func", f"for the function `{name.text}`")
        self.expect("(", "after `func`")
        parameters: list[Member] = []
        while not self.accept(")"):
            parameters.append(self.field())
            if self.token.text != ")":
                self.expect(",", f"or `)` in the parameters of `{name.text}`")
        result = self.type(0) if self.accept("->") else None
        return FunctionDecl(path, name.text, tuple(parameters), result, name.at, doc or name.doc)
