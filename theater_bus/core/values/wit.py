"""Pact as WIT, the language of the Component Model: what a capability offers, and the world of an actor.

Invariants: the text is complete (it parses without any other file) and always the same for the same pact; every
function has the name that it has in pact; the state of an actor's function is its first parameter, called `state`.
What WIT cannot say is refused with the line of the pact.

Source: the Component Model, "WIT"; the mapping is documented in `docs/reference/wit.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from theater_bus.core.values.export_table import is_stateful
from theater_bus.core.values.package import linked_imports
from theater_bus.core.values.pact import PactFile
from theater_bus.core.values.types import Function, Interface, Param, ResultOf, Scalar, TupleOf
from theater_bus.core.values.wit_names import NotInWit, exact_name, package_and_name, respelled, written
from theater_bus.core.values.wit_types import WitTypes
from theater_bus.errors import PactSyntaxError

__all__ = ["actor_wit", "capability_wit", "client_name"]

_INDENT = "    "


def capability_wit(pact: PactFile) -> str:
    """The WIT of the interfaces that a capability's pact declares. Raises `PactSyntaxError` for what WIT cannot say."""
    packages = _Packages(pact.source)
    described = _described(pact)
    if not described:
        raise PactSyntaxError("it exports no function, so there is no WIT", line=1, column=1, source=pact.source)
    for one in described:
        packages.add_interface(one)
    (name, interfaces), *others = packages.items()
    lines = [f"// Written from {pact.source}.", f"package {name};"]
    for interface in interfaces:
        lines += ["", *interface]
    return _text(lines, others)


def actor_wit(pact: PactFile, provided: Mapping[str, Interface]) -> str:
    """The world of the actor that a pact declares: package `actor:NAME`, world `NAME`, after the name of the file.

    `provided` are the interfaces that installed capabilities offer, by full name; imports that the pact does not spell
    out are theirs. Types of the exports are declared once, in `actor:NAME-types/types`. Raises `PactSyntaxError`.
    """
    return _World(pact, provided).text()


def client_name(interface: str) -> str:
    """What the exported half of an interface is called that an actor imports too: WIT gives a name one content."""
    return f"{interface}-client"


@dataclass(slots=True)
class _Described:
    """An interface with its functions, each with its comment and its line in the pact."""

    name: str
    doc: str = ""
    functions: list[tuple[Function, str, int]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Those of its functions."""
        return [function.name for function, _, _ in self.functions]


class _Packages:
    """The interfaces of several packages, as lines."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: dict[str, list[list[str]]] = {}

    def items(self) -> Iterable[tuple[str, list[list[str]]]]:
        """The packages in order of their first interface, each with its interfaces."""
        return self._found.items()

    def add(self, package: str, interface: list[str]) -> None:
        """Add an interface that is written already."""
        self._found.setdefault(package, []).append(interface)

    def add_interface(self, one: _Described, shared: WitTypes | None = None, types_from: str = "") -> None:
        """Add an interface, which declares the types that it needs, or uses those that `types_from` shares."""
        line = one.functions[0][2]
        types = shared or WitTypes(one.names)
        used: set[str] = set()
        functions = list(_functions(one, types, used, self._source))
        try:
            package, name = package_and_name(one.name)
        except NotInWit as problem:
            raise PactSyntaxError(str(problem), line=line, column=1, source=self._source) from problem
        body = functions if not types_from else _uses(types_from, types, used) + functions
        if not types_from:
            body = [line for declaration in types.declarations() for line in declaration] + body
        self.add(package, [*_comment(one.doc), f"interface {name} {{", *_indented(body), "}"])


class _World:
    """An actor's world, with the packages that it refers to."""

    def __init__(self, pact: PactFile, provided: Mapping[str, Interface]) -> None:
        self._pact = pact
        self._name = respelled(PurePath(pact.source).stem)
        self._types = WitTypes(name for one in _described(pact, exported=True) for name in one.names)
        self._types_from = f"actor:{self._name}-types/types"
        self._packages = _Packages(pact.source)
        self._imports = linked_imports(pact, provided)

    def text(self) -> str:
        lines = [f"// Written from {self._pact.source}.", f"package actor:{written(self._name)};", ""]
        lines += [f"world {written(self._name)} {{", *_indented(self._world()), "}"]
        declared = [line for declaration in self._types.declarations() for line in declaration]
        if declared:
            package, _, name = self._types_from.partition("/")
            self._packages.add(package, [f"interface {name} {{", *_indented(declared), "}"])
        return _text(lines, self._packages.items())

    def _world(self) -> list[str]:
        imports = []
        for interface in self._imports:
            line = next(one.line for one in self._pact.imports if one.interface == interface.name)
            functions = [(function, "", line) for function in interface.functions]
            self._packages.add_interface(_Described(interface.name, "", functions))
            imports.append(f"import {_reference(interface.name)};")
        exports, used = [], set[str]()
        for one in self._exports():
            if one.name:
                self._packages.add_interface(one, self._types, self._types_from)
                exports.append(f"export {_reference(one.name)};")
            else:
                bare = _functions(one, self._types, used, self._pact.source)
                exports += [line if line.startswith("///") else f"export {line}" for line in bare]
        return [*_uses(self._types_from, self._types, used), *imports, *exports]

    def _exports(self) -> Iterator[_Described]:
        imported = {interface.name for interface in self._imports}
        for one in _described(self._pact, exported=True):
            if one.name in imported:
                one.name = client_name(one.name)
            one.functions = [(self._with_state(function, line), doc, line) for function, doc, line in one.functions]
            yield one

    def _with_state(self, function: Function, line: int) -> Function:
        """An actor's function in the shape by which hosts know it in a component, else it would lose its state."""
        if not is_stateful(function):
            return function
        first, *others = function.params
        result = function.result
        tuple_ = result.ok if isinstance(result, ResultOf) and result.err is Scalar.STRING else None
        if not isinstance(tuple_, TupleOf) or tuple_.items[:1] != (first.type,):
            message = (
                f"`{function.name}` takes a state, and a component's function with state answers with "
                "`result<tuple<STATE, …>, string>`, of the same type. Fix: declare it so, or, where it needs no state, "
                "an answer that is no result"
            )
            raise PactSyntaxError(message, line=line, column=1, source=self._pact.source)
        renamed = [Param(f"{one.name}2", one.type) if one.name == "state" else one for one in others]
        return Function(function.name, (Param("state", first.type), *renamed), result)


def _described(pact: PactFile, *, exported: bool = False) -> list[_Described]:
    """The interfaces of a pact by name. Exported ones keep the bare names of functions outside of any interface."""
    found: dict[str, _Described] = {}
    for declared in pact.declared:
        for interface in (declared.interface, *declared.groups):
            own = interface is declared.interface
            name = "" if exported and own and declared.anonymous else interface.name
            for function in interface.functions:
                key = function.name if own else f"{interface.name}.{function.name}"
                one = found.setdefault(name, _Described(name, declared.doc if own else ""))
                one.functions.append((function, declared.docs.get(key, ""), declared.lines[key]))
    return list(found.values())


def _functions(one: _Described, types: WitTypes, used: set[str], source: str) -> Iterator[str]:
    """The signatures of an interface; `used` gets the names of the types in them."""
    for function, doc, line in one.functions:
        try:
            name = exact_name("function", function.name)
            signature = _signature(function, types, used)
        except NotInWit as problem:
            message = f"`{function.name}` cannot be written in WIT: {problem}"
            raise PactSyntaxError(message, line=line, column=1, source=source) from problem
        yield from _comment(doc)
        yield f"{written(name)}: {signature};"


def _signature(function: Function, types: WitTypes, used: set[str]) -> str:
    params = ", ".join(f"{written(respelled(one.name))}: {types.text(one.type, used)}" for one in function.params)
    if function.result is None:
        return f"func({params})"
    return f"func({params}) -> {types.text(function.result, used)}"


def _uses(source: str, types: WitTypes, used: set[str]) -> list[str]:
    names = [written(name) for name in types.names if name in used]
    return [f"use {source}.{{{', '.join(names)}}};"] if names else []


def _reference(interface: str) -> str:
    package, name = package_and_name(interface)
    return f"{package}/{name}"


def _comment(doc: str) -> list[str]:
    return [f"/// {line}".rstrip() for line in doc.splitlines()]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"{_INDENT}{line}" if line else line for line in lines]


def _text(lines: list[str], packages: Iterable[tuple[str, list[list[str]]]]) -> str:
    for package, interfaces in packages:
        inside = [line for number, one in enumerate(interfaces) for line in ([""] if number else []) + one]
        lines = [*lines, "", f"package {package} {{", *_indented(inside), "}"]
    return "\n".join(lines) + "\n"
